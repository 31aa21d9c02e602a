//! Tables on a cluster: each numbered statement as a cluster needs it.
//!
//! The choice: the migrations stay what they are, and are rendered. A table becomes `NAME_local` on every server and a
//! `Distributed` table NAME over them, so that whoever reads or inserts writes the same SQL as on one server. Rows of
//! the collector's log are placed by their segment: a block is then one block of one shard, which is what inserting it
//! once rests on. Judgements are placed by their model, so that those that replace each other meet.
//!
//! With Keeper, statements are sent to one server `ON CLUSTER` and tables are replicated. Without it (`store.shards`)
//! nothing is replicated, and each statement is sent to each shard.

use crate::Error;
use crate::migrate::{MIGRATIONS, statements};
use crate::write::Table;

/// How tables lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// On one server.
    Single,
    /// On the servers of a cluster.
    Cluster {
        /// Its name in the servers' `remote_servers`.
        name: String,
        /// The database.
        database: String,
        /// Whether it has a Keeper: then tables are replicated.
        keeper: bool,
    },
}

/// Why a statement has no form for a cluster: a migration of ours is written in words that this file does not know.
type Unknown = String;

/// As the migrations write it: how many insert tokens a table remembers.
const WINDOW: &str = "non_replicated_deduplication_window";
/// The same of a replicated table, which also forgets by age: after a week.
const REPLICATED_WINDOW_SECONDS: &str = "replicated_deduplication_window_seconds = 604800";

impl Layout {
    /// The table on each server that holds rows.
    pub fn local(&self, table: &str) -> String {
        if matches!(self, Self::Single) { table.to_owned() } else { format!("{table}_local") }
    }

    /// What a statement about a table says behind its name.
    pub fn on(&self) -> String {
        match self {
            Self::Cluster { name, keeper: true, .. } => format!(" ON CLUSTER '{name}'"),
            Self::Single | Self::Cluster { .. } => String::new(),
        }
    }

    /// Settings of every request.
    pub fn settings(&self) -> Vec<(&'static str, &'static str)> {
        let Self::Cluster { keeper, .. } = self else { return Vec::new() };
        let mut settings = vec![
            // an answer to an insert is that of the shard
            ("distributed_foreground_insert", "1"),
            // ids that are looked for in other tables lie on other shards
            ("distributed_product_mode", "global"),
        ];
        if *keeper {
            // whoever reads asks the replica that was written to, as long as it is there
            settings.extend([("load_balancing", "in_order"), ("prefer_localhost_replica", "0")]);
        }
        settings
    }

    /// The statements of a file.
    ///
    /// # Errors
    /// Which statement has no form here.
    pub fn render(&self, sql: &str) -> Result<Vec<String>, Unknown> {
        let plain = statements(sql);
        let Self::Cluster { name, database, keeper } = self else { return Ok(plain) };
        let to = Rendering { on: self.on(), name, database, keeper: *keeper };
        let (mut rendered, mut changed) = (Vec::new(), None);
        for statement in &plain {
            let table = altered(statement);
            // over the table as it is when all of its changes in a row are done
            if let Some(done) = changed.take_if(|changed| Some(*changed) != table) {
                rendered.push(to.distributed("CREATE OR REPLACE TABLE", done, key_of(done)));
            }
            to.statement(statement, &mut rendered)?;
            changed = table.filter(|_| changes_columns(statement)).or(changed);
        }
        rendered.extend(changed.map(|done| to.distributed("CREATE OR REPLACE TABLE", done, key_of(done))));
        Ok(rendered)
    }

    /// The table of migrations, which every server has whole.
    pub fn notes(&self, sql: &str) -> String {
        match self {
            Self::Cluster { database, keeper: true, .. } => {
                let path = format!("ReplicatedMergeTree('/clickhouse/tables/all/{database}/migrations', ");
                // a replica is named within its shard
                let engine = path + "'{shard}-{replica}')";
                let sql = sql.replacen("MergeTree", &engine, 1);
                sql.replacen("migrations", &format!("migrations{}", self.on()), 1)
            }
            Self::Single | Self::Cluster { .. } => sql.to_owned(),
        }
    }

    /// Counts the rows of a segment, on every server that may have them; without those that do not answer if `lenient`.
    /// Of replicas the one that has the most speaks.
    pub fn count_segment(&self, table: &str, lenient: bool) -> String {
        let Self::Cluster { name, database, .. } = self else {
            return format!("SELECT count() AS n FROM {table} WHERE segment = toUUID(?)");
        };
        format!(
            "SELECT max(held) AS n FROM (SELECT count() AS held \
               FROM clusterAllReplicas('{name}', {database}.{table}_local) WHERE segment = toUUID(?) GROUP BY _shard_num) \
             SETTINGS skip_unavailable_shards = {}",
            u8::from(lenient)
        )
    }

    /// Counts shards that lack a replica which answers and has all that Keeper knows of: a part is noted there in the
    /// step that commits it, so such a replica speaks for those that are away. `None` without a Keeper, where a server
    /// that is away may have rows that no other has.
    pub fn count_silent_shards(&self, table: &str) -> Option<String> {
        let Self::Cluster { name, database, keeper: true } = self else { return None };
        Some(format!(
            "SELECT toInt64(assumeNotNull((SELECT uniqExact(shard_num) FROM system.clusters WHERE cluster = '{name}'))) \
               - toInt64(uniqExact(zookeeper_path)) AS n \
             FROM clusterAllReplicas('{name}', system.replicas) WHERE database = '{database}' AND table = '{table}_local' \
               AND NOT is_readonly AND NOT is_session_expired AND zookeeper_exception = '' \
               AND inserts_in_queue = 0 AND log_pointer > log_max_index SETTINGS skip_unavailable_shards = 1"
        ))
    }

    /// What an error says here. A shard that dies in the middle of an insert or a question is told in words that
    /// otherwise mean that the rows cannot be read.
    pub fn judged(&self, error: Error, url: &str) -> Error {
        match (self, error) {
            (Self::Cluster { .. }, Error::Refused { code: Some(32 | 33), message }) => {
                Error::Unavailable { url: url.to_owned(), reason: message }
            }
            (_, error) => error,
        }
    }
}

struct Rendering<'a> {
    on: String,
    name: &'a str,
    database: &'a str,
    keeper: bool,
}

impl Rendering<'_> {
    fn statement(&self, statement: &str, out: &mut Vec<String>) -> Result<(), Unknown> {
        let on = &self.on;
        if let Some((table, rest)) = named(statement, "CREATE TABLE IF NOT EXISTS ") {
            let (columns, engine) = rest.split_once(") ENGINE = ").ok_or_else(|| unknown(statement))?;
            let engine = self.engine(engine, table).ok_or_else(|| unknown(statement))?;
            out.push(format!("CREATE TABLE IF NOT EXISTS {table}_local{on} {columns}) ENGINE = {engine}"));
            let key = key_in(columns).ok_or_else(|| unknown(statement))?;
            out.push(self.distributed("CREATE TABLE IF NOT EXISTS", table, key));
        } else if let Some((table, rest)) = named(statement, "ALTER TABLE ") {
            out.push(format!("ALTER TABLE {table}_local{on} {}", self.window(rest)));
        } else if let Some((view, rest)) = named(statement, "CREATE OR REPLACE VIEW ") {
            out.push(format!("CREATE OR REPLACE VIEW {view}{on} {}", global(rest)));
        } else if let Some((view, rest)) = named(statement, "CREATE MATERIALIZED VIEW IF NOT EXISTS ") {
            let rest = on_local(rest).ok_or_else(|| unknown(statement))?;
            out.push(format!("CREATE MATERIALIZED VIEW IF NOT EXISTS {view}{on} {rest}"));
        } else {
            return Err(unknown(statement));
        }
        Ok(())
    }

    /// A table over those of all servers.
    fn distributed(&self, create: &str, table: &str, key: &str) -> String {
        let Self { on, name, database, .. } = self;
        format!(
            "{create} {table}{on} AS {table}_local ENGINE = Distributed('{name}', '{database}', '{table}_local', cityHash64({key}))"
        )
    }

    /// `ReplacingMergeTree(judged_at) ORDER BY …`, replicated where there is a Keeper.
    fn engine(&self, engine: &str, table: &str) -> Option<String> {
        if !self.keeper {
            return Some(engine.to_owned());
        }
        let (kind, rest) = engine.split_at(engine.find(|c: char| !c.is_ascii_alphanumeric())?);
        if !kind.ends_with("MergeTree") {
            return None;
        }
        let path = format!("'/clickhouse/tables/{{shard}}/{}/{table}', '{{replica}}'", self.database);
        let rest = match rest.strip_prefix('(') {
            Some(arguments) => format!(", {arguments}"),
            None => format!("){rest}"),
        };
        Some(self.window(&format!("Replicated{kind}({path}{rest}")))
    }

    fn window(&self, sql: &str) -> String {
        let Some((before, after)) = sql.split_once(WINDOW).filter(|_| self.keeper) else { return sql.to_owned() };
        format!("{before}{REPLICATED_WINDOW_SECONDS}, replicated_deduplication_window{after}")
    }
}

fn unknown(statement: &str) -> Unknown {
    format!("has no form for a cluster: {}", statement.lines().next().unwrap_or_default())
}

/// The name that follows, and the rest behind it.
fn named<'a>(statement: &'a str, words: &str) -> Option<(&'a str, &'a str)> {
    statement.strip_prefix(words)?.split_once(' ')
}

/// The table that a statement changes.
fn altered(statement: &str) -> Option<&str> {
    named(statement, "ALTER TABLE ").map(|(table, _)| table)
}

fn changes_columns(statement: &str) -> bool {
    statement.contains(" COLUMN ")
}

/// By which column a table's rows are placed, of those that it is made with.
fn key_in(columns: &str) -> Option<&'static str> {
    ["segment", "model", "id"]
        .into_iter()
        .find(|key| columns.split(['(', '\n', ',']).any(|column| column.trim_start().split(' ').next() == Some(*key)))
}

/// The same of a table with all of its columns: those of the log got their segment later.
fn key_of(table: &str) -> &'static str {
    if Table::ALL.iter().any(|logged| logged.name() == table) {
        return "segment";
    }
    let mut made = MIGRATIONS.iter().flat_map(|migration| statements(migration.sql));
    let columns = made.find_map(|statement| {
        let (name, rest) = named(&statement, "CREATE TABLE IF NOT EXISTS ")?;
        (name == table).then(|| rest.split(") ENGINE = ").next().unwrap_or_default().to_owned())
    });
    columns.as_deref().and_then(key_in).unwrap_or("model")
}

/// What is looked for in other tables is gathered from all shards first.
fn global(query: &str) -> String {
    let query = query.replace(" IN (SELECT", " GLOBAL IN (SELECT").replace("NOT GLOBAL IN", "GLOBAL NOT IN");
    query.replace("INNER JOIN", "GLOBAL INNER JOIN").replace("LEFT JOIN", "GLOBAL LEFT JOIN")
}

/// `TO target AS SELECT … FROM source …` of tables on the same server; nothing where more than one table is read.
fn on_local(rest: &str) -> Option<String> {
    let (target, query) = rest.strip_prefix("TO ")?.split_once(char::is_whitespace)?;
    let mut parts = query.split("FROM ");
    let (before, after) = (parts.next()?, parts.next()?);
    if parts.next().is_some() || query.contains("JOIN") {
        return None;
    }
    let end = after.find(char::is_whitespace).unwrap_or(after.len());
    let (source, after) = after.split_at(end);
    Some(format!("TO {target}_local {before}FROM {source}_local{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(keeper: bool) -> Layout {
        Layout::Cluster { name: "main".into(), database: "driftline".into(), keeper }
    }

    fn rendered(layout: &Layout) -> String {
        let of = |migration: &crate::migrate::Migration| layout.render(migration.sql).unwrap().join(";\n\n");
        MIGRATIONS.iter().map(of).collect::<Vec<_>>().join(";\n\n") + ";\n"
    }

    /// Everything that is said to a cluster, to be read by a person where it changes. Made anew with
    /// `DRIFTLINE_WRITE_GOLDEN=1 cargo test -p store --lib cluster`.
    #[test]
    fn migrations_are_rendered_as_they_were_read() {
        for (keeper, name) in [(true, "replicated.sql"), (false, "sharded.sql")] {
            let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
            let text = rendered(&cluster(keeper));
            if std::env::var_os("DRIFTLINE_WRITE_GOLDEN").is_some() {
                std::fs::write(&path, &text).unwrap();
            }
            assert_eq!(text, std::fs::read_to_string(&path).unwrap(), "{name} differs: see this test's comment");
        }
    }

    #[test]
    fn one_server_gets_the_files_as_they_are() {
        for migration in MIGRATIONS {
            assert_eq!(Layout::Single.render(migration.sql).unwrap(), statements(migration.sql));
        }
        assert_eq!((Layout::Single.local("features"), Layout::Single.on()), ("features".into(), String::new()));
        assert!(Layout::Single.settings().is_empty());
    }

    #[test]
    fn no_table_of_a_replicated_cluster_is_left_on_one_server() {
        for statement in MIGRATIONS.iter().flat_map(|migration| cluster(true).render(migration.sql).unwrap()) {
            assert!(statement.contains(" ON CLUSTER 'main' "), "{statement}");
            let makes = statement.starts_with("CREATE TABLE") || statement.starts_with("CREATE OR REPLACE TABLE");
            let right = statement.contains("ENGINE = Replicated") || statement.contains("ENGINE = Distributed('main'");
            assert_eq!(makes, right, "{statement}");
            assert!(!statement.contains(WINDOW), "{statement}");
        }
    }

    #[test]
    fn rows_of_a_segment_lie_on_one_shard() {
        let all = MIGRATIONS.iter().flat_map(|migration| cluster(true).render(migration.sql).unwrap());
        let all: Vec<String> = all.filter(|statement| statement.contains("ENGINE = Distributed")).collect();
        for table in Table::ALL {
            let last = all.iter().rfind(|statement| statement.contains(&format!(" {} ON CLUSTER", table.name())));
            assert!(last.is_some_and(|it| it.ends_with("cityHash64(segment))")), "{}: {last:?}", table.name());
        }
    }

    /// Rows that replace each other must go on meeting on one shard when their table gets a column.
    #[test]
    fn a_changed_table_places_its_rows_as_before() {
        let rows = |sql: &str| {
            let last = cluster(true).render(sql).unwrap().pop().unwrap();
            last.rsplit_once("cityHash64(").unwrap().1.to_owned()
        };
        for made in MIGRATIONS.iter().flat_map(|migration| statements(migration.sql)) {
            let Some((table, _)) = named(&made, "CREATE TABLE IF NOT EXISTS ") else { continue };
            if Table::ALL.iter().all(|logged| logged.name() != table) {
                let changed = rows(&format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS more UInt8;"));
                assert_eq!(changed, rows(&format!("{made};")), "{table}");
            }
        }
    }

    #[test]
    fn a_materialized_view_reads_and_fills_tables_of_its_own_server() {
        let sql = "CREATE MATERIALIZED VIEW IF NOT EXISTS roll TO rolled AS\nSELECT model, count() AS n\n\
                   FROM features\nGROUP BY model;";
        let expected = "CREATE MATERIALIZED VIEW IF NOT EXISTS roll ON CLUSTER 'main' TO rolled_local AS\n\
                        SELECT model, count() AS n\nFROM features_local\nGROUP BY model";
        assert_eq!(cluster(true).render(sql).unwrap(), [expected]);
        let two = sql.replace("FROM features", "FROM features INNER JOIN labels USING id");
        assert!(cluster(true).render(&two).unwrap_err().starts_with("has no form for a cluster"));
        assert!(cluster(true).render("DROP TABLE features;").is_err());
    }

    #[test]
    fn a_shard_that_dies_in_an_insert_is_no_fault_of_the_rows() {
        let eof = || Error::Refused {
            code: Some(32),
            message: "Attempt to read after eof: while reading from socket".into(),
        };
        assert!(eof().is_data_refused());
        assert!(cluster(false).judged(eof(), "x").is_unavailable());
        assert!(Layout::Single.judged(eof(), "x").is_data_refused());
        let constraint = || Error::Refused { code: Some(469), message: "x".into() };
        assert!(cluster(true).judged(constraint(), "x").is_data_refused());
    }
}
