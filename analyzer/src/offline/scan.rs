//! Reading two files: which columns they share, and their values, group by group.

use super::{Column, ColumnReport, Files, Kind, OfflineError, Options, Source, Table, column};
use crate::judge::order;

/// Names of a category that are kept.
const NAMES_MAX: u64 = 4_096;
/// Names of the current file that are looked at, so that a rare one is not taken for absent.
const NAMES_SEEN_MAX: u64 = 65_536;
/// Threads that sort and compare.
const THREADS_MAX: usize = 16;

/// Two files open for reading.
pub(super) struct Scan<'a> {
    files: &'a Files,
    sides: (Source, Source),
    memory_bytes: u64,
    /// Columns judged: the name, what it holds in the reference and what now.
    pub(super) columns: Vec<(String, Kind, Kind)>,
    /// Columns of the reference that are gone.
    gone: Vec<(String, Kind)>,
    /// Rows of both.
    pub(super) rows: (u64, u64),
    /// What is not judged, and why.
    pub(super) notes: Vec<String>,
}

fn whole(source: &Source) -> Table {
    Table { path: source.path.clone(), only: None }
}

fn said(source: &Source) -> impl Fn(store::Error) -> OfflineError + '_ {
    |error| OfflineError::File { file: source.shown.clone(), source: error }
}

impl<'a> Scan<'a> {
    pub(super) async fn open(
        files: &'a Files,
        reference: &Source,
        current: &Source,
        options: &Options,
    ) -> Result<Self, OfflineError> {
        let before = files.columns(&whole(reference)).await.map_err(said(reference))?;
        let now = files.columns(&whole(current)).await.map_err(said(current))?;
        let known = |name: &String| before.iter().any(|column| column.name == *name);
        if let Some(column) = options.columns.iter().chain(&options.segments).find(|name| !known(name)) {
            let known: Vec<&str> = before.iter().map(|column| column.name.as_str()).collect();
            let (file, known) = (reference.shown.clone(), known.join(", "));
            return Err(OfflineError::NoColumn { file, column: column.clone(), known });
        }
        if let Some(column) = options.segments.iter().find(|name| now.iter().all(|column| column.name != **name)) {
            let known: Vec<&str> = now.iter().map(|column| column.name.as_str()).collect();
            let (file, known) = (current.shown.clone(), known.join(", "));
            return Err(OfflineError::NoColumn { file, column: column.clone(), known });
        }
        let mut rows = (0, 0);
        for (rows, side) in [(&mut rows.0, reference), (&mut rows.1, current)] {
            *rows = files.rows(&whole(side)).await.map_err(said(side))?;
            if *rows == 0 {
                return Err(OfflineError::Empty(side.shown.clone()));
            }
        }
        let mut scan = Self {
            files,
            sides: (reference.clone(), current.clone()),
            memory_bytes: options.memory_bytes,
            columns: Vec::new(),
            gone: Vec::new(),
            rows,
            notes: Vec::new(),
        };
        scan.pair(&before, &now, options);
        if scan.columns.is_empty() && scan.gone.is_empty() {
            let (reference, current) = (reference.shown.clone(), current.shown.clone());
            return Err(OfflineError::NothingCommon { reference, current });
        }
        Ok(scan)
    }

    /// Which columns are judged, and what is said of the others.
    fn pair(&mut self, before: &[Column], now: &[Column], options: &Options) {
        let wanted = |name: &String| {
            (options.columns.is_empty() || options.columns.contains(name)) && !options.exclude.contains(name)
        };
        for Column { name, kind } in before.iter().filter(|column| wanted(&column.name)) {
            let found = now.iter().find(|column| column.name == *name);
            match (kind, found) {
                (Kind::Other, _) => self.notes.push(format!("'{name}' holds lists or maps and is not judged.")),
                (_, None) => self.gone.push((name.clone(), *kind)),
                (_, Some(found)) => {
                    if found.kind != *kind {
                        self.notes.push(format!("'{name}' {}.", changed(*kind)));
                    }
                    self.columns.push((name.clone(), *kind, found.kind));
                }
            }
        }
        let new = now.iter().filter(|column| wanted(&column.name) && before.iter().all(|old| old.name != column.name));
        self.notes.extend(new.map(|column| format!("'{}' is new and has no reference.", column.name)));
    }

    /// Columns that are gone, as findings.
    pub(super) fn absent(&self) -> impl Iterator<Item = ColumnReport> + '_ {
        self.gone.iter().map(|(name, kind)| column::gone(name, *kind, self.rows))
    }

    /// The segments to judge: a column and one of its values.
    pub(super) async fn segments(&self, options: &Options) -> Result<Vec<(String, String)>, OfflineError> {
        let mut segments = Vec::new();
        for name in &options.segments {
            let limit = options.segment_values_max;
            for side in [&self.sides.0, &self.sides.1] {
                for (value, _) in self.files.values(&whole(side), name, limit).await.map_err(said(side))? {
                    let segment = (name.clone(), value);
                    if !segments.contains(&segment) {
                        segments.push(segment);
                    }
                }
            }
        }
        Ok(segments)
    }

    /// Judges all columns over the rows of a segment, or over all.
    pub(super) async fn judge(
        &self,
        segment: Option<(&str, &str)>,
        rule: &column::Rule,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let only = segment.map(|(column, value)| (column.to_owned(), value.to_owned()));
        let table = |source: &Source| Table { only: only.clone(), ..whole(source) };
        let tables = (table(&self.sides.0), table(&self.sides.1));
        let rows = if segment.is_none() {
            self.rows
        } else {
            let before = self.files.rows(&tables.0).await.map_err(said(&self.sides.0))?;
            (before, self.files.rows(&tables.1).await.map_err(said(&self.sides.1))?)
        };
        let judged = |name: &str| segment.is_none_or(|(column, _)| column != name);
        let of = |kind: Kind| self.columns.iter().filter(move |(name, was, _)| *was == kind && judged(name));
        let numbers: Vec<&(String, Kind, Kind)> = of(Kind::Number).collect();
        let mut reports = self.numbers(&tables, rows, &numbers, rule, progress).await?;
        let names: Vec<&str> = of(Kind::Category).map(|(name, ..)| name.as_str()).collect();
        reports.extend(self.categories(&tables, rows, &names, rule).await?);
        column::decide(&mut reports, rule);
        if segment.is_some() {
            // a report of many segments stays small enough to read
            reports.iter_mut().for_each(column::ColumnReport::drop_drawings);
        }
        column::sort(&mut reports);
        Ok(reports)
    }

    async fn numbers(
        &self,
        tables: &(Table, Table),
        (m, n): (u64, u64),
        columns: &[&(String, Kind, Kind)],
        rule: &column::Rule,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let one = (m + n).max(1) * 8;
        if one > self.memory_bytes && !columns.is_empty() {
            return Err(OfflineError::Memory { needed: one.div_ceil(1 << 20), limit: self.memory_bytes >> 20 });
        }
        let at_once = usize::try_from(self.memory_bytes / one).unwrap_or(usize::MAX).max(1);
        let all = (m + n) * columns.len() as u64;
        let (mut done, mut reports) = (0, Vec::with_capacity(columns.len()));
        for group in columns.chunks(at_once) {
            let before: Vec<(&str, Kind)> = group.iter().map(|(name, was, _)| (name.as_str(), *was)).collect();
            let now: Vec<(&str, Kind)> = group.iter().map(|(name, _, is)| (name.as_str(), *is)).collect();
            let mut tell = |values: u64| {
                done += values;
                progress(done, all);
            };
            let first = self.values(&tables.0, &before, m, &mut tell).await.map_err(said(&self.sides.0))?;
            let second = self.values(&tables.1, &now, n, &mut tell).await.map_err(said(&self.sides.1))?;
            let work = before.iter().map(|(name, _)| (*name).to_owned()).zip(first.into_iter().zip(second)).collect();
            reports.extend(side_by_side(work, rule));
        }
        Ok(reports)
    }

    /// The keys of some columns, unsorted.
    async fn values(
        &self,
        table: &Table,
        columns: &[(&str, Kind)],
        rows: u64,
        tell: &mut (dyn FnMut(u64) + '_),
    ) -> Result<Vec<Vec<u64>>, store::Error> {
        let room = usize::try_from(rows).unwrap_or(0);
        let mut keys: Vec<Vec<u64>> = columns.iter().map(|_| Vec::with_capacity(room)).collect();
        let take = |bytes: &[u8]| {
            let (words, _) = bytes.as_chunks::<8>();
            for row in words.chunks_exact(columns.len()) {
                for (keys, word) in keys.iter_mut().zip(row) {
                    keys.push(key(u64::from_le_bytes(*word)));
                }
            }
            tell(words.len() as u64);
        };
        self.files.numbers(table, columns, take).await?;
        Ok(keys)
    }

    async fn categories(
        &self,
        tables: &(Table, Table),
        rows: (u64, u64),
        columns: &[&str],
        rule: &column::Rule,
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let before = self.files.names(&tables.0, columns, NAMES_MAX).await.map_err(said(&self.sides.0))?;
        let now = self.files.names(&tables.1, columns, NAMES_SEEN_MAX).await.map_err(said(&self.sides.1))?;
        let of = |counts: &[store::files::NameCount], at: usize| {
            counts.iter().filter(|count| count.column as usize == at).cloned().collect::<Vec<_>>()
        };
        let reports = columns.iter().enumerate();
        Ok(reports.map(|(at, name)| column::categories(name, (&of(&before, at), &of(&now, at)), rows, rule)).collect())
    }
}

/// What is said of a column that held one kind and holds the other: values are read as what they were.
const fn changed(was: Kind) -> &'static str {
    match was {
        Kind::Number => "held numbers and holds words now; what is no number counts as missing",
        _ => "held words and holds numbers now; the numbers are compared as words",
    }
}

fn key(bits: u64) -> u64 {
    if bits == store::files::MISSING_BITS { order::MISSING } else { order::key(f64::from_bits(bits)) }
}

/// A column by name, with its keys of both sides.
type Work = (String, (Vec<u64>, Vec<u64>));

/// A column that cannot be measured is a defect to be seen, not a column less in the report.
fn joined<T>(worker: std::thread::ScopedJoinHandle<'_, T>) -> T {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Sorts and compares columns on all cores, in their order.
fn side_by_side(work: Vec<Work>, rule: &column::Rule) -> Vec<ColumnReport> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX).min(work.len().max(1));
    let queue = std::sync::Mutex::new(work.into_iter().enumerate());
    let next = || queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner).next();
    let one = || {
        let mut reports = Vec::new();
        while let Some((at, (name, (first, second)))) = next() {
            reports.push((at, column::numbers(&name, first, second, rule)));
        }
        reports
    };
    let mut reports: Vec<(usize, ColumnReport)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        workers.into_iter().flat_map(joined).collect()
    });
    reports.sort_by_key(|(at, _)| *at);
    reports.into_iter().map(|(_, report)| report).collect()
}
