//! Erasure and access: every row of one client, or of one request, found, given out, deleted, and counted again.
//!
//! The choice: the ids are written into a table of their own first. A subject's rows are found by them in every table, also
//! once the observations that named the client are gone, so that what is counted at the end is the whole.

use clickhouse::Row;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::{Error, Store};

/// Tables with rows of requests. Observations go last: a run that broke off finds its ids again.
pub const SUBJECT_TABLES: [&str; 7] =
    ["features", "categories", "payloads", "comparisons", "labels", "outcomes", "observations"];

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
    /// [`Error`].
    pub async fn ids_of(&self, subject: &Subject, others: &[Uuid]) -> Result<Ids, Error> {
        let table = format!("erasing_{}", Uuid::now_v7().simple());
        let create = format!("CREATE TABLE IF NOT EXISTS {table} (id UUID) ENGINE = MergeTree ORDER BY id;");
        let unmade = |reason| Error::Malformed { asked: "noting whose rows are meant".to_owned(), reason };
        for statement in self.layout().render(&create).map_err(unmade)? {
            self.everywhere("noting whose rows are meant", &statement).await?;
        }
        if let Subject::Client(names) = subject {
            let sql = format!("INSERT INTO {table} SELECT DISTINCT id FROM observations WHERE client IN ?");
            self.bounded("the requests of a client", self.client().query(&sql).bind(names).execute()).await?;
        }
        let one = if let Subject::Id(id) = subject { Some(*id) } else { None };
        if let Some(id) = one {
            // a logged response that stayed alone names the exchange that it is of
            let sql = format!(
                "INSERT INTO {table} SELECT DISTINCT id FROM observations \
                 WHERE route = 'kserve' AND reason = 'no_request' AND trace_id = ?"
            );
            let lone = self.client().query(&sql).bind(id.simple().to_string()).execute();
            self.bounded("a response without its request", lone).await?;
        }
        let others: Vec<String> = others.iter().copied().chain(one).map(|id| format!("('{id}')")).collect();
        // a statement is bounded; an id has no character that needs escaping
        for some in others.chunks(2_000) {
            let sql = format!("INSERT INTO {table} VALUES {}", some.join(", "));
            self.execute("noting whose rows are meant", &sql).await?;
        }
        Ok(Ids { table })
    }

    /// The ids themselves.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn list(&self, ids: &Ids) -> Result<Vec<Uuid>, Error> {
        let sql = format!("SELECT DISTINCT toString(id) FROM {}", ids.table);
        let all = self.bounded("the requests meant", self.client().query(&sql).fetch_all::<String>()).await?;
        Ok(all.iter().filter_map(|id| Uuid::parse_str(id).ok()).collect())
    }

    /// How many requests are meant.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn requests_of(&self, ids: &Ids) -> Result<u64, Error> {
        let sql = format!("SELECT uniqExact(id) AS n FROM {}", ids.table);
        Ok(self.bounded("the requests meant", self.client().query(&sql).fetch_one::<Count>()).await?.n)
    }

    /// Their rows in every table.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn rows_of(&self, ids: &Ids) -> Result<Vec<TableRows>, Error> {
        let mut all = Vec::new();
        for table in SUBJECT_TABLES {
            let sql = format!("SELECT count() AS n FROM {table} WHERE id IN (SELECT id FROM {})", ids.table);
            let rows = self.bounded("a subject's rows", self.client().query(&sql).fetch_one::<Count>()).await?.n;
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
            while let Some(bytes) = self.bounded("a subject's rows", rows.next()).await? {
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
                // not within one request's limit: parts are written anew
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
        for table in tables {
            let sql = format!("DROP TABLE IF EXISTS {table}{} SYNC", self.layout().on());
            self.everywhere("forgetting whose rows were meant", &sql).await?;
        }
        Ok(())
    }

    async fn everywhere(&self, asked: &str, sql: &str) -> Result<(), Error> {
        for server in self.servers() {
            server.execute(asked, sql).await?;
        }
        Ok(())
    }
}
