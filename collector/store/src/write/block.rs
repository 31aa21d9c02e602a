//! Rows as the bytes of ClickHouse's RowBinary format, and how a block is cut.
//!
//! Integers are little-endian; a string is its length as LEB128 and its bytes; a UUID is its upper and its lower half,
//! each little-endian; a nullable value has one byte before it; `DateTime64(3)` is milliseconds in 64 bits.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

/// A table that takes rows from the collector's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// One row a request.
    Observations,
    /// One row a number and item.
    Features,
    /// One row a category and item.
    Categories,
    /// Masked content.
    Payloads,
    /// One row a shadow's answer and item.
    Comparisons,
    /// Ground truth.
    Labels,
    /// Feedback on answers.
    Outcomes,
    /// Deployments, incidents, changes of versions.
    Events,
    /// One row a batch.
    Heartbeats,
}

impl Table {
    /// All of them; a segment's observations are inserted after their parts, so that a request that is seen has them, and
    /// its heartbeats last, since they promise what is there.
    pub const ALL: [Self; 9] = [
        Self::Features,
        Self::Categories,
        Self::Payloads,
        Self::Comparisons,
        Self::Labels,
        Self::Outcomes,
        Self::Events,
        Self::Observations,
        Self::Heartbeats,
    ];

    /// Its name in the database.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Observations => "observations",
            Self::Features => "features",
            Self::Categories => "categories",
            Self::Payloads => "payloads",
            Self::Comparisons => "comparisons",
            Self::Labels => "labels",
            Self::Outcomes => "outcomes",
            Self::Events => "events",
            Self::Heartbeats => "heartbeats",
        }
    }

    /// Its columns, in the order of a row's bytes: the segment first, where [`Block::part`] finds it.
    pub(crate) const fn columns(self) -> &'static str {
        match self {
            Self::Observations => {
                "segment, id, received_at, at, source, trace_id, model, version, route, outcome, code, reason, client, \
                 total_us, tokenize_us, queue_us, infer_us, batch_size, items, label, confidence, margin, entropy, \
                 batch_variant, from_cache, padding, provider"
            }
            Self::Features => "segment, id, item, received_at, at, model, version, feature, value, missing",
            Self::Categories => "segment, id, item, received_at, at, model, version, feature, value",
            Self::Payloads => "segment, id, received_at, at, model, version, input, output, inclusion_probability",
            Self::Comparisons => {
                "segment, id, item, received_at, at, model, version, shadow, answered, outcome, reason, \
                 primary_label, shadow_label, primary_confidence, shadow_confidence, primary_infer_us, shadow_infer_us, \
                 compared, absolute_gap, relative_gap"
            }
            Self::Labels => "segment, id, item, received_at, at, label",
            Self::Outcomes => "segment, id, item, received_at, at, name, value, is_boolean",
            Self::Events => "segment, id, received_at, at, source, kind, model, version, text",
            Self::Heartbeats => {
                "segment, source, received_at, epoch, seq, sent_at, observed, delivered, dropped, in_flight"
            }
        }
    }
}

const UUID_BYTES: usize = 16;

/// All rows of one segment for one table: inserted whole or not at all.
///
/// Its rows lie where they were made, each post's for itself, and are put together piece by piece on their way: a copy of
/// a whole segment would be tens of megabytes of fresh memory.
#[derive(Clone, Debug)]
pub struct Block {
    table: Table,
    segment: Uuid,
    parts: Vec<Part>,
}

/// Rows that were made together, under whatever segment. Clones share them.
#[derive(Clone, Debug)]
struct Part {
    bytes: Bytes,
    /// Where each row begins.
    starts: Arc<[usize]>,
}

impl Part {
    /// Its rows, each with its segment first.
    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let end = |row: usize| self.starts.get(row + 1).copied().unwrap_or(self.bytes.len());
        self.starts.iter().enumerate().map(move |(row, start)| &self.bytes[*start..end(row)])
    }
}

impl Block {
    /// Its table.
    #[must_use]
    pub const fn table(&self) -> Table {
        self.table
    }

    /// The segment that its rows carry.
    #[must_use]
    pub const fn segment(&self) -> Uuid {
        self.segment
    }

    /// Its number of rows, at least 1.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.starts.len() as u64).sum()
    }

    /// Its rows as they are sent, in pieces of at least so many bytes but for the last.
    pub(crate) fn pieces(&self, bytes: usize) -> impl Iterator<Item = Bytes> {
        let segment = uuid_bytes(self.segment);
        let room = self.parts.iter().map(|part| part.bytes.len()).sum::<usize>().min(bytes + bytes / 8);
        let mut rows = self.each_row().peekable();
        std::iter::from_fn(move || {
            rows.peek()?;
            let mut piece = Vec::with_capacity(room);
            while let Some(row) = rows.next_if(|_| piece.len() < bytes) {
                piece.extend_from_slice(&segment);
                piece.extend_from_slice(&row[UUID_BYTES..]);
            }
            Some(piece.into())
        })
    }

    /// The observation (or event) that its first row belongs to; `None` for heartbeats.
    #[must_use]
    pub fn first_id(&self) -> Option<Uuid> {
        self.ids().next()
    }

    /// The observations that its rows belong to, row by row; none for heartbeats.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        self.each_row().filter_map(|row| self.id(row))
    }

    /// Both halves, each a block of its own under a segment id of its own, which is the same whenever it is cut again.
    /// The rows of one observation stay together; `None` where there is nothing to cut.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let all: Vec<&[u8]> = self.each_row().collect();
        let rows = all.len();
        let parted = |at: usize| self.id(all[at - 1]) != self.id(all[at]);
        let cuts = |at: &usize| *at < rows && (self.table == Table::Heartbeats || parted(*at));
        let cut = (rows / 2..rows).find(|at| *at > 0 && cuts(at)).or_else(|| (1..rows / 2).rev().find(cuts))?;
        Some([self.part(&all[..cut], 0), self.part(&all[cut..], 1)])
    }

    /// The rows of several blocks of one table, in their order, under one segment; `None` of no blocks.
    pub(super) fn join(segment: Uuid, blocks: &[&Self]) -> Option<Self> {
        let table = blocks.first()?.table;
        Some(Self { table, segment, parts: blocks.iter().flat_map(|block| &block.parts).cloned().collect() })
    }

    /// Bytes of memory that it takes beside itself.
    pub(super) fn held_bytes(&self) -> usize {
        let of = |part: &Part| size_of::<Part>() + part.bytes.len() + size_of_val(&*part.starts);
        self.parts.iter().map(of).sum()
    }

    /// Its rows, under whatever segment they were made.
    fn each_row(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().flat_map(Part::rows)
    }

    fn id(&self, row: &[u8]) -> Option<Uuid> {
        let bytes = row.get(UUID_BYTES..2 * UUID_BYTES).filter(|_| self.table != Table::Heartbeats)?;
        let half = |range: std::ops::Range<usize>| bytes[range].try_into().ok().map(u64::from_le_bytes);
        Some(Uuid::from_u64_pair(half(0..8)?, half(8..16)?))
    }

    fn part(&self, rows: &[&[u8]], half: u8) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::new().chain_update(self.segment).chain_update(self.table.name()).chain_update([half]);
        let hash: [u8; UUID_BYTES] = hash.finalize()[..UUID_BYTES].try_into().expect("a hash has 32 bytes");
        let segment = uuid::Builder::from_custom_bytes(hash).into_uuid();
        let starts = rows.iter().scan(0, |next, row| Some(std::mem::replace(next, *next + row.len()))).collect();
        Self { table: self.table, segment, parts: vec![Part { bytes: rows.concat().into(), starts }] }
    }
}

/// The same rows of the same segment, wherever they lie.
impl PartialEq for Block {
    fn eq(&self, other: &Self) -> bool {
        let rest = |row: &[u8]| row[UUID_BYTES..].to_vec();
        let same = self.table == other.table && self.segment == other.segment;
        same && self.each_row().map(rest).eq(other.each_row().map(rest))
    }
}

fn uuid_bytes(id: Uuid) -> [u8; UUID_BYTES] {
    let (upper, lower) = id.as_u64_pair();
    let mut bytes = [0; UUID_BYTES];
    bytes[..8].copy_from_slice(&upper.to_le_bytes());
    bytes[8..].copy_from_slice(&lower.to_le_bytes());
    bytes
}

/// A block being written.
pub(super) struct Rows {
    table: Table,
    segment: Uuid,
    bytes: Vec<u8>,
    starts: Vec<usize>,
}

impl Rows {
    pub const fn new(table: Table, segment: Uuid) -> Self {
        Self { table, segment, bytes: Vec::new(), starts: Vec::new() }
    }

    /// Begins a row with its segment.
    pub fn row(&mut self) -> &mut Self {
        self.starts.push(self.bytes.len());
        self.uuid(self.segment)
    }

    pub fn uuid(&mut self, id: Uuid) -> &mut Self {
        self.raw(&uuid_bytes(id))
    }

    pub fn u16(&mut self, n: u16) -> &mut Self {
        self.raw(&n.to_le_bytes())
    }

    pub fn u32(&mut self, n: u32) -> &mut Self {
        self.raw(&n.to_le_bytes())
    }

    pub fn u64(&mut self, n: u64) -> &mut Self {
        self.raw(&n.to_le_bytes())
    }

    /// `DateTime64(3)`.
    pub fn millis(&mut self, n: i64) -> &mut Self {
        self.raw(&n.to_le_bytes())
    }

    /// Of what is not a number one is written: the log does not keep which it was, and rows are the same bytes from it.
    pub fn f64(&mut self, x: f64) -> &mut Self {
        let x = if x.is_nan() { f64::NAN } else { x };
        self.raw(&x.to_le_bytes())
    }

    pub fn f64_or_null(&mut self, x: Option<f64>) -> &mut Self {
        match x {
            Some(x) => self.raw(&[0]).f64(x),
            None => self.raw(&[1]),
        }
    }

    pub fn bool(&mut self, b: bool) -> &mut Self {
        self.raw(&[u8::from(b)])
    }

    pub fn str(&mut self, text: &str) -> &mut Self {
        self.length(text.len());
        self.raw(text.as_bytes())
    }

    fn length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.bytes.push((length & 0x7F) as u8 | 0x80);
            length >>= 7;
        }
        self.bytes.push(length as u8);
    }

    /// A JSON value as a string: written in its place, and its length put before it.
    pub fn json(&mut self, value: &serde_json::Value) -> &mut Self {
        let at = self.bytes.len();
        // a value has nothing that cannot be written, and a vector takes all
        let written = serde_json::to_writer(&mut self.bytes, value);
        debug_assert!(written.is_ok(), "{written:?}");
        let length = self.bytes.len() - at;
        self.length(length);
        let shown = self.bytes.len() - at - length;
        self.bytes[at..].rotate_right(shown);
        self
    }

    /// Room for so many bytes and rows more.
    pub fn reserve(&mut self, rows: usize, bytes: usize) {
        self.starts.reserve(rows);
        self.bytes.reserve(bytes);
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// The block; `None` without rows.
    pub fn finish(self) -> Option<Block> {
        let Self { table, segment, mut bytes, starts } = self;
        // it may wait in memory, and is counted by what is in it
        bytes.shrink_to_fit();
        let part = (!starts.is_empty()).then(|| Part { bytes: bytes.into(), starts: starts.into() })?;
        Some(Block { table, segment, parts: vec![part] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_hold_the_same_rows_under_ids_that_do_not_change() {
        let mut rows = Rows::new(Table::Labels, Uuid::from_u128(7));
        for i in 0..5_u128 {
            rows.row().uuid(Uuid::from_u128(i)).u32(0).millis(1).millis(2).str(&"x".repeat(i as usize * 100));
        }
        let block = rows.finish().unwrap();
        let [left, right] = block.halves().unwrap();
        assert_eq!((left.rows(), right.rows()), (2, 3));
        let sent = |block: &Block| block.pieces(100).collect::<Vec<_>>().concat();
        assert_eq!(sent(&left).len() + sent(&right).len(), sent(&block).len());
        assert_eq!((left.first_id(), right.first_id()), (Some(Uuid::from_u128(0)), Some(Uuid::from_u128(2))));
        assert_eq!(block.halves().unwrap()[1].segment, right.segment);
        assert_ne!(left.segment, right.segment);
        assert_eq!(&sent(&right)[..16], uuid_bytes(right.segment));
        let single = left.halves().unwrap()[0].clone();
        assert!(single.halves().is_none());
    }

    #[test]
    fn rows_that_were_made_apart_are_one_block_under_one_segment() {
        let made = |ids: std::ops::Range<u128>| {
            let mut rows = Rows::new(Table::Labels, Uuid::nil());
            for i in ids {
                rows.row().uuid(Uuid::from_u128(i)).u32(0).millis(1).millis(2).str(&"x".repeat(i as usize * 10));
            }
            rows.finish().unwrap()
        };
        let segment = Uuid::from_u128(7);
        let together = Block { segment, ..made(0..9) };
        let parts = [made(0..1), made(1..7), made(7..9)];
        let joined = Block::join(segment, &parts.iter().collect::<Vec<_>>()).unwrap();
        assert_eq!(joined, together);
        assert_ne!(joined, made(0..9));
        assert_eq!(joined.ids().collect::<Vec<_>>(), (0..9).map(Uuid::from_u128).collect::<Vec<_>>());
        let whole = together.pieces(1 << 20).next().unwrap();
        for bytes in [1, 60, 200] {
            let pieces: Vec<Bytes> = joined.pieces(bytes).collect();
            assert!(pieces.iter().rev().skip(1).all(|piece| piece.len() >= bytes), "{bytes}");
            assert_eq!(pieces.concat(), whole, "in pieces of {bytes}");
        }
    }

    #[test]
    fn a_value_is_the_string_that_it_is_written_as() {
        for value in
            [serde_json::json!(null), serde_json::json!({"a": ["\"é", 0.1]}), serde_json::json!("x".repeat(500))]
        {
            let (mut json, mut text) =
                (Rows::new(Table::Payloads, Uuid::nil()), Rows::new(Table::Payloads, Uuid::nil()));
            json.row().str("before").json(&value).str("behind");
            text.row().str("before").str(&value.to_string()).str("behind");
            assert_eq!(json.bytes, text.bytes, "{value}");
        }
    }

    #[test]
    fn the_rows_of_an_observation_are_not_parted() {
        let mut rows = Rows::new(Table::Labels, Uuid::from_u128(7));
        for id in [1, 1, 1, 1, 2] {
            rows.row().uuid(Uuid::from_u128(id)).u32(0).millis(1).millis(2).str("x");
        }
        let [left, right] = rows.finish().unwrap().halves().unwrap();
        assert_eq!((left.rows(), right.rows()), (4, 1));
        assert!(left.halves().is_none());
    }
}
