//! The checks that a folder passes before it serves: files, hashes, graph, vocabulary, labels, golden samples, warm-up.
//!
//! [`Paired`] is the proof: it is made here only, and a [`super::Version`] is made from nothing else.

mod report;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::config::{Batching, RawBatching};
use super::device::Device;
use super::folder::Folder;
use super::graph::{self, Graph};
use super::head::Head;
use super::labels;
use super::manifest::{self, TrustedKey};
use super::metadata::Task;
use super::onnx;
use super::plan::{Feed, IDS, Plan, Work};
use super::runtime::{Runtime, SessionOptions};
use super::session::{Engine, EngineFactory};
use super::text::{TextEncoder, Ways};
use super::{golden, rows};
use crate::tensor::Tensor;

pub use report::{Check, CheckResult, Report};

/// How a folder is examined.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) max_chars: usize,
    pub(crate) intra_threads: Option<usize>,
    pub(crate) device: Device,
    pub(crate) batching: Batching,
    /// Whether to go on after a mismatch, to find all of them. A graph that is not what it should be is then opened.
    pub(crate) thorough: bool,
}

/// A folder that passed every check, with its first session.
#[derive(Debug)]
pub(crate) struct Paired {
    pub(crate) folder: Folder,
    pub(crate) graph: Graph,
    pub(crate) encoder: Option<Arc<TextEncoder>>,
    pub(crate) factory: EngineFactory,
    pub(crate) engine: Engine,
    /// Largest difference of a score from the golden samples, where there are any.
    pub(crate) golden_difference: Option<f64>,
}

/// Makes every check of the folder `dir` with the ONNX Runtime library at `onnxruntime`.
///
/// # Errors
/// Where the library cannot be loaded; everything else is in the report.
pub fn verify(dir: &Path, onnxruntime: &Path) -> Result<Report, super::OpenError> {
    let runtime = Runtime::load(onnxruntime).map_err(|error| super::OpenError(error.to_string()))?;
    let terms = Terms {
        max_chars: 10_000,
        intra_threads: None,
        device: Device::Cpu,
        batching: RawBatching::default().into(),
        thorough: true,
    };
    Ok(examine(dir, &runtime, terms).0)
}

/// [`verify`], and before it whether one of these keys has signed the manifest.
///
/// # Errors
/// As [`verify`].
pub fn verify_signed(dir: &Path, onnxruntime: &Path, trusted: &[TrustedKey]) -> Result<Report, super::OpenError> {
    let mut report = verify(dir, onnxruntime)?;
    if !trusted.is_empty() {
        let result = match manifest::check_signature(dir, trusted) {
            Ok(()) => CheckResult::Passed("the manifest is signed by a trusted key".to_owned()),
            Err(why) => CheckResult::Failed(why),
        };
        report.checks.insert(0, Check { name: "signature", result });
    }
    Ok(report)
}

/// Makes the checks; the proof is there if and only if none failed.
pub(crate) fn examine(dir: &Path, runtime: &Runtime, terms: Terms) -> (Report, Option<Paired>) {
    examine_as(dir, Examiner { report: Report::default(), terms, runtime, pinned: true })
}

/// The same of a folder whose manifest, if it has one, is about to be written anew.
pub(crate) fn examine_unpinned(dir: &Path, runtime: &Runtime, terms: Terms) -> (Report, Option<Paired>) {
    examine_as(dir, Examiner { report: Report::default(), terms, runtime, pinned: false })
}

fn examine_as(dir: &Path, mut examiner: Examiner<'_>) -> (Report, Option<Paired>) {
    let paired = examiner.all(dir);
    let report = examiner.report;
    let proof = paired.filter(|_| report.passed());
    (report, proof)
}

struct Examiner<'a> {
    report: Report,
    terms: Terms,
    runtime: &'a Runtime,
    pinned: bool,
}

/// What a check gives when it holds.
pub(crate) enum Finding {
    /// What was compared.
    Equal(String),
    /// Why there was nothing to compare.
    Nothing(String),
}

impl Examiner<'_> {
    /// `None` as soon as a check failed that the next ones stand on.
    fn all(&mut self, dir: &Path) -> Option<Paired> {
        let folder = Folder::read(dir, self.pinned);
        let bytes = folder.as_ref().map_or(0, |folder| folder.bytes);
        let folder = self.value("files", folder, |folder| format!("{} files, {bytes} bytes", folder.hashes.len()))?;
        self.finding("hashes", check_hashes(&folder))?;
        let opened = self.open(&folder);
        let (mut graph, encoder, engine) = self.value("graph", opened, |(graph, ..)| graph.describe())?;
        let found = check_vocabulary(&folder, encoder.as_deref());
        self.finding("vocabulary", found)?;
        let (engine, probe) = self.label(&folder, &mut graph, encoder.as_deref(), engine)?;
        let mut engine = engine;
        let precision = onnx::precision(&folder.model).ok().flatten();
        let usual = || golden::tolerance(precision, self.terms.device);
        let tolerance = folder.settings.tolerance.unwrap_or_else(usual);
        let compared = golden::check(&folder.golden, &mut engine, encoder.as_deref(), tolerance);
        let golden_difference = compared.as_ref().ok().copied().flatten();
        self.finding("golden", compared.map(|_| count_golden(folder.golden.len())))?;
        let factory = EngineFactory {
            runtime: self.runtime.clone(),
            model: folder.model.clone(),
            options: self.options(&folder, folder.may_take_text()),
            plan: Arc::new(engine.plan().clone()),
            warm_up: warm_up(probe, engine.plan(), &self.terms),
        };
        let warmed = factory.try_out(&mut engine).map(|()| describe_warm_up(&factory.warm_up));
        self.finding("warm-up", warmed)?;
        Some(Paired { folder, graph, encoder, factory, engine, golden_difference })
    }

    fn options(&self, folder: &Folder, text: bool) -> SessionOptions {
        let threads = self.terms.intra_threads.or(folder.settings.intra_threads).unwrap_or(1);
        // Lengths of texts vary with every batch; a memory plan a shape would grow without bound.
        SessionOptions { intra_threads: threads, memory_pattern: !text, device: self.terms.device }
    }

    fn open(&self, folder: &Folder) -> Result<(Graph, Option<Arc<TextEncoder>>, Engine), String> {
        let name = relative(&folder.model);
        let session = self.runtime.session(&folder.model, self.options(folder, folder.may_take_text()));
        let session = session.map_err(|why| format!("ONNX Runtime cannot load {name}: {why}"))?;
        let outline = graph::outline(&session, folder).map_err(|why| format!("{name}: {why}"))?;
        let encoder = self.encoder(folder, outline.task)?;
        let graph = graph::read(outline, folder, encoder.as_deref()).map_err(|why| format!("{name}: {why}"))?;
        let plan = Arc::new(graph.trial_plan());
        Ok((graph, encoder, Engine::new(session, plan)))
    }

    fn encoder(&self, folder: &Folder, task: Task) -> Result<Option<Arc<TextEncoder>>, String> {
        let settings = &folder.settings;
        let spans = task == Task::TokenClassification;
        match &folder.tokenizer {
            _ if !task.takes_text() => Ok(None),
            None => Err(format!("the task is {}, and there is no tokenizer.json", task.as_str())),
            Some(_) if spans && settings.strip_suspicious => Err(
                "driftline.toml has strip_suspicious, and entities would be placed in another text than the caller's"
                    .to_owned(),
            ),
            Some(path) => {
                let (tokens, chars, padding) = (folder.max_tokens(), self.terms.max_chars, folder.padding_id());
                let ways = Ways { spans, strip: settings.strip_suspicious };
                Ok(Some(Arc::new(TextEncoder::read(path, tokens, chars, padding, ways)?)))
            }
        }
    }

    /// Finds the width of the class output and pairs it with the labels; gives the engine that knows its classes.
    fn label(
        &mut self,
        folder: &Folder,
        graph: &mut Graph,
        encoder: Option<&TextEncoder>,
        mut engine: Engine,
    ) -> Option<(Engine, Option<Work>)> {
        let probe = probe(folder, engine.plan(), encoder);
        let labelled = labels::pair(folder, graph, &mut engine, probe.as_ref());
        // Scores mean nothing without their labels, so nothing after this check can be made once it fails.
        let (classes, finding) = match labelled {
            Ok((classes, finding)) => (classes, Ok(finding)),
            Err(why) => (None, Err(why)),
        };
        let failed = finding.is_err();
        self.finding("labels", finding)?;
        if failed {
            return None;
        }
        graph.settle(runs_together(&mut engine, probe.as_ref()));
        graph.labels = classes.as_ref().map(|classes| Arc::clone(&classes.labels)).unwrap_or_default();
        let head = match (classes, graph.embedding) {
            (Some(classes), _) if graph.task == Task::TokenClassification => Head::Entities(classes),
            (Some(classes), _) => Head::Classes(classes),
            (None, Some(embedding)) => Head::Embedding(embedding),
            (None, None) => Head::Tensors,
        };
        let plan = Arc::new(graph.plan(head));
        Some((Engine::new(engine.into_session(), plan), probe))
    }

    fn value<T>(&mut self, name: &'static str, value: Result<T, String>, say: impl Fn(&T) -> String) -> Option<T> {
        let result = match &value {
            Ok(value) => CheckResult::Passed(say(value)),
            Err(why) => CheckResult::Failed(why.clone()),
        };
        self.report.checks.push(Check { name, result });
        value.ok()
    }

    /// `Some` if the next check may be made.
    fn finding(&mut self, name: &'static str, finding: Result<Finding, String>) -> Option<()> {
        let (result, go_on) = match finding {
            Ok(Finding::Equal(what)) => (CheckResult::Passed(what), true),
            Ok(Finding::Nothing(why)) => (CheckResult::Skipped(why), true),
            Err(why) => (CheckResult::Failed(why), self.terms.thorough),
        };
        self.report.checks.push(Check { name, result });
        go_on.then_some(())
    }
}

fn check_hashes(folder: &Folder) -> Result<Finding, String> {
    Ok(match folder.check_hashes()? {
        Some(files) => Finding::Equal(format!("{files} files are those of the manifest")),
        None => Finding::Nothing("there is no driftline.manifest.json".to_owned()),
    })
}

/// Ids past the last row would fail in the session, on some unlucky text, instead of here.
fn check_vocabulary(folder: &Folder, encoder: Option<&TextEncoder>) -> Result<Finding, String> {
    let Some(encoder) = encoder else { return Ok(Finding::Nothing("the model takes no text".to_owned())) };
    let name = relative(&folder.model);
    let found = onnx::word_embedding(&folder.model, IDS).map_err(|error| format!("{name}: {error}"))?;
    let vocabulary = encoder.vocabulary();
    let Some(embedding) = found else {
        return Ok(Finding::Nothing(format!("{name} looks its tokens up in no way known here")));
    };
    let (rows, table) = (embedding.rows, &embedding.name);
    if let Some(size) = folder.hub.vocab_size.filter(|&size| size != rows) {
        return Err(format!(
            "config.json says vocab_size {size}, and the embedding '{table}' of {name} has {rows} rows"
        ));
    }
    if vocabulary.max_id >= rows {
        let max = vocabulary.max_id;
        return Err(format!(
            "tokenizer.json gives ids up to {max}, and the embedding '{table}' of {name} has {rows} rows"
        ));
    }
    let unused = rows.saturating_sub(vocabulary.tokens) as f64 / rows as f64;
    let gap = folder.settings.vocabulary_gap.unwrap_or(VOCABULARY_GAP);
    if unused > gap {
        let tokens = vocabulary.tokens;
        return Err(format!(
            "tokenizer.json has {tokens} tokens, and the embedding '{table}' of {name} has {rows} rows: they belong to \
             different models (if not, set vocabulary_gap in driftline.toml)"
        ));
    }
    Ok(Finding::Equal(format!("{} tokens, {rows} rows of '{table}'", vocabulary.tokens)))
}

/// Exports pad the rows to a multiple of up to 128, a few percent of any real vocabulary.
const VOCABULARY_GAP: f64 = 0.1;

/// Something that the model can run: a golden sample, a text, or zeros where the shape is known.
fn probe(folder: &Folder, plan: &Plan, encoder: Option<&TextEncoder>) -> Option<Work> {
    if let Some(work) = folder.golden.iter().find_map(|sample| sample.work(plan, encoder).ok()) {
        return Some(work);
    }
    match (&plan.feed, encoder) {
        (Feed::Tokens(_), Some(encoder)) => encoder.encode(0, "Is anybody there?").ok().map(Work::Tokens),
        (Feed::Tensors(specs), _) => {
            let zeros = specs.iter().map(|spec| {
                let inner = spec.shape.iter().skip(usize::from(plan.splits)).map(|&n| usize::try_from(n).ok());
                let first = plan.splits.then_some(Some(1));
                let shape: Vec<usize> = first.into_iter().chain(inner).collect::<Option<_>>()?;
                // Empty strings are no category of anything.
                let data = rows::zeros(spec.datatype, shape.iter().product()).filter(|_| spec.datatype != "BYTES")?;
                Tensor::new(&spec.name, shape, data).ok()
            });
            zeros.collect::<Option<Vec<_>>>().map(Work::Tensors)
        }
        (Feed::Tokens(_), None) => None,
    }
}

/// A first axis of any size need not be the item, and some exports work for one item only: two must give two rows of every
/// output, or requests are not put together.
fn runs_together(engine: &mut Engine, probe: Option<&Work>) -> bool {
    let Some(probe) = probe else { return true };
    engine.run(&[probe, probe]).is_ok_and(|shares| shares.iter().all(Result::is_ok))
}

/// A single item, and a full batch of it where the model batches.
fn warm_up(probe: Option<Work>, plan: &Plan, terms: &Terms) -> Vec<Vec<Work>> {
    let Some(probe) = probe else { return Vec::new() };
    let batching = &terms.batching;
    let (length, budget) = match &probe {
        Work::Tokens(encoded) => (encoded.ids.len(), batching.max_batch_tokens),
        Work::Tensors(tensors) => (tensors.iter().map(|tensor| tensor.data().len()).sum(), batching.max_batch_elements),
    };
    let full = (budget / length.max(1)).clamp(1, batching.max_batch_items.max(1));
    let batch = if plan.splits { full } else { 1 };
    let single = vec![probe.clone()];
    if batch > 1 { vec![single, vec![probe; batch]] } else { vec![single] }
}

fn describe_warm_up(batches: &[Vec<Work>]) -> Finding {
    match batches.iter().map(Vec::len).max() {
        Some(most) => Finding::Equal(format!("ran batches of up to {most}")),
        None => Finding::Nothing("the input has no shape to warm up with; a golden sample would give one".to_owned()),
    }
}

fn count_golden(samples: usize) -> Finding {
    if samples == 0 {
        Finding::Nothing("there are no golden samples".to_owned())
    } else {
        Finding::Equal(format!("{samples} samples"))
    }
}

/// The graph's path inside its folder.
pub(crate) fn relative(model: &Path) -> String {
    let inner = model.parent().and_then(Path::file_name).is_some_and(|dir| dir == "onnx");
    let name: PathBuf = if inner { "onnx/model.onnx".into() } else { "model.onnx".into() };
    name.display().to_string()
}
