//! `driftline drift`: two files compared, as a table, as JSON and as an HTML file; the exit code is for pipelines.
//!
//! The embedded engine reads the files in a folder of its own that is gone afterwards; no configuration is needed.

mod refusal;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use analyzer::offline::{self, ColumnReport, Limit, Measure, OfflineError, Options, Report, Source, html};
use anyhow::Context as _;
use store::engine::EngineConfig;
use store::files::Files;

use crate::cli::DriftArgs;
use crate::exit::{FOUND, HELD, Usage};

/// Where the engine is looked for without `--engine`.
const ENGINES: [&str; 2] = [".deps/chdb/libchdb.so", "/usr/lib/libchdb.so"];
/// What the engine may take beside the values.
const ENGINE_BYTES: u64 = 700 << 20;
/// Columns of the table on the terminal.
const ROWS_SHOWN: usize = 40;

/// Ends of names that say how a file is written.
const ENDINGS: [&str; 11] = ["csv", "tsv", "tab", "parquet", "pq", "jsonl", "ndjson", "json", "arrow", "orc", "avro"];
/// Ends of names that say how it is compressed, before which the other stands.
const PACKED: [&str; 6] = ["gz", "zst", "xz", "bz2", "lz4", "br"];

/// Compares and reports; exit code 0 without drift, 1 with, 3 where none was found and some columns have too few values to tell.
///
/// # Errors
/// Where an argument is wrong, the engine is absent or a file cannot be read.
pub fn run(args: &DriftArgs) -> anyhow::Result<ExitCode> {
    let (reference, current) = (source(&args.reference)?, source(&args.current)?);
    let options = options(args)?;
    // the folder goes when this ends
    let (_folder, engine) = engine_in_a_folder(engine(args.engine.as_ref())?, ENGINE_BYTES)?;
    let report = super::runtime()?.block_on(async {
        let files = Files::start(engine).await?;
        let mut progress = Progress::new();
        let report =
            offline::compare(&files, &reference, &current, &options, &mut |done, all| progress.at(done, all)).await;
        progress.end();
        files.stop().await?;
        anyhow::Ok(report)
    })?;
    let report = report.map_err(told)?;
    if let Some(path) = &args.html {
        std::fs::write(path, html::render(&report)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        out.write_all(table(&report).as_bytes())?;
    }
    Ok(match (report.drifted, report.insufficient) {
        (true, _) => ExitCode::from(FOUND),
        (false, 0) => ExitCode::SUCCESS,
        // what cannot be told is no pass
        (false, _) => ExitCode::from(HELD),
    })
}

/// What is typed is the user's; what is in a file is not.
fn told(error: OfflineError) -> anyhow::Error {
    match error {
        OfflineError::File { file, source } => unread(&file, source),
        OfflineError::Empty(file) => anyhow::anyhow!(refusal::sentence(&file, "Cannot read rows from the data")),
        mine => Usage(mine.to_string()).into(),
    }
}

/// What the engine says of a file, in a sentence for whoever has the file.
pub fn unread(file: &str, error: store::Error) -> anyhow::Error {
    match error {
        store::Error::Refused { message, .. } => anyhow::anyhow!(refusal::sentence(file, &message)),
        other => anyhow::Error::new(other).context(format!("{file} cannot be read")),
    }
}

/// A file as typed.
///
/// # Errors
/// Where there is none.
pub fn source(path: &Path) -> anyhow::Result<Source> {
    let shown = path.display().to_string();
    let pattern = shown.contains(['*', '?', '{']);
    if !pattern && !path.is_file() {
        return Err(
            Usage(format!("{shown} is no file; give a CSV, Parquet or JSON-lines file, or a pattern of them")).into()
        );
    }
    if !is_readable(&shown) {
        let sentence = "its name ends in none of .csv, .tsv, .parquet and .jsonl, compressed or not; rename it";
        anyhow::bail!("{shown} cannot be read: {sentence}");
    }
    let path = std::path::absolute(path)?.display().to_string();
    Ok(Source { shown, path })
}

/// Whether the end of a name says how the file is written; what is guessed from contents is guessed wrong at times.
fn is_readable(name: &str) -> bool {
    let name = name.to_lowercase();
    let ends = |ends: &[&str]| {
        let (rest, end) = name.rsplit_once('.')?;
        // as in `*.{csv,tsv}`
        let one = end.trim_end_matches('}').rsplit(',').next().unwrap_or(end);
        ends.contains(&one).then(|| rest.to_owned())
    };
    match ends(&PACKED) {
        Some(rest) => rest.rsplit('.').next().is_some_and(|end| ENDINGS.contains(&end)),
        None => ends(&ENDINGS).is_some(),
    }
}

fn options(args: &DriftArgs) -> anyhow::Result<Options> {
    let share = |name: &str, value: f64| {
        let inside = value > 0.0 && value < 1.0;
        if inside { Ok(value) } else { Err(Usage(format!("--{name} {value} is not between 0 and 1"))) }
    };
    if !(0.0..1.0).contains(&args.ignore) {
        return Err(Usage(format!("--ignore {} is not at least 0 and below 1", args.ignore)).into());
    }
    if args.detectable <= args.ignore {
        let what = "a shift that is ignored cannot be one that has to be found";
        return Err(
            Usage(format!("--detectable {} is not above --ignore {}: {what}", args.detectable, args.ignore)).into()
        );
    }
    let limits: Result<Vec<Limit>, Usage> = args.limits.iter().map(|text| limit(text)).collect();
    Ok(Options {
        columns: args.columns.clone(),
        exclude: args.exclude.clone(),
        segments: args.segments.clone(),
        segment_values_max: args.segment_values,
        delta_ignore: args.ignore,
        delta: share("chance", args.chance)?,
        alpha: share("alpha", args.alpha)?,
        detectable_min: share("detectable", args.detectable)?,
        limits: limits?,
        memory_bytes: args.memory.saturating_mul(1 << 20).max(1 << 20),
    })
}

fn limit(text: &str) -> Result<Limit, Usage> {
    let words = || Measure::ALL.map(|(word, _)| word).join(", ");
    let wrong = || Usage(format!("--limit {text} is not as in psi=0.2; what can be limited is {}", words()));
    let (word, value) = text.split_once('=').ok_or_else(wrong)?;
    let (_, measure) = Measure::ALL.into_iter().find(|(known, _)| *known == word).ok_or_else(wrong)?;
    let most = value.parse().ok().filter(|most: &f64| most.is_finite()).ok_or_else(wrong)?;
    Ok(Limit { measure, most })
}

/// An engine that reads files, in a folder of its own, which has to outlive it.
///
/// # Errors
/// Where no folder can be made.
pub fn engine_in_a_folder(
    library: PathBuf,
    max_memory_bytes: u64,
) -> anyhow::Result<(tempfile::TempDir, EngineConfig)> {
    let folder = tempfile::tempdir().context("cannot make a folder for the engine")?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let data_dir = folder.path().to_owned();
    Ok((folder, EngineConfig { library, program, data_dir, http_port: 0, max_memory_bytes }))
}

/// The engine's library or program: the one given, or where it is looked for.
///
/// # Errors
/// Where it is nowhere.
pub fn engine(given: Option<&PathBuf>) -> anyhow::Result<PathBuf> {
    if let Some(given) = given {
        let sentence = "is no file; give libchdb.so (`make deps` fetches it) or a `clickhouse` binary";
        anyhow::ensure!(given.is_file(), Usage(format!("--engine {} {sentence}", given.display())));
        return Ok(given.clone());
    }
    let beside = std::env::current_exe().ok().and_then(|program| Some(program.parent()?.join("libchdb.so")));
    let known = ENGINES.iter().map(PathBuf::from).chain(beside);
    let on_path = std::env::var_os("PATH").into_iter();
    let on_path =
        on_path.flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>()).map(|dir| dir.join("clickhouse"));
    known.chain(on_path).find(|path| path.is_file()).ok_or_else(|| {
        Usage(
            "no engine to read files with: give --engine libchdb.so (`make deps` fetches it) or a `clickhouse` binary"
                .into(),
        )
        .into()
    })
}

/// How far it is, on standard error: on a terminal a few times a second, elsewhere a line now and then on long work.
struct Progress {
    shown: Instant,
    terminal: bool,
    moved: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: Instant::now(), terminal: std::io::stderr().is_terminal(), moved: false }
    }

    fn at(&mut self, done: u64, all: u64) {
        let due = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(10) };
        if self.shown.elapsed() < due {
            return;
        }
        let percent = done as f64 / all.max(1) as f64 * 100.0;
        let (start, end) = if self.terminal { ("\r", "") } else { ("", "\n") };
        let _ = write!(std::io::stderr(), "{start}read {percent:.0} % of {} values{end}", html::thousands(all));
        (self.shown, self.moved) = (Instant::now(), self.terminal);
    }

    fn end(&self) {
        if self.moved {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn table(report: &Report) -> String {
    let wide = report.columns.iter().map(|one| one.name.chars().count()).max().unwrap_or(6).clamp(6, 32);
    let mut text = format!(
        "{} ({} rows) against {} ({} rows)\n\n  {:12} {:wide$}  {:>7} {:>7} {:>9}  {:>8}  what moved\n",
        report.current.file,
        report.current.rows,
        report.reference.file,
        report.reference.rows,
        "verdict",
        "column",
        "shift",
        "line",
        "p",
        "PSI",
    );
    report.columns.iter().take(ROWS_SHOWN).for_each(|one| text.push_str(&row(one, wide)));
    if report.columns.len() > ROWS_SHOWN {
        text.push_str(&format!("  ... and {} columns with less evidence\n", report.columns.len() - ROWS_SHOWN));
    }
    for segment in &report.segments {
        let Some(worst) = segment.columns.first() else { continue };
        text.push_str(&format!("\n  where {} is {}:\n{}", segment.column, segment.value, row(worst, wide)));
    }
    let notes: Vec<String> = report.notes.iter().map(|note| format!("  {note}\n")).collect();
    if !notes.is_empty() {
        text.push_str(&format!("\n{}", notes.concat()));
    }
    text.push_str(&format!("\n{}.\n", report.summary()));
    text
}

fn row(one: &ColumnReport, wide: usize) -> String {
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.4}"));
    let over = if one.over.is_empty() { String::new() } else { format!("over {}; ", one.over.join(", ")) };
    let p = html::p_value(one.log_p, one.p).replace('–', "-");
    format!(
        "  {:12} {:wide$}  {:>7} {:>7} {p:>9}  {:>8}  {over}{}\n",
        one.state.as_str(),
        shortened(&one.name, wide),
        number(one.d),
        number(one.line),
        number(one.distances.map(|d| d.psi)),
        one.sentence,
    )
}

/// A name within its place in the table; `--json` has it whole.
fn shortened(name: &str, wide: usize) -> String {
    if name.chars().count() <= wide { name.to_owned() } else { name.chars().take(wide - 3).collect::<String>() + "..." }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_name_says_how_a_file_is_written() {
        for name in ["a.csv", "A.CSV.gz", "days/*.parquet", "x.{csv,tsv}", "b.tar.jsonl.zst"] {
            assert!(is_readable(name), "{name}");
        }
        for name in ["a", "a.txt", "csv", "a.gz", "days/*", "a.xlsx.gz"] {
            assert!(!is_readable(name), "{name}");
        }
    }
}
