//! What is in the database: migrations, tables, and labels that no request has.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use crate::cluster::Layout;
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
    /// The cluster that they are spread over; `None`: one server.
    pub cluster: Option<ClusterStatus>,
    /// Labelled items whose id no observation has, or has any more; `None` where a server is away that may know, and where
    /// there are more than the database can look up.
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
    /// How long rows are kept, as in `30 days`; empty for ever.
    pub kept: String,
}

/// A cluster.
#[derive(Clone, Debug, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Whether tables are replicated, which takes a Keeper.
    pub replicated: bool,
    /// Its servers, as the one that was asked knows them; none where it does not know the name.
    pub servers: Vec<ServerStatus>,
}

/// One server of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Row, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its shard, from 1.
    pub shard: u32,
    /// Which of the shard's replicas it is, from 1.
    pub replica: u32,
    /// Its name and port.
    pub address: String,
    /// Attempts to reach it that have failed of late.
    pub errors: u32,
    /// Observations on it; `None` where it does not answer.
    pub observations: Option<u64>,
}

impl Store {
    /// Looks; changes nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn status(&self) -> Result<Status, Error> {
        let system = self.client().clone().with_database("system");
        let clickhouse = self.bounded("its version", system.query("SELECT version()").fetch_one::<String>()).await?;
        let cluster = self.cluster().await?;
        let (from, settings) = match self.layout() {
            Layout::Single => ("tables".to_owned(), ""),
            // of each shard's replicas one; those that are away are seen missing above
            Layout::Cluster { name, .. } => {
                (format!("cluster('{name}', system.tables)"), "SETTINGS skip_unavailable_shards = 1")
            }
        };
        let sql = format!(
            "SELECT name AS table, sum(assumeNotNull(ifNull(total_rows, 0))) AS rows, \
               sum(assumeNotNull(ifNull(total_bytes, 0))) AS bytes, any(engine_full) AS kept \
             FROM {from} WHERE database = ? AND engine LIKE '%MergeTree' GROUP BY name ORDER BY name {settings}"
        );
        let tables = system.query(&sql).bind(self.database()).fetch_all::<TableStatus>();
        let mut tables = self.bounded("the tables", tables).await?;
        tables.iter_mut().for_each(|table| table.kept = retention::in_words(retention::of(&table.kept)));
        let has = |table: &str| tables.iter().any(|known| known.table == self.layout().local(table));
        let notes = if tables.iter().any(|known| known.table == "migrations") { self.notes().await? } else { vec![] };
        let all_there = cluster.iter().flat_map(|cluster| &cluster.servers).all(|server| server.observations.is_some());
        let unknown_labels = match has("labels") && has("observations") && all_there {
            true => self.unknown_labels().await,
            false => None,
        };
        Ok(Status { clickhouse, migrations: migrations(&notes), tables, cluster, unknown_labels })
    }

    /// Goes by the ids of the labels: those of all observations are more than fits into memory.
    async fn unknown_labels(&self) -> Option<u64> {
        let sql = "SELECT uniqExact(id, item) FROM labels \
             WHERE id NOT IN (SELECT id FROM observations WHERE id IN (SELECT id FROM labels))";
        let counted = self.bounded("labels without a request", self.client().query(sql).fetch_one::<u64>()).await;
        counted.inspect_err(|error| tracing::warn!(%error, "labels without an observation are not counted")).ok()
    }

    async fn cluster(&self) -> Result<Option<ClusterStatus>, Error> {
        let Layout::Cluster { name, database, keeper } = self.layout() else { return Ok(None) };
        let of = format!("clusterAllReplicas('{name}', system.tables)");
        // servers are numbered through in the order of the shards and replicas
        let sql = format!(
            "SELECT c.shard_num AS shard, c.replica_num AS replica, concat(c.host_name, ':', toString(c.port)) AS address, \
               c.errors_count AS errors, t.observations AS observations \
             FROM (SELECT *, rowNumberInAllBlocks() + 1 AS number FROM ( \
               SELECT * FROM system.clusters WHERE cluster = '{name}' ORDER BY shard_num, replica_num)) AS c \
             LEFT JOIN (SELECT toUInt64(_shard_num) AS number, max(total_rows) AS observations FROM {of} \
               WHERE database = '{database}' AND name = 'observations_local' GROUP BY number) AS t ON t.number = c.number \
             ORDER BY shard, replica SETTINGS skip_unavailable_shards = 1, join_use_nulls = 1"
        );
        let servers = self.client().clone().with_database("system").query(&sql).fetch_all::<ServerStatus>();
        let servers = self.bounded("the servers of the cluster", servers).await?;
        Ok(Some(ClusterStatus { name: name.clone(), replicated: *keeper, servers }))
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
