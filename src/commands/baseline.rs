//! `driftline baseline`: what is judged against, managed from a terminal. Every act is an audit line and an event.
//!
//! It speaks to the database that the configuration names, as `driftline store` does, so it works beside a running analyzer, which
//! sees an act in its next cycle, and without one.

use std::io::Write as _;
use std::process::ExitCode;

use ::store::Store;
use ::store::files::Files;
use ::store::read::Reader;
use analyzer::baseline::desk::{Desk, short};
use analyzer::baseline::{self, BaselineError};
use analyzer::config::Config;
use contract::api::BaselineInfo;
use contract::api::baseline::{BaselineComparison, BaselineRecord, BaselineShown, FreezeRequest};
use host::audit;

use super::drift;
use crate::cli::{BaselineCommand, CompareArgs, FreezeArgs, ListArgs, OneArgs, PromoteArgs, SharedArgs};
use crate::config::Loaded;
use crate::exit::{FOUND, Usage};
use crate::times;

/// Who acts, in events and audit lines.
const WHO: &str = "driftline baseline";
/// What the engine that reads a file may take.
const ENGINE_BYTES: u64 = 700 << 20;

/// What an act needs.
struct Opened {
    loaded: Loaded,
    config: Config,
    reader: Reader,
}

impl Opened {
    fn new(shared: &SharedArgs) -> anyhow::Result<Self> {
        let loaded = Loaded::read(&shared.config)?;
        let config = Config::try_from(loaded.raw.analyzer.clone()).map_err(|faults| Usage(faults.to_string()))?;
        let store: Store = loaded.store()?;
        Ok(Self { reader: store.read(), loaded, config })
    }

    fn desk(&self) -> Desk<'_> {
        Desk { reader: &self.reader, config: &self.config, who: WHO, now_ms: host::clock::now_ms() }
    }

    /// For what changes something.
    fn start_log(&self) -> anyhow::Result<()> {
        super::start_audit(&self.loaded)
    }
}

/// Does one of them.
///
/// # Errors
/// What the user, the file or the database did wrong, in a sentence.
pub async fn run(command: &BaselineCommand) -> anyhow::Result<ExitCode> {
    match command {
        BaselineCommand::List(args) => list(args).await,
        BaselineCommand::Show(args) => show(args).await,
        BaselineCommand::Freeze(args) => freeze(args).await,
        BaselineCommand::Compare(args) => compare(args).await,
        BaselineCommand::Promote(args) => promote(args).await,
        BaselineCommand::Retire(args) => retire(args).await,
    }
}

async fn list(args: &ListArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    let records = opened.desk().list(args.model.as_deref()).await.map_err(told)?;
    print(&args.shared, &records, |records| table(records))?;
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &OneArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    let shown = opened.desk().show(&args.model, &args.fingerprint).await.map_err(told)?;
    print(&args.shared, &shown, contents)?;
    Ok(ExitCode::SUCCESS)
}

async fn compare(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    let found = opened.desk().compare(&args.model, &args.first, &args.second).await.map_err(told)?;
    print(&args.shared, &found, distances)?;
    let apart = found.features.iter().any(|one| one.apart);
    Ok(if apart { ExitCode::from(FOUND) } else { ExitCode::SUCCESS })
}

async fn freeze(args: &FreezeArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    opened.start_log()?;
    let done = match &args.file {
        Some(_) => freeze_file(args, &opened).await,
        None => freeze_stored(args, &opened).await,
    };
    let what = if args.promote { "freeze and promote" } else { "freeze" };
    acted(&opened, &args.shared, what, &args.model, done)
}

async fn freeze_stored(args: &FreezeArgs, opened: &Opened) -> anyhow::Result<BaselineRecord> {
    if args.from.is_none() && args.newest.is_none() {
        let sentence = "say what is frozen: --newest N observations, --from and --to of a range, or --file";
        return Err(Usage(sentence.to_owned()).into());
    }
    let now_ms = host::clock::now_ms();
    let time = |flag, text: &Option<String>| text.as_deref().map(|text| times::parse(flag, text, now_ms)).transpose();
    let (from_ms, to_ms) = (time("--from", &args.from)?, time("--to", &args.to)?);
    let asked = FreezeRequest { from_ms, to_ms, newest: args.newest, promote: args.promote };
    opened.desk().freeze(&args.model, &asked).await.map_err(told)
}

async fn freeze_file(args: &FreezeArgs, opened: &Opened) -> anyhow::Result<BaselineRecord> {
    let Some(file) = &args.file else { anyhow::bail!(Usage("give --file".to_owned())) };
    let source = drift::source(file)?;
    let library = drift::engine(args.engine.as_ref().or(opened.loaded.raw.store.engine.as_ref()))?;
    let (folder, engine) = drift::engine_in_a_folder(library, ENGINE_BYTES)?;
    let files = Files::start(engine).await?;
    let limits = &opened.config.freezing;
    let now_ms = host::clock::now_ms();
    let frozen = baseline::from_table(&files, &args.model, &source, &args.categories, limits, now_ms).await;
    files.stop().await?;
    drop(folder);
    let frozen = frozen.map_err(|error| unread(&source.shown, error))?;
    if let Some(note) = opened.desk().strangers(&frozen).await.map_err(told)? {
        writeln!(std::io::stderr(), "driftline: note: {note}")?;
    }
    let of = file.file_name().map_or_else(|| source.shown.clone(), |name| name.to_string_lossy().into_owned());
    opened.desk().keep(frozen, &format!("the file {of}"), args.promote).await.map_err(told)
}

async fn promote(args: &PromoteArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    opened.start_log()?;
    let (what, done) = match &args.fingerprint {
        Some(fingerprint) => ("promote", opened.desk().promote(&args.model, fingerprint).await),
        None => {
            let newest = Some(args.newest.unwrap_or(0));
            let asked = FreezeRequest { newest, promote: true, ..FreezeRequest::default() };
            ("promote from current", opened.desk().freeze(&args.model, &asked).await)
        }
    };
    acted(&opened, &args.shared, what, &args.model, done.map_err(told))
}

async fn retire(args: &OneArgs) -> anyhow::Result<ExitCode> {
    let opened = Opened::new(&args.shared)?;
    opened.start_log()?;
    let done = opened.desk().retire(&args.model, &args.fingerprint).await.map_err(told);
    acted(&opened, &args.shared, "retire", &args.model, done)
}

/// Leaves the audit line, and says what became of it.
fn acted(
    opened: &Opened,
    shared: &SharedArgs,
    what: &str,
    model: &str,
    done: anyhow::Result<BaselineRecord>,
) -> anyhow::Result<ExitCode> {
    let (target, outcome, detail) = match &done {
        Ok(record) => (format!("{model}/{}", record.info.fingerprint), audit::Outcome::Done, String::new()),
        Err(error) => {
            let outcome = if error.is::<Usage>() { audit::Outcome::Refused } else { audit::Outcome::Failed };
            (model.to_owned(), outcome, super::audited(&opened.loaded, error))
        }
    };
    audit::record(audit::Action { who: WHO, what, target: &target, outcome, detail: &detail });
    let record = done?;
    print(shared, &record, |record| {
        let info = &record.info;
        format!(
            "{} of {} is {}: {} features, {} observations, shows shifts from {:.3}\n",
            info.fingerprint,
            info.model,
            record.standing.as_str(),
            info.features,
            info.observations,
            record.visible
        )
    })?;
    Ok(ExitCode::SUCCESS)
}

/// What the user can mend is the user's.
fn told(error: BaselineError) -> anyhow::Error {
    match error {
        BaselineError::Unknown { .. } | BaselineError::Ambiguous { .. } | BaselineError::Asked(_) => {
            Usage(error.to_string()).into()
        }
        error => error.into(),
    }
}

/// What a file could not be read for, as `driftline drift` says it.
fn unread(file: &str, error: BaselineError) -> anyhow::Error {
    match error {
        BaselineError::Store(error) => drift::unread(file, error),
        other => told(other),
    }
}

fn print<T: serde::Serialize + ?Sized>(
    shared: &SharedArgs,
    what: &T,
    text: impl FnOnce(&T) -> String,
) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    if shared.json {
        writeln!(out, "{}", serde_json::to_string_pretty(what)?)?;
    } else {
        out.write_all(text(what).as_bytes())?;
    }
    Ok(())
}

fn table(records: &[BaselineRecord]) -> String {
    if records.is_empty() {
        return "no baselines yet; `driftline baseline freeze` makes one, or the first observations will\n".to_owned();
    }
    let wide = records.iter().map(|one| one.info.model.chars().count()).max().unwrap_or(5).max(5);
    let head = ("model", "standing", "fingerprint", "since (UTC)", "observations", "features", "shows from");
    let mut text = format!(
        "{:wide$}  {:10} {:12}  {:20}  {:>12} {:>8} {:>10}\n",
        head.0, head.1, head.2, head.3, head.4, head.5, head.6
    );
    for one in records {
        let provisional = provisional(&one.info);
        text.push_str(&format!(
            "{:wide$}  {:10} {:12}  {:20}  {:>12} {:>8} {:>10.3}{provisional}\n",
            one.info.model,
            one.standing.as_str(),
            short(&one.info.fingerprint),
            times::shown(one.since_ms),
            one.info.observations,
            one.info.features,
            one.visible
        ));
    }
    text
}

/// How much of it the first traffic made, and beside what.
fn provisional(info: &BaselineInfo) -> String {
    let (some, all) = (info.provisional_features, info.features);
    match (some, info.completes.as_str()) {
        (0, _) => String::new(),
        (some, _) if some == all => "  provisional".to_owned(),
        (some, "") => format!("  {some} of {all} features provisional"),
        (some, chosen) => format!("  {} and {some} of {all} features provisional", short(chosen)),
    }
}

fn contents(shown: &BaselineShown) -> String {
    let record = &shown.record;
    let version = if record.info.version.is_empty() { "a file" } else { &record.info.version };
    let mut text = format!(
        "{} of {}, {} since {}\nfrozen {} from {version}: {} observations\n\n",
        record.info.fingerprint,
        record.info.model,
        record.standing.as_str(),
        times::shown(record.since_ms),
        times::shown(record.info.frozen_at_ms),
        record.info.observations
    );
    let wide = shown.contents.iter().map(|one| one.feature.chars().count()).max().unwrap_or(7).clamp(7, 40);
    text.push_str(&format!(
        "{:wide$}  {:10} {:>9} {:>9} {:>6} {:>10}\n",
        "feature", "kind", "values", "missing", "bins", "shows from"
    ));
    for one in &shown.contents {
        let provisional = if one.provisional { "  provisional" } else { "" };
        text.push_str(&format!(
            "{:wide$}  {:10} {:>9} {:>9} {:>6} {:>10.3}{provisional}\n",
            one.feature, one.kind, one.values, one.missing, one.bins, one.visible
        ));
    }
    text
}

fn distances(found: &BaselineComparison) -> String {
    let mut text = format!("{} and {} of {}\n\n", short(&found.first), short(&found.second), found.model);
    let wide = found.features.iter().map(|one| one.feature.chars().count()).max().unwrap_or(7).clamp(7, 40);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    text.push_str(&format!("{:wide$}  {:>8} {:>8} {:>9}\n", "feature", "at least", "at most", "by chance"));
    for one in &found.features {
        let mark = if one.apart { "  apart: " } else { "  " };
        let (lower, upper, by_chance) = (number(one.lower), number(one.upper), number(one.by_chance));
        text.push_str(&format!("{:wide$}  {lower:>8} {upper:>8} {by_chance:>9}{mark}{}\n", one.feature, one.sentence));
    }
    let apart = found.features.iter().filter(|one| one.apart).count();
    text.push_str(&format!(
        "\n{apart} of {} features differ by more than chance (a wrong one among them: at most {} %).\n",
        found.features.len(),
        found.chance * 100.0
    ));
    text
}
