//! Reading two files: which columns they share, which segments, and the verdicts on all of them.

use super::values::{Values, said};
use super::{Column, ColumnReport, Files, Kind, OfflineError, Options, Source, Table, column};

/// Names of a category that are kept.
const NAMES_MAX: u64 = 4_096;
/// Names of the current file that are looked at, so that a rare one is not taken for absent.
const NAMES_SEEN_MAX: u64 = 65_536;

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
        let in_one = |name: &String| known(name) || now.iter().any(|column| column.name == *name);
        let unknown = options.exclude.iter().find(|name| !in_one(name));
        let unknown = options.columns.iter().chain(&options.segments).find(|name| !known(name)).or(unknown);
        if let Some(column) = unknown {
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
        rows: (u64, u64),
        columns: &[&(String, Kind, Kind)],
        rule: &column::Rule,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Vec<ColumnReport>, OfflineError> {
        let (mut done, all) = (0, (rows.0 + rows.1) * columns.len() as u64);
        let mut read = |values: u64| {
            done += values;
            progress(done, all);
        };
        read(0);
        let (files, sides, memory_bytes) = (self.files, &self.sides, self.memory_bytes);
        Values { files, sides, tables, rows, memory_bytes }.judge(columns, rule, &mut read).await
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
