//! Reference files: CSV with a header line, or JSON lines, one column a feature.
//!
//! A CSV column is numbers if each of its cells is empty (missing) or reads as a number, `NaN` and `inf` among them; else it
//! is categories; so are `output.label` and the columns that the configuration names, whatever they read as (digits are
//! classes too). In JSON lines the values say what they are, and `null` or absence is missing.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
};

use contract::feature;
use serde_json::Value;

use crate::{
    config::{Freezing, RawBaseline},
    judge::reference::Reference,
};

/// Longest line of a JSON lines file, in bytes.
const LINE_MAX: usize = 16 << 20;

/// Why a reference file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("the reference file {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's account.
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("the reference file {}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// There is nothing in it, or too much.
    #[error("the reference file {} has {what}", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// What it has.
        what: String,
    },
}

/// One column.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Column {
    numbers: Vec<f64>,
    categories: BTreeMap<String, u64>,
    missing: u64,
}

impl Column {
    /// Its reference.
    pub(super) fn freeze(self, bins: usize) -> Reference {
        if self.categories.is_empty() {
            Reference::numbers(&self.numbers, self.missing, bins)
        } else {
            Reference::categories(self.categories.into_iter().collect(), self.missing, bins)
        }
    }
}

/// Reads a file's columns by name.
pub(super) fn read(source: &RawBaseline, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let path = source.file.as_path();
    let file = File::open(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let columns = match extension {
        "jsonl" | "ndjson" => json_lines(path, BufReader::new(file), limits)?,
        _ => csv_columns(source, file, limits)?,
    };
    let size = |what: String| FileError::Size { path: path.to_owned(), what };
    if columns.values().all(|column| column.numbers.is_empty() && column.categories.is_empty()) {
        return Err(size("no values; give a header line and at least one row".to_owned()));
    }
    if columns.len() > limits.features_max {
        return Err(size(format!("{} columns, and analyzer.max_features is {}", columns.len(), limits.features_max)));
    }
    Ok(columns)
}

fn csv_columns(source: &RawBaseline, file: File, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let path = source.file.as_path();
    let is_category = |name: &str| name == feature::OUTPUT_LABEL || source.categories.iter().any(|known| known == name);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
    let at = |line: u64, what: String| FileError::Line { path: path.to_owned(), line, what };
    let names = reader.headers().map_err(|error| at(1, error.to_string()))?.clone();
    let mut cells: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|error| at(row as u64 + 2, error.to_string()))?;
        if row as u64 >= limits.rows_max {
            return Err(too_long(path, limits));
        }
        for (column, cell) in cells.iter_mut().zip(&record) {
            column.push(cell.to_owned());
        }
    }
    let mut columns = BTreeMap::new();
    for (name, cells) in names.iter().zip(cells) {
        if name.is_empty() || columns.insert(name.to_owned(), typed(&cells, is_category(name))).is_some() {
            return Err(at(1, format!("the column name `{name}` is empty or there twice")));
        }
    }
    Ok(columns)
}

/// Numbers if every cell reads as one and nobody says otherwise, else categories.
fn typed(cells: &[String], is_category: bool) -> Column {
    let mut column = Column::default();
    let filled = || cells.iter().filter(|cell| !cell.is_empty());
    column.missing = (cells.len() - filled().count()) as u64;
    let numbers: Result<Vec<f64>, _> = filled().map(|cell| cell.parse()).collect();
    if let (Ok(numbers), false) = (numbers, is_category) {
        column.numbers = numbers;
    } else {
        for cell in filled() {
            *column.categories.entry(cell.clone()).or_default() += 1;
        }
    }
    column
}

fn json_lines(path: &Path, reader: impl BufRead, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    let mut rows = 0u64;
    for (index, line) in reader.lines().enumerate() {
        let at = |what: String| FileError::Line { path: path.to_owned(), line: index as u64 + 1, what };
        let line = line.map_err(|source| FileError::Read { path: path.to_owned(), source })?;
        if line.trim().is_empty() {
            continue;
        }
        if line.len() > LINE_MAX {
            return Err(at(format!("is longer than {LINE_MAX} bytes")));
        }
        if rows >= limits.rows_max {
            return Err(too_long(path, limits));
        }
        let row: serde_json::Map<String, Value> = serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
        for (name, value) in row {
            let column = columns.entry(name).or_default();
            take(column, &value).map_err(at)?;
        }
        rows += 1;
    }
    // Where a row has no value, nothing was pushed: what is left of all rows is missing.
    for column in columns.values_mut() {
        column.missing = rows - column.numbers.len() as u64 - column.categories.values().sum::<u64>();
    }
    Ok(columns)
}

fn take(column: &mut Column, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => {}
        Value::Number(number) if column.categories.is_empty() => {
            column.numbers.push(number.as_f64().unwrap_or(f64::NAN));
        }
        Value::Bool(_) | Value::String(_) if column.numbers.is_empty() => {
            let name = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            *column.categories.entry(name).or_default() += 1;
        }
        Value::Number(_) | Value::Bool(_) | Value::String(_) => {
            return Err(format!("{value} is among values of another type; keep a column to numbers or to texts"));
        }
        Value::Array(_) | Value::Object(_) => return Err(format!("{value} is neither a number nor a text")),
    }
    Ok(())
}

fn too_long(path: &Path, limits: &Freezing) -> FileError {
    let what = format!("more than {} rows, the limit of analyzer.baseline_rows", limits.rows_max);
    FileError::Size { path: path.to_owned(), what }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const LIMITS: Freezing = Freezing { bins: 16, rows_max: 100, features_max: 4 };

    fn parsed(suffix: &str, text: &str) -> Result<BTreeMap<String, Column>, FileError> {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let categories = vec!["input.code".to_owned()];
        read(&RawBaseline { file: file.path().to_owned(), categories }, &LIMITS)
    }

    #[test]
    fn csv_columns_find_their_types() {
        let columns = parsed(".csv", "input.a,input.b\n1,red\n,blue\nNaN,red\n").unwrap();
        let a = &columns["input.a"];
        assert_eq!((a.numbers.len(), a.missing), (2, 1));
        assert!(a.numbers[1].is_nan());
        assert_eq!(columns["input.b"].categories["red"], 2);
    }

    #[test]
    fn classes_that_read_as_numbers_stay_classes() {
        let columns = parsed(".csv", "output.label,input.code,input.n\n3,1,1\n3,2,2\n").unwrap();
        assert_eq!(columns["output.label"].categories["3"], 2);
        assert_eq!(columns["input.code"].categories.len(), 2);
        assert_eq!(columns["input.n"].numbers, [1.0, 2.0]);
    }

    #[test]
    fn json_lines_count_what_is_absent() {
        let columns = parsed(".jsonl", "{\"a\": 1}\n\n{\"a\": null, \"b\": \"x\"}\n{\"b\": \"y\"}\n").unwrap();
        assert_eq!((columns["a"].numbers.as_slice(), columns["a"].missing), (&[1.0][..], 2));
        assert_eq!((columns["b"].categories.len(), columns["b"].missing), (2, 1));
    }

    #[test]
    fn faults_name_file_line_and_reason() {
        for (suffix, text, words) in [
            (".csv", "a,b\n1,2,3\n", "line 2"),
            (".csv", "a,a\n1,2\n", "`a` is empty or there twice"),
            (".csv", "a\n", "no values"),
            (".csv", "a,b,c,d,e\n1,2,3,4,5\n", "5 columns"),
            (".jsonl", "{\"a\": 1}\n{\"a\": \"x\"}\n", "line 2: \"x\" is among values of another type"),
            (".jsonl", "{\"a\": [1]}\n", "neither a number nor a text"),
            (".jsonl", "nonsense\n", "line 1"),
        ] {
            let error = parsed(suffix, text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let absent = RawBaseline { file: "absent.csv".into(), categories: vec![] };
        let long = format!("a\n{}", "1\n".repeat(101));
        assert!(parsed(".csv", &long).unwrap_err().to_string().contains("more than 100 rows"));
        assert!(matches!(read(&absent, &LIMITS), Err(FileError::Read { .. })));
    }
}
