//! What is in the database: migrations, tables, and labels that no request has.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::migrate::{MIGRATIONS, Note};
use crate::{Error, Store, retention};

/// What is in a database.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// ClickHouse's own version.
    pub clickhouse: String,
    /// Every migration of this program, and those that only the database knows.
    pub migrations: Vec<MigrationStatus>,
    /// Every table with rows.
    pub tables: Vec<TableStatus>,
    /// Labelled items whose id no observation has, or has any more.
    pub unknown_labels: Option<u64>,
}

/// One migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MigrationStatus {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// `applied`, `pending`, `differs` (applied with another text) or `newer` (of a newer program).
    pub state: &'static str,
}

/// One table.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct TableStatus {
    /// Its name.
    pub table: String,
    /// Its rows.
    pub rows: u64,
    /// Its bytes on disk, compressed.
    pub bytes: u64,
    /// How long rows are kept, as ClickHouse has it; empty for ever.
    pub kept: String,
}

impl Store {
    /// Looks; changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        let system = self.client().clone().with_database("system");
        let clickhouse = self.bounded("its version", system.query("SELECT version()").fetch_one::<String>()).await?;
        let sql = "SELECT name AS table, assumeNotNull(ifNull(total_rows, 0)) AS rows, \
                   assumeNotNull(ifNull(total_bytes, 0)) AS bytes, \
                   engine_full AS kept \
                   FROM tables WHERE database = ? AND engine LIKE '%MergeTree' ORDER BY name";
        let tables = system.query(sql).bind(self.database()).fetch_all::<TableStatus>();
        let mut tables = self.bounded("the tables", tables).await?;
        tables.iter_mut().for_each(|table| table.kept = retention::of(&table.kept).to_owned());
        let has = |table: &str| tables.iter().any(|known| known.table == table);
        let notes = if has("migrations") { self.notes().await? } else { vec![] };
        let unknown_labels = match has("labels") && has("observations") {
            true => {
                let sql = "SELECT uniqExact(id, item) FROM labels WHERE id NOT IN (SELECT id FROM observations)";
                Some(self.bounded("labels without a request", self.client().query(sql).fetch_one::<u64>()).await?)
            }
            false => None,
        };
        Ok(Status { clickhouse, migrations: migrations(&notes), tables, unknown_labels })
    }
}

fn migrations(notes: &[Note]) -> Vec<MigrationStatus> {
    let ours = MIGRATIONS.iter().map(|ours| {
        let noted: Vec<&Note> = notes.iter().filter(|note| note.number == ours.number).collect();
        let state = match noted.as_slice() {
            [] => "pending",
            all if all.iter().all(|note| note.hash == ours.hash()) => "applied",
            _ => "differs",
        };
        MigrationStatus { number: ours.number, name: ours.name.to_owned(), state }
    });
    let newer = notes.iter().filter(|note| MIGRATIONS.iter().all(|ours| ours.number != note.number));
    let newer = newer.map(|note| MigrationStatus { number: note.number, name: note.name.clone(), state: "newer" });
    let mut all: Vec<MigrationStatus> = ours.chain(newer).collect();
    all.dedup();
    all
}
