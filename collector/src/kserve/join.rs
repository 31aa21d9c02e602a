//! Halves that wait for each other: a table with a window and a bound. Pure: times come in, settlements go out.

use std::collections::{HashMap, VecDeque};

use contract::wire::weight;
use contract::wire::{Observation, Outcome};
use uuid::Uuid;

use super::half::{Half, SQUEEZED, Side, whole};

/// What became of one half or of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Both came.
    Joined,
    /// The window passed.
    Alone(Side),
    /// It had to make room.
    Squeezed(Side),
}

/// An observation that nothing is waited for any more.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Settlement {
    pub fate: Fate,
    /// Tells it from its repeat in the log.
    pub guard: Uuid,
    pub received_at_ms: i64,
    pub observation: Observation,
    /// The halves in it, and the segments of the journal that hold them.
    pub halves: Vec<(Uuid, Uuid)>,
}

/// Halves in memory.
pub(crate) struct Table {
    window_ms: i64,
    count_max: usize,
    bytes_max: u64,
    bytes: u64,
    waiting: HashMap<Uuid, Waiting>,
    /// Keys in the order in which they came; one that is settled is skipped.
    order: VecDeque<(Uuid, u64)>,
    next: u64,
}

struct Waiting {
    number: u64,
    half: Half<Observation>,
    bytes: u64,
    segment: Uuid,
}

impl Table {
    pub fn new(window_ms: i64, count_max: usize, bytes_max: u64) -> Self {
        Self { window_ms, count_max, bytes_max, bytes: 0, waiting: HashMap::new(), order: VecDeque::new(), next: 0 }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether it waits already.
    pub fn holds(&self, half: &Half<Observation>) -> bool {
        self.waiting.get(&half.key).is_some_and(|waiting| waiting.half.side == half.side)
    }

    /// Takes a half from a segment; one that waits already changes nothing.
    pub fn put(&mut self, half: Half<Observation>, segment: Uuid) -> Vec<Settlement> {
        let bytes = weight::of(&half.observation) as u64;
        let mut settled = Vec::new();
        match self.waiting.get(&half.key) {
            Some(other) if other.half.side == half.side => {}
            Some(_) => settled.extend(self.remove(half.key).map(|other| join(other, half, segment))),
            None => {
                let number = self.next;
                self.next += 1;
                self.bytes += bytes;
                self.order.push_back((half.key, number));
                self.waiting.insert(half.key, Waiting { number, half, bytes, segment });
            }
        }
        while self.waiting.len() > self.count_max || self.bytes > self.bytes_max {
            let Some(oldest) = self.oldest() else { break };
            settled.extend(self.remove(oldest).map(squeezed));
        }
        settled
    }

    /// Those whose window has passed.
    pub fn expired(&mut self, now_ms: i64) -> Vec<Settlement> {
        let mut settled = Vec::new();
        while let Some(oldest) = self.oldest() {
            let due = self.waiting.get(&oldest).is_some_and(|w| now_ms - w.half.received_at_ms >= self.window_ms);
            if !due {
                break;
            }
            settled.extend(self.remove(oldest).map(|waiting| alone(waiting, Fate::Alone)));
        }
        settled
    }

    /// All that a segment holds, so that it can go.
    pub fn squeeze(&mut self, segment: Uuid) -> Vec<Settlement> {
        let keys: Vec<Uuid> = self.waiting.iter().filter(|(_, w)| w.segment == segment).map(|(key, _)| *key).collect();
        keys.into_iter().filter_map(|key| self.remove(key)).map(squeezed).collect()
    }

    fn oldest(&mut self) -> Option<Uuid> {
        while let Some((key, number)) = self.order.front() {
            if self.waiting.get(key).is_some_and(|waiting| waiting.number == *number) {
                return Some(*key);
            }
            self.order.pop_front();
        }
        None
    }

    fn remove(&mut self, key: Uuid) -> Option<Waiting> {
        let waiting = self.waiting.remove(&key)?;
        self.bytes -= waiting.bytes;
        // what is settled while it is young would otherwise be remembered for as long as something old waits
        if self.order.len() > 2 * self.waiting.len() + 1024 {
            self.order.retain(|(key, number)| self.waiting.get(key).is_some_and(|w| w.number == *number));
        }
        Some(waiting)
    }
}

fn join(one: Waiting, other: Half<Observation>, segment: Uuid) -> Settlement {
    let halves = vec![(one.half.id(), one.segment), (other.id(), segment)];
    let received_at_ms = one.half.received_at_ms.max(other.received_at_ms);
    let (request, response) = if one.half.side == Side::Request { (one.half, other) } else { (other, one.half) };
    // the guard of a request that stands alone, so that it is stored once however it ends
    let guard = request.id();
    let observation = whole(request.observation, response.observation);
    Settlement { fate: Fate::Joined, guard, received_at_ms, observation, halves }
}

/// One that had to make room. Its request may have been answered well, so it is no failure and counts for no objective.
fn squeezed(waiting: Waiting) -> Settlement {
    let mut settlement = alone(waiting, Fate::Squeezed);
    if settlement.fate == Fate::Squeezed(Side::Request) {
        settlement.observation.outcome = Outcome::Cancelled;
        settlement.observation.reason = Some(SQUEEZED.to_owned());
    }
    settlement
}

fn alone(waiting: Waiting, fate: fn(Side) -> Fate) -> Settlement {
    let Waiting { half, segment, .. } = waiting;
    let guard = half.id();
    Settlement {
        fate: fate(half.side),
        guard,
        received_at_ms: half.received_at_ms,
        halves: vec![(guard, segment)],
        observation: half.observation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn half(key: u128, side: Side, received_at_ms: i64) -> Half<Observation> {
        let (outcome, reason) = if side == Side::Request { ("error", "no_response") } else { ("ok", "no_request") };
        let line = format!(
            r#"{{"id":"{}","at_ms":1,"model":"m","version":"1","outcome":"{outcome}","reason":"{reason}"}}"#,
            Uuid::from_u128(key)
        );
        let observation = serde_json::from_str(&line).unwrap();
        Half { key: Uuid::from_u128(key), side, received_at_ms, observation }
    }

    /// What one of these takes.
    fn weight() -> u64 {
        weight::of(&half(1, Side::Request, 0).observation) as u64
    }

    const SEGMENT: Uuid = Uuid::from_u128(9);

    fn fates(settled: &[Settlement]) -> Vec<Fate> {
        settled.iter().map(|settlement| settlement.fate).collect()
    }

    #[test]
    fn halves_join_in_either_order_and_wait_no_longer_than_the_window() {
        let mut table = Table::new(100, 10, 10 * weight());
        assert!(table.put(half(1, Side::Request, 0), SEGMENT).is_empty());
        assert!(table.put(half(1, Side::Request, 1), SEGMENT).is_empty(), "a repeat");
        assert!(table.put(half(2, Side::Response, 5), SEGMENT).is_empty());
        assert_eq!(fates(&table.put(half(2, Side::Request, 6), SEGMENT)), [Fate::Joined]);
        assert!(table.expired(99).is_empty());
        assert_eq!(fates(&table.expired(100)), [Fate::Alone(Side::Request)]);
        assert_eq!((table.len(), table.bytes), (0, 0));
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut table = Table::new(100, 2, 10 * weight());
        for key in 1..=2 {
            table.put(half(key, Side::Request, 0), SEGMENT);
        }
        let settled = table.put(half(3, Side::Response, 0), Uuid::from_u128(8));
        assert_eq!(fates(&settled), [Fate::Squeezed(Side::Request)]);
        assert_eq!(settled[0].observation.id, Uuid::from_u128(1));
        let mut large = half(4, Side::Request, 0);
        large.observation.client = Some("c".repeat(9 * weight() as usize));
        assert_eq!(fates(&table.put(large, SEGMENT)).len(), 2);
        assert_eq!(fates(&table.squeeze(SEGMENT)), [Fate::Squeezed(Side::Request)]);
    }

    /// With the default bounds and five-kilobyte bodies all of a busy minute's requests would have been failures.
    #[test]
    fn what_had_to_make_room_is_no_failed_request() {
        let mut table = Table::new(100, 1, 10 * weight());
        table.put(half(1, Side::Request, 0), SEGMENT);
        let settled = table.put(half(2, Side::Response, 0), SEGMENT).remove(0).observation;
        assert_eq!((settled.outcome.is_valid_event(), settled.reason.as_deref()), (false, Some("squeezed")));
        let settled = table.put(half(3, Side::Request, 0), SEGMENT).remove(0).observation;
        assert_eq!((settled.outcome, settled.reason.as_deref()), (Outcome::Ok, Some("no_request")));
        let settled = table.expired(100).remove(0).observation;
        assert_eq!((settled.outcome, settled.reason.as_deref()), (Outcome::Error, Some("no_response")));
    }

    proptest! {
        /// Whatever comes in whatever order: every half ends in one settlement, and a pair in the window in one together.
        #[test]
        fn every_half_is_settled_once(
            steps in prop::collection::vec((0_u128..6, any::<bool>(), 0_i64..40), 0..60), count_max in 1_usize..8
        ) {
            let mut table = Table::new(100, count_max, 4 * weight());
            let (mut now, mut given, mut settled) = (0, HashMap::new(), HashMap::new());
            let mut note = |all: Vec<Settlement>| {
                for (id, _) in all.into_iter().flat_map(|s| s.halves) {
                    *settled.entry(id).or_insert(0) += 1;
                }
            };
            for (key, is_request, pause) in steps {
                now += pause;
                note(table.expired(now));
                let half = half(key, if is_request { Side::Request } else { Side::Response }, now);
                let waits = table.waiting.get(&half.key).is_some_and(|w| w.half.side == half.side);
                *given.entry(half.id()).or_insert(0) += i32::from(!waits);
                note(table.put(half, SEGMENT));
                prop_assert!(table.len() <= count_max && table.bytes <= 4 * weight());
            }
            note(table.expired(now + 1000));
            prop_assert_eq!(table.len(), 0);
            given.retain(|_, n| *n > 0);
            prop_assert_eq!(given, settled);
        }
    }
}
