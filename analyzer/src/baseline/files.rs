//! Reference files: CSV with a header line, or JSON lines, one column a feature.
//!
//! A CSV column is numbers if each of its cells is empty (missing) or reads as a number, `NaN` and `inf` among them; else it
//! is categories; so are `output.label` and the columns that the configuration names, whatever they read as (digits are
//! classes too). In JSON lines the values say what they are, and `null` or absence is missing.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use contract::feature;
use serde_json::Value;

use crate::{
    config::{Freezing, RawBaseline},
    judge::reference::Reference,
};

/// Longest line, in bytes.
const LINE_MAX: usize = 16 << 20;
/// Bytes of the different texts that a file may hold, with what it costs to keep each.
const TEXTS_MAX: usize = 256 << 20;
const TEXT_COST: usize = 64;

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

/// Reads a file's columns by name. Reading stops where a limit is passed: what is held is bounded by the limits, not by the file.
pub(super) fn read(source: &RawBaseline, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let path = source.file.as_path();
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let columns = match extension {
        "jsonl" | "ndjson" => json_lines(path, limits)?,
        _ => csv_columns(source, limits)?,
    };
    if columns.values().all(|column| column.numbers.is_empty() && column.categories.is_empty()) {
        return Err(size(path, "no values; give a header line and at least one row".to_owned()));
    }
    Ok(columns)
}

fn open(path: &Path) -> Result<Bounded, FileError> {
    let file = File::open(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    Ok(Bounded { file, left: Rc::new(Cell::new(LINE_MAX)) })
}

fn size(path: &Path, what: String) -> FileError {
    FileError::Size { path: path.to_owned(), what }
}

fn check_width(path: &Path, columns: usize, limits: &Freezing) -> Result<(), FileError> {
    let what = || format!("{columns} columns, and analyzer.max_features is {}", limits.features_max);
    if columns > limits.features_max { Err(size(path, what())) } else { Ok(()) }
}

/// Twice through the file: only its end says which columns are numbers, and cells that wait for it would be texts in memory, ten times as
/// large as the file.
fn csv_columns(source: &RawBaseline, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let path = source.file.as_path();
    let (names, mut are_numbers) = (names(path, limits)?, Vec::new());
    are_numbers.resize(names.len(), true);
    each_row(path, limits, |row| {
        let cells = are_numbers.iter_mut().zip(row).filter(|(is_number, _)| **is_number);
        cells.for_each(|(is_number, cell)| *is_number = cell.is_empty() || cell.parse::<f64>().is_ok());
        Ok(())
    })?;
    let is_category = |name: &str| name == feature::OUTPUT_LABEL || source.categories.iter().any(|known| known == name);
    names.iter().zip(&mut are_numbers).for_each(|(name, is_number)| *is_number &= !is_category(name));
    let (mut columns, mut held) = (Vec::new(), Held::default());
    columns.resize_with(names.len(), Column::default);
    each_row(path, limits, |row| {
        columns.iter_mut().zip(&are_numbers).zip(row).try_for_each(|((column, is_number), cell)| {
            match (cell.is_empty(), is_number) {
                (true, _) => column.missing += 1,
                (false, false) => held.count(column, cell)?,
                (false, true) => {
                    let changed = |_| format!("{cell} was a number a moment ago: the file changed while it was read");
                    column.numbers.push(cell.parse::<f64>().map_err(changed)?);
                }
            }
            Ok(())
        })
    })?;
    Ok(names.into_iter().zip(columns).collect())
}

/// Names of the columns, each there once.
fn names(path: &Path, limits: &Freezing) -> Result<Vec<String>, FileError> {
    let at = |what: String| FileError::Line { path: path.to_owned(), line: 1, what };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(open(path)?);
    let names: Vec<String> =
        reader.headers().map_err(|error| at(error.to_string()))?.iter().map(str::to_owned).collect();
    check_width(path, names.len(), limits)?;
    for (n, name) in names.iter().enumerate() {
        if name.is_empty() || names[..n].contains(name) {
            return Err(at(format!("the column name `{name}` is empty or there twice")));
        }
    }
    Ok(names)
}

/// Hands on the cells of each row below the header.
fn each_row(
    path: &Path,
    limits: &Freezing,
    mut take: impl FnMut(&csv::StringRecord) -> Result<(), String>,
) -> Result<(), FileError> {
    let bounded = open(path)?;
    let left = Rc::clone(&bounded.left);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bounded);
    let mut record = csv::StringRecord::new();
    for row in 0u64.. {
        let at = |what: String| FileError::Line { path: path.to_owned(), line: row + 2, what };
        left.set(LINE_MAX);
        if !reader.read_record(&mut record).map_err(|error| at(error.to_string()))? {
            break;
        }
        if row >= limits.rows_max {
            return Err(too_long(path, limits));
        }
        take(&record).map_err(at)?;
    }
    Ok(())
}

fn json_lines(path: &Path, limits: &Freezing) -> Result<BTreeMap<String, Column>, FileError> {
    let (mut columns, mut held): (BTreeMap<String, Column>, Held) = Default::default();
    let bounded = open(path)?;
    let left = Rc::clone(&bounded.left);
    let (mut reader, mut line, mut rows) = (BufReader::new(bounded), String::new(), 0u64);
    for number in 1u64.. {
        let at = |what: String| FileError::Line { path: path.to_owned(), line: number, what };
        line.clear();
        left.set(LINE_MAX);
        if reader.read_line(&mut line).map_err(|error| at(error.to_string()))? == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        if rows >= limits.rows_max {
            return Err(too_long(path, limits));
        }
        let row: serde_json::Map<String, Value> = serde_json::from_str(&line).map_err(|error| at(error.to_string()))?;
        for (name, value) in row {
            if !columns.contains_key(&name) {
                check_width(path, columns.len() + 1, limits)?;
            }
            take(columns.entry(name).or_default(), &mut held, &value).map_err(at)?;
        }
        rows += 1;
    }
    // Where a row has no value, nothing was pushed: what is left of all rows is missing.
    for column in columns.values_mut() {
        column.missing = rows - column.numbers.len() as u64 - column.categories.values().sum::<u64>();
    }
    Ok(columns)
}

fn take(column: &mut Column, held: &mut Held, value: &Value) -> Result<(), String> {
    match value {
        Value::Null => Ok(()),
        Value::Number(number) if column.categories.is_empty() => {
            column.numbers.push(number.as_f64().unwrap_or(f64::NAN));
            Ok(())
        }
        Value::String(text) if column.numbers.is_empty() => held.count(column, text),
        Value::Bool(_) if column.numbers.is_empty() => held.count(column, &value.to_string()),
        Value::Number(_) | Value::Bool(_) | Value::String(_) => {
            Err(format!("{value} is among values of another type; keep a column to numbers or to texts"))
        }
        Value::Array(_) | Value::Object(_) => Err(format!("{value} is neither a number nor a text")),
    }
}

/// Bytes of the different texts of all columns.
#[derive(Default)]
struct Held(usize);

impl Held {
    fn count(&mut self, column: &mut Column, text: &str) -> Result<(), String> {
        if let Some(n) = column.categories.get_mut(text) {
            *n += 1;
            return Ok(());
        }
        self.0 += text.len() + TEXT_COST;
        if self.0 > TEXTS_MAX {
            return Err(format!(
                "different texts have passed {TEXTS_MAX} bytes; leave out columns that name each row, such as ids and free texts"
            ));
        }
        column.categories.insert(text.to_owned(), 1);
        Ok(())
    }
}

/// A file of which no line may be longer than what is left, which whoever reads lines sets anew at each: an open quote would make a whole
/// file one.
struct Bounded {
    file: File,
    left: Rc<Cell<usize>>,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left.get() == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it is longer than {LINE_MAX} bytes")));
        }
        let read = self.file.read(buffer)?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

fn too_long(path: &Path, limits: &Freezing) -> FileError {
    size(path, format!("more than {} rows, the limit of analyzer.baseline_rows", limits.rows_max))
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
    fn a_column_is_what_its_last_row_says() {
        let columns = parsed(".csv", "input.a,input.b\n1,1\n2.50,\nx,2\n").unwrap();
        let texts: Vec<&str> = columns["input.a"].categories.keys().map(String::as_str).collect();
        assert_eq!(texts, ["1", "2.50", "x"], "numbers before it are kept as they were written");
        assert_eq!((columns["input.b"].numbers.as_slice(), columns["input.b"].missing), (&[1.0, 2.0][..], 1));
    }

    /// The whole file was in memory before a limit was looked at, and the process was killed at each start.
    #[test]
    fn reading_ends_where_a_limit_is_passed() {
        for (suffix, text, words) in [
            // what is wrong further on is not reached
            (".csv", "a,b,c,d,e\n1,2\n".to_owned(), "5 columns"),
            (
                ".jsonl",
                "{\"a\": 1, \"b\": 1, \"c\": 1, \"d\": 1, \"e\": 1, \"f\": 1}\nnonsense\n".to_owned(),
                "5 columns",
            ),
            (".csv", format!("a\n1\n\"{}\n", "1\n".repeat(LINE_MAX)), "line 3: it is longer than"),
            (".csv", format!("{}\n1\n", "a".repeat(LINE_MAX + (64 << 10))), "line 1: it is longer than"),
            (
                ".jsonl",
                format!("{{\"a\": 1}}\n{{\"a\": {}}}\n", "1".repeat(LINE_MAX + (64 << 10))),
                "line 2: it is longer than",
            ),
        ] {
            let error = parsed(suffix, &text).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn ids_are_no_categories() {
        let (mut column, mut held) = (Column::default(), Held(TEXTS_MAX - 2 * (TEXT_COST + 1)));
        assert_eq!(
            (held.count(&mut column, "a"), held.count(&mut column, "b"), held.count(&mut column, "a")),
            (Ok(()), Ok(()), Ok(()))
        );
        assert!(held.count(&mut column, "c").unwrap_err().contains("such as ids"));
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
