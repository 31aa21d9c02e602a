//! Measures what runs cost, and how many sessions of how many threads are fastest; keeps both from start to start.
//!
//! Everything is measured as it will run: all sessions of the version at once, each on a thread. A load spends at most
//! `tuning.max_time` on it, half on the sessions and half on the table; what there was no time for is filled in without
//! any gain from company, written down as missing, and measured by the next load. The file is named by what it depends on (model file, provider, threads), so another model
//! measures anew, and a file that is damaged is measured over.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::config::{Batching, Tuning};
use super::cost::{CostTable, Point};
use super::plan::Work;
use super::session::{Engine, EngineFactory};

/// What to tune.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) factory: &'a EngineFactory,
    /// Something that the model can run.
    pub(crate) probe: Option<&'a Work>,
    /// SHA-256 of the model file.
    pub(crate) sha256: &'a str,
    pub(crate) provider: &'a str,
    /// What the configuration or the folder says.
    pub(crate) sessions: Option<usize>,
    pub(crate) intra_threads: Option<usize>,
    /// Whether requests may run together.
    pub(crate) together: bool,
    /// Longest input in tokens; `None` for tensors.
    pub(crate) max_tokens: Option<usize>,
}

/// Sessions that are ready, and what is known of their cost.
#[derive(Debug)]
pub(crate) struct Tuned {
    pub(crate) engines: Vec<Engine>,
    /// Makes more of them.
    pub(crate) factory: EngineFactory,
    pub(crate) cost: Option<CostTable>,
    /// Cells of it that there was no time for.
    pub(crate) missing: usize,
    /// Why so many sessions of so many threads.
    pub(crate) why: String,
    pub(crate) keeper: Option<Keeper>,
}

/// Where a version's measurements are kept.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    choice: Choice,
    missing: Vec<Cell>,
}

/// Rows and length of one cell of the table.
type Cell = (usize, usize);

/// A table, and what of it could not be measured in time.
#[derive(Debug)]
struct Survey {
    cost: CostTable,
    missing: Vec<Cell>,
}

/// So many sessions of so many threads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Choice {
    sessions: usize,
    intra_threads: usize,
    why: String,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    choice: Choice,
    cost: CostTable,
    missing: Vec<Cell>,
}

/// 1 did not say what was missing.
const FORMAT: u32 = 2;

/// Longest time for one cell of the table, and for one turn of a contender.
const CELL_MAX: Duration = Duration::from_millis(100);
const TURN_MAX: Duration = Duration::from_millis(250);
/// More threads a session must win by this factor over more sessions, which also serve requests side by side.
const CLEARLY: f64 = 1.1;

/// Makes a version's sessions; `first` is one that exists already, of the folder's own number of threads. `fit` says whether
/// the memory is there for so many more.
///
/// # Errors
/// What ONNX Runtime said when a session was made.
pub(crate) fn tune(
    subject: &Subject<'_>,
    first: Engine,
    tuning: &Tuning,
    batching: &Batching,
    fit: &dyn Fn(usize) -> bool,
) -> Result<Tuned, String> {
    let path = tuning.dir.as_ref().map(|dir| dir.join(subject.file_name(tuning)));
    if let Some((path, record)) = path.as_ref().and_then(|path| Some((path, read(path)?))) {
        let Record { choice, cost, missing, .. } = record;
        let factory = subject.factory_of(choice.intra_threads);
        let mut engines = fill(first, subject.factory, &factory, choice.sessions)?;
        let why = format!("{} (kept)", choice.why);
        let begun = Survey { cost, missing };
        let survey = match subject.probe.filter(|_| !begun.missing.is_empty()) {
            Some(probe) => go_on(subject, probe, &mut engines, batching, begun, Instant::now() + tuning.max_time / 2),
            None => begun,
        };
        return Ok(Tuned::new(engines, factory, Some(survey), why, Some((path.clone(), choice))));
    }
    let contenders = subject.contenders(tuning);
    let until = Instant::now() + tuning.max_time / 2;
    let (mut engines, factory, why) = race(subject, first, &contenders, until, fit)?;
    let until = Instant::now() + tuning.max_time / 2;
    let cost = subject.probe.and_then(|probe| survey(subject, probe, &mut engines, batching, until));
    let choice = Choice { sessions: engines.len(), intra_threads: factory.options.intra_threads, why: why.clone() };
    Ok(Tuned::new(engines, factory, cost, why, path.map(|path| (path, choice))))
}

impl Tuned {
    /// Keeps what was measured, where there is a place for it.
    fn new(
        engines: Vec<Engine>,
        factory: EngineFactory,
        survey: Option<Survey>,
        why: String,
        place: Option<(PathBuf, Choice)>,
    ) -> Self {
        let (cost, missing) = survey.map_or((None, Vec::new()), |survey| (Some(survey.cost), survey.missing));
        let left = missing.len();
        let keeper = place.map(|(path, choice)| Keeper { path, choice, missing });
        if let (Some(keeper), Some(cost)) = (&keeper, &cost) {
            keeper.keep(cost.clone());
        }
        Self { engines, factory, cost, missing: left, why, keeper }
    }
}

impl Subject<'_> {
    fn file_name(&self, tuning: &Tuning) -> String {
        let said = |wish: Option<usize>| wish.map_or("auto".to_owned(), |n| n.to_string());
        let (threads, most, sha) = (tuning.threads, tuning.max_sessions, self.sha256.get(..16).unwrap_or(self.sha256));
        let (sessions, intra) = (said(self.sessions), said(self.intra_threads));
        let company = if self.together { "together" } else { "alone" };
        format!("{sha}-{}-{threads}-{most}-{sessions}x{intra}-{company}.json", self.provider)
    }

    fn factory_of(&self, intra_threads: usize) -> EngineFactory {
        let mut factory = self.factory.clone();
        factory.options.intra_threads = intra_threads;
        factory
    }

    /// Numbers of sessions and of threads in each that fill the budget, most sessions first; a single one where
    /// somebody has said it.
    fn contenders(&self, tuning: &Tuning) -> Vec<(usize, usize)> {
        let budget = tuning.threads;
        let most = most_sessions(tuning, self.sessions, self.intra_threads);
        match (self.sessions, self.intra_threads) {
            (Some(_), threads) => vec![(most, threads.unwrap_or(1))],
            (None, Some(threads)) => vec![(most, threads)],
            (None, None) if self.probe.is_none() || tuning.max_time.is_zero() => vec![(most, 1)],
            (None, None) => {
                let halves = std::iter::successors(Some(most), |&n| (n > 1).then_some(n / 2));
                halves.map(|sessions| (sessions, (budget / sessions).max(1))).collect()
            }
        }
    }
}

/// Most sessions that a version has, as far as is known before it is loaded: the first contender's.
pub(crate) fn most_sessions(tuning: &Tuning, sessions: Option<usize>, intra_threads: Option<usize>) -> usize {
    let most = tuning.max_sessions.min(tuning.threads);
    sessions.unwrap_or_else(|| intra_threads.map_or(most, |threads| (tuning.threads / threads.max(1)).clamp(1, most)))
}

/// Lets the contenders run the probe and keeps the sessions of the fastest. The fastest so far stay while the next are
/// made, so these are left out where there is no memory for both.
fn race(
    subject: &Subject<'_>,
    first: Engine,
    contenders: &[(usize, usize)],
    until: Instant,
    fit: &dyn Fn(usize) -> bool,
) -> Result<(Vec<Engine>, EngineFactory, String), String> {
    let (sessions, threads) = contenders.first().copied().unwrap_or((1, 1));
    let factory = subject.factory_of(threads);
    let mut best = (fill(first, subject.factory, &factory, sessions)?, factory);
    let Some(probe) = subject.probe.filter(|_| contenders.len() > 1) else {
        return Ok((best.0, best.1, "as configured".to_owned()));
    };
    let probe = stretched(probe, subject.max_tokens.map_or(1, |most| most.min(64)));
    let turn = until.saturating_duration_since(Instant::now()) / contenders.len() as u32;
    let speed = |engines: &mut [Engine]| {
        let seconds = together(engines, std::slice::from_ref(&probe), turn.min(TURN_MAX));
        seconds.map_or(0.0, |seconds| engines.len() as f64 / seconds)
    };
    let mut best_speed = speed(&mut best.0);
    let mut seen = vec![format!("{sessions} of {threads} {best_speed:.0}/s")];
    for &(sessions, threads) in contenders.iter().skip(1).take_while(|_| Instant::now() < until) {
        if !fit(sessions) {
            seen.push(format!("{sessions} of {threads} not tried, the memory is not there for both"));
            continue;
        }
        let factory = subject.factory_of(threads);
        let mut engines = vec![factory.make()?];
        while engines.len() < sessions {
            engines.push(factory.make()?);
        }
        let speed = speed(&mut engines);
        seen.push(format!("{sessions} of {threads} {speed:.0}/s"));
        if speed > best_speed * CLEARLY {
            (best, best_speed) = ((engines, factory), speed);
        }
    }
    Ok((best.0, best.1, format!("fastest of those measured (sessions of threads): {}", seen.join(", "))))
}

/// So many engines; the first is used where it has the right number of threads.
fn fill(first: Engine, made_by: &EngineFactory, factory: &EngineFactory, count: usize) -> Result<Vec<Engine>, String> {
    let fits = made_by.options.intra_threads == factory.options.intra_threads;
    let mut engines = if fits { vec![first] } else { Vec::new() };
    while engines.len() < count {
        engines.push(factory.make()?);
    }
    Ok(engines)
}

/// Rows and lengths of the table, and those of its cells that a batch may reach.
fn grid(subject: &Subject<'_>, probe: &Work, batching: &Batching) -> (Vec<usize>, Vec<usize>, Vec<Cell>) {
    let (lengths, budget): (Vec<usize>, _) = match (probe, subject.max_tokens) {
        (Work::Tokens(_), Some(most)) => {
            let powers = std::iter::successors(Some(8), |n| Some(n * 2)).take_while(|n| *n < most);
            (powers.chain([most]).collect(), batching.max_batch_tokens)
        }
        (work, _) => (vec![elements(work)], batching.max_batch_elements),
    };
    let most = if subject.together { batching.max_batch_items } else { 1 };
    let rows: Vec<usize> = std::iter::successors(Some(1), |n| Some(n * 2)).take_while(|n| *n <= most).collect();
    let cells = rows
        .iter()
        .flat_map(|&r| lengths.iter().map(move |&l| (r, l)))
        .filter(|(r, l)| *r == 1 || r * l <= budget)
        .collect();
    (rows, lengths, cells)
}

/// The cost table over a small grid.
fn survey(
    subject: &Subject<'_>,
    probe: &Work,
    engines: &mut [Engine],
    batching: &Batching,
    until: Instant,
) -> Option<Survey> {
    let (rows, lengths, cells) = grid(subject, probe, batching);
    let (points, missing) = measure(probe, engines, &cells, until);
    Some(Survey { cost: CostTable::new(rows, lengths, &points)?, missing })
}

/// Measures what an earlier survey had no time for, as far as its table still has a place for it.
fn go_on(
    subject: &Subject<'_>,
    probe: &Work,
    engines: &mut [Engine],
    batching: &Batching,
    begun: Survey,
    until: Instant,
) -> Survey {
    let Survey { cost, missing } = begun;
    let (_, _, possible) = grid(subject, probe, batching);
    let cells: Vec<Cell> = possible.into_iter().filter(|cell| missing.contains(cell)).collect();
    let (points, missing) = measure(probe, engines, &cells, until);
    Survey { cost: cost.with(&points, &missing), missing }
}

/// What the cells cost, and those that there was no time for.
fn measure(probe: &Work, engines: &mut [Engine], cells: &[Cell], until: Instant) -> (Vec<Point>, Vec<Cell>) {
    let mut points = Vec::new();
    for (i, &(rows, length)) in cells.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return (points, cells[i..].to_vec());
        }
        let works = vec![stretched(probe, length); rows];
        let slice = (left / (cells.len() - i) as u32).min(CELL_MAX);
        points.extend(together(engines, &works, slice).map(|seconds| Point { rows, length, seconds }));
    }
    (points, Vec::new())
}

/// Median seconds of a run of these works while all engines run them, each at least twice; the first is not counted.
/// `None` where one fails.
fn together(engines: &mut [Engine], works: &[Work], slice: Duration) -> Option<f64> {
    let works: Vec<&Work> = works.iter().collect();
    let started = Instant::now();
    let one = |engine: &mut Engine| -> Option<Vec<f64>> {
        let mut times = Vec::new();
        engine.run(&works).ok()?;
        while times.is_empty() || (started.elapsed() < slice && times.len() < 1_000) {
            let run = Instant::now();
            engine.run(&works).ok()?;
            times.push(run.elapsed().as_secs_f64());
        }
        Some(times)
    };
    let times = thread::scope(|scope| {
        let running: Vec<_> = engines.iter_mut().map(|engine| scope.spawn(|| one(engine))).collect();
        let all = running.into_iter().map(|thread| thread.join().ok().flatten());
        all.collect::<Option<Vec<_>>>()
    });
    let mut times = times?.concat();
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

/// The probe with so many tokens: its own, over and over between its first and its last. A tensor stays what it is.
fn stretched(probe: &Work, tokens: usize) -> Work {
    let Work::Tokens(text) = probe else { return probe.clone() };
    let mut text = text.clone();
    let inner: Vec<u32> = text.ids.get(1..text.ids.len().saturating_sub(1)).unwrap_or_default().to_vec();
    if let (Some(&first), Some(&last), false) = (text.ids.first(), text.ids.last(), inner.is_empty()) {
        let middle = inner.into_iter().cycle().take(tokens.saturating_sub(2));
        text.ids = std::iter::once(first).chain(middle).chain([last]).take(tokens.max(1)).collect();
        text.type_ids = vec![0; text.ids.len()];
    }
    Work::Tokens(text)
}

fn elements(work: &Work) -> usize {
    match work {
        Work::Tokens(text) => text.ids.len(),
        Work::Tensors(tensors) => {
            let all: usize = tensors.iter().map(|tensor| tensor.data().len()).sum();
            all.div_ceil(work.rows().max(1)).max(1)
        }
    }
}

impl Keeper {
    /// Writes the table down; a failure costs a measurement at the next start and nothing else.
    pub(crate) fn keep(&self, cost: CostTable) {
        let record = Record { format: FORMAT, choice: self.choice.clone(), cost, missing: self.missing.clone() };
        if let Err(error) = write(&self.path, &record) {
            tracing::warn!(path = %self.path.display(), %error, "the measured costs cannot be kept");
        }
    }
}

/// A record that can be used.
fn read(path: &Path) -> Option<Record> {
    let bytes = fs::read(path).ok()?;
    let record = serde_json::from_slice(&bytes).ok().filter(|record: &Record| {
        let Choice { sessions, intra_threads, .. } = record.choice;
        let threads = 1..=1_024;
        record.format == FORMAT
            && record.cost.is_sound()
            && threads.contains(&sessions)
            && threads.contains(&intra_threads)
    });
    if record.is_none() {
        tracing::warn!(path = %path.display(), "the kept costs cannot be used and are measured anew");
    }
    record
}

/// Whole or not at all: a reader never sees half a file.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&beside, serde_json::to_vec_pretty(record)?)?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::super::config::RawBatching;
    use super::super::device::Device;
    use super::super::memory;
    use super::super::pairing::{self, Terms};
    use super::super::runtime::Runtime;
    use super::super::status::Role;
    use super::super::testing::{House, fixtures, onnxruntime, soon, texts};
    use super::*;

    fn kept(dir: &Path) -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn what_was_measured_is_kept_and_a_damaged_file_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let settings = format!("tuning.dir = {:?}", dir.path().join("cost"));
        let load = async || {
            let house = House::ready(&["router/1"], &settings).await;
            let router = house.catalog.primary("router").unwrap();
            router.run(texts(&["where is my parcel"]), soon()).await.unwrap();
            let why = router.metadata().sessions_why.clone();
            house.catalog.shutdown().await;
            why
        };
        assert!(load().await.starts_with("fastest of those measured"));
        let files = kept(&dir.path().join("cost"));
        assert_eq!(files.len(), 1);
        assert!(load().await.ends_with("(kept)"));
        for damage in ["", "{}", &fs::read_to_string(&files[0]).unwrap().replacen(": ", ": -1e999, \"x\": ", 1)] {
            fs::write(&files[0], damage).unwrap();
            assert!(!load().await.ends_with("(kept)"), "{damage} was used");
            assert!(read(&files[0]).is_some(), "it was not made anew");
        }
        assert_eq!(kept(&dir.path().join("cost")), files);
    }

    /// More sessions than are asked about would be opened than there is memory for.
    #[tokio::test]
    async fn a_load_asks_for_the_memory_of_all_sessions_that_it_opens() {
        for (settings, sessions) in [
            ("tuning = { threads = 16, max_sessions = 8 }", 8),
            ("tuning = { threads = 3, max_sessions = 8 }", 3),
            ("tuning = { threads = 16, max_sessions = 8 }\nintra_threads = 4", 4),
            ("tuning = { threads = 16, max_sessions = 8 }\nmodels.router.instances = 12", 12),
        ] {
            let house = House::open(&["router/1"], settings);
            let order = house.catalog.inner.order("router", "1", Role::Primary).unwrap();
            let expected = order.memory.estimate(memory::weights(&order.dir), sessions);
            assert_eq!(order.needed_bytes(), expected, "{settings}");
        }
    }

    /// The fastest so far stay in memory while the next are made.
    #[test]
    fn contenders_that_do_not_fit_beside_the_first_are_left_out() {
        let runtime = Runtime::load(&onnxruntime()).unwrap();
        let batching = Batching::from(RawBatching::default());
        let terms = Terms { max_chars: 100, intra_threads: None, device: Device::Cpu, batching, thorough: false };
        let (report, paired) = pairing::examine(&fixtures().join("router/1"), &runtime, terms);
        let paired = paired.unwrap_or_else(|| panic!("{:?}", report.failure()));
        let probe = paired.factory.warm_up.first().and_then(|works| works.first());
        let (sha256, provider) = ("0123456789abcdef", "CPUExecutionProvider");
        let (sessions, intra_threads, together, max_tokens) = (None, None, false, Some(16));
        let factory = &paired.factory;
        let subject = Subject { factory, probe, sha256, provider, sessions, intra_threads, together, max_tokens };
        let tuning = Tuning { max_time: Duration::from_secs(600), threads: 2, max_sessions: 2, dir: None };
        let asked = std::cell::Cell::new(0);
        let fit = |sessions: usize| {
            asked.set(sessions);
            false
        };
        let tuned = tune(&subject, paired.engine, &tuning, &batching, &fit).unwrap();
        assert_eq!((tuned.engines.len(), asked.get()), (2, 1));
        assert!(tuned.why.contains("1 of 2 not tried"), "{}", tuned.why);
    }

    /// A load without the time to measure company leaves a table that sees no gain in it, and must not leave it for ever.
    #[tokio::test]
    async fn what_there_was_no_time_for_is_measured_by_the_next_load() {
        let dir = tempfile::tempdir().unwrap();
        let settings = format!("tuning = {{ dir = {:?}, max_time = '600s' }}\nbatching.max_difference = 1", dir.path());
        let load = async || {
            let house = House::ready(&["router/1"], &settings).await;
            let router = house.catalog.primary("router").unwrap();
            let (why, cost) = (router.metadata().batches_why.clone(), router.cost().unwrap());
            house.catalog.shutdown().await;
            (why, cost)
        };
        let (why, _) = load().await;
        assert!(!why.contains("incomplete"), "{why}");
        let [path]: [PathBuf; 1] = kept(dir.path()).try_into().unwrap();
        let mut record = read(&path).unwrap();
        assert!(record.missing.is_empty());
        // as a load leaves it whose time was over after the first row, but for a cell that no batch of ours is
        let reached = |cell: &Point| cell.rows * cell.length <= RawBatching::default().max_batch_tokens;
        let cells: Vec<Point> = record.cost.cells().filter(reached).collect();
        let (one, more): (Vec<Point>, Vec<Point>) = cells.into_iter().partition(|cell| cell.rows == 1);
        let guess = |cell: &Point| cell.rows as f64 * one.iter().find(|one| one.length == cell.length).unwrap().seconds;
        let left: Vec<Cell> = more.iter().map(|cell| (cell.rows, cell.length)).collect();
        let guessed: Vec<Point> = more.iter().map(|&cell| Point { seconds: 1e3 * guess(&cell), ..cell }).collect();
        record.cost = record.cost.with(&guessed, &[]);
        record.missing = left.iter().copied().chain([(usize::MAX, 8)]).collect();
        write(&path, &record).unwrap();
        let (why, cost) = load().await;
        assert!(!why.contains("incomplete"), "{why}");
        assert!(read(&path).unwrap().missing.is_empty());
        let slow = cost.iter().filter(|(rows, length, seconds)| {
            guessed.iter().any(|guess| (guess.rows, guess.length) == (*rows, *length) && *seconds > guess.seconds / 2.0)
        });
        assert_eq!(slow.count(), 0, "what was guessed is measured: {cost:?}");
    }

    /// The grid is walked in order, so that what is left is its end.
    #[test]
    fn a_survey_without_time_says_what_is_missing() {
        let cells = [(1, 8), (1, 16), (2, 8)];
        let probe = Work::Tensors(Vec::new());
        let (points, missing) = measure(&probe, &mut [], &cells, Instant::now());
        assert!(points.is_empty());
        assert_eq!(missing, cells);
    }

    #[tokio::test]
    async fn a_load_without_time_measures_nothing_and_still_serves() {
        let house = House::ready(&["router/1"], "tuning.max_time = \"0s\"").await;
        let router = house.catalog.primary("router").unwrap();
        assert!(router.run(texts(&["my parcel"]), soon()).await.is_ok());
        assert!(router.cost().is_none());
    }
}
