//! Tables in files: what columns a CSV, Parquet or JSON-lines file has, and its values, as the engine reads them.
//!
//! The choice: an engine of its own in a folder of its own reads the files where they lie, so that every format and
//! compression that ClickHouse knows is known here and no row passes through a parser of ours. Numbers leave it as the 64 bits
//! of a double, column by column, in one scan for as many columns as the caller has room for.

mod numbers;

use std::path::Path;

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::engine::{Engine, EngineConfig, EngineError};
use crate::{Config, Error, RawConfig, Store};

pub use numbers::{Numbers, SortCounts};

/// The bits that stand for "no value": a NaN that no arithmetic makes.
pub const MISSING_BITS: u64 = u64::MAX;

/// Longest scan of a file.
const SCAN_WITHIN: std::time::Duration = std::time::Duration::from_secs(24 * 3_600);

/// An engine that answers about files. Dropping it ends it.
#[derive(Debug)]
pub struct Files {
    engine: Engine,
    store: Store,
}

/// A file, or several by a pattern, and which of its rows are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// An absolute path; `*`, `?` and `{a,b}` stand for what they do in ClickHouse's `file`.
    pub path: String,
    /// Only rows in which this column has this value.
    pub only: Option<(String, String)>,
}

/// A column of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Whole or broken numbers; times count seconds, dates days.
    Number,
    /// Words, truth values, addresses: what is counted by name.
    Category,
    /// Lists, maps and the like, on which nothing is judged.
    Other,
}

/// How often a category stands in a column.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct NameCount {
    /// Position of the column among those asked for.
    pub column: u32,
    /// The name; `None` where the value is missing.
    pub name: Option<String>,
    /// Rows.
    pub rows: u64,
}

#[derive(Deserialize)]
struct Described {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

impl Files {
    /// Starts an engine for files.
    ///
    /// # Errors
    /// [`EngineError`].
    pub async fn start(config: EngineConfig) -> Result<Self, EngineError> {
        let engine = Engine::start(config).await?;
        let raw = RawConfig {
            url: Some(engine.url()),
            user: Some(crate::connection::ENGINE_USER.to_owned()),
            password_file: Some(engine.password_file()),
            database: "system".to_owned(),
            request_timeout: SCAN_WITHIN,
            ..RawConfig::default()
        };
        let config = Config::new(raw).map_err(|faults| EngineError::Folder(faults.to_string()))?;
        let store = Store::connect(&config).map_err(|error| EngineError::Folder(error.to_string()))?;
        Ok(Self { engine, store })
    }

    /// Ends the engine at once: nothing of its own is in its folder.
    ///
    /// # Errors
    /// Where the system cannot wait.
    pub async fn stop(self) -> std::io::Result<()> {
        self.engine.kill().await
    }

    /// The columns of a file, in its order.
    ///
    /// # Errors
    /// [`Error::Refused`] where the file is not what its name says.
    pub async fn columns(&self, table: &Table) -> Result<Vec<Column>, Error> {
        let asked = "the columns of a file";
        let sql = format!("DESCRIBE TABLE {}", file(table));
        let everything = Table { only: None, ..table.clone() };
        let answer = async {
            let mut cursor = bind(self.store.client().query(&sql), &everything).fetch_bytes("JSONEachRow")?;
            cursor.collect().await
        };
        let lines = self.store.bounded(asked, answer).await?;
        let read = |line: &[u8]| serde_json::from_slice::<Described>(line);
        let found: Result<Vec<Described>, _> =
            lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(read).collect();
        let found = found.map_err(|e| Error::Malformed { asked: asked.to_owned(), reason: e.to_string() })?;
        Ok(found.into_iter().map(|Described { name, kind }| Column { kind: kind_of(&kind), name }).collect())
    }

    /// Rows of a file that are meant.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rows(&self, table: &Table) -> Result<u64, Error> {
        let sql = format!("SELECT count() FROM {}{}", file(table), only(table));
        let counted: Vec<u64> = self.ask(&sql, table, "the rows of a file").await?;
        Ok(counted.first().copied().unwrap_or(0))
    }

    /// The most frequent values of a column, over all rows of the file, and how often each stands there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn values(&self, table: &Table, column: &str, limit: u64) -> Result<Vec<(String, u64)>, Error> {
        #[derive(Row, Deserialize)]
        struct Value {
            name: String,
            rows: u64,
        }
        let sql = format!(
            "SELECT CAST(assumeNotNull(toString({0})) AS String) AS name, count() AS rows FROM {1} WHERE {0} IS NOT NULL GROUP BY name \
             ORDER BY rows DESC, name LIMIT {limit}",
            quoted(column),
            file(table)
        );
        let everything = Table { only: None, ..table.clone() };
        let found: Vec<Value> = self.ask(&sql, &everything, "the values of a column").await?;
        Ok(found.into_iter().map(|Value { name, rows }| (name, rows)).collect())
    }

    /// Names of some columns and how often each stands there, in one scan, at most `limit` a column, the most frequent ones.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn names(&self, table: &Table, columns: &[&str], limit: u64) -> Result<Vec<NameCount>, Error> {
        if columns.is_empty() {
            return Ok(Vec::new());
        }
        let pairs = columns.iter().enumerate().map(|(at, name)| {
            format!("(toUInt32({at}), CAST(substringUTF8(toString({}), 1, 200) AS Nullable(String)))", quoted(name))
        });
        let pairs: Vec<String> = pairs.collect();
        let sql = format!(
            "SELECT pair.1 AS column, pair.2 AS name, count() AS rows FROM \
             (SELECT arrayJoin([{}]) AS pair FROM {}{}) GROUP BY column, name ORDER BY column, rows DESC, name LIMIT {limit} BY column",
            pairs.join(", "),
            file(table),
            only(table)
        );
        self.ask(&sql, table, "the names of a file").await
    }

    async fn ask<T>(&self, sql: &str, table: &Table, asked: &str) -> Result<Vec<T>, Error>
    where
        T: clickhouse::RowOwned + clickhouse::RowRead,
    {
        self.store.bounded(asked, bind(self.store.client().query(sql), table).fetch_all()).await
    }
}

fn bind(query: clickhouse::query::Query, table: &Table) -> clickhouse::query::Query {
    // a file larger than memory is grouped on disk
    let query = query.with_setting("max_bytes_before_external_group_by", "150000000");
    // 6e-05 is a number
    let query = query.with_setting("input_format_try_infer_exponent_floats", "1").bind(&table.path);
    match &table.only {
        Some((_, value)) => query.bind(value),
        None => query,
    }
}

impl Table {
    /// Whether columns of the file can be read one by one; of others every scan reads every row whole.
    #[must_use]
    pub fn by_column(&self) -> bool {
        format_of(&self.path) == "Parquet"
    }
}

/// The table function; its path is bound.
fn file(table: &Table) -> String {
    format!("file(?, '{}')", format_of(&table.path))
}

fn only(table: &Table) -> String {
    table.only.as_ref().map(|(column, _)| format!(" WHERE toString({}) = ?", quoted(column))).unwrap_or_default()
}

/// ClickHouse's name of a file's format, by the end of its name, a compression's left off. Comma-separated files have a line
/// of names; what is unknown is left to ClickHouse.
fn format_of(path: &str) -> &'static str {
    let name = Path::new(path).file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let packed = [".gz", ".zst", ".xz", ".bz2", ".lz4", ".br"];
    let name = packed.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    match name.rsplit('.').next() {
        Some("csv") => "CSVWithNames",
        Some("tsv" | "tab") => "TSVWithNames",
        Some("parquet" | "pq") => "Parquet",
        Some("jsonl" | "ndjson" | "json") => "JSONEachRow",
        _ => "auto",
    }
}

/// A name as SQL; `?` is the client's mark of a bound value and doubled to mean itself.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`").replace('?', "??"))
}

fn kind_of(name: &str) -> Kind {
    let inner = |outer: &str| name.strip_prefix(outer).and_then(|rest| rest.strip_suffix(')'));
    if let Some(inner) = inner("Nullable(").or_else(|| inner("LowCardinality(")) {
        return kind_of(inner);
    }
    let starts = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
    if starts(&["Int", "UInt", "Float", "BFloat", "Decimal", "Date", "Time"]) && !name.starts_with("Interval") {
        Kind::Number
    } else if starts(&["String", "FixedString", "Enum", "Bool", "UUID", "IPv"]) {
        Kind::Category
    } else {
        Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_its_name_says() {
        for (path, format) in [
            ("/a/B.CSV", "CSVWithNames"),
            ("/a/b.csv.gz", "CSVWithNames"),
            ("/a/b.parquet", "Parquet"),
            ("/a.b/c.jsonl.zst", "JSONEachRow"),
            ("/a/b", "auto"),
        ] {
            assert_eq!(format_of(path), format, "{path}");
        }
    }

    #[test]
    fn kinds_of_columns() {
        for (name, kind) in [
            ("Nullable(Float64)", Kind::Number),
            ("LowCardinality(Nullable(String))", Kind::Category),
            ("DateTime64(3, 'UTC')", Kind::Number),
            ("Decimal(9, 2)", Kind::Number),
            ("Bool", Kind::Category),
            ("Array(Int64)", Kind::Other),
            ("Tuple(a Int64)", Kind::Other),
        ] {
            assert_eq!(kind_of(name), kind, "{name}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(quoted("a`b\\?"), "`a\\`b\\\\??`");
    }
}
