//! What a graph takes and gives, matched with what the folder says of it.

use std::sync::Arc;

use ort::session::Session;

use super::folder::Folder;
use super::head::{EmbeddingOutput, Head, Scores};
use super::metadata::{Task, TensorSpec};
use super::plan::{Feed, IDS, MASK, POSITIONS, Plan, TYPES, TokenFeed};
use super::schema::Schema;
use super::text::TextEncoder;
use super::{outputs, task, values};

/// A graph and how it is used.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) task: Task,
    feed: Feed,
    /// The outputs that are read.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Which of them holds the classes, and what its numbers are.
    pub(crate) class_output: Option<(usize, Scores)>,
    /// How the only output becomes a vector, of a feature extraction.
    pub(crate) embedding: Option<EmbeddingOutput>,
    /// What its columns may hold.
    pub(crate) schema: Schema,
    /// Set once they are paired with the width.
    pub(crate) labels: Arc<[String]>,
    splits: bool,
    allow_non_finite: bool,
}

/// A graph's inputs and outputs, and what it does.
#[derive(Debug)]
pub(crate) struct Outline {
    inputs: Vec<TensorSpec>,
    outputs: Vec<TensorSpec>,
    pub(crate) task: Task,
}

/// Looks at a session's inputs and outputs.
///
/// # Errors
/// A sentence naming the first that cannot be served.
pub(crate) fn outline(session: &Session, folder: &Folder) -> Result<Outline, String> {
    let (inputs, outputs) = values::specs(session)?;
    if inputs.is_empty() || outputs.is_empty() {
        return Err("the graph has no inputs or no outputs".to_owned());
    }
    let task = task::infer(folder, &outputs)?;
    Ok(Outline { inputs, outputs, task })
}

/// Matches them with what the folder says; a task that takes text has an encoder.
///
/// # Errors
/// A sentence naming the input or output that does not fit.
pub(crate) fn read(outline: Outline, folder: &Folder, encoder: Option<&TextEncoder>) -> Result<Graph, String> {
    let Outline { mut inputs, mut outputs, task } = outline;
    let first_is_free = |spec: &TensorSpec| spec.shape.first() == Some(&-1);
    let mut class_output = None;
    let mut embedding = None;
    if task == Task::FeatureExtraction {
        let (index, made) = outputs::embedding(folder, &outputs)?;
        outputs = vec![outputs.swap_remove(index)];
        embedding = Some(made);
    } else if let Some((index, kind)) = outputs::classes(folder, &outputs, task)? {
        class_output = Some((index, kind));
        if encoder.is_some() {
            // Hidden states that some exports give beside the logits would only be copied and thrown away.
            outputs = vec![outputs.swap_remove(index)];
            class_output = Some((0, kind));
        }
    }
    let splits = inputs.iter().chain(&outputs).all(first_is_free);
    name_columns(folder, &mut inputs)?;
    let schema = Schema::read(&folder.settings.inputs, &inputs)?;
    let feed = match encoder {
        Some(encoder) => Feed::Tokens(token_feed(&inputs, encoder)?),
        None => Feed::Tensors(inputs),
    };
    let allow_non_finite = folder.settings.allow_non_finite;
    let labels = Arc::default();
    Ok(Graph { task, feed, outputs, class_output, embedding, schema, labels, splits, allow_non_finite })
}

impl Graph {
    /// The plan, with what the outputs mean once it is known.
    pub(crate) fn plan(&self, head: Head) -> Plan {
        let Self { feed, outputs, splits, allow_non_finite, .. } = self;
        Plan {
            feed: feed.clone(),
            outputs: outputs.clone(),
            splits: *splits,
            head,
            allow_non_finite: *allow_non_finite,
        }
    }

    /// A plan to try the graph with: nothing is known of its classes, and zeros need not have a finite answer.
    pub(crate) fn trial_plan(&self) -> Plan {
        Plan { allow_non_finite: true, ..self.plan(Head::Tensors) }
    }

    /// Takes batching back where two items together did not give two rows.
    pub(crate) fn settle(&mut self, runs_together: bool) {
        self.splits &= runs_together;
    }

    /// What clients are given.
    pub(crate) fn client_outputs(&self) -> Vec<TensorSpec> {
        let Some(embedding) = self.embedding else { return self.outputs.clone() };
        let pooled = |spec: &TensorSpec| {
            let shape = Head::Embedding(embedding).share_shape(&spec.shape);
            let name = if shape.len() == spec.shape.len() { spec.name.clone() } else { task::SENTENCE.to_owned() };
            TensorSpec { name, datatype: "FP32", shape, columns: Vec::new() }
        };
        self.outputs.iter().map(pooled).collect()
    }

    /// What clients may send.
    pub(crate) fn client_inputs(&self) -> Vec<TensorSpec> {
        match &self.feed {
            Feed::Tensors(specs) => specs.clone(),
            Feed::Tokens(_) => {
                vec![TensorSpec { name: TEXT.to_owned(), datatype: "BYTES", shape: vec![-1], columns: Vec::new() }]
            }
        }
    }

    /// One line for a report.
    pub(crate) fn describe(&self) -> String {
        let names = |specs: &[TensorSpec]| specs.iter().map(|spec| spec.name.as_str()).collect::<Vec<_>>().join(", ");
        let inputs = match &self.feed {
            Feed::Tensors(specs) => names(specs),
            Feed::Tokens(_) => "text".to_owned(),
        };
        format!("{}: takes {inputs}; gives {}", self.task.as_str(), names(&self.client_outputs()))
    }
}

/// Name of the input of a model with a tokenizer.
pub(crate) const TEXT: &str = "text";
/// Name of the input that holds the second texts of pairs.
pub(crate) const TEXT_PAIR: &str = "text_pair";

fn token_feed(inputs: &[TensorSpec], encoder: &TextEncoder) -> Result<TokenFeed, String> {
    let has = |name: &str| inputs.iter().any(|spec| spec.name == name);
    for TensorSpec { name, datatype, shape, .. } in inputs {
        if ![IDS, MASK, TYPES, POSITIONS].contains(&name.as_str()) {
            return Err(format!("the graph wants the input '{name}', which a tokenizer does not make"));
        }
        if !matches!(*datatype, "INT64" | "INT32") {
            return Err(format!("input '{name}' is {datatype}, and token ids are INT64 or INT32"));
        }
        if shape.len() != 2 || shape[1] != -1 {
            return Err(format!("input '{name}' has shape {shape:?}: export it with dynamic axes [batch, sequence]"));
        }
    }
    if !has(IDS) {
        return Err(format!("there is a tokenizer.json, and the graph has no input '{IDS}'"));
    }
    let narrow = inputs.iter().all(|spec| spec.datatype == "INT32");
    if !narrow && inputs.iter().any(|spec| spec.datatype == "INT32") {
        return Err("the token inputs are partly INT32 and partly INT64".to_owned());
    }
    Ok(TokenFeed { mask: has(MASK), types: has(TYPES), positions: has(POSITIONS), narrow, padding: encoder.padding() })
}

fn name_columns(folder: &Folder, inputs: &mut [TensorSpec]) -> Result<(), String> {
    for (name, settings) in &folder.settings.inputs {
        let Some(spec) = inputs.iter_mut().find(|spec| spec.name == *name) else {
            return Err(format!("driftline.toml names the input '{name}', which the graph does not have"));
        };
        let (named, last) = (settings.columns.len(), spec.shape.last().copied().unwrap_or(1));
        if named > 0 && last >= 0 && i64::try_from(named) != Ok(last) {
            return Err(format!("driftline.toml names {named} columns of input '{name}', whose last axis has {last}"));
        }
        spec.columns.clone_from(&settings.columns);
    }
    Ok(())
}
