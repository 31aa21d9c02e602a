//! Erasure and access: every row of one client, or of one request, found, given out, deleted, and counted again.
//!
//! The choice: the ids are written into a table of their own first. A subject's rows are found by them in every table, also
//! once the observations that named the client are gone, so that what is counted at the end is the whole. None of it is within
//! one request's limit: whole tables are looked through, which takes as long as they are large.

use std::time::Duration;

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Error, Store};

/// Tables with rows of requests. Observations go last: a run that broke off finds its ids again.
pub const SUBJECT_TABLES: [&str; 7] =
    ["features", "categories", "payloads", "comparisons", "labels", "outcomes", "observations"];

/// How the tables of ids are called; a time-ordered id follows.
const PREFIX: &str = "erasing_";
/// A table of ids that is older was left by a run that was killed.
const LEFT_AFTER: Duration = Duration::from_secs(86_400);

/// Whose rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// All requests of a client, by the names under which it may be stored: the proxy's pseudonym or what a source sent,
    /// and the tokens that the mask makes of it.
    Client(Vec<String>),
    /// One request.
    Id(Uuid),
}

/// Rows in one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// How many.
    pub rows: u64,
}

/// The ids of one subject, in a table of their own while this is held open.
#[derive(Debug)]
pub struct Ids {
    table: String,
}

#[derive(Row, Deserialize)]
struct Count {
    n: u64,
}

/// A name as an audit line may hold it: whoever knows the name can tell that it is the one.
#[must_use]
pub fn hash(name: &str) -> String {
    hex::encode(Sha256::digest(name.as_bytes()))
}

impl Store {
    /// Notes the ids of a subject: those that the database knows, and others that were found elsewhere.
    ///
    /// # Errors
    /// [`Error`]; nothing is left noted then.
    pub async fn ids_of(&self, subject: &Subject, others: &[Uuid]) -> Result<Ids, Error> {
        self.forget_old_ids().await?;
        let ids = Ids { table: format!("{PREFIX}{}", Uuid::now_v7().simple()) };
        let Err(error) = self.note_ids(&ids.table, subject, others).await else { return Ok(ids) };
        if let Err(error) = self.forget_ids(ids).await {
            tracing::warn!(%error, "a table of ids is left; the next run a day from now drops it");
        }
        Err(error)
    }

    async fn note_ids(&self, table: &str, subject: &Subject, others: &[Uuid]) -> Result<(), Error> {
        let create = format!("CREATE TABLE IF NOT EXISTS {table} (id UUID) ENGINE = MergeTree ORDER BY id;");
        let unmade = |reason| Error::Malformed { asked: "noting whose rows are meant".to_owned(), reason };
        for statement in self.layout().render(&create).map_err(unmade)? {
            self.everywhere("noting whose rows are meant", &statement).await?;
        }
        if let Subject::Client(names) = subject {
            let sql = format!("INSERT INTO {table} SELECT DISTINCT id FROM observations WHERE client IN ?");
            self.patiently("the requests of a client", self.client().query(&sql).bind(names).execute()).await?;
        }
        let one = if let Subject::Id(id) = subject { Some(*id) } else { None };
        if let Some(id) = one {
            // a logged response that stayed alone names the exchange that it is of
            let sql = format!(
                "INSERT INTO {table} SELECT DISTINCT id FROM observations \
                 WHERE route = 'kserve' AND reason = 'no_request' AND trace_id = ?"
            );
            let lone = self.client().query(&sql).bind(id.simple().to_string()).execute();
            self.patiently("a response without its request", lone).await?;
        }
        let others: Vec<String> = others.iter().copied().chain(one).map(|id| format!("('{id}')")).collect();
        // a statement is bounded; an id has no character that needs escaping
        for some in others.chunks(2_000) {
            let sql = format!("INSERT INTO {table} VALUES {}", some.join(", "));
            self.execute("noting whose rows are meant", &sql).await?;
        }
        Ok(())
    }

    /// The ids themselves.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(&self, ids: &Ids) -> Result<Vec<Uuid>, Error> {
        let sql = format!("SELECT DISTINCT toString(id) FROM {}", ids.table);
        let all = self.patiently("the requests meant", self.client().query(&sql).fetch_all::<String>()).await?;
        Ok(all.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
    }

    /// How many requests are meant.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn requests_of(&self, ids: &Ids) -> Result<u64, Error> {
        let sql = format!("SELECT uniqExact(id) AS n FROM {}", ids.table);
        Ok(self.patiently("the requests meant", self.client().query(&sql).fetch_one::<Count>()).await?.n)
    }

    /// Their rows in every table.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rows_of(&self, ids: &Ids) -> Result<Vec<TableRows>, Error> {
        let mut all = Vec::new();
        for table in SUBJECT_TABLES {
            let sql = format!("SELECT count() AS n FROM {table} WHERE id IN (SELECT id FROM {})", ids.table);
            let rows = self.patiently("a subject's rows", self.client().query(&sql).fetch_one::<Count>()).await?.n;
            all.push(TableRows { table, rows });
        }
        Ok(all)
    }

    /// Their rows as JSON lines, each with the `table` that it is of, handed on as they come.
    ///
    /// # Errors
    /// [`Error`]; where `give` says no, its own.
    pub async fn give_rows_of<E: From<Error>>(
        &self,
        ids: &Ids,
        mut give: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        for table in SUBJECT_TABLES {
            let sql = format!("SELECT '{table}' AS table, * FROM {table} WHERE id IN (SELECT id FROM {})", ids.table);
            let unread = |error| Error::from_client(&error, self.url(), "a subject's rows");
            let mut rows = self.client().query(&sql).fetch_bytes("JSONEachRow").map_err(unread)?;
            while let Some(bytes) = self.patiently("a subject's rows", rows.next()).await? {
                give(&bytes)?;
            }
        }
        Ok(())
    }

    /// Deletes their rows from every table and waits until they are gone from the disk's parts.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn delete_rows_of(&self, ids: &Ids) -> Result<(), Error> {
        for table in SUBJECT_TABLES {
            let sql = format!(
                "ALTER TABLE {}{} DELETE WHERE id IN (SELECT id FROM {}) \
                 SETTINGS mutations_sync = 2, allow_nondeterministic_mutations = 1",
                self.layout().local(table),
                self.layout().on(),
                ids.table
            );
            for server in self.servers() {
                let query = server.client().query(&sql);
                let far = !self.layout().on().is_empty();
                let query = if far { query.with_setting("distributed_ddl_task_timeout", "-1") } else { query };
                let done = query.execute().await;
                done.map_err(|error| Error::from_client(&error, server.url(), "deleting a subject's rows"))?;
            }
        }
        Ok(())
    }

    /// Forgets the ids themselves.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn forget_ids(&self, ids: Ids) -> Result<(), Error> {
        let mut tables = vec![self.layout().local(&ids.table), ids.table];
        tables.dedup();
        self.drop_tables(tables).await
    }

    /// Drops tables of ids that runs left which were killed.
    async fn forget_old_ids(&self) -> Result<(), Error> {
        let sql = "SELECT name FROM system.tables WHERE database = ? AND startsWith(name, ?) ORDER BY name";
        let mut left = Vec::new();
        for server in self.servers() {
            let names = server.client().query(sql).bind(self.database()).bind(PREFIX).fetch_all::<String>();
            left.extend(server.bounded("tables of ids", names).await?.into_iter().filter(|name| is_old(name)));
        }
        left.sort_unstable();
        left.dedup();
        self.drop_tables(left).await
    }

    async fn drop_tables(&self, tables: Vec<String>) -> Result<(), Error> {
        for table in tables {
            let sql = format!("DROP TABLE IF EXISTS {table}{} SYNC", self.layout().on());
            self.everywhere("forgetting whose rows were meant", &sql).await?;
        }
        Ok(())
    }

    /// Waits for an answer as long as it takes.
    async fn patiently<T>(
        &self,
        asked: &str,
        answer: impl Future<Output = clickhouse::error::Result<T>>,
    ) -> Result<T, Error> {
        answer.await.map_err(|error| self.layout().judged(Error::from_client(&error, self.url(), asked), self.url()))
    }

    async fn everywhere(&self, asked: &str, sql: &str) -> Result<(), Error> {
        for server in self.servers() {
            server.execute(asked, sql).await?;
        }
        Ok(())
    }
}

/// Whether a table's name says that it was made long ago; `erasing_…`, on a server of a cluster also `erasing_…_local`.
fn is_old(table: &str) -> bool {
    let made = |id: Uuid| id.get_timestamp().map(|at| Duration::from_secs(at.to_unix().0));
    let id = table.strip_prefix(PREFIX).and_then(|rest| Uuid::try_parse(rest.split('_').next()?).ok());
    let (made, now) = (id.and_then(made), made(Uuid::now_v7()));
    made.zip(now).is_some_and(|(made, now)| now.saturating_sub(made) > LEFT_AFTER)
}
