//! Two files compared: which columns drifted, by how much, where, with every test there is.
//!
//! The choice: the raw values are at hand, so distances are exact, and one verdict is given from one look: a column is `drifted`
//! when its distance exceeds Delta by more than the margins of both samples (Dvoretzky, Kiefer, Wolfowitz, Massart), with the
//! chance of error split over all columns and segments. P-values are shown, and decide nothing.
//!
//! Files are read by the embedded engine, columns side by side within a budget of memory; one that does not fit is sorted by the
//! engine and walked as it comes, for the same figures. What is kept of a column is its report.

mod column;
pub mod html;
mod measure;
mod scan;
mod values;

use contract::api::{Distribution, DriftState};
use serde::Serialize;
use store::files::{Column, Files, Kind, Table};

pub(crate) use values::key;

use crate::judge::{
    distances::{CountTest, Distances},
    ks::Method,
    ranks::RankTest,
    wasserstein::Moved,
};

/// What is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Columns to judge; all where empty.
    pub columns: Vec<String>,
    /// Columns to leave out.
    pub exclude: Vec<String>,
    /// Columns whose values are judged each by itself as well.
    pub segments: Vec<String>,
    /// Values of a segment's column that are judged, the most frequent ones.
    pub segment_values_max: u64,
    /// Delta: the shift to ignore.
    pub delta_ignore: f64,
    /// Chance of any false `drifted` in the report.
    pub delta: f64,
    /// Level of the classical tests behind `watch`.
    pub alpha: f64,
    /// Samples that cannot show a shift of this size are `insufficient`.
    pub detectable_min: f64,
    /// Lines of the user's own; a column over one counts as drifted.
    pub limits: Vec<Limit>,
    /// Bytes of values held at a time.
    pub memory_bytes: u64,
}

/// A line of the user's own for one measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Limit {
    /// What is measured.
    pub measure: Measure,
    /// What it may come to.
    pub most: f64,
}

/// What a user may draw a line for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the names are the fields of the report
pub enum Measure {
    D,
    Psi,
    JensenShannon,
    Hellinger,
    TotalVariation,
    LInfinity,
    Wasserstein,
    Missing,
}

impl Measure {
    /// All of them, by the words that users type.
    pub const ALL: [(&'static str, Self); 8] = [
        ("d", Self::D),
        ("psi", Self::Psi),
        ("jensen-shannon", Self::JensenShannon),
        ("hellinger", Self::Hellinger),
        ("total-variation", Self::TotalVariation),
        ("l-infinity", Self::LInfinity),
        ("wasserstein", Self::Wasserstein),
        ("missing", Self::Missing),
    ];

    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::ALL.iter().find(|(_, measure)| *measure == self).map_or("", |(word, _)| word)
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The file compared with.
    pub reference: Side,
    /// The file compared.
    pub current: Side,
    /// Whether any column, whole or in a segment, drifted or passed a line.
    pub drifted: bool,
    /// Columns with too few values to tell, segments left out.
    pub insufficient: u64,
    /// What the verdicts promise and assume, in words.
    pub guarantee: String,
    /// What was not judged, and why.
    pub notes: Vec<String>,
    /// Columns, the most evident first.
    pub columns: Vec<ColumnReport>,
    /// Segments, those that drifted most first.
    pub segments: Vec<SegmentReport>,
}

impl Report {
    /// The report in a few words. Too little data is never a pass.
    #[must_use]
    pub fn summary(&self) -> String {
        let found = if self.drifted { "Drift found" } else { "No drift found" };
        match self.insufficient {
            0 => found.to_owned(),
            all if !self.drifted && all == self.columns.len() as u64 => {
                format!("Nothing could be judged: all {all} columns have too few values to tell")
            }
            some => format!("{found}, and {some} of {} columns have too few values to tell", self.columns.len()),
        }
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Side {
    /// As typed.
    pub file: String,
    /// Its rows.
    pub rows: u64,
}

/// The rows in which a column has one value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SegmentReport {
    /// The column.
    pub column: String,
    /// Its value.
    pub value: String,
    /// Rows of the reference.
    pub m: u64,
    /// Rows of the current file.
    pub n: u64,
    /// Columns, the most evident first.
    pub columns: Vec<ColumnReport>,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ColumnReport {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// The verdict.
    pub state: DriftState,
    /// One sentence: what moved where.
    pub sentence: String,
    /// Lines of the user's own that it passed.
    pub over: Vec<&'static str>,
    /// Values in the reference, whatever they are.
    pub m: u64,
    /// Values in the current file.
    pub n: u64,
    /// Exact Kolmogorov-Smirnov distance; of categories the largest difference of a share.
    pub d: Option<f64>,
    /// What `d` has to exceed.
    pub line: Option<f64>,
    /// Classical p-value of `d` (of categories: of the G test).
    pub p: Option<f64>,
    /// Its natural logarithm, finite where it underflows.
    pub log_p: Option<f64>,
    /// P-value given the ties, up to 10,000 values a side.
    pub p_ties: Option<f64>,
    /// How `p` was found.
    pub method: Option<Method>,
    /// `p` adjusted over columns (Benjamini-Hochberg).
    pub q: Option<f64>,
    /// Where the distance is reached.
    pub witness: Option<Place>,
    /// Distances over at most twenty merged bins.
    pub distances: Option<Distances>,
    /// What these stay below by chance in 95 of 100 cases.
    pub chance: Option<Distances>,
    /// Chi-square test over the merged bins.
    pub chi_square: Option<CountTest>,
    /// Rank tests; of numbers only.
    pub ranks: Option<Ranks>,
    /// How far values moved, in the column's own unit.
    pub wasserstein: Option<Moved>,
    /// Share of values that are missing, in the reference and now.
    pub missing: (f64, f64),
    /// Share of values that are NaN.
    pub nan: (f64, f64),
    /// Both distributions over the same bars.
    pub distribution: Option<Distribution>,
    /// Both distribution functions: value, share of the reference at or below it, share now.
    pub curve: Vec<(f64, f64, f64)>,
}

/// Where two distributions are farthest apart.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// A number, where there is one.
    pub value: Option<f64>,
    /// Or a name.
    pub name: Option<String>,
    /// Share of the reference at or below it, or with that name.
    pub reference: f64,
    /// The same now.
    pub current: f64,
}

/// Rank tests on the raw values.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranks {
    /// Cramer-von Mises.
    pub cramer_von_mises: RankTest,
    /// Anderson-Darling; `None` where all values are equal.
    pub anderson_darling: Option<RankTest>,
    /// Mann-Whitney; its statistic is U of the reference.
    pub mann_whitney: RankTest,
    /// Kuiper.
    pub kuiper: RankTest,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// The engine refused or did not answer.
    #[error("{file} cannot be read")]
    File {
        /// The file, as typed.
        file: String,
        /// What the engine said.
        source: store::Error,
    },
    /// A column that was named is not there.
    #[error("{file} has no column '{column}'; it has {known}")]
    NoColumn {
        /// The file.
        file: String,
        /// The name.
        column: String,
        /// Those there are.
        known: String,
    },
    /// A file has nothing in it.
    #[error("{0} has no rows; there is nothing to compare")]
    Empty(String),
    /// No column is in both files.
    #[error("{reference} and {current} have no column in common that can be judged")]
    NothingCommon {
        /// The reference.
        reference: String,
        /// The current file.
        current: String,
    },
    /// Distances of so many values are no whole numbers of 64 bits any more.
    #[error("{reference} rows against {current} are too many to compare value by value; sample the files")]
    TooMany {
        /// Rows of the reference.
        reference: u64,
        /// Rows of the current file.
        current: u64,
    },
}

/// A file as typed, and as the engine finds it.
#[derive(Clone, Debug)]
pub struct Source {
    /// As typed.
    pub shown: String,
    /// Absolute.
    pub path: String,
}

/// Compares two files. `progress` hears how many values of all that are to be read have been.
///
/// # Errors
/// [`OfflineError`].
pub async fn compare(
    files: &Files,
    reference: &Source,
    current: &Source,
    options: &Options,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, OfflineError> {
    let scan = scan::Scan::open(files, reference, current, options).await?;
    let segments = scan.segments(options).await?;
    let tests = scan.columns.len() as u64 * (1 + segments.len() as u64);
    let rule = column::Rule::new(options, tests);
    let mut columns = scan.judge(None, &rule, progress).await?;
    columns.extend(scan.absent());
    column::sort(&mut columns);
    let mut judged = Vec::with_capacity(segments.len());
    for (name, value) in segments {
        let columns = scan.judge(Some((&name, &value)), &rule, progress).await?;
        let (m, n) = columns.iter().fold((0, 0), |(m, n), one| (one.m.max(m), one.n.max(n)));
        judged.push(SegmentReport { column: name, value, m, n, columns });
    }
    let worst = |segment: &SegmentReport| segment.columns.first().map(column::evidence);
    judged.sort_by(|a, b| worst(b).partial_cmp(&worst(a)).unwrap_or(std::cmp::Ordering::Equal));
    let bad = |one: &ColumnReport| one.state == DriftState::Drifted || !one.over.is_empty();
    Ok(Report {
        drifted: columns.iter().any(bad) || judged.iter().any(|segment| segment.columns.iter().any(bad)),
        reference: Side { file: reference.shown.clone(), rows: scan.rows.0 },
        current: Side { file: current.shown.clone(), rows: scan.rows.1 },
        insufficient: columns.iter().filter(|one| one.state == DriftState::Insufficient).count() as u64,
        guarantee: column::guarantee(options, tests),
        notes: scan.notes.clone(),
        columns,
        segments: judged,
    })
}
