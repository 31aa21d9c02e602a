//! A text's runs of digits and what stands between them: what cards, phones, social security numbers and addresses
//! are made of.

use std::ops::Range;

use super::check::number;
use super::shape::{stands_free_after, stands_free_before};
use crate::operator::marker_end;
use crate::scan::{BLOCK, blocks, places};

/// The longest gap that any way of writing a number has between two groups of it.
const GAP_MAX: usize = 3;

/// The runs of ASCII digits in a folded text, in order.
pub(crate) struct Groups<'a> {
    /// The text.
    pub text: &'a str,
    runs: Vec<Run>,
}

#[derive(Clone, Copy)]
struct Run {
    start: usize,
    end: usize,
    /// Digits from here on, as long as no gap is longer than [`GAP_MAX`].
    ahead: usize,
}

impl<'a> Groups<'a> {
    pub fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut runs: Vec<Run> = Vec::with_capacity(16);
        let (mut inside, mut start) = (0, 0);
        blocks(bytes, |at, block, _| {
            let digits = block.digits();
            // where a run begins or ends
            for edge in places(digits ^ (digits << 1 | inside)) {
                if digits >> edge & 1 == 1 {
                    start = at + edge;
                } else {
                    runs.push(Run { start, end: at + edge, ahead: 0 });
                }
            }
            inside = digits >> (BLOCK - 1);
        });
        if inside == 1 {
            runs.push(Run { start, end: bytes.len(), ahead: 0 });
        }
        let (mut next, mut ahead) = (usize::MAX, 0);
        for run in runs.iter_mut().rev() {
            ahead = run.end - run.start + if next - run.end <= GAP_MAX { ahead } else { 0 };
            run.ahead = ahead;
            next = run.start;
        }
        Self { text, runs }
    }

    /// Whether a run begins a number of so many digits, however it is grouped: what has fewer is not looked at closer.
    pub fn may_begin(&self, i: usize, digits: usize) -> bool {
        self.runs[i].ahead >= digits
    }

    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Where a run lies.
    pub fn range(&self, i: usize) -> Range<usize> {
        self.runs[i].start..self.runs[i].end
    }

    /// How many digits a run has.
    pub fn length(&self, i: usize) -> usize {
        self.runs[i].end - self.runs[i].start
    }

    /// A run's digits.
    pub fn digits(&self, i: usize) -> &'a str {
        &self.text[self.range(i)]
    }

    /// The number that a run writes; at most eighteen digits of it.
    pub fn number(&self, i: usize) -> u64 {
        number(&self.text.as_bytes()[self.range(i)])
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
                total += self.length(i);
                (i, total)
            })
            .take_while(move |&(_, total)| total <= digits_max)
    }

    /// All digits of some runs, into a buffer: how many there are.
    pub fn copy_digits(&self, first: usize, last: usize, to: &mut [u8]) -> usize {
        let mut count = 0;
        for run in first..=last {
            let digits = &self.text.as_bytes()[self.range(run)];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;
    use crate::recognize::{Context, birth, card, phone, shape};

    impl<'a> Groups<'a> {
        /// The same, and every run is looked at closer.
        fn unhurried(text: &'a str) -> Self {
            let mut groups = Self::of(text);
            groups.runs.iter_mut().for_each(|run| run.ahead = usize::MAX);
            groups
        }
    }

    fn found(groups: &Groups<'_>) -> Vec<(Range<usize>, Entity)> {
        let mut found = Vec::new();
        card::find(groups, &mut found);
        phone::find(groups, Context::default(), &mut found);
        shape::find(groups, Context::default(), &mut found);
        birth::find(groups, Context::default(), &mut found);
        found
    }

    /// Digits, what stands between them, and words that say what they are.
    const NUMBERS: &str =
        "([0-9]{1,5}|[ .()/+-]{1,4}|4111 1111 1111 1111|call |ssn |nhs |[A-Z]{1,2} ?|é|[a-z ]{1,70}){0,24}";

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig { cases: 2_000, ..Default::default() })]

        #[test]
        fn runs_are_where_digits_are(text in NUMBERS) {
            let groups = Groups::of(&text);
            let slow: Vec<Range<usize>> = text
                .as_bytes()
                .chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit())
                .scan(0, |at, run| { *at += run.len(); Some((*at - run.len()..*at, run[0].is_ascii_digit())) })
                .filter_map(|(run, digits)| digits.then_some(run))
                .collect();
            let runs: Vec<Range<usize>> = (0..groups.len()).map(|i| groups.range(i)).collect();
            proptest::prop_assert_eq!(runs, slow);
        }

        #[test]
        fn what_is_not_looked_at_closer_is_nothing(text in NUMBERS) {
            proptest::prop_assert_eq!(found(&Groups::of(&text)), found(&Groups::unhurried(&text)));
        }
    }
}
