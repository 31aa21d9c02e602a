//! `driftline replay`: another version is asked what was asked before, and its answers are judged as a shadow's are.

mod asking;

use std::fs::File;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::store::read::{ContentAsked, Reader, Window};
use analyzer::replay::{Asked, Reply, Report, Tally, UNNAMED, request};
use anyhow::Context as _;
use contract::api::ShadowVerdict;
use inference_proxy::features::gaps;
use inference_proxy::handle::aside;
use serde_json::Value;

use crate::cli::ReplayArgs;
use crate::config::Loaded;
use crate::exit::{FOUND, HELD, Usage};
use crate::times;
use asking::{Proxy, Versions};

/// Content read at a time: a request of it may be a megabyte.
const PAGE: usize = 32;
/// Longest line of a file.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// One request to send.
struct Line {
    at_ms: Option<i64>,
    content: Value,
    recorded: Option<Vec<String>>,
}

/// Asks and judges; exit code 0 promote, 1 reject, 3 hold.
///
/// # Errors
/// Where an argument is wrong, a version does not load, or the database does not answer.
pub async fn run(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    if !(args.rate >= 0.0 && args.rate.is_finite()) {
        return Err(Usage(format!("--rate {} is no number of requests a second", args.rate)).into());
    }
    let loaded = Loaded::read(&args.config)?;
    let config = analyzer::config::Config::try_from(loaded.raw.analyzer.clone());
    let config = config.map_err(|faults| Usage(faults.to_string()))?;
    let policy = &config.of(&args.model).shadow;
    let (versions, source) = source(args, &loaded).await?;
    let proxy = match &args.proxy {
        Some(url) => Proxy::running(url, args.token_file.as_ref(), &versions).await?,
        None => Proxy::of_its_own(&loaded, &versions).await?,
    };
    let asked = ask_all(args, &versions, source, &proxy, Tally::new(policy.tolerance)).await;
    proxy.end().await;
    let mut report = asked?.report((&versions.model, &versions.version, &versions.against), policy);
    report.notes = notes(args);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        out.write_all(text(&report).as_bytes())?;
    }
    Ok(match report.verdict {
        ShadowVerdict::Promote => ExitCode::SUCCESS,
        ShadowVerdict::Reject => ExitCode::from(FOUND),
        ShadowVerdict::Hold => ExitCode::from(HELD),
    })
}

/// Where requests come from.
enum Source {
    Stored { reader: Box<Reader>, span: Window, ids: Vec<String> },
    File(Vec<Line>),
}

impl Source {
    fn len(&self) -> usize {
        match self {
            Self::Stored { ids, .. } => ids.len(),
            Self::File(lines) => lines.len(),
        }
    }
}

async fn source(args: &ReplayArgs, loaded: &Loaded) -> anyhow::Result<(Versions, Source)> {
    let versions = |against| Versions { model: args.model.clone(), version: args.version.clone(), against };
    if let Some(path) = &args.file {
        let configured = loaded.raw.proxy.models.models.get(&args.model).and_then(|model| model.primary.clone());
        let against = args.against.clone().or(configured).ok_or_else(|| {
            Usage("give --against, the version to compare with: the configuration names no primary".to_owned())
        })?;
        return Ok((distinct(versions(against))?, Source::File(lines(path, args.limit)?)));
    }
    let now_ms = host::clock::now_ms();
    let (start_ms, end_ms) = (times::parse("--from", &args.from, now_ms)?, times::parse("--to", &args.to, now_ms)?);
    if !(0..end_ms).contains(&start_ms) {
        return Err(Usage(format!("--from {} is not before --to {}", args.from, args.to)).into());
    }
    let (reader, span) = (loaded.store()?.read(), Window { start_ms, end_ms });
    let answered = match &args.against {
        Some(against) => Some(against.clone()),
        None => reader.content_version(&args.model, &args.version, span).await?,
    };
    let nothing = || {
        let (from, to) = (times::shown(start_ms), times::shown(end_ms));
        Usage(format!(
            "no content of {} that another version than {} answered is stored between {from} and {to}; choose another time, or give --file",
            args.model, args.version
        ))
    };
    let versions = distinct(versions(answered.ok_or_else(nothing)?))?;
    let asked = ContentAsked { model: &versions.model, version: &versions.against, span };
    let ids = reader.content_ids(asked, args.limit).await?;
    if ids.is_empty() {
        return Err(nothing().into());
    }
    Ok((versions, Source::Stored { reader: Box::new(reader), span, ids }))
}

fn distinct(versions: Versions) -> anyhow::Result<Versions> {
    if versions.version == versions.against {
        return Err(Usage(format!(
            "--version and --against are both {}; a version agrees with itself",
            versions.version
        ))
        .into());
    }
    Ok(versions)
}

/// A file's requests. No more of a line is read than a line may hold.
fn lines(path: &Path, limit: u64) -> anyhow::Result<Vec<Line>> {
    let file = File::open(path).map_err(|error| Usage(format!("{} cannot be read: {error}", path.display())))?;
    let (mut reader, mut found, mut line) = (BufReader::new(file), Vec::new(), Vec::new());
    for number in 1.. {
        line.clear();
        let part = reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line);
        if part.with_context(|| format!("cannot read {}", path.display()))? == 0 {
            break;
        }
        let at = |what: String| Usage(format!("{}, line {number}: {what}", path.display()));
        if line.len() as u64 > LINE_BYTES_MAX && line.last() != Some(&b'\n') {
            return Err(at(format!("is longer than {LINE_BYTES_MAX} bytes")).into());
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let content: Value = serde_json::from_slice(&line).map_err(|error| at(error.to_string()))?;
        found.push(Line { at_ms: None, content, recorded: None });
        if found.len() as u64 == limit {
            break;
        }
    }
    anyhow::ensure!(!found.is_empty(), Usage(format!("{} has no lines", path.display())));
    Ok(found)
}

async fn ask_all(
    args: &ReplayArgs,
    versions: &Versions,
    source: Source,
    proxy: &Proxy,
    mut tally: Tally,
) -> anyhow::Result<Tally> {
    let all = source.len();
    let mut pace = Pace::new(args.rate);
    let mut progress = Progress::new();
    match source {
        Source::File(lines) => {
            for (done, line) in lines.into_iter().enumerate() {
                progress.at(done, all);
                ask(args, versions, line, proxy, &mut pace, &mut tally).await?;
            }
        }
        Source::Stored { reader, span, ids } => {
            let asked = ContentAsked { model: &versions.model, version: &versions.against, span };
            for (page, ids) in ids.chunks(PAGE).enumerate() {
                let rows = reader.contents(asked, ids).await?;
                for (at, row) in rows.into_iter().enumerate() {
                    progress.at(page * PAGE + at, all);
                    let Ok(content) = serde_json::from_str(&row.input) else {
                        tally.leave_out("stored content that is no JSON");
                        continue;
                    };
                    let line = Line { at_ms: Some(row.at_ms), content, recorded: recorded(&row.output) };
                    ask(args, versions, line, proxy, &mut pace, &mut tally).await?;
                }
            }
        }
    }
    progress.end();
    Ok(tally)
}

/// The labels that were answered then.
fn recorded(output: &str) -> Option<Vec<String>> {
    let output: Value = serde_json::from_str(output).ok()?;
    let labels = output.get("labels")?.as_array()?;
    labels.iter().map(|label| label.as_str().map(str::to_owned)).collect()
}

async fn ask(
    args: &ReplayArgs,
    versions: &Versions,
    line: Line,
    proxy: &Proxy,
    pace: &mut Pace,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let body = match request(&line.content) {
        Ok(body) => body,
        Err(why) => {
            tally.leave_out(why);
            return Ok(());
        }
    };
    let output = args.output.as_deref();
    pace.turn().await;
    let before = proxy.ask(&versions.model, &versions.against, &body, output).await?;
    pace.turn().await;
    let candidate = proxy.ask(&versions.model, &versions.version, &body, output).await?;
    // classes that are read from scores have no names to compare with what was recorded
    let named =
        matches!(&before.reply, Reply::Labels(labels, _) if labels.iter().all(|label| !label.starts_with(UNNAMED)));
    let (first, second) = (before.numbers, candidate.numbers);
    let found = aside(move |aside| gaps(&first, &second, aside)).await;
    tally.take(Asked {
        at_ms: line.at_ms,
        recorded: line.recorded.filter(|_| named),
        gaps: found,
        before: before.reply,
        candidate: candidate.reply,
    });
    Ok(())
}

/// At most so many requests a second.
struct Pace(Option<tokio::time::Interval>);

impl Pace {
    fn new(rate: f64) -> Self {
        Self((rate > 0.0).then(|| {
            let mut ticks = tokio::time::interval(Duration::from_secs_f64((1.0 / rate).clamp(1e-6, 3_600.0)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        }))
    }

    async fn turn(&mut self) {
        if let Some(ticks) = &mut self.0 {
            ticks.tick().await;
        }
    }
}

fn notes(args: &ReplayArgs) -> Vec<String> {
    let mut notes = Vec::new();
    if args.file.is_none() {
        notes.push(
            "Stored inputs are masked and so are not what was asked; both versions were asked the masked ones."
                .to_owned(),
        );
        notes.push("Which content is kept is a choice ([proxy.sampling]): errors, doubtful answers and disagreements may be there more often than they occur.".to_owned());
    } else {
        notes.push(
            "A file has no times, so the shortest time of watching (analyzer.shadow.min_time) was not asked for."
                .to_owned(),
        );
    }
    if args.proxy.is_some() {
        notes.push("The proxy that was asked has counted and mirrored these requests as traffic.".to_owned());
    }
    notes
}

/// How far it is, on a terminal's standard error.
struct Progress {
    shown: Option<Instant>,
    terminal: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: None, terminal: std::io::stderr().is_terminal() }
    }

    fn at(&mut self, done: usize, all: usize) {
        if self.terminal && self.shown.is_none_or(|at| at.elapsed() > Duration::from_millis(200)) {
            let _ = write!(std::io::stderr(), "\rasked {done} of {all} requests");
            self.shown = Some(Instant::now());
        }
    }

    fn end(&self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn text(report: &Report) -> String {
    let percent = |n: u64, of: u64| format!("{:.2} %", n as f64 / of.max(1) as f64 * 100.0);
    let mut text = format!(
        "{} {} against {}: {}\n{}\n\n",
        report.model,
        report.version,
        report.against,
        report.verdict.as_str(),
        report.sentence
    );
    let mut line = |name: &str, what: String| text.push_str(&format!("  {name:20} {what}\n"));
    line("requests", report.requests.to_string());
    line("pairs", format!("{}, {} agree ({})", report.pairs, report.agreed, percent(report.agreed, report.pairs)));
    if let Some(bounds) = report.agreement {
        line("agreement", format!("from {:.2} % to {:.2} %", bounds.lower * 100.0, bounds.upper * 100.0));
    }
    for (why, n) in &report.failed {
        line("failed", format!("{n}: {why}"));
    }
    for (why, n) in &report.left_out {
        line("left out", format!("{n}: {why}"));
    }
    if let Some(repeats) = report.repeats {
        let same = percent(repeats.same, repeats.items);
        line("noise", format!("{} repeats {same} of its own recorded answers on these inputs", report.against));
    }
    if let Some((before, now)) = report.median_ms {
        line("median time", format!("{before:.1} ms and {now:.1} ms, here and now"));
    }
    for flip in &report.flips {
        line("instead of", format!("{}: {} ({})", flip.primary, flip.shadow, flip.pairs));
    }
    for class in &report.classes {
        let bounds = class.lower.zip(class.upper);
        let bounds = bounds.map(|(lower, upper)| format!("{:.1} % to {:.1} %", lower * 100.0, upper * 100.0));
        line("agreement on", format!("{}: {} of {} pairs", class.label, bounds.unwrap_or_default(), class.pairs));
    }
    text.push('\n');
    for note in &report.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_no_farther_than_it_may_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("asked.jsonl");
        let written = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            lines(&path, 10)
        };
        assert_eq!(written(b"{\"text\": 1}\n\r\n  {\"text\": 2}").unwrap().len(), 2);
        let mut long = vec![b' '; LINE_BYTES_MAX as usize];
        long[0] = b'1';
        assert_eq!(written(&[&long[..], b"\n2\n"].concat()).unwrap().len(), 2, "as long as it may be");
        let refused = written(&[&long[..], b" \n2\n"].concat()).err().unwrap();
        assert!(refused.is::<Usage>() && refused.to_string().contains("line 1: is longer"), "{refused}");
        for (text, words) in [(&b"\n"[..], "has no lines"), (b"1\n{", "line 2:"), (b"\"\xff\"\n", "line 1:")] {
            let refused = written(text).err().unwrap();
            assert!(refused.is::<Usage>() && refused.to_string().contains(words), "{refused}");
        }
    }
}
