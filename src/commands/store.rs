//! `driftline store`: migrations, what is in the database, and a person's right to see and to be forgotten.

use std::collections::HashSet;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::store::Store;
use ::store::erase::{Ids, Subject, TableRows};
use ::store::status::{ClusterStatus, ServerStatus};
use anyhow::Context as _;
use collector::erase::{Done, Folder};
use host::audit;
use masking::Masker;

use crate::cli::{MigrateArgs, StatusArgs, SubjectArgs};
use crate::config::Loaded;
use crate::exit::{self, Usage};

/// How long a collector that runs may take to insert what lay in its log.
const INSERTED_WITHIN: Duration = Duration::from_secs(180);
/// A collector that runs may insert a row while others are deleted.
const ROUNDS: usize = 3;

/// Makes the tables, applies what was not applied yet, and sets how long rows are kept.
///
/// # Errors
/// What the database says.
pub async fn migrate(args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let store = Loaded::read(&args.config)?.store()?;
    if args.print {
        let mut out = std::io::stdout().lock();
        for statement in store.migrations_as_sql()? {
            writeln!(out, "{statement};\n")?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let applied = store.migrate().await?;
    writeln!(std::io::stdout(), "{applied} migrations applied to {} at {}", store.database(), store.url())?;
    Ok(ExitCode::SUCCESS)
}

/// Says what is in the database; exit code 1 where a migration is pending, differs or is of a newer program.
///
/// # Errors
/// What the database says.
pub async fn status(args: &StatusArgs) -> anyhow::Result<ExitCode> {
    let store = Loaded::read(&args.config)?.store()?;
    let status = store.status().await?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?;
    } else {
        writeln!(out, "{} at {}, ClickHouse {}", store.database(), store.url(), status.clickhouse)?;
        if let Some(cluster) = &status.cluster {
            cluster_lines(cluster, &mut out)?;
        }
        let wide = wide(status.migrations.iter().map(|migration| migration.name.as_str()));
        for migration in &status.migrations {
            writeln!(out, "migration {:>3} {:<wide$} {}", migration.number, migration.name, migration.state)?;
        }
        let wide = self::wide(status.tables.iter().map(|table| table.table.as_str()));
        for table in &status.tables {
            let kept = if table.kept.is_empty() { "for ever" } else { &table.kept };
            writeln!(out, "{:<wide$} {:>12} rows {:>14} bytes  kept {kept}", table.table, table.rows, table.bytes)?;
        }
        if let Some(unknown) = status.unknown_labels {
            writeln!(out, "{unknown} labelled items have no observation")?;
        }
    }
    let good = status.migrations.iter().all(|migration| migration.state == "applied");
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(exit::FOUND) })
}

/// Columns that the longest of some names takes.
fn wide<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names.map(|name| name.chars().count()).max().unwrap_or(0)
}

fn cluster_lines(cluster: &ClusterStatus, out: &mut impl std::io::Write) -> std::io::Result<()> {
    let kind = if cluster.replicated { "replicated" } else { "sharded, not replicated" };
    writeln!(out, "cluster {}, {kind}, {} servers", cluster.name, cluster.servers.len())?;
    for ServerStatus { shard, replica, address, errors, observations } in &cluster.servers {
        let rows = observations.map_or_else(|| "does not answer".to_owned(), |rows| format!("{rows} observations"));
        writeln!(out, "shard {shard:>3} replica {replica:>2} {address:<32} {rows}, {errors} errors of late")?;
    }
    Ok(())
}

/// Writes one subject's rows to standard output, one JSON object a line.
///
/// # Errors
/// What the database says, or that standard output is closed.
pub async fn export(args: &SubjectArgs) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::read(&args.config)?;
    let store = loaded.store()?;
    let ids = store.ids_of(&subject(args, &masker(&loaded)?)?, &[]).await?;
    let mut out = std::io::stdout().lock();
    let given = store.give_rows_of(&ids, |bytes| out.write_all(bytes).map_err(anyhow::Error::from)).await;
    store.forget_ids(ids).await?;
    given?;
    Ok(ExitCode::SUCCESS)
}

/// Deletes one subject's rows everywhere, counts them again, and leaves an audit line.
///
/// # Errors
/// What the database or the disk says; where something is left, how much.
pub async fn forget(args: &SubjectArgs) -> anyhow::Result<ExitCode> {
    let loaded = Loaded::read(&args.config)?;
    super::start_audit(&loaded)?;
    let masker = masker(&loaded)?;
    let subject = subject(args, &masker)?;
    let outcome = forget_subject(&loaded, &subject, &masker).await;
    let detail = match &outcome {
        Ok(forgotten) => forgotten.sentence(),
        Err(error) => super::audited(&loaded, error),
    };
    let done = outcome.as_ref().is_ok_and(|forgotten| forgotten.left == 0);
    let outcome_word = if done { audit::Outcome::Done } else { audit::Outcome::Failed };
    // whom, without keeping the name: whoever asks again can be answered by the same hash
    audit::record(audit::Action {
        who: "driftline store",
        what: "forget",
        target: &named(&subject),
        outcome: outcome_word,
        detail: &detail,
    });
    let forgotten = outcome?;
    let mut out = std::io::stdout().lock();
    let wide = wide(forgotten.deleted.iter().map(|table| table.table));
    for TableRows { table, rows } in &forgotten.deleted {
        writeln!(out, "{table:<wide$} {rows:>12} rows deleted")?;
    }
    writeln!(out, "{}", forgotten.sentence())?;
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::from(exit::FAILED) })
}

/// What was done.
struct Forgotten {
    requests: u64,
    deleted: Vec<TableRows>,
    disk: Done,
    left: u64,
}

impl Forgotten {
    fn sentence(&self) -> String {
        let rows: u64 = self.deleted.iter().map(|table| table.rows).sum();
        let Self { requests, disk: Done { files, unreadable }, left, .. } = self;
        let damaged = match unreadable {
            0 => String::new(),
            n => format!("; {n} damaged places in the quarantine folder cannot be read: look at them"),
        };
        let none = match requests {
            0 => "; a client's name that was masked when it came is found only by a key of masking.keys",
            _ => "",
        };
        format!(
            "{requests} requests: {rows} rows deleted, {files} files of the log rewritten, {left} rows left{damaged}{none}"
        )
    }
}

async fn forget_subject(loaded: &Loaded, subject: &Subject, masker: &Masker) -> anyhow::Result<Forgotten> {
    let store = loaded.store()?;
    let dir = &loaded.raw.collector.log.dir;
    let folder = Folder::open(dir).with_context(|| format!("cannot look into {}", dir.display()))?;
    if folder.is_in_use() {
        inserted(&folder).await?;
        // halves of pairs go on into the log: what they became is waited for too
        inserted(&folder).await?;
    }
    let lying = folder.ids(subject, masker)?;
    let ids = store.ids_of(subject, &lying).await?;
    let done = forget_ids(&store, &ids, &folder, masker).await;
    store.forget_ids(ids).await?;
    done
}

async fn forget_ids(store: &Store, ids: &Ids, folder: &Folder, masker: &Masker) -> anyhow::Result<Forgotten> {
    let requests = store.requests_of(ids).await?;
    let all: HashSet<_> = store.list(ids).await?.into_iter().collect();
    // first what would be inserted later
    let disk = folder.erase(&all, masker)?;
    let (mut deleted, mut left) = (Vec::new(), 0);
    for _ in 0..ROUNDS {
        let before = store.rows_of(ids).await?;
        store.delete_rows_of(ids).await?;
        left = store.rows_of(ids).await?.iter().map(|table| table.rows).sum();
        if deleted.is_empty() {
            deleted = before;
        }
        if left == 0 {
            break;
        }
    }
    Ok(Forgotten { requests, deleted, disk, left })
}

/// Waits until a collector that runs has inserted what lies in its log now.
async fn inserted(folder: &Folder) -> anyhow::Result<()> {
    let mut waiting = folder.waiting()?;
    let deadline = Instant::now() + INSERTED_WITHIN;
    loop {
        waiting.retain(|path| path.exists());
        if waiting.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < deadline,
            "{} segments wait in the collector's log since {} s; nothing was deleted: stop the collector, then repeat",
            waiting.len(),
            INSERTED_WITHIN.as_secs()
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn masker(loaded: &Loaded) -> anyhow::Result<Masker> {
    Ok(Masker::new(&loaded.raw.masking).map_err(|faults| Usage(format!("masking: {faults}")))?)
}

/// Whose rows are meant: of a client also those under the tokens that the mask makes of its name, whatever the key.
fn subject(args: &SubjectArgs, masker: &Masker) -> anyhow::Result<Subject> {
    match (&args.whom.client, args.whom.id) {
        (Some(client), None) if !client.is_empty() => {
            Ok(Subject::Client(std::iter::once(client.clone()).chain(masker.client_tokens(client)).collect()))
        }
        (None, Some(id)) => Ok(Subject::Id(id)),
        _ => Err(Usage("give --client, not empty, or --id".to_owned()).into()),
    }
}

fn named(subject: &Subject) -> String {
    match subject {
        Subject::Client(names) => {
            format!("client sha256:{}", names.first().map(|name| ::store::erase::hash(name)).unwrap_or_default())
        }
        Subject::Id(id) => format!("request {id}"),
    }
}
