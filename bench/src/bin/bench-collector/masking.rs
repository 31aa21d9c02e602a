//! The masker's rows: recall and precision on the labelled set, and speed on one core.
//!
//! The clean text is chat as people write it: prices, times, order numbers, addresses of web pages, smileys. That
//! nothing is found in it is checked, not assumed. The dense text has an identifier of the labelled set every 200 bytes,
//! the entities in turn.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use bench::table::Table;
use masking::{Entity, Masker, RawConfig, Strength};

// one scoring for the test that asserts and the evidence that prints
#[path = "../../../../collector/masking/tests/data/score.rs"]
pub(crate) mod score;

/// The labelled set.
pub(crate) const CASES: &str = include_str!("../../../../collector/masking/tests/data/cases.jsonl");
const CLEAN_BYTES: usize = 8 << 20;
const DENSE_BYTES: usize = 4 << 20;
/// Bytes between the starts of two identifiers.
const EVERY: usize = 200;
const RUNS: usize = 7;

/// Fills `recall` and `precision`.
#[allow(clippy::print_stdout)] // the figures by entity are too many for rows
pub fn labelled(table: &mut Table) -> anyhow::Result<()> {
    let masker = Masker::new(&RawConfig::default())?;
    let cases = score::cases(CASES);
    ensure!(cases.len() >= 3_000, "the labelled set has only {} cases", cases.len());
    let (scores, wrong) = score::score(&masker, &cases);
    let entities = Entity::ALL.into_iter().filter(|entity| entity.strength() != Strength::Given);
    let (mut recall, mut precision) = ((f64::INFINITY, ""), (f64::INFINITY, ""));
    println!("| entity | goes by | cases | recall | precision |\n|---|---|---|---|---|");
    for entity in entities {
        let score = scores.get(entity.as_str()).copied().unwrap_or_default();
        let found = f64::from(score.right) / f64::from(score.right + score.missed);
        let right = f64::from(score.right) / f64::from(score.right + score.false_alarms);
        let goes_by = format!("{:?}", entity.strength()).to_lowercase();
        println!("| {} | {goes_by} | {} | {found:.3} | {right:.3} |", entity.as_str(), score.right + score.missed);
        // an entity without cases gives no number, which no bound accepts
        recall = least(recall, (found, entity.as_str()));
        precision = least(precision, (right, entity.as_str()));
    }
    println!("\nnot as labelled: {}\n{}\n", wrong.len(), wrong.join("\n"));
    let note = |name: &str| format!("{name}; {} cases, {} not as labelled", cases.len(), wrong.len());
    table.seen("recall", recall.0, note(recall.1));
    table.seen("precision", precision.0, note(precision.1));
    Ok(())
}

fn least<'a>(a: (f64, &'a str), b: (f64, &'a str)) -> (f64, &'a str) {
    if a.0 <= b.0 { a } else { b }
}

/// Fills `clean` and `dense`.
pub fn speed(table: &mut Table) -> anyhow::Result<()> {
    let masker = Masker::new(&RawConfig::default())?;
    let clean = clean_messages();
    for message in &clean {
        let (_, hits) = masker.mask_text(message);
        ensure!(hits.total() == 0, "the clean text is not clean: {message:?}: {hits:?}");
    }
    let beyond = clean.iter().filter(|message| !message.is_ascii()).count() as f64 / clean.len() as f64;
    let note = format!("median of {RUNS}; {} messages, {:.1} % not ASCII", clean.len(), beyond * 100.0);
    table.seen("clean", speed_of(&masker, &clean), note);

    let dense = dense_messages();
    let mut hits = BTreeMap::new();
    for message in &dense {
        for (entity, n) in masker.mask_text(message).1.by_entity {
            *hits.entry(entity).or_insert(0) += n;
        }
    }
    let bytes: usize = dense.iter().map(String::len).sum();
    let total: u64 = hits.values().sum();
    let note = format!("median of {RUNS}; {} entities, one every {} bytes", hits.len(), bytes as u64 / total.max(1));
    table.seen("dense", speed_of(&masker, &dense), note);
    Ok(())
}

/// Seconds that this thread has run: what one core did, whoever else was on the machine. Elsewhere than on Linux, the
/// clock's.
fn busy_seconds(begun: Instant) -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = told.and_then(|told| told.split(' ').next()?.parse::<u64>().ok());
    nanoseconds.map_or_else(|| begun.elapsed().as_secs_f64(), |ns| ns as f64 / 1e9)
}

/// Megabytes a second of one core, the median of some runs.
fn speed_of(masker: &Masker, messages: &[String]) -> f64 {
    let bytes: usize = messages.iter().map(String::len).sum();
    let mut speeds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let begun = Instant::now();
            let before = busy_seconds(begun);
            for message in messages {
                black_box(masker.mask_text(black_box(message)));
            }
            bytes as f64 / 1e6 / (busy_seconds(begun) - before)
        })
        .collect();
    speeds.sort_by(f64::total_cmp);
    speeds[RUNS / 2]
}

/// A generator of 64-bit numbers (Steele, Lea, Flood: SplitMix), so that every run has the same text.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn of<'a>(&mut self, some: &[&'a str]) -> &'a str {
        some[self.below(some.len())]
    }
}

const WORDS: &[&str] = &[
    "the",
    "order",
    "please",
    "I",
    "have",
    "not",
    "received",
    "my",
    "package",
    "yet",
    "can",
    "you",
    "check",
    "it",
    "was",
    "delivered",
    "to",
    "wrong",
    "address",
    "and",
    "now",
    "waiting",
    "for",
    "refund",
    "thanks",
    "help",
    "with",
    "account",
    "password",
    "reset",
    "link",
    "does",
    "work",
    "on",
    "phone",
    "app",
    "crashes",
    "when",
    "open",
    "settings",
    "screen",
    "subscription",
    "cancel",
    "billing",
    "charged",
    "twice",
    "this",
    "month",
    "invoice",
    "question",
    "about",
    "return",
    "policy",
    "size",
    "too",
    "small",
    "exchange",
    "colour",
    "blue",
    "instead",
    "of",
    "black",
    "shipping",
    "international",
    "customs",
    "documents",
    "representative",
    "yesterday",
    "unfortunately",
    "conversation",
    "appreciate",
    "hello",
    "hi",
];
/// What is not letters, and no identifier: one word in thirty, so that most messages have some.
const EXTRAS: &[&str] = &[
    "2",
    "14",
    "$49.99",
    "at 10:30",
    "on 2024-05-17",
    "(see below)",
    "ticket 48213",
    "order 10482913",
    "v2.1.0",
    "50%",
    "24/7",
    "https://example.com/help/returns-and-refunds",
    "3-5 days",
    "size 10.5",
    "\u{3a})",
    "e.g. this:",
    "1,299.00 EUR",
    "Q3",
];
const BEYOND: &[&str] =
    &["café", "naïve", "😀", "Müller", "it’s", "“quoted”", "–", "日本語", "привет", "señor", "👍🏽", "10 €"];

fn prose(rng: &mut Rng, bytes: usize, beyond: bool) -> String {
    let mut text = String::with_capacity(bytes + 32);
    let mut extra = false;
    while text.len() < bytes {
        let kind = rng.below(60);
        // two in a row are no language: `phone 2 14 24/7` would be a telephone number
        extra = kind < 2 && !extra;
        let word = match kind {
            _ if extra => rng.of(EXTRAS),
            2..5 if beyond => rng.of(BEYOND),
            _ => rng.of(WORDS),
        };
        text.push_str(word);
        text.push_str(match rng.below(14) {
            0 => ". ",
            1 => ", ",
            2 if rng.below(8) == 0 => "\n",
            _ => " ",
        });
    }
    if beyond && text.is_ascii() {
        text.push_str("merci, à bientôt");
    }
    text
}

fn clean_messages() -> Vec<String> {
    let mut rng = Rng(1);
    let (mut messages, mut bytes) = (Vec::new(), 0);
    while bytes < CLEAN_BYTES {
        let (length, beyond) = (60 + rng.below(400), messages.len() % 20 == 0);
        messages.push(prose(&mut rng, length, beyond));
        bytes += messages[messages.len() - 1].len();
    }
    messages
}

fn dense_messages() -> Vec<String> {
    let mut by_entity: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for case in score::cases(CASES).into_iter().filter(|case| case.span.is_some()) {
        by_entity.entry(case.label).or_default().push(case.text);
    }
    let by_entity: Vec<Vec<String>> = by_entity.into_values().collect();
    let mut rng = Rng(2);
    let (mut messages, mut bytes, mut n) = (Vec::new(), 0, 0);
    while bytes < DENSE_BYTES {
        let mut message = String::new();
        for part in 1..=5 {
            let of_entity = &by_entity[n % by_entity.len()];
            message.push_str(&of_entity[n / by_entity.len() % of_entity.len()]);
            message.push_str(". ");
            n += 1;
            let room = (part * EVERY).saturating_sub(message.len());
            message.push_str(&prose(&mut rng, room, false));
        }
        bytes += message.len();
        messages.push(message);
    }
    messages
}
