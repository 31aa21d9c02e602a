//! Which language a text is in.
//!
//! The library (`whatlang`) looks up the 300 commonest trigrams of each language in the text, whatever its length: 30 us for
//! the languages here, a good part of what an observation costs. Texts of ASCII, most of what is asked, go the other way:
//! their own trigrams are looked up in an index of all profiles. Both give the same answer; a test holds them together.

use std::sync::LazyLock;

use contract::feature::LANGUAGE_UNKNOWN;
use whatlang::{Detector, Lang};

/// Characters from which the language is told: more change little.
const CHARS: usize = 120;
/// From which confidence on a language is told. `whatlang` calls .9 reliable, and then tells Russian never, because of
/// its neighbours.
const CONFIDENCE: f64 = 0.5;
/// The languages of Latin script that are told apart, as many as have a line in `latin.txt`.
const LATIN: [Lang; 15] = [
    Lang::Eng,
    Lang::Spa,
    Lang::Por,
    Lang::Fra,
    Lang::Deu,
    Lang::Ita,
    Lang::Nld,
    Lang::Pol,
    Lang::Tur,
    Lang::Vie,
    Lang::Ind,
    Lang::Ces,
    Lang::Swe,
    Lang::Ron,
    Lang::Hun,
];
/// The others. The rarer ones are what scraps of common ones are taken for, so they are left out.
const OTHERS: [Lang; 14] = [
    Lang::Rus,
    Lang::Ukr,
    Lang::Bul,
    Lang::Ara,
    Lang::Pes,
    Lang::Urd,
    Lang::Hin,
    Lang::Mar,
    Lang::Heb,
    Lang::Jpn,
    Lang::Cmn,
    Lang::Kor,
    Lang::Tha,
    Lang::Ell,
];

static DETECTOR: LazyLock<Detector> = LazyLock::new(|| Detector::with_allowlist([&LATIN[..], &OTHERS].concat()));
static INDEX: LazyLock<Index> = LazyLock::new(|| Index::of(include_str!("latin.txt")));

/// ISO 639-3 code of a text's language.
pub(super) fn language(text: &str) -> &'static str {
    let end = text.char_indices().nth(CHARS).map_or(text.len(), |(at, _)| at);
    let text = &text[..end];
    // DEL is no letter to the library, and no stop either
    let found = if text.bytes().all(|byte| byte < 0x7f) { INDEX.detect(text.as_bytes()) } else { by_library(text) };
    found.filter(|(_, confidence)| *confidence >= CONFIDENCE).map_or(LANGUAGE_UNKNOWN, |(lang, _)| lang.code())
}

fn by_library(text: &str) -> Option<(Lang, f64)> {
    DETECTOR.detect(text).map(|info| (info.lang(), info.confidence()))
}

/// Trigrams of a profile.
const PROFILE: u32 = 300;
/// Symbols of a trigram: the 26 letters, and everything else as a space.
const SYMBOLS: usize = 27;

/// Which languages have a trigram of ASCII letters in their profiles, and at which place: those of trigram `t` stand at
/// `starts[t]..starts[t + 1]`.
struct Index {
    starts: Vec<u16>,
    places: Vec<(u8, u16)>,
}

impl Index {
    fn of(profiles: &str) -> Self {
        let mut places: Vec<(usize, (u8, u16))> = Vec::new();
        for (lang, line) in (0_u8..).zip(profiles.lines().filter(|line| !line.starts_with('#'))) {
            let trigrams = line.split_once(' ').map_or("", |(_, trigrams)| trigrams);
            for (place, trigram) in (0_u16..).zip(trigrams.split('|')) {
                // others are in no text of ASCII
                if let Ok([a, b, c]) = <[u8; 3]>::try_from(trigram.as_bytes())
                    && trigram.is_ascii()
                {
                    places.push((trigram_of([a, b, c].map(symbol)), (lang, place)));
                }
            }
        }
        places.sort_unstable();
        let before = |trigram: usize| places.partition_point(|(other, _)| *other < trigram);
        let starts = (0..=SYMBOLS.pow(3)).map(|trigram| u16::try_from(before(trigram)).unwrap_or(u16::MAX)).collect();
        Self { starts, places: places.into_iter().map(|(_, place)| place).collect() }
    }

    fn places(&self, trigram: usize) -> &[(u8, u16)] {
        &self.places[usize::from(self.starts[trigram])..usize::from(self.starts[trigram + 1])]
    }

    /// What the library's combination of alphabets and trigrams comes to for ASCII: every alphabet holds every letter, so
    /// the trigrams decide. A trigram of the text that a profile has counts 300 less the distance of their places, in the
    /// text by falling frequency, of equals the last in the alphabet first.
    fn detect(&self, text: &[u8]) -> Option<(Lang, f64)> {
        let letters = text.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        if letters == 0 {
            return None;
        }
        let mut ranked = counted(text);
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        let mut similarity = [0_u32; LATIN.len()];
        for (place, (_, trigram)) in (0_u16..).zip(&ranked) {
            for &(lang, other) in self.places(*trigram) {
                similarity[usize::from(lang)] += PROFILE - u32::from(place.abs_diff(other));
            }
        }
        let count = ranked.len();
        let largest = f64::from(PROFILE * u32::try_from(count).unwrap_or(u32::MAX));
        #[expect(clippy::cast_precision_loss, reason = "at most as many as there are characters")]
        let alphabets = (-(letters as f64 / 300.0) + 2.0 / 3.0).clamp(1.0 / 3.0, 2.0 / 3.0);
        let score = |lang: usize| alphabets + f64::from(similarity[lang]) / largest * (1.0 - alphabets);
        let best = (0..LATIN.len()).max_by_key(|&lang| similarity[lang])?;
        let second = (0..LATIN.len()).filter(|&lang| lang != best).max_by_key(|&lang| similarity[lang])?;
        Some((LATIN[best], confidence(score(best), score(second), count)))
    }
}

/// The library's: full where the best is so far from the second that it cannot be chance.
fn confidence(best: f64, second: f64, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "at most as many as there are characters")]
    let sure = 3.0 / count as f64 + 0.015;
    let rate = (best - second) / second;
    if rate > sure { 1.0 } else { rate / sure }
}

/// How often each trigram occurs.
fn counted(text: &[u8]) -> Vec<(u32, usize)> {
    let mut trigrams = Vec::with_capacity(text.len() + 1);
    let symbols = text.iter().map(|&byte| symbol(byte)).chain([0]);
    let (mut first, mut second) = (0, None);
    for third in symbols {
        if let Some(second) = second {
            if !(second == 0 && (first == 0 || third == 0)) {
                trigrams.push(trigram_of([first, second, third]));
            }
            first = second;
        }
        second = Some(third);
    }
    trigrams.sort_unstable();
    trigrams.chunk_by(|a, b| a == b).map(|same| (u32::try_from(same.len()).unwrap_or(u32::MAX), same[0])).collect()
}

/// 0 for whatever is no letter, and the letters from 1 on, either case.
const fn symbol(byte: u8) -> usize {
    if byte.is_ascii_alphabetic() { (byte.to_ascii_lowercase() - b'a' + 1) as usize } else { 0 }
}

const fn trigram_of([first, second, third]: [usize; 3]) -> usize {
    (first * SYMBOLS + second) * SYMBOLS + third
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn languages_are_told_apart_and_scraps_are_not_guessed() {
        for (text, code) in [
            ("My parcel has not arrived yet and nobody answers the phone, what shall I do?", "eng"),
            ("Mein Paket ist noch immer nicht angekommen, und niemand geht ans Telefon.", "deu"),
            ("Mon colis n'est toujours pas arrivé et personne ne répond au téléphone.", "fra"),
            (
                "Моя посылка до сих пор не пришла, и никто не отвечает на звонки. Что мне теперь делать? Этот товар я оплатил ещё в июне.",
                "rus",
            ),
            ("私の荷物はまだ届いていません。", "jpn"),
            ("ok", LANGUAGE_UNKNOWN),
            ("12345", LANGUAGE_UNKNOWN),
            ("", LANGUAGE_UNKNOWN),
        ] {
            assert_eq!(language(text), code, "{text}");
        }
    }

    #[test]
    fn each_language_has_its_line() {
        let lines = include_str!("latin.txt").lines().filter(|line| !line.starts_with('#'));
        let codes: Vec<&str> = lines.filter_map(|line| Some(line.split_once(' ')?.0)).collect();
        assert_eq!(codes, LATIN.map(|lang| lang.code()));
    }

    fn check(text: &str) {
        let (ours, theirs) = (INDEX.detect(text.as_bytes()), by_library(text));
        let told = |found: Option<(Lang, f64)>| found.map(|(lang, confidence)| (lang, (confidence * 1e9).round()));
        match (told(ours), told(theirs)) {
            // of equals either may be named, and neither is told
            (Some((_, 0.0)), Some((_, 0.0))) => {}
            (ours, theirs) => assert_eq!(ours, theirs, "{text:?}"),
        }
    }

    #[test]
    fn the_index_says_what_the_library_says() {
        for text in ["a", "I", "-a-", "Give - IT...", "xaaaaabbbb    d", "  ", "@[`{~", "A1b2C3", "ZZZ zzz Zzz"] {
            check(text);
        }
    }

    /// Words that are common in several languages, so that the profiles decide against each other.
    const WORDS: &str = "the and of de la que los das und nicht le les est non che il het een van jest nie bir ve khong \
                         yang dan je se och att si nu az egy a o e de da em um une per con dari untuk";

    proptest! {
        #[test]
        fn and_of_any_text(
            words in proptest::collection::vec(proptest::sample::select(WORDS.split(' ').collect::<Vec<_>>()), 0..30),
            noise in "[ -~\t\n]{0,60}",
            letters in "[a-zA-Z ]{0,120}",
        ) {
            for text in [words.join(" "), noise.clone(), letters, format!("{} {noise}", words.join(", "))] {
                check(text.get(..text.len().min(CHARS)).unwrap_or_default());
            }
        }
    }
}
