//! The values of columns of numbers, from two files to reports: read, sorted and compared side by side.
//!
//! The choice: while the engine reads some columns, those that came before are sorted and compared, all within one budget of memory.
//! Where columns can be read one by one (Parquet) few are read at a time; of other formats every scan reads every row, so as
//! many as there is room for. A column that fits by no means is sorted by the engine, on disk, and both sides are walked as they come.

use std::cell::RefCell;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use super::{ColumnReport, Files, Kind, OfflineError, Source, Table, column};
use crate::judge::order::{self, Group, Sorts};

/// Threads that sort and compare.
const THREADS_MAX: usize = 16;
/// Columns read at a time where they are read one by one.
const GROUP_MAX: usize = 4;
/// Pieces of a stream that wait to be walked.
const PIECES_WAITING: usize = 4;
/// How often who waits for the engine is told that it works.
const SIGN_OF_LIFE: std::time::Duration = std::time::Duration::from_secs(1);
/// Bytes of a value.
const VALUE_BYTES: u64 = 8;

/// Two files' columns of numbers.
pub(super) struct Values<'a> {
    pub(super) files: &'a Files,
    pub(super) sides: &'a (Source, Source),
    pub(super) tables: &'a (Table, Table),
    /// Rows of both.
    pub(super) rows: (u64, u64),
    pub(super) memory_bytes: u64,
}

/// How much is done at a time.
struct Room {
    /// Columns in memory, both sides of each.
    columns: usize,
    /// Of these, read together.
    group: usize,
    threads: usize,
}

/// What counts values that have come.
type Progress<'a> = RefCell<&'a mut dyn FnMut(u64)>;

impl Values<'_> {
    /// Measures all columns: the name, what it holds in the reference and what now.
    pub(super) async fn judge(
        &self,
        columns: &[&(String, Kind, Kind)],
        rule: &column::Rule,
        read: &mut dyn FnMut(u64),
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let (reference, current) = self.rows;
        if !columns.is_empty()
            && reference.checked_mul(current).is_none_or(|product| product > i64::MAX.cast_unsigned())
        {
            return Err(OfflineError::TooMany { reference, current });
        }
        let (read, rule) = (RefCell::new(read), Arc::new(rule.clone()));
        match self.room() {
            Some(room) => self.held(columns, &rule, &room, &read).await,
            None => {
                let mut reports = Vec::with_capacity(columns.len());
                for one in columns {
                    reports.push(self.streamed(one, &rule, &read).await?);
                }
                Ok(reports)
            }
        }
    }

    /// `None` where not even one column fits with what sorting it takes.
    fn room(&self) -> Option<Room> {
        let (m, n) = self.rows;
        let (one, scratch) = ((m + n).max(1) * VALUE_BYTES, m.max(n) * VALUE_BYTES);
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let fits = |threads: usize| {
            let columns = self.memory_bytes.saturating_sub(scratch * threads as u64) / one;
            (columns >= threads as u64).then_some((usize::try_from(columns).unwrap_or(usize::MAX), threads))
        };
        let (columns, threads) = (1..=cores).rev().find_map(fits)?;
        let columns = columns.min(Semaphore::MAX_PERMITS);
        let by_column = self.tables.0.by_column() && self.tables.1.by_column();
        let group = if by_column { (columns / 2).clamp(1, GROUP_MAX) } else { columns };
        Some(Room { columns, group, threads })
    }

    /// Columns that are held in memory, some at a time.
    async fn held(
        &self,
        columns: &[&(String, Kind, Kind)],
        rule: &Arc<column::Rule>,
        room: &Room,
        read: &Progress<'_>,
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let (places, cores) = (Arc::new(Semaphore::new(room.columns)), Arc::new(Semaphore::new(room.threads)));
        let mut work: JoinSet<ColumnReport> = JoinSet::new();
        for group in columns.chunks(room.group) {
            let mut taken = Vec::with_capacity(group.len());
            for _ in group {
                taken.extend(Arc::clone(&places).acquire_owned().await);
            }
            let before: Vec<(&str, Kind)> = group.iter().map(|(name, was, _)| (name.as_str(), *was)).collect();
            let now: Vec<(&str, Kind)> = group.iter().map(|(name, _, is)| (name.as_str(), *is)).collect();
            let (first, second) = tokio::try_join!(
                self.keys((&self.tables.0, &self.sides.0), &before, self.rows.0, read),
                self.keys((&self.tables.1, &self.sides.1), &now, self.rows.1, read)
            )?;
            for ((name, _), (keys, place)) in before.iter().zip(first.into_iter().zip(second).zip(taken)) {
                let (name, rule, cores) = ((*name).to_owned(), Arc::clone(rule), Arc::clone(&cores));
                work.spawn(async move {
                    let core = cores.acquire_owned().await;
                    let measured = move || column::numbers(&name, keys.0, keys.1, &rule);
                    let report = joined(tokio::task::spawn_blocking(measured).await);
                    drop((core, place));
                    report
                });
            }
        }
        Ok(work.join_all().await)
    }

    /// The keys of some columns, unsorted.
    async fn keys(
        &self,
        (table, side): (&Table, &Source),
        columns: &[(&str, Kind)],
        rows: u64,
        read: &Progress<'_>,
    ) -> Result<Vec<Vec<u64>>, OfflineError> {
        let room = usize::try_from(rows).unwrap_or(0);
        let mut keys: Vec<Vec<u64>> = columns.iter().map(|_| Vec::with_capacity(room)).collect();
        let mut numbers = self.files.numbers(table, columns).map_err(said(side))?;
        while let Some((column, words)) = numbers.next().await.map_err(said(side))? {
            keys[column].extend(words.iter().map(|word| key(u64::from_le_bytes(*word))));
            (read.borrow_mut())(words.len() as u64);
        }
        Ok(keys)
    }

    /// A column that is never held: both sides come sorted, and are walked piece by piece.
    async fn streamed(
        &self,
        (name, was, is): &(String, Kind, Kind),
        rule: &Arc<column::Rule>,
        read: &Progress<'_>,
    ) -> Result<ColumnReport, OfflineError> {
        let (first, second) = ((&self.tables.0, &self.sides.0), (&self.tables.1, &self.sides.1));
        let sorts = (self.sorts(first, (name, *was)).await?, self.sorts(second, (name, *is)).await?);
        let (to_first, from_first) = mpsc::channel(PIECES_WAITING);
        let (to_second, from_second) = mpsc::channel(PIECES_WAITING);
        let walked = {
            let (name, rule) = (name.clone(), Arc::clone(rule));
            let groups = groups(Pieces::new(from_first), Pieces::new(from_second));
            tokio::task::spawn_blocking(move || column::in_order(&name, sorts, groups, None, &rule))
        };
        // what one of them says of a failure is what ends both; the walk ends with what it was fed
        let fed = tokio::try_join!(
            self.feed(first, (name, *was), to_first, read),
            self.feed(second, (name, *is), to_second, read)
        );
        let report = joined(walked.await);
        fed.map(|_| report)
    }

    async fn sorts(&self, (table, side): (&Table, &Source), column: (&str, Kind)) -> Result<Sorts, OfflineError> {
        let store::files::SortCounts { least, finite, most, nan, missing } =
            self.files.sorts(table, column).await.map_err(said(side))?;
        Ok(Sorts { least, finite, most, nan, missing })
    }

    async fn feed(
        &self,
        (table, side): (&Table, &Source),
        column: (&str, Kind),
        to: mpsc::Sender<Vec<u64>>,
        read: &Progress<'_>,
    ) -> Result<(), OfflineError> {
        let mut places = self.files.sorted(table, column, self.memory_bytes / 2).map_err(said(side))?;
        loop {
            let Ok(next) = tokio::time::timeout(SIGN_OF_LIFE, places.next()).await else {
                // it is being sorted
                (read.borrow_mut())(0);
                continue;
            };
            let Some((_, words)) = next.map_err(said(side))? else { return Ok(()) };
            let piece: Vec<u64> = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
            (read.borrow_mut())(piece.len() as u64);
            // nobody reads on only where the walk panicked, which is said when it is joined
            if to.send(piece).await.is_err() {
                return Ok(());
            }
        }
    }
}

pub(super) fn said(source: &Source) -> impl Fn(store::Error) -> OfflineError + '_ {
    |error| OfflineError::File { file: source.shown.clone(), source: error }
}

/// The place of a file's number in our order.
pub(crate) fn key(bits: u64) -> u64 {
    if bits == store::files::MISSING_BITS { order::MISSING } else { order::key(f64::from_bits(bits)) }
}

/// A column that cannot be measured is a defect to be seen, not a column less in the report.
fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> T {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// A sorted sample that comes in pieces.
struct Pieces {
    from: mpsc::Receiver<Vec<u64>>,
    piece: Vec<u64>,
    at: usize,
}

impl Pieces {
    const fn new(from: mpsc::Receiver<Vec<u64>>) -> Self {
        Self { from, piece: Vec::new(), at: 0 }
    }

    /// The next value, left where it is.
    fn peek(&mut self) -> Option<u64> {
        while self.at == self.piece.len() {
            self.piece = self.from.blocking_recv()?;
            self.at = 0;
        }
        self.piece.get(self.at).copied()
    }

    /// How many of the next values are this one.
    fn pass(&mut self, key: u64) -> u64 {
        let mut passed = 0;
        while self.peek() == Some(key) {
            self.at += 1;
            passed += 1;
        }
        passed
    }
}

/// Equal values of two samples that come in order.
fn groups(mut first: Pieces, mut second: Pieces) -> impl Iterator<Item = Group> {
    std::iter::from_fn(move || {
        let key = match (first.peek(), second.peek()) {
            (Some(a), Some(b)) => a.min(b),
            (a, b) => a.or(b)?,
        };
        Some(Group { key, first: first.pass(key), second: second.pass(key) })
    })
}
