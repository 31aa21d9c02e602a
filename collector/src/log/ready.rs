//! Rows of what is in the log, ready to be inserted: what was just written need not be read, unpacked and masked once more.
//!
//! The choice: it is only a copy. What does not fit is dropped, and its segment read from the log, which makes the same
//! bytes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use store::write::EncodedSegment;
use uuid::Uuid;

/// Memory of all ready rows together. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Room {
    held: Arc<AtomicUsize>,
    most: usize,
}

impl Room {
    /// So many bytes.
    pub fn new(most: usize) -> Self {
        Self { held: Arc::default(), most }
    }
}

/// The rows of a segment, entry by entry. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Ready(Arc<Held>);

impl Ready {
    /// All of them, under the segment's id.
    pub fn join(&self, segment: Uuid) -> EncodedSegment {
        EncodedSegment::join(segment, &self.0.parts)
    }
}

/// Ready rows, and the room that they take until they are dropped.
#[derive(Debug)]
pub(super) struct Held {
    parts: Vec<EncodedSegment>,
    bytes: usize,
    room: Room,
}

impl Held {
    pub const fn new(room: Room) -> Self {
        Self { parts: Vec::new(), bytes: 0, room }
    }

    /// Takes rows in; `None`, and all of them are dropped, where there is no room.
    pub fn with(mut self, parts: Vec<EncodedSegment>) -> Option<Self> {
        let more = parts.iter().map(EncodedSegment::held_bytes).sum();
        let before = self.room.held.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        if before.saturating_add(more) > self.room.most {
            return None;
        }
        self.parts.extend(parts);
        Some(self)
    }

    pub fn seal(self) -> Ready {
        Ready(Arc::new(self))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use store::write::SegmentBuilder;

    fn part(n: u128) -> EncodedSegment {
        let label = contract::wire::Label { id: Uuid::from_u128(n), item: 0, label: "a".repeat(100), at_ms: Some(1) };
        let mut builder = SegmentBuilder::new(Uuid::nil());
        builder.label(&label, 1);
        builder.finish()
    }

    #[test]
    fn rows_take_room_until_they_are_dropped_and_what_does_not_fit_goes() {
        let one = part(1).held_bytes();
        let room = Room::new(3 * one);
        let first = Held::new(room.clone()).with(vec![part(1), part(2)]).unwrap();
        assert!(Held::new(room.clone()).with(vec![part(3), part(4)]).is_none());
        assert_eq!(room.held.load(Ordering::Relaxed), 2 * one, "what did not fit takes nothing");
        let second = Held::new(room.clone()).with(vec![part(3)]).unwrap();
        assert!(second.with(vec![part(4)]).is_none());
        let ready = first.seal();
        let joined = ready.clone().join(Uuid::from_u128(9));
        assert_eq!((joined.blocks().len(), joined.blocks()[0].rows()), (1, 2));
        drop(ready);
        assert_eq!(room.held.load(Ordering::Relaxed), 0);
    }
}
