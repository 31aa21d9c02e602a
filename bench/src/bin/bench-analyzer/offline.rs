//! `driftline drift` over Parquet files, beside scipy over the same values in memory.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bench::command::Options;
use bench::house::House;
use bench::median;
use bench::table::Table;
use serde_json::Value;

const ROWS: u64 = 1_000_000;
const COLUMNS: usize = 20;
const TURNS: usize = 3;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_millis(10);

/// Two files, and the same values without a format.
struct Side {
    parquet: PathBuf,
    raw: PathBuf,
}

/// Time, memory and distances of both, turn about.
pub async fn against_scipy(options: &Options, table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let house = House::build(&options.driftline, "").await?;
    let reference = write(&house, folder.path(), "reference", 0.0).await?;
    let current = write(&house, folder.path(), "current", 0.002).await?;
    drop(house);
    let (mut ratios, mut ours, mut theirs, mut peak, mut apart) = (vec![], vec![], vec![], 0, 0);
    for _ in 0..TURNS {
        let (took, memory, report) = drift(&options.driftline, &reference.parquet, &current.parquet)?;
        let scipy = scipy(&reference.raw, &current.raw)?;
        let seconds = scipy["seconds"].as_f64().context("scipy's loop tells no time")?;
        apart = differing(&report, &scipy)?;
        peak = peak.max(memory);
        ratios.push(took / seconds);
        ours.push(took);
        theirs.push(seconds);
    }
    let note = format!("{:.2} over {:.2} s, medians of {TURNS} turns", median(ours), median(theirs));
    table.seen("drift-time", median(ratios), note);
    table.seen("drift-same", apart as f64, format!("of {COLUMNS}"));
    let note =
        "resident pages of both processes together, looked at every 10 ms, the engine's program pages among them";
    table.seen("drift-memory", peak as f64 / (1u64 << 30) as f64, note);
    Ok(())
}

/// Normal columns, each shifted by so much more than the one before.
async fn write(house: &House, folder: &Path, name: &str, shift: f64) -> anyhow::Result<Side> {
    let mut columns = String::new();
    for column in 0..COLUMNS {
        let share = |draw: &str| {
            format!("((bitShiftRight(sipHash64(number, '{name}', {column}, '{draw}'), 11) + 0.5) / exp2(53))")
        };
        let comma = if column == 0 { "" } else { ", " };
        let shift = shift * column as f64;
        write!(
            columns,
            "{comma}sqrt(-2 * log({})) * cos(2 * pi() * {}) + {shift} AS c{column:02}",
            share("a"),
            share("b")
        )?;
    }
    let (parquet, raw) = (folder.join(format!("{name}.parquet")), folder.join(format!("{name}.raw")));
    for (path, format) in [(&parquet, "Parquet"), (&raw, "RowBinary")] {
        let bytes = house.fetch(&format!("SELECT {columns} FROM numbers({ROWS}) FORMAT {format}")).await?;
        std::fs::write(path, bytes)?;
    }
    Ok(Side { parquet, raw })
}

/// Seconds and largest memory of the whole command, and what it reports.
fn drift(program: &Path, reference: &Path, current: &Path) -> anyhow::Result<(f64, u64, Value)> {
    let began = Instant::now();
    let process = Command::new(program)
        .arg("drift")
        .args([reference, current])
        .arg("--json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| format!("cannot start {}: `make build`", program.display()))?;
    let pid = process.id();
    let reading = std::thread::spawn(move || process.wait_with_output());
    let mut peak = 0;
    while !reading.is_finished() {
        peak = peak.max(resident(pid));
        std::thread::sleep(LOOK);
    }
    let output = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    let took = began.elapsed().as_secs_f64();
    // 1: drift was found
    ensure!(matches!(output.status.code(), Some(0 | 1)), "`driftline drift` ended with {}", output.status);
    Ok((took, peak, serde_json::from_slice(&output.stdout)?))
}

/// Bytes of memory of a process and those it started.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let own =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = children.flat_map(|line| pids(&line)).collect();
    own.unwrap_or(0u64) * 1_024 + children.into_iter().map(resident).sum::<u64>()
}

fn pids(line: &str) -> Vec<u32> {
    line.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn scipy(reference: &Path, current: &Path) -> anyhow::Result<Value> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(root.join(".deps/venv/bin/python"))
        .arg(root.join("bench/peers/ks.py"))
        .args([reference, current])
        .arg(COLUMNS.to_string())
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "bench/peers/ks.py ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Columns on whose distance the two do not agree.
fn differing(report: &Value, scipy: &Value) -> anyhow::Result<usize> {
    let columns = report["columns"].as_array().context("the report has no columns")?;
    let ours: HashMap<&str, f64> =
        columns.iter().filter_map(|column| Some((column["name"].as_str()?, column["d"].as_f64()?))).collect();
    let theirs = scipy["d"].as_array().context("scipy's loop tells no distances")?;
    let same = |(column, d): (usize, &Value)| {
        let found = ours.get(format!("c{column:02}").as_str());
        found.zip(d.as_f64()).is_some_and(|(ours, theirs)| (ours - theirs).abs() <= 1e-12)
    };
    Ok(COLUMNS - theirs.iter().enumerate().filter(|&pair| same(pair)).count())
}
