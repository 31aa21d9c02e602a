//! Texts on their way to a model and its findings on their way back, without the model: whoever has one asks about
//! [`Inquiry::batch`] and tells [`Inquiry::answered`], until it [is done](Inquiry::is_done).
//!
//! A long text is cut into windows that overlap, so that a name at a cut stands whole in one of them; a window that the
//! model had to cut short itself is cut again.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use contract::wire::Observation;
use serde_json::Value;

use super::{Known, Memo, Naming, Scope, texts};
use crate::recognize::is_word_char;
use crate::text::Given;

/// Characters of a window: under the 512 tokens that most models read, in most languages.
const WINDOW_CHARS: usize = 1_000;
/// Characters that neighbours share: names are shorter.
const OVERLAP_CHARS: usize = 40;
/// A window this short that is still too long for the model is given up.
const WINDOW_CHARS_MIN: usize = 8;
/// Texts asked about at once.
const BATCH_TEXTS: usize = 32;
/// Bytes asked about at once, so that the answer, which quotes them, is no long one.
const BATCH_BYTES: usize = 32 << 10;

/// What a model found in one text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// What it found.
    pub findings: Vec<Finding>,
    /// Whether the text was longer than the model reads.
    pub truncated: bool,
}

/// A stretch of a text that the model has a label for.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The model's label.
    pub label: String,
    /// How sure it is, 0 to 1.
    pub score: f64,
    /// Its first character, from 0.
    pub start: usize,
    /// One past its last character.
    pub end: usize,
}

/// Texts that a model is asked about.
#[derive(Debug)]
pub struct Inquiry {
    naming: Arc<Naming>,
    memo: Memo,
    known: HashMap<String, Arc<[Given]>>,
    asked: Vec<Asked>,
    open: VecDeque<Window>,
    strangers: bool,
}

#[derive(Debug)]
struct Asked {
    text: String,
    given: Vec<Given>,
    /// Windows of it that have no answer yet.
    open: usize,
}

/// Part of a text, in bytes.
#[derive(Debug)]
struct Window {
    text: usize,
    range: Range<usize>,
}

impl Inquiry {
    /// Gathers what is to be asked for observations, each text once. One that has more text than it may is left out.
    pub(crate) fn new<'a>(
        naming: &Arc<Naming>,
        scope: &Scope<'_>,
        of: impl IntoIterator<Item = &'a Observation>,
        memo: &Memo,
    ) -> Self {
        let groups = of.into_iter().map(|plain| scope.texts(plain));
        Self { strangers: scope.strangers, ..Self::of_groups(naming, groups, memo) }
    }

    /// The same for the input of a payload that stands alone.
    pub(crate) fn of_input(naming: &Arc<Naming>, scope: &Scope<'_>, input: &Value, memo: &Memo) -> Self {
        Self::of_groups(naming, std::iter::once(scope.texts_of_input(input)), memo)
    }

    /// The same for texts that stand alone.
    pub(crate) fn of_texts<'a>(naming: &Arc<Naming>, of: impl IntoIterator<Item = &'a str>, memo: &Memo) -> Self {
        Self { strangers: true, ..Self::of_groups(naming, of.into_iter().map(texts::alone), memo) }
    }

    fn of_groups<'a>(naming: &Arc<Naming>, groups: impl Iterator<Item = BTreeSet<&'a str>>, memo: &Memo) -> Self {
        let (known, asked, open) = (HashMap::new(), Vec::new(), VecDeque::new());
        let mut inquiry = Self { naming: Arc::clone(naming), memo: memo.clone(), known, asked, open, strangers: false };
        let mut seen = HashSet::new();
        for found in groups {
            let fits = texts::fits(&found, naming);
            for text in found {
                if seen.contains(text) {
                    continue;
                }
                match memo.get(text) {
                    Some(given) => {
                        inquiry.known.insert(text.to_owned(), given);
                    }
                    None if fits => inquiry.add(text),
                    // another observation may have it too, and room for it
                    None => continue,
                }
                seen.insert(text);
            }
        }
        inquiry
    }

    /// Whether nothing is left to ask.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.open.is_empty()
    }

    /// What to ask about next; never empty before all is done.
    #[must_use]
    pub fn batch(&self) -> Vec<String> {
        let mut bytes = 0;
        let texts = self.open.iter().map(|window| &self.asked[window.text].text[window.range.clone()]);
        let fits = |text: &&str| {
            let first = bytes == 0;
            bytes += text.len();
            first || bytes <= BATCH_BYTES
        };
        texts.take(BATCH_TEXTS).take_while(fits).map(str::to_owned).collect()
    }

    /// Takes what the model found in the texts of [`Self::batch`], in their order. Answers past them are not looked at;
    /// a text without one is asked about again.
    pub fn answered(&mut self, answers: impl IntoIterator<Item = Answered>) {
        for answer in answers {
            let Some(window) = self.open.pop_front() else { return };
            let asked = &mut self.asked[window.text];
            if answer.truncated {
                // what cannot be read stays open for ever, and its text without an answer
                let halves = halves(&asked.text, &window.range);
                asked.open += halves.len();
                asked.open -= usize::from(!halves.is_empty());
                self.open.extend(halves.into_iter().map(|range| Window { range, ..window }));
                continue;
            }
            let places = Places::of(&asked.text, &window.range);
            let sure = |finding: &&Finding| finding.score.is_nan() || finding.score >= self.naming.min_score;
            let found = answer.findings.iter().filter(sure);
            let found: Option<Vec<Given>> = found
                .filter_map(|finding| Some((self.naming.entity(&finding.label)?, finding)))
                .map(|(entity, finding)| Some(Given { range: places.bytes(finding.start, finding.end)?, entity }))
                .collect();
            // a finding that is nowhere in the text makes the whole answer suspect
            let Some(found) = found else { continue };
            asked.given.extend(found);
            asked.open -= 1;
        }
    }

    /// What is known now; texts that were not answered for are not.
    #[must_use]
    pub fn known(self) -> Known {
        let mut texts = self.known;
        for Asked { text, mut given, open } in self.asked {
            if open == 0 {
                given.sort_unstable_by_key(|given| (given.range.start, given.range.end));
                given.dedup();
                let given: Arc<[Given]> = given.into();
                self.memo.note(&text, &given);
                texts.insert(text, given);
            }
        }
        Known { texts, strangers: self.strangers }
    }

    fn add(&mut self, text: &str) {
        let windows = windows(text);
        let at = self.asked.len();
        self.asked.push(Asked { text: text.to_owned(), given: vec![], open: windows.len() });
        self.open.extend(windows.into_iter().map(|range| Window { text: at, range }));
    }
}

/// The windows of a text that hold letters.
fn windows(text: &str) -> Vec<Range<usize>> {
    if text.len() <= WINDOW_CHARS {
        return std::iter::once(0..text.len()).collect();
    }
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let chars = starts.len() - 1;
    let step = WINDOW_CHARS - OVERLAP_CHARS;
    let firsts = (0..).map(|n| n * step).take_while(|first| *first == 0 || first + OVERLAP_CHARS < chars);
    let windows = firsts.map(|first| starts[first]..starts[(first + WINDOW_CHARS).min(chars)]);
    windows.filter(|range| has_letters(text, range)).collect()
}

/// A window in two that overlap; none where it is too short for that.
fn halves(text: &str, window: &Range<usize>) -> Vec<Range<usize>> {
    let starts: Vec<usize> = text[window.clone()].char_indices().map(|(at, _)| window.start + at).collect();
    let chars = starts.len();
    if chars < WINDOW_CHARS_MIN {
        return vec![];
    }
    let overlap = OVERLAP_CHARS.min(chars / 8);
    let halves = [window.start..starts[chars / 2 + overlap], starts[chars / 2 - overlap]..window.end];
    halves.into_iter().filter(|range| has_letters(text, range)).collect()
}

fn has_letters(text: &str, range: &Range<usize>) -> bool {
    text[range.clone()].chars().any(char::is_alphabetic)
}

/// Where the characters of a window stand in its text.
struct Places<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Places<'a> {
    fn of(text: &'a str, window: &Range<usize>) -> Self {
        let starts = text[window.clone()].char_indices().map(|(at, _)| window.start + at);
        Self { text, starts: starts.chain([window.end]).collect() }
    }

    /// Bytes of the text, widened to whole words: of a name that the model saw half of nothing may be left. `None` where
    /// there are no such characters.
    fn bytes(&self, start: usize, end: usize) -> Option<Range<usize>> {
        let (mut start, mut end) = (*self.starts.get(start)?, *self.starts.get(end).filter(|_| start < end)?);
        let letter = |c: &char| *c != '_' && is_word_char(*c);
        let within = self.text[start..end].chars();
        if within.clone().next().as_ref().is_some_and(letter) {
            start -= self.text[..start].chars().rev().take_while(letter).map(char::len_utf8).sum::<usize>();
        }
        if within.last().as_ref().is_some_and(letter) {
            end += self.text[end..].chars().take_while(letter).map(char::len_utf8).sum::<usize>();
        }
        Some(start..end)
    }
}
