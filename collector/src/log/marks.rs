//! What was stored before: per source and epoch the highest number and the numbers below it that are still missing.
//!
//! Numbers may come in any order. Missing ones are kept as ranges; where there are too many, the oldest are forgotten,
//! and whatever comes from that far back is refused, because nobody can tell any more whether it was stored: it is
//! neither lost silently nor stored twice.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Ranges of missing numbers kept for one epoch.
const MISSING_MAX: usize = 1024;
/// Epochs kept for one source: its newest and those whose last posts may still be on the way.
const EPOCHS_MAX: usize = 4;
/// A missing number counts as a gap once the highest is this far ahead: posts overtake each other.
const OVERTAKE_MAX: u64 = 16;
/// Ids of single observations that are remembered.
const IDS_MAX: usize = 16_384;
/// A source that was silent for this long gives its place to a new one.
const SILENT_MS: i64 = 3_600_000;

/// What tells a repeat of an entry from news.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Guard {
    /// A batch that its source numbered.
    Numbered { source: String, epoch: u64, seq: u64 },
    /// A single observation with an id that its sender gave it.
    Id(Uuid),
    /// Nothing: sent twice, it is stored twice.
    None,
}

/// Whether an entry is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    New,
    Before,
    /// From too far back to tell.
    TooOld,
    TooManySources,
}

/// All marks. Written to disk whenever a segment is sealed, so that they outlive it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Marks {
    sources: HashMap<String, Source>,
    ids: VecDeque<Uuid>,
    /// Nothing is known of what sources that began before this had sent until they were met again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    doubtful_before_ms: Option<i64>,
    #[serde(skip)]
    known_ids: HashSet<Uuid>,
    #[serde(skip)]
    max_sources: usize,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Source {
    epochs: BTreeMap<u64, Epoch>,
    last_ms: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Epoch {
    highest: u64,
    /// First and last of each range of missing numbers, all under `highest`.
    missing: BTreeMap<u64, u64>,
    /// Below this, what is not known any more.
    forgotten_below: u64,
    /// Missing numbers up to here were counted as gaps.
    counted_to: u64,
}

impl Marks {
    /// After reading: what is not written itself.
    pub fn recall(mut self, max_sources: usize) -> Self {
        self.known_ids = self.ids.iter().copied().collect();
        self.max_sources = max_sources;
        self
    }

    /// Earlier marks are lost. Of a source that began before now, the first number met and those that may have overtaken
    /// it are refused, since nobody can tell whether they were stored; what comes after them is news.
    pub fn doubt(&mut self, now_ms: i64) {
        self.doubtful_before_ms = Some(now_ms);
    }

    /// To be called before [`Self::look`]: a doubtful source is met.
    pub fn meet(&mut self, guard: &Guard, now_ms: i64) {
        let Guard::Numbered { source, epoch, seq } = guard else { return };
        let doubtful = self.doubtful_before_ms.is_some_and(|ms| i64::try_from(*epoch).is_ok_and(|epoch| epoch < ms));
        if !doubtful || self.look(guard, now_ms) != Seen::New {
            return;
        }
        if self.sources.get(source).is_none_or(|known| !known.epochs.contains_key(epoch)) {
            let unknown = Epoch::unknown_to(seq.saturating_add(OVERTAKE_MAX));
            self.source(source, now_ms).put(*epoch, unknown);
        }
    }

    /// Whether an entry is news; nothing is noted.
    pub fn look(&self, guard: &Guard, now_ms: i64) -> Seen {
        match guard {
            Guard::None => Seen::New,
            Guard::Id(id) if self.known_ids.contains(id) => Seen::Before,
            Guard::Id(_) => Seen::New,
            Guard::Numbered { source, epoch, seq } => match self.sources.get(source) {
                None if self.sources.len() >= self.max_sources && self.silent(now_ms).is_none() => Seen::TooManySources,
                None => Seen::New,
                Some(source) => source.look(*epoch, *seq),
            },
        }
    }

    /// Notes an entry that is on disk; noting it again changes nothing. Returns how many numbers turned out missing.
    pub fn note(&mut self, guard: &Guard, now_ms: i64) -> u64 {
        match guard {
            Guard::None => 0,
            Guard::Id(id) => {
                self.note_id(*id);
                0
            }
            Guard::Numbered { source, epoch, seq } => {
                self.meet(guard, now_ms);
                self.source(source, now_ms).note(*epoch, *seq)
            }
        }
    }

    /// The source of a name; a new one takes the place of a silent one where all places are taken.
    fn source(&mut self, name: &str, now_ms: i64) -> &mut Source {
        if !self.sources.contains_key(name)
            && self.sources.len() >= self.max_sources
            && let Some(silent) = self.silent(now_ms)
        {
            self.sources.remove(&silent);
        }
        let source = self.sources.entry(name.to_owned()).or_default();
        source.last_ms = source.last_ms.max(now_ms);
        source
    }

    fn note_id(&mut self, id: Uuid) {
        if self.known_ids.insert(id) {
            self.ids.push_back(id);
        }
        if self.ids.len() > IDS_MAX
            && let Some(oldest) = self.ids.pop_front()
        {
            self.known_ids.remove(&oldest);
        }
    }

    fn silent(&self, now_ms: i64) -> Option<String> {
        let oldest = self.sources.iter().min_by_key(|(_, source)| source.last_ms)?;
        (oldest.1.last_ms < now_ms - SILENT_MS).then(|| oldest.0.clone())
    }
}

impl Source {
    fn look(&self, epoch: u64, seq: u64) -> Seen {
        match self.epochs.get(&epoch) {
            Some(known) => known.look(seq),
            None if self.epochs.len() >= EPOCHS_MAX && self.epochs.keys().next().is_some_and(|e| epoch < *e) => {
                Seen::TooOld
            }
            None => Seen::New,
        }
    }

    fn note(&mut self, epoch: u64, seq: u64) -> u64 {
        let gaps = self.epochs.entry(epoch).or_default().note(seq);
        self.bound();
        gaps
    }

    fn put(&mut self, epoch: u64, state: Epoch) {
        self.epochs.insert(epoch, state);
        self.bound();
    }

    fn bound(&mut self) {
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.pop_first();
        }
    }
}

impl Epoch {
    /// Up to a number nothing is known.
    const fn unknown_to(seq: u64) -> Self {
        Self { highest: seq, missing: BTreeMap::new(), forgotten_below: seq.saturating_add(1), counted_to: seq }
    }

    fn look(&self, seq: u64) -> Seen {
        if seq > self.highest || self.range_of(seq).is_some() {
            Seen::New
        } else if seq < self.forgotten_below {
            Seen::TooOld
        } else {
            Seen::Before
        }
    }

    /// The range of missing numbers that holds `seq`.
    fn range_of(&self, seq: u64) -> Option<(u64, u64)> {
        let (first, last) = self.missing.range(..=seq).next_back()?;
        (seq <= *last).then_some((*first, *last))
    }

    fn note(&mut self, seq: u64) -> u64 {
        if seq > self.highest {
            if seq > self.highest + 1 {
                self.missing.insert(self.highest + 1, seq - 1);
            }
            self.highest = seq;
        } else if let Some((first, last)) = self.range_of(seq) {
            self.missing.remove(&first);
            if first < seq {
                self.missing.insert(first, seq - 1);
            }
            if seq < last {
                self.missing.insert(seq + 1, last);
            }
        }
        while self.missing.len() > MISSING_MAX
            && let Some((_, last)) = self.missing.pop_first()
        {
            self.forgotten_below = last + 1;
        }
        self.count_gaps()
    }

    /// Missing numbers that have fallen too far behind to be on the way still, each counted once.
    fn count_gaps(&mut self) -> u64 {
        let limit = self.highest.saturating_sub(OVERTAKE_MAX);
        let counted = self.counted_to;
        let gaps = self.missing.range(..=limit).map(|(first, last)| {
            let (first, last) = ((*first).max(counted + 1), (*last).min(limit));
            (last + 1).saturating_sub(first)
        });
        let gaps = gaps.sum();
        self.counted_to = counted.max(limit);
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbered(source: &str, epoch: u64, seq: u64) -> Guard {
        Guard::Numbered { source: source.into(), epoch, seq }
    }

    fn marks(max_sources: usize) -> Marks {
        Marks::default().recall(max_sources)
    }

    proptest! {
        #[test]
        fn a_set_of_numbers_is_remembered_in_any_order(seqs in proptest::collection::vec(1..300_u64, 0..200)) {
            let (mut marks, mut known) = (marks(1), HashSet::new());
            for seq in seqs {
                let guard = numbered("a", 7, seq);
                let expected = if known.insert(seq) { Seen::New } else { Seen::Before };
                prop_assert_eq!(marks.look(&guard, 0), expected);
                marks.note(&guard, 0);
                prop_assert_eq!(marks.look(&guard, 0), Seen::Before);
            }
            let written = rmp_serde::to_vec_named(&marks).unwrap();
            let read = rmp_serde::from_slice::<Marks>(&written).unwrap().recall(1);
            for seq in 1..300 {
                let expected = if known.contains(&seq) { Seen::Before } else { Seen::New };
                prop_assert_eq!(read.look(&numbered("a", 7, seq), 0), expected);
            }
        }
    }

    #[test]
    fn gaps_are_counted_once_and_not_while_posts_overtake_each_other() {
        let mut marks = marks(1);
        let mut note = |seq| marks.note(&numbered("a", 1, seq), 0);
        assert_eq!((1..=20).map(&mut note).sum::<u64>(), 0);
        assert_eq!(note(22), 0, "21 may still be on the way");
        assert_eq!(note(21), 0);
        assert_eq!(note(25), 0);
        assert_eq!((26..=60).map(&mut note).sum::<u64>(), 2, "23 and 24");
        assert_eq!(note(60 + 1_000_000), 1_000_000 - OVERTAKE_MAX);
        assert_eq!(note(60 + 1_000_000), 0);
    }

    #[test]
    fn what_cannot_be_told_any_more_is_neither_new_nor_a_repeat() {
        let mut marks = marks(1);
        for seq in (2..=2 * (MISSING_MAX as u64 + 10)).step_by(2) {
            marks.note(&numbered("a", 1, seq), 0);
        }
        assert_eq!(marks.look(&numbered("a", 1, 1), 0), Seen::TooOld);
        assert_eq!(marks.look(&numbered("a", 1, 2), 0), Seen::TooOld);
        assert_eq!(marks.look(&numbered("a", 1, 2001), 0), Seen::New);
        for epoch in 2..=5 {
            marks.note(&numbered("a", epoch, 1), 0);
        }
        assert_eq!(marks.look(&numbered("a", 1, 9_999), 0), Seen::TooOld);
        assert_eq!(marks.look(&numbered("a", 6, 1), 0), Seen::New);
    }

    #[test]
    fn where_the_marks_were_lost_the_first_numbers_of_a_running_source_are_not_believed() {
        let mut marks = marks(9);
        marks.doubt(1_000);
        let mut seen = |epoch, seq| {
            let guard = numbered("a", epoch, seq);
            marks.meet(&guard, 2_000);
            marks.look(&guard, 2_000)
        };
        assert_eq!(seen(900, 40), Seen::TooOld);
        assert_eq!(seen(900, 40 + OVERTAKE_MAX), Seen::TooOld);
        assert_eq!(seen(900, 41 + OVERTAKE_MAX), Seen::New);
        assert_eq!(seen(900, 41 + OVERTAKE_MAX), Seen::New, "a look changes nothing");
        assert_eq!(seen(1_500, 1), Seen::New, "it began later: nothing of it was stored before");
    }

    #[test]
    fn a_silent_source_gives_its_place() {
        let mut marks = marks(2);
        marks.note(&numbered("a", 1, 1), 0);
        marks.note(&numbered("b", 1, 1), SILENT_MS);
        assert_eq!(marks.look(&numbered("c", 1, 1), SILENT_MS), Seen::TooManySources);
        assert_eq!(marks.look(&numbered("c", 1, 1), SILENT_MS + 1), Seen::New);
        marks.note(&numbered("c", 1, 1), SILENT_MS + 1);
        assert_eq!(marks.sources.len(), 2);
        assert_eq!(marks.look(&numbered("b", 1, 1), 0), Seen::Before);
    }

    #[test]
    fn ids_are_remembered_for_a_while() {
        let mut marks = marks(1);
        for id in 0..=IDS_MAX as u128 {
            assert_eq!(marks.look(&Guard::Id(Uuid::from_u128(id)), 0), Seen::New);
            marks.note(&Guard::Id(Uuid::from_u128(id)), 0);
        }
        assert_eq!(marks.look(&Guard::Id(Uuid::from_u128(0)), 0), Seen::New, "the oldest is forgotten");
        assert_eq!(marks.look(&Guard::Id(Uuid::from_u128(1)), 0), Seen::Before);
    }
}
