//! What a graph takes and gives, matched with what the folder says of it.

use std::sync::Arc;

use ort::session::Session;

use super::folder::Folder;
use super::metadata::TensorSpec;
use super::plan::{ClassOutput, Feed, IDS, MASK, Plan, Scores, TYPES, TokenFeed};
use super::text::TextEncoder;
use super::values;

/// A graph and how it is used.
#[derive(Debug)]
pub(crate) struct Graph {
    feed: Feed,
    /// The outputs that are read.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Which of them holds the classes, and what its numbers are.
    pub(crate) class_output: Option<(usize, Scores)>,
    /// Set once they are paired with the width.
    pub(crate) labels: Arc<[String]>,
    splits: bool,
    allow_non_finite: bool,
}

/// Looks at a session's inputs and outputs.
///
/// # Errors
/// A sentence naming the input or output that does not fit.
pub(crate) fn read(session: &Session, folder: &Folder, encoder: Option<&TextEncoder>) -> Result<Graph, String> {
    let (mut inputs, mut outputs) = values::specs(session)?;
    if inputs.is_empty() || outputs.is_empty() {
        return Err("the graph has no inputs or no outputs".to_owned());
    }
    let first_is_free = |spec: &TensorSpec| spec.shape.first() == Some(&-1);
    let mut class_output = class_output(folder, &outputs, encoder.is_some())?;
    if let (Some((index, kind)), true) = (class_output, encoder.is_some()) {
        // Hidden states that some exports give beside the logits would only be copied and thrown away.
        outputs = vec![outputs.swap_remove(index)];
        class_output = Some((0, kind));
    }
    if let Some((index, _)) = class_output {
        check_class_output(&outputs[index])?;
    }
    let splits = inputs.iter().chain(&outputs).all(first_is_free);
    name_columns(folder, &mut inputs)?;
    let feed = match encoder {
        Some(encoder) => Feed::Tokens(token_feed(&inputs, encoder)?),
        None => Feed::Tensors(inputs),
    };
    let allow_non_finite = folder.settings.allow_non_finite;
    Ok(Graph { feed, outputs, class_output, labels: Arc::default(), splits, allow_non_finite })
}

impl Graph {
    /// The plan, with the classes once they are known.
    pub(crate) fn plan(&self, classes: Option<ClassOutput>) -> Plan {
        let Self { feed, outputs, splits, allow_non_finite, .. } = self;
        Plan {
            feed: feed.clone(),
            outputs: outputs.clone(),
            splits: *splits,
            classes,
            allow_non_finite: *allow_non_finite,
        }
    }

    /// A plan to try the graph with: nothing is known of its classes, and zeros need not have a finite answer.
    pub(crate) fn trial_plan(&self) -> Plan {
        Plan { allow_non_finite: true, ..self.plan(None) }
    }

    /// Takes batching back where two items together did not give two rows.
    pub(crate) fn settle(&mut self, runs_together: bool) {
        self.splits &= runs_together;
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
        format!("takes {inputs}; gives {}", names(&self.outputs))
    }
}

/// Name of the input of a model with a tokenizer.
pub(crate) const TEXT: &str = "text";

fn class_output(folder: &Folder, outputs: &[TensorSpec], text: bool) -> Result<Option<(usize, Scores)>, String> {
    let settings = &folder.settings;
    let find = |name: &str| outputs.iter().position(|spec| spec.name == name);
    let names = || outputs.iter().map(|spec| format!("'{}'", spec.name)).collect::<Vec<_>>().join(", ");
    for (asked, kind) in [(&settings.logits, Scores::Logits), (&settings.probabilities, Scores::Probabilities)] {
        if let Some(name) = asked {
            let index = find(name)
                .ok_or_else(|| format!("driftline.toml names the output '{name}', and the graph has {}", names()))?;
            return Ok(Some((index, kind)));
        }
    }
    Ok(text.then(|| (find("logits").unwrap_or_default(), Scores::Logits)))
}

fn check_class_output(output: &TensorSpec) -> Result<(), String> {
    let TensorSpec { name, shape, datatype, .. } = output;
    if shape.len() != 2 {
        return Err(format!("output '{name}' has shape {shape:?}, and a classification needs [items, classes]"));
    }
    if !matches!(*datatype, "FP16" | "BF16" | "FP32" | "FP64") {
        return Err(format!("output '{name}' is {datatype}, and scores are floats"));
    }
    Ok(())
}

fn token_feed(inputs: &[TensorSpec], encoder: &TextEncoder) -> Result<TokenFeed, String> {
    let has = |name: &str| inputs.iter().any(|spec| spec.name == name);
    for TensorSpec { name, datatype, shape, .. } in inputs {
        if ![IDS, MASK, TYPES].contains(&name.as_str()) {
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
    Ok(TokenFeed { mask: has(MASK), types: has(TYPES), narrow, padding: encoder.padding() })
}

fn name_columns(folder: &Folder, inputs: &mut [TensorSpec]) -> Result<(), String> {
    for (name, settings) in &folder.settings.inputs {
        let Some(spec) = inputs.iter_mut().find(|spec| spec.name == *name) else {
            return Err(format!("driftline.toml names the input '{name}', which the graph does not have"));
        };
        let (named, last) = (settings.columns.len(), spec.shape.last().copied().unwrap_or(1));
        if last >= 0 && i64::try_from(named) != Ok(last) {
            return Err(format!("driftline.toml names {named} columns of input '{name}', whose last axis has {last}"));
        }
        spec.columns.clone_from(&settings.columns);
    }
    Ok(())
}
