//! The names of a model's classes, paired with as many numbers as its output gives.

use super::folder::{Folder, Problem};
use super::graph::Graph;
use super::head::ClassOutput;
use super::metadata::Task;
use super::onnx;
use super::pairing::{Finding, relative};
use super::plan::Work;
use super::session::Engine;
use crate::tensor::Tensor;

/// From which probability on a class holds, where several may and the folder says nothing.
const THRESHOLD: f32 = 0.5;

/// The output that holds the classes, with their names: the folder's, else those in a scikit-learn graph, else numbers.
/// `None` where the model is no classifier.
///
/// # Errors
/// A sentence, where the names are not as many as the classes.
pub(crate) fn pair(
    folder: &Folder,
    graph: &Graph,
    engine: &mut Engine,
    probe: Option<&Work>,
) -> Result<(Option<ClassOutput>, Finding), String> {
    let Some((index, kind)) = graph.class_output else {
        let why = "driftline.toml has labels, and neither logits nor probabilities say which output holds them";
        return match folder.settings.labels {
            Some(_) => Err(why.to_owned()),
            None => Ok((None, Finding::Nothing("the model is no classifier".to_owned()))),
        };
    };
    let output = &graph.outputs[index];
    let width = match output.shape.last().copied().and_then(|width| usize::try_from(width).ok()) {
        Some(width) => width,
        None => probed_width(engine, index, probe)?,
    };
    let (labels, finding) = match named(folder, graph, width)? {
        Some(labels) if labels.len() != width => {
            return Err(format!("there are {} labels, and output '{}' has {width} classes", labels.len(), output.name));
        }
        Some(labels) => (labels, Finding::Equal(format!("{width} labels, {width} classes of '{}'", output.name))),
        // What transformers calls classes that nobody named.
        None => {
            let labels = (0..width).map(|i| format!("LABEL_{i}")).collect();
            (labels, Finding::Nothing("nothing names the classes".to_owned()))
        }
    };
    // Like Hugging Face's pipelines: a single class holds or not.
    let several = folder.problem().map_or(width == 1, |problem| problem == Problem::Multi);
    let threshold = several.then(|| folder.settings.threshold.unwrap_or(THRESHOLD));
    Ok((Some(ClassOutput { index, kind, threshold, labels: labels.into() }), finding))
}

fn named(folder: &Folder, graph: &Graph, width: usize) -> Result<Option<Vec<String>>, String> {
    match folder.labels()? {
        None if graph.task == Task::Tensor => {
            onnx::class_labels(&folder.model, width).map_err(|error| format!("{}: {error}", relative(&folder.model)))
        }
        named => Ok(named),
    }
}

fn probed_width(engine: &mut Engine, index: usize, probe: Option<&Work>) -> Result<usize, String> {
    let probe = probe.ok_or("the width of the class output is not in the graph: add a golden sample to find it by")?;
    let mut found = engine.run(&[probe])?;
    let outputs = found.pop().ok_or("the session gave nothing")??;
    let width = outputs.get(index).and_then(|output: &Tensor| output.shape().last().copied());
    width.ok_or_else(|| "the class output has no classes".to_owned())
}
