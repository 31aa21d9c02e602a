//! Numbered SQL files, applied once, checked by hash, forward only.
//!
//! The choice: statements are idempotent (`IF NOT EXISTS`, `OR REPLACE`) and a migration is noted after its last one, so
//! that two roles starting at once, or one dying half-way, leave the same tables. What was applied is never edited:
//! a differing hash stops the start with a sentence, since the database is then not what this program was tested with.

use clickhouse::Row;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::cluster::Layout;
use crate::{Error, Store};

/// One numbered file.
pub(crate) struct Migration {
    pub number: u32,
    pub name: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// What is noted of its text.
    pub fn hash(&self) -> String {
        hash(self.sql)
    }
}

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "tables", sql: include_str!("../migrations/0001_tables.sql") },
    Migration { number: 2, name: "views", sql: include_str!("../migrations/0002_views.sql") },
    Migration { number: 3, name: "detectors", sql: include_str!("../migrations/0003_detectors.sql") },
    Migration { number: 4, name: "feedback", sql: include_str!("../migrations/0004_feedback.sql") },
    Migration { number: 5, name: "serving", sql: include_str!("../migrations/0005_serving.sql") },
    Migration { number: 6, name: "events", sql: include_str!("../migrations/0006_events.sql") },
    Migration { number: 7, name: "boards", sql: include_str!("../migrations/0007_boards.sql") },
    Migration { number: 8, name: "segments", sql: include_str!("../migrations/0008_segments.sql") },
    Migration { number: 9, name: "shadow labels", sql: include_str!("../migrations/0009_shadow_labels.sql") },
    Migration { number: 10, name: "baseline_acts", sql: include_str!("../migrations/0010_baseline_acts.sql") },
    Migration { number: 11, name: "shadow gaps", sql: include_str!("../migrations/0011_shadow_gaps.sql") },
    Migration { number: 12, name: "labelled", sql: include_str!("../migrations/0012_labelled.sql") },
    Migration { number: 13, name: "agreement", sql: include_str!("../migrations/0013_agreement.sql") },
    Migration { number: 14, name: "unknown labels", sql: include_str!("../migrations/0014_unknown_labels.sql") },
];

/// One row a migration and start that applied it; duplicates of concurrent starts are equal and harmless.
const NOTES: &str = "CREATE TABLE IF NOT EXISTS migrations (
    number UInt32,
    name String,
    hash String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
) ENGINE = MergeTree ORDER BY number
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1";

/// One row of it.
#[derive(Row, Deserialize)]
pub(crate) struct Note {
    pub number: u32,
    pub name: String,
    pub hash: String,
}

impl Store {
    /// Makes the database if absent, applies what has not been applied yet, and sets how long rows are kept; returns how
    /// many migrations were applied.
    ///
    /// # Errors
    /// [`Error::Migration`] where the database was migrated by other files or by a newer program.
    pub async fn migrate(&self) -> Result<usize, Error> {
        let mut applied = 0;
        for server in self.servers() {
            applied = applied.max(server.migrate_there().await?);
        }
        if applied > 0 {
            self.client().clear_cached_metadata().await;
        }
        self.retain().await?;
        Ok(applied)
    }

    /// What [`Self::migrate`] would do to an empty server, or cluster, statement by statement.
    ///
    /// # Errors
    /// [`Error::Migration`] where one has no form for a cluster.
    pub fn migrations_as_sql(&self) -> Result<Vec<String>, Error> {
        let mut all = vec![self.create_database(), self.layout().notes(NOTES)];
        for migration in MIGRATIONS {
            all.extend(self.rendered(migration)?);
        }
        Ok(all)
    }

    fn rendered(&self, &Migration { number, name, sql }: &Migration) -> Result<Vec<String>, Error> {
        let unknown = |problem| Error::Migration { number, name: name.to_owned(), problem };
        self.layout().render(sql).map_err(unknown)
    }

    fn create_database(&self) -> String {
        format!("CREATE DATABASE IF NOT EXISTS {}{}", self.database(), self.layout().on())
    }

    /// The database and the table of migrations; nothing is sent where they are there, since a cluster with a server
    /// that is away does nothing that concerns all.
    async fn begin(&self) -> Result<(), Error> {
        // the database cannot be the session's before it exists
        let system = self.client().clone().with_database("system");
        let sql = "SELECT count() FROM tables WHERE database = ? AND name = 'migrations'";
        let there = system.query(sql).bind(self.database()).fetch_one::<u64>();
        if self.bounded("whether the database is there", there).await? == 0 {
            let create = self.create_database();
            self.bounded("making the database", system.query(&create).execute()).await?;
            self.execute("making the table of migrations", &self.layout().notes(NOTES)).await?;
        }
        let sql = "SELECT engine FROM tables WHERE database = ? AND name = 'observations'";
        let engine = system.query(sql).bind(self.database()).fetch_optional::<String>();
        let engine = self.bounded("how the tables lie", engine).await?;
        let (single, made_single) = (*self.layout() == Layout::Single, engine.as_deref() != Some("Distributed"));
        match engine {
            Some(_) if single != made_single => Err(Error::Layout { made_single }),
            _ => Ok(()),
        }
    }

    async fn migrate_there(&self) -> Result<usize, Error> {
        self.begin().await?;
        let notes = self.notes().await?;
        check(&notes)?;
        let mut applied = 0;
        for migration in MIGRATIONS.iter().filter(|m| notes.iter().all(|n| n.number != m.number)) {
            self.apply(migration).await?;
            applied += 1;
        }
        Ok(applied)
    }

    /// What was applied.
    pub(crate) async fn notes(&self) -> Result<Vec<Note>, Error> {
        let notes = self.client().query("SELECT number, name, hash FROM migrations ORDER BY number");
        self.bounded("the applied migrations", notes.fetch_all::<Note>()).await
    }

    async fn apply(&self, migration: &Migration) -> Result<(), Error> {
        let Migration { number, name, sql } = migration;
        for statement in self.rendered(migration)? {
            self.execute(&format!("migration {number} ({name})"), &statement).await?;
        }
        let note = self.client().query("INSERT INTO migrations (number, name, hash) VALUES (?, ?, ?)");
        let note = note.with_setting("async_insert", "0").bind(number).bind(*name).bind(hash(sql));
        self.bounded("noting a migration", note.execute()).await?;
        tracing::info!(number, name, database = self.database(), "migrated");
        Ok(())
    }

    /// Does what has no answer.
    pub(crate) async fn execute(&self, asked: &str, sql: &str) -> Result<(), Error> {
        self.bounded(asked, self.client().query_raw(sql).execute()).await
    }
}

/// Refuses a database that other files, or a newer program, have migrated.
fn check(notes: &[Note]) -> Result<(), Error> {
    for Note { number, name, hash: noted } in notes {
        let problem = match MIGRATIONS.iter().find(|m| m.number == *number) {
            Some(ours) if hash(ours.sql) == *noted => continue,
            Some(_) => "was applied with another text than this program's; use another store.database, or restore",
            None => "was applied by a newer program; upgrade this one, since tables are never migrated back",
        };
        return Err(Error::Migration { number: *number, name: name.clone(), problem: problem.to_owned() });
    }
    Ok(())
}

fn hash(sql: &str) -> String {
    hex::encode(Sha256::digest(sql.as_bytes()))
}

/// The statements of a file: each ends with a line whose last character is a semicolon, comments left out. A test
/// holds our files to that.
pub(crate) fn statements(sql: &str) -> Vec<String> {
    let mut statements = Vec::new();
    let mut open = String::new();
    for line in sql.lines().map(code) {
        if let Some(end) = line.strip_suffix(';') {
            open.push_str(end);
            statements.push(std::mem::take(&mut open));
        } else if !line.is_empty() {
            open.push_str(line);
            open.push('\n');
        }
    }
    statements
}

/// A line without its comment.
fn code(line: &str) -> &str {
    line.split_once("--").map_or(line, |(code, _)| code).trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_without_gaps_and_split_at_statement_ends() {
        for (i, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.number as usize, i + 1, "{}", migration.name);
            let mut lines = migration.sql.lines().map(code);
            let ends =
                lines.clone().filter(|line| line.contains(';')).inspect(|line| assert!(line.ends_with(';'), "{line}"));
            assert_eq!(ends.count(), statements(migration.sql).len());
            assert!(lines.rfind(|line| !line.is_empty()).is_some_and(|line| line.ends_with(';')));
            for statement in statements(migration.sql) {
                let again = ["IF NOT EXISTS", "OR REPLACE", "MODIFY SETTING"];
                assert!(again.iter().any(|words| statement.contains(words)), "{statement}");
            }
        }
    }

    #[test]
    fn a_changed_or_newer_migration_stops_the_start() {
        let note = |number, hash: &str| Note { number, name: "x".into(), hash: hash.into() };
        assert!(check(&[note(1, &hash(MIGRATIONS[0].sql))]).is_ok());
        assert!(check(&[note(1, "0")]).unwrap_err().to_string().contains("another text"));
        assert!(check(&[note(99, "0")]).unwrap_err().to_string().contains("newer program"));
    }
}
