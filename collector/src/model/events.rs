//! What can happen to a log, its senders and its database, and how often the model lets it.

use proptest::prelude::*;

use super::database::Fate;

/// Sources of numbered batches.
pub(super) const SOURCES: usize = 3;

/// What can happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// So many posts arrive while the disk is busy: they share a round.
    Posts(Vec<Kind>),
    /// A sender that lost its patience posts again before it is answered.
    Twice(Kind),
    /// Everything that was not answered is posted again.
    Again,
    /// A batch that was acknowledged is posted once more.
    Repeat(usize),
    Seal,
    /// So many segments are carried at once, with these answers.
    Insert(usize, Vec<Fate>),
    Settle,
    KillEngine(usize, bool),
    /// The power goes, now or after so many more steps of the disk.
    Crash(u64),
    CrashIn(u32),
    /// So many steps of the disk fail.
    Fail(u32),
    Full(usize),
    Room,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Batch(usize, usize),
    Single,
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![4 => (0..SOURCES, 0..4_usize).prop_map(|(source, n)| Kind::Batch(source, n)), 1 => Just(Kind::Single)]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Done),
        1 => Just(Fate::Refused),
        2 => Just(Fate::Unheard),
        2 => Just(Fate::Lost),
        1 => Just(Fate::Lied),
        2 => Just(Fate::Late),
    ]
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => prop::collection::vec(kind(), 1..5).prop_map(Event::Posts),
        1 => kind().prop_map(Event::Twice),
        3 => Just(Event::Again),
        2 => (0..64_usize).prop_map(Event::Repeat),
        4 => Just(Event::Seal),
        6 => (1..4_usize, prop::collection::vec(fate(), 0..12)).prop_map(|(n, fates)| Event::Insert(n, fates)),
        2 => Just(Event::Settle),
        2 => (0..4_usize, any::<bool>()).prop_map(|(n, vanish)| Event::KillEngine(n, vanish)),
        3 => any::<u64>().prop_map(Event::Crash),
        4 => (1..30_u32).prop_map(Event::CrashIn),
        2 => (1..6_u32).prop_map(Event::Fail),
        1 => (0..3000_usize).prop_map(Event::Full),
        1 => Just(Event::Room),
    ]
}
