//! A text's runs of digits and what stands between them: what cards, phones, social security numbers and addresses
//! are made of.

use std::ops::Range;

use super::shape::{stands_free_after, stands_free_before};
use crate::operator::marker_end;

/// The runs of ASCII digits in a folded text, in order.
pub(crate) struct Groups<'a> {
    /// The text.
    pub text: &'a str,
    runs: Vec<Range<usize>>,
}

impl<'a> Groups<'a> {
    pub fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut runs = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            // most stretches of eight hold no digit, and vector instructions tell
            if let Some(eight) = bytes.get(at..at + 8)
                && eight.iter().fold(true, |none, b| none & !b.is_ascii_digit())
            {
                at += 8;
                continue;
            }
            let start = at + bytes[at..].iter().take(8).take_while(|b| !b.is_ascii_digit()).count();
            let length = bytes[start..].iter().take_while(|b| b.is_ascii_digit()).count();
            if length > 0 {
                runs.push(start..start + length);
            }
            at = start + length;
        }
        Self { text, runs }
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Where a run lies.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.runs[i].clone()
    }

    /// A run's digits.
    pub fn digits(&self, i: usize) -> &'a str {
        &self.text[self.range(i)]
    }

    /// What stands between a run and the next; `None` after the last.
    pub fn gap(&self, i: usize) -> Option<&'a str> {
        self.runs.get(i + 1).map(|next| &self.text[self.runs[i].end..next.start])
    }

    /// From the first digit of one run to the last of another.
    pub fn span(&self, first: usize, last: usize) -> Range<usize> {
        self.runs[first].start..self.runs[last].end
    }

    /// Runs from `first` on as long as `joins` holds for the gap before, at most `digits_max` digits in all: the last
    /// run and the number of digits so far.
    pub fn chain(
        &self,
        first: usize,
        digits_max: usize,
        joins: impl Fn(&str) -> bool,
    ) -> impl Iterator<Item = (usize, usize)> {
        let mut total = 0;
        (first..self.len())
            .take_while(move |&i| i == first || self.gap(i - 1).is_some_and(&joins))
            .map(move |i| {
                total += self.runs[i].len();
                (i, total)
            })
            .take_while(move |&(_, total)| total <= digits_max)
    }

    /// All digits of some runs, into a buffer: how many there are.
    pub fn copy_digits(&self, first: usize, last: usize, to: &mut [u8]) -> usize {
        let mut count = 0;
        for run in first..=last {
            let digits = self.digits(run).as_bytes();
            let Some(room) = to.get_mut(count..count + digits.len()) else { return count };
            room.copy_from_slice(digits);
            count += digits.len();
        }
        count
    }

    /// Whether a letter, a digit or an underscore touches a run from before.
    pub fn word_before(&self, i: usize) -> bool {
        super::word_before(self.text, self.runs[i].start)
    }

    /// Whether one touches it from behind.
    pub fn word_after(&self, i: usize) -> bool {
        super::word_at(self.text, self.runs[i].end)
    }

    /// The byte before a run.
    pub fn before(&self, i: usize) -> Option<u8> {
        self.runs[i].start.checked_sub(1).map(|at| self.text.as_bytes()[at])
    }

    /// Whether some runs stand alone: no letter touches them, and no hyphen, dot or slash ties them to more.
    pub fn stands_alone(&self, first: usize, last: usize) -> bool {
        let Range { start, end } = self.span(first, last);
        stands_free_before(self.text, start) && stands_free_after(self.text, end)
    }

    /// The text before a run, at most `bytes_max` bytes of it, ASCII lower case and without our
    /// markers.
    pub fn lead(&self, i: usize, bytes_max: usize) -> String {
        let end = self.runs[i].start;
        let mut start = end.saturating_sub(bytes_max);
        while !self.text.is_char_boundary(start) {
            start += 1;
        }
        let mut lead = self.text[start..end].to_owned();
        // a window may cut a marker: what is left of it names nothing either
        let cut = lead
            .find(']')
            .filter(|close| lead[..*close].bytes().all(|b| b.is_ascii_alphabetic() || matches!(b, b'_' | b':')));
        if let Some(close) = cut {
            lead.replace_range(..=close, "#");
        }
        let mut from = 0;
        while let Some(open) = lead[from..].find('[').map(|i| from + i) {
            if let Some(marker) = marker_end(lead.as_bytes(), open) {
                lead.replace_range(open..marker, "#");
            }
            from = open + 1;
        }
        lead.make_ascii_lowercase();
        lead
    }
}
