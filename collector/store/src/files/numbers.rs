//! The numbers of a file's columns, as the engine sends them: blocks of rows, in a block column after column.
//!
//! The choice: ClickHouse's `Native` format. A column of a block is the machine's own 64-bit words one after another, so neither
//! side handles a value by itself, and a reader that wants a column has it in one piece.

use clickhouse::{Compression, query::BytesCursor};

use super::{Files, Kind, MISSING_BITS, Table, bind, file, only, quoted};
use crate::Error;

const ASKED: &str = "the numbers of a file";
/// What every column is sent as.
const TYPE: &[u8] = b"UInt64";
/// Where NaN stands among sorted values, and the first bit of a double.
const NAN_PLACE: u64 = u64::MAX - 1;
const SIGN: u64 = 1 << 63;
/// Bytes that a sort in the engine holds at most before it goes to disk, each of two sides.
const SORT_BYTES_MAX: u64 = 120_000_000;

/// How many values of a column are of which sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clickhouse::Row, serde::Deserialize)]
pub struct SortCounts {
    /// Negative infinities.
    pub least: u64,
    /// Finite numbers.
    pub finite: u64,
    /// Positive infinities.
    pub most: u64,
    /// What is no number.
    pub nan: u64,
    /// What has no value.
    pub missing: u64,
}

/// Some columns' values, block by block.
pub struct Numbers {
    cursor: BytesCursor,
    url: String,
    blocks: Blocks,
}

/// What has come of blocks, which are cut anywhere on the way.
#[derive(Default)]
struct Blocks {
    /// Columns of each.
    columns: u64,
    pending: Vec<u8>,
    /// Bytes of `pending` that were read.
    read: usize,
    /// Rows of the block at hand, and columns of it that are still to come.
    rows: u64,
    left: u64,
}

impl Files {
    /// The numbers of some columns, in one scan: the 64 bits of each double, [`MISSING_BITS`] where there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn numbers(&self, table: &Table, columns: &[(&str, Kind)]) -> Result<Numbers, Error> {
        let bits = |column: &(&str, Kind)| {
            format!("CAST(ifNull(reinterpretAsUInt64({}), {MISSING_BITS}) AS UInt64)", number(*column))
        };
        let asked: Vec<String> = columns.iter().map(bits).collect();
        self.stream(&format!("SELECT {} FROM {}{}", asked.join(", "), file(table), only(table)), table, columns.len())
    }

    /// One column's values in order, for a column that fits into no memory: the engine sorts it on disk. What comes is the place of
    /// each value in the order `-inf < numbers < inf < NaN < missing` as a whole number: of a number its 64 bits, all turned where
    /// it is negative and else the first; then `2^64 - 2`; then `2^64 - 1`. No more than `held_bytes` are sorted in memory.
    ///
    /// # Errors
    /// [`Error`].
    pub fn sorted(&self, table: &Table, column: (&str, Kind), held_bytes: u64) -> Result<Numbers, Error> {
        // an alias would hide a column of its name: these are nobody's
        let sql = format!(
            "SELECT CAST(multiIf(isNull(__x), {MISSING_BITS}, isNaN(__x), {NAN_PLACE}, __bits >= {SIGN}, bitNot(__bits), \
             bitOr(__bits, {SIGN})) AS UInt64) AS __place \
             FROM (SELECT {} + 0 AS __x, reinterpretAsUInt64(assumeNotNull(__x)) AS __bits FROM {}{}) ORDER BY __place \
             SETTINGS max_bytes_before_external_sort = {}, max_bytes_ratio_before_external_sort = 0, max_threads = 1",
            number(column),
            file(table),
            only(table),
            held_bytes.clamp(1, SORT_BYTES_MAX)
        );
        self.stream(&sql, table, 1)
    }

    /// How many of a column's values are numbers, and what the others are.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sorts(&self, table: &Table, column: (&str, Kind)) -> Result<SortCounts, Error> {
        let sql = format!(
            "SELECT countIf(__x = -inf) AS least, countIf(isFinite(__x)) AS finite, countIf(__x = inf) AS most, countIf(isNaN(__x)) AS nan, \
             countIf(isNull(__x)) AS missing FROM (SELECT {} AS __x FROM {}{})",
            number(column),
            file(table),
            only(table)
        );
        let counted: Vec<SortCounts> = self.ask(&sql, table, ASKED).await?;
        Ok(counted.first().copied().unwrap_or_default())
    }

    fn stream(&self, sql: &str, table: &Table, columns: usize) -> Result<Numbers, Error> {
        let url = self.store.url().to_owned();
        let client = self.store.client().clone().with_compression(Compression::None);
        let cursor = bind(client.query(sql), table).fetch_bytes("Native");
        let cursor = cursor.map_err(|error| Error::from_client(&error, &url, ASKED))?;
        Ok(Numbers { cursor, url, blocks: Blocks { columns: columns as u64, ..Blocks::default() } })
    }
}

/// A column as a double, `NULL` where it has none.
fn number((name, kind): (&str, Kind)) -> String {
    match kind {
        Kind::Number => format!("toFloat64({})", quoted(name)),
        _ => format!("toFloat64OrNull(toString({}))", quoted(name)),
    }
}

impl Numbers {
    /// The next piece: the position of a column among those asked for, and the little-endian words of some of its rows. Each column's
    /// pieces come in the order of its rows. `None` at the end.
    ///
    /// # Errors
    /// [`Error`] where the engine fails on the way, or sends what it should not.
    pub async fn next(&mut self) -> Result<Option<(usize, &[[u8; 8]])>, Error> {
        let (column, from, to) = loop {
            if let Some(piece) = self.blocks.piece()? {
                break piece;
            }
            match self.cursor.next().await {
                Ok(Some(bytes)) => self.blocks.push(&bytes),
                Ok(None) if self.blocks.are_whole() => return Ok(None),
                Ok(None) => return Err(malformed("the end of a block is missing")),
                Err(error) => return Err(Error::from_client(&error, &self.url, ASKED)),
            }
        };
        Ok(Some((column, self.blocks.pending[from..to].as_chunks().0)))
    }
}

impl Blocks {
    fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.read);
        self.read = 0;
        self.pending.extend_from_slice(bytes);
    }

    fn are_whole(&self) -> bool {
        self.read == self.pending.len() && self.left == 0
    }

    /// The next column of a block that has wholly come: its position, and where it lies.
    fn piece(&mut self) -> Result<Option<(usize, usize, usize)>, Error> {
        let mut rest = Reader { bytes: &self.pending, at: self.read };
        if self.left == 0 {
            let (Some(columns), Some(rows)) = (rest.number(), rest.number()) else { return Ok(None) };
            if columns != self.columns {
                return Err(malformed("a block has other columns than were asked for"));
            }
            (self.rows, self.left) = (rows, columns);
            self.read = rest.at;
        }
        let (Some(_name), Some(kind)) = (rest.word(), rest.word()) else { return Ok(None) };
        if kind != TYPE {
            return Err(malformed("a column is sent as another type than was asked for"));
        }
        let bytes = usize::try_from(self.rows).ok().and_then(|rows| rows.checked_mul(8));
        let (from, to) = (rest.at, bytes.and_then(|bytes| rest.at.checked_add(bytes)));
        let to = to.ok_or_else(|| malformed("a block is larger than memory"))?;
        if to > self.pending.len() {
            return Ok(None);
        }
        let column = (self.columns - self.left) as usize;
        self.left -= 1;
        self.read = to;
        Ok(Some((column, from, to)))
    }
}

fn malformed(what: &str) -> Error {
    Error::Malformed { asked: ASKED.to_owned(), reason: what.to_owned() }
}

/// A walk over bytes that may end anywhere.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A whole number, seven bits a byte, the last one below 128.
    fn number(&mut self) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            shift += 7;
            if byte < 0x80 {
                return Some(value);
            }
        }
    }

    /// Bytes after their number.
    fn word(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let word = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block as ClickHouse writes it: columns, rows, then for each column its name, its type and its words.
    fn block(columns: &[&[u64]], kind: &str) -> Vec<u8> {
        let mut bytes = vec![columns.len() as u8];
        let rows = columns[0].len();
        bytes.extend(if rows < 128 { vec![rows as u8] } else { vec![(rows & 0x7f) as u8 | 0x80, (rows >> 7) as u8] });
        for words in columns {
            bytes.extend([&[1, b'c', kind.len() as u8], kind.as_bytes()].concat());
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        bytes
    }

    fn read(bytes: &[u8], piece: usize) -> Result<[Vec<u64>; 2], Error> {
        let mut blocks = Blocks { columns: 2, ..Blocks::default() };
        let mut found = [vec![], vec![]];
        for bytes in bytes.chunks(piece) {
            blocks.push(bytes);
            while let Some((column, from, to)) = blocks.piece()? {
                let (words, _) = blocks.pending[from..to].as_chunks();
                found[column].extend(words.iter().map(|word| u64::from_le_bytes(*word)));
            }
        }
        if blocks.are_whole() { Ok(found) } else { Err(malformed("the end of a block is missing")) }
    }

    #[test]
    fn blocks_are_read_however_they_are_cut() {
        let (first, second): (Vec<u64>, Vec<u64>) = ((0..200).collect(), (0..200).map(|i| u64::MAX - i).collect());
        let bytes = [block(&[&first, &second], "UInt64"), block(&[&[], &[]], "UInt64"), block(&[&[7], &[8]], "UInt64")]
            .concat();
        let expected = [[&first[..], &[7]].concat(), [&second[..], &[8]].concat()];
        for piece in [1, 2, 3, 7, 8, 9, 100, 1_601, bytes.len()] {
            assert_eq!(read(&bytes, piece).unwrap(), expected, "pieces of {piece}");
        }
    }

    #[test]
    fn what_is_no_block_is_said() {
        let whole = block(&[&[1], &[2]], "UInt64");
        for (bytes, words) in [
            (whole[..whole.len() - 1].to_vec(), "the end of a block"),
            (block(&[&[1]], "UInt64"), "other columns"),
            (block(&[&[1], &[2]], "Int64"), "another type"),
            ([&[2][..], &[0xff; 9], &[0x01, 1, b'c', 6], b"UInt64"].concat(), "larger than memory"),
        ] {
            let said = read(&bytes, 5).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
    }
}
