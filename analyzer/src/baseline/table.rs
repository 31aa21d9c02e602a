//! A reference from a file of any format that the engine reads: Parquet, CSV, JSON lines, compressed or not.
//!
//! The readers are those of `driftline drift`, so a file means the same to both. Whole columns pass through memory a few at a time; what is
//! left of each is its counts.

use contract::feature;
use store::{
    files::{Column, Files, Kind, NameCount, Table},
    read::bin,
};

use super::{Baseline, BaselineError, FileError, Frozen};
use crate::{
    config::Freezing,
    judge::{order, reference::Reference},
    offline::{self, Source},
};

/// Values held at a time.
const VALUES_MAX: usize = 8 << 20;
/// Names of a column that are looked at, so that how often a value is missing is known beside them.
const NAMES_SEEN_MAX: u64 = 100_000;

/// Freezes a file's columns, which are named like features. `output.label` and those in `categories` are categories whatever they read as.
///
/// # Errors
/// [`BaselineError`] where the engine cannot read it, or there is nothing in it, or too much.
pub async fn from_table(
    files: &Files,
    model: &str,
    source: &Source,
    categories: &[String],
    limits: &Freezing,
    now_ms: i64,
) -> Result<Baseline, BaselineError> {
    let table = Table { path: source.path.clone(), only: None };
    let size = |what: String| BaselineError::File(FileError::Size { path: source.shown.clone().into(), what });
    let columns = files.columns(&table).await?;
    if let Some(absent) = categories.iter().find(|name| columns.iter().all(|column| column.name != **name)) {
        return Err(size(format!("no column '{absent}', which is to hold categories")));
    }
    let is_category = |column: &Column| {
        column.kind == Kind::Category || column.name == feature::OUTPUT_LABEL || categories.contains(&column.name)
    };
    let (names, numbers): (Vec<Column>, Vec<Column>) =
        columns.into_iter().filter(|column| column.kind != Kind::Other).partition(is_category);
    if names.len() + numbers.len() > limits.features_max {
        let columns = names.len() + numbers.len();
        return Err(size(format!("{columns} columns, and analyzer.max_features is {}", limits.features_max)));
    }
    let rows = files.rows(&table).await?;
    if rows == 0 || names.len() + numbers.len() == 0 {
        return Err(size("no values; give columns of numbers or words, and at least one row".to_owned()));
    }
    if rows > limits.rows_max {
        let most = limits.rows_max;
        return Err(size(format!(
            "{rows} rows, and the limit is {most} (analyzer.baseline_rows): sample it, or raise the limit"
        )));
    }
    let mut features = self::numbers(files, &table, &numbers, rows, limits).await?;
    features.extend(self::names(files, &table, &names, rows, limits).await?);
    Ok(Baseline::new(model, "", now_ms, features))
}

async fn numbers(
    files: &Files,
    table: &Table,
    columns: &[Column],
    rows: u64,
    limits: &Freezing,
) -> Result<Vec<Frozen>, store::Error> {
    let rows = usize::try_from(rows).unwrap_or(usize::MAX);
    let mut features = Vec::with_capacity(columns.len());
    let mut scratch = Vec::new();
    for group in columns.chunks((VALUES_MAX / rows.max(1)).max(1)) {
        let asked: Vec<(&str, Kind)> = group.iter().map(|column| (column.name.as_str(), column.kind)).collect();
        let mut keys: Vec<Vec<u64>> = group.iter().map(|_| Vec::with_capacity(rows)).collect();
        let mut numbers = files.numbers(table, &asked)?;
        while let Some((column, words)) = numbers.next().await? {
            keys[column].extend(words.iter().map(|word| offline::key(u64::from_le_bytes(*word))));
        }
        features.extend(group.iter().zip(keys).map(|(column, mut keys)| {
            order::sort(&mut keys, &mut scratch);
            frozen(column, Reference::of_sorted(&keys, limits.bins))
        }));
    }
    Ok(features)
}

async fn names(
    files: &Files,
    table: &Table,
    columns: &[Column],
    rows: u64,
    limits: &Freezing,
) -> Result<Vec<Frozen>, store::Error> {
    let asked: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let counts = files.names(table, &asked, NAMES_SEEN_MAX).await?;
    let one = |(at, column): (usize, &Column)| {
        let of_it = || counts.iter().filter(move |count| count.column as usize == at);
        // an empty word in a CSV is no value, as in the files of the configuration
        let given = |count: &&NameCount| count.name.as_ref().is_some_and(|name| !name.is_empty());
        let named = of_it().filter(given).map(|count| (count.name.clone().unwrap_or_default(), count.rows)).collect();
        let missing = of_it().filter(|count| !given(count)).map(|count| count.rows).sum();
        let unseen = rows - of_it().map(|count| count.rows).sum::<u64>().min(rows);
        frozen(column, Reference::categories(named, missing, limits.bins).plus(bin::NEVER_SEEN, unseen))
    };
    Ok(columns.iter().enumerate().map(one).collect())
}

fn frozen(column: &Column, reference: Reference) -> Frozen {
    Frozen { name: column.name.clone(), reference, provisional: false }
}
