//! Rows as the bytes of ClickHouse's RowBinary format, and how a block is cut.
//!
//! Integers are little-endian; a string is its length as LEB128 and its bytes; a UUID is its upper and its lower half,
//! each little-endian; a nullable value has one byte before it; `DateTime64(3)` is milliseconds in 64 bits.

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
    /// All of them, in the order in which a segment is inserted: observations last but for the heartbeats, so that a
    /// request that is seen has its parts, and a heartbeat promises what is there.
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
#[derive(Clone, Debug)]
pub struct Block {
    table: Table,
    segment: Uuid,
    bytes: Bytes,
    /// Where each row begins.
    starts: Vec<usize>,
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
        self.starts.len() as u64
    }

    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The observation (or event) that its first row belongs to; `None` for heartbeats.
    #[must_use]
    pub fn first_id(&self) -> Option<Uuid> {
        self.id(0)
    }

    /// The observations that its rows belong to, row by row; none for heartbeats.
    pub fn ids(&self) -> impl Iterator<Item = Uuid> + '_ {
        (0..self.starts.len()).filter_map(|row| self.id(row))
    }

    /// Both halves, each a block of its own under a segment id of its own, which is the same whenever it is cut again.
    /// The rows of one observation stay together; `None` where there is nothing to cut.
    #[must_use]
    pub fn halves(&self) -> Option<[Self; 2]> {
        let rows = self.starts.len();
        let cuts = |at: &usize| *at < rows && (self.table == Table::Heartbeats || self.id(at - 1) != self.id(*at));
        let cut = (rows / 2..rows).find(|at| *at > 0 && cuts(at)).or_else(|| (1..rows / 2).rev().find(cuts))?;
        Some([self.part(0..cut, 0), self.part(cut..rows, 1)])
    }

    /// The rows of several blocks of one table, in their order, under one segment; `None` of no blocks.
    pub(super) fn join(segment: Uuid, parts: &[&Self]) -> Option<Self> {
        let table = parts.first()?.table;
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.bytes.len()).sum());
        let mut starts = Vec::with_capacity(parts.iter().map(|part| part.starts.len()).sum());
        for part in parts {
            let base = bytes.len();
            bytes.extend_from_slice(&part.bytes);
            starts.extend(part.starts.iter().map(|start| base + start));
        }
        let id = uuid_bytes(segment);
        starts.iter().for_each(|at| bytes[*at..*at + UUID_BYTES].copy_from_slice(&id));
        Some(Self { table, segment, bytes: bytes.into(), starts })
    }

    /// Bytes of memory that it takes beside itself.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.starts.as_slice())
    }

    fn id(&self, row: usize) -> Option<Uuid> {
        let at = *self.starts.get(row)? + UUID_BYTES;
        let bytes = self.bytes.get(at..at + UUID_BYTES).filter(|_| self.table != Table::Heartbeats)?;
        let half = |range: std::ops::Range<usize>| bytes[range].try_into().ok().map(u64::from_le_bytes);
        Some(Uuid::from_u64_pair(half(0..8)?, half(8..16)?))
    }

    fn part(&self, rows: std::ops::Range<usize>, half: u8) -> Self {
        use sha2::{Digest as _, Sha256};
        let hash = Sha256::new().chain_update(self.segment).chain_update(self.table.name()).chain_update([half]);
        let hash: [u8; UUID_BYTES] = hash.finalize()[..UUID_BYTES].try_into().expect("a hash has 32 bytes");
        let segment = uuid::Builder::from_custom_bytes(hash).into_uuid();
        let start = self.starts[rows.start];
        let end = self.starts.get(rows.end).copied().unwrap_or(self.bytes.len());
        let mut bytes = self.bytes[start..end].to_vec();
        let starts: Vec<usize> = self.starts[rows].iter().map(|s| s - start).collect();
        for at in &starts {
            bytes[*at..*at + UUID_BYTES].copy_from_slice(&uuid_bytes(segment));
        }
        Self { table: self.table, segment, bytes: bytes.into(), starts }
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
        let Self { table, segment, mut bytes, mut starts } = self;
        // it may wait in memory, and is counted by what is in it
        bytes.shrink_to_fit();
        starts.shrink_to_fit();
        (!starts.is_empty()).then(|| Block { table, segment, bytes: bytes.into(), starts })
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
        assert_eq!(left.bytes.len() + right.bytes.len(), block.bytes.len());
        assert_eq!((left.first_id(), right.first_id()), (Some(Uuid::from_u128(0)), Some(Uuid::from_u128(2))));
        assert_eq!(block.halves().unwrap()[1].segment, right.segment);
        assert_ne!(left.segment, right.segment);
        assert_eq!(&right.bytes[..16], uuid_bytes(right.segment));
        let single = left.halves().unwrap()[0].clone();
        assert!(single.halves().is_none());
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
