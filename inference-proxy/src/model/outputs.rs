//! Which output of a graph holds the answer: as `driftline.toml` says, or by the names that exporters give.

use super::folder::{Folder, Problem};
use super::head::{EmbeddingOutput, Scores};
use super::metadata::{Task, TensorSpec};
use super::pooling::Pooling;
use super::task::{HIDDEN, SENTENCE};

/// The outputs of a scikit-learn classifier without its zipmap: the winning class, and one number a class. skl2onnx and
/// onnxmltools give one pair of names or the other.
const SCIKIT: [(&str, &str); 2] = [("label", "probabilities"), ("output_label", "output_probability")];

/// The output that holds one number a class, with what the numbers are; `None` where there is none.
///
/// # Errors
/// A sentence naming the output that is not there or cannot hold classes.
pub(crate) fn classes(folder: &Folder, outputs: &[TensorSpec], task: Task) -> Result<Option<(usize, Scores)>, String> {
    let settings = &folder.settings;
    let find = |name: &str| outputs.iter().position(|spec| spec.name == name);
    let mut found = None;
    for (asked, kind) in [(&settings.logits, Scores::Logits), (&settings.probabilities, Scores::Probabilities)] {
        if let Some(name) = asked {
            let index = find(name).ok_or_else(|| unknown(name, outputs))?;
            found = Some((index, kind));
        }
    }
    let found = found.or_else(|| match task {
        _ if folder.problem() == Some(Problem::Regression) => None,
        Task::TextClassification | Task::TokenClassification => {
            Some((find("logits").unwrap_or_default(), Scores::Logits))
        }
        Task::FeatureExtraction => None,
        Task::Tensor => scikit(outputs).map(|index| (index, Scores::Probabilities)),
    });
    let rank = if task == Task::TokenClassification { 3 } else { 2 };
    found.map(|(index, kind)| check_classes(&outputs[index], rank).map(|()| (index, kind))).transpose()
}

fn scikit(outputs: &[TensorSpec]) -> Option<usize> {
    let is_label = |spec: &TensorSpec| matches!(spec.datatype, "INT64" | "INT32" | "BYTES");
    let pair = |(label, probabilities): (&str, &str)| {
        outputs.iter().find(|spec| spec.name == label && is_label(spec))?;
        outputs.iter().position(|spec| spec.name == probabilities && spec.shape.len() == 2 && is_float(spec))
    };
    SCIKIT.into_iter().find_map(pair)
}

/// The output that holds the vectors, with how it becomes one vector an item.
///
/// # Errors
/// A sentence, where no output can, or the folder asks for what is not served.
pub(crate) fn embedding(folder: &Folder, outputs: &[TensorSpec]) -> Result<(usize, EmbeddingOutput), String> {
    let settings = &folder.settings;
    let find = |name: &str| outputs.iter().position(|spec| spec.name == name);
    let of_rank = |rank: usize| outputs.iter().position(|spec| spec.shape.len() == rank && is_float(spec));
    let pooled = || find(SENTENCE).filter(|&i| outputs[i].shape.len() == 2);
    let tokens = || HIDDEN.iter().find_map(|name| find(name)).or_else(|| of_rank(3));
    let index = match (&settings.embedding, settings.pooling) {
        (Some(name), _) => Some(find(name).ok_or_else(|| unknown(name, outputs))?),
        (None, None) => pooled().or_else(tokens).or_else(|| of_rank(2)),
        (None, Some(Pooling::None)) => pooled().or_else(|| of_rank(2)),
        (None, Some(_)) => tokens(),
    };
    let index = index.ok_or_else(|| {
        let wanted = settings.pooling.map(|pooling| format!(" for pooling \"{}\"", pooling.as_str()));
        format!("no output{} is floats of [items, tokens, width] or [items, width]", wanted.unwrap_or_default())
    })?;
    let output = &outputs[index];
    let pooling = match output.shape.len() {
        _ if !is_float(output) => {
            Err(format!("output '{}' is {}, and vectors are floats", output.name, output.datatype))
        }
        2 => Ok(Pooling::None),
        3 => folder.pooling(),
        _ => Err(format!("output '{}' has shape {:?}, and vectors are [items, width]", output.name, output.shape)),
    }?;
    if (pooling == Pooling::None) != (output.shape.len() == 2) {
        let (name, shape) = (&output.name, &output.shape);
        return Err(format!("pooling is \"none\", and output '{name}' has shape {shape:?}: one vector a token"));
    }
    Ok((index, EmbeddingOutput { pooling, normalize: folder.normalizes() }))
}

fn unknown(name: &str, outputs: &[TensorSpec]) -> String {
    let names: Vec<String> = outputs.iter().map(|spec| format!("'{}'", spec.name)).collect();
    format!("driftline.toml names the output '{name}', and the graph has {}", names.join(", "))
}

fn check_classes(output: &TensorSpec, rank: usize) -> Result<(), String> {
    let TensorSpec { name, shape, datatype, .. } = output;
    if shape.len() != rank {
        let wanted = if rank == 3 {
            "token classification needs [items, tokens, classes]"
        } else {
            "classification needs [items, classes]"
        };
        return Err(format!("output '{name}' has shape {shape:?}, and a {wanted}"));
    }
    if !is_float(output) {
        return Err(format!("output '{name}' is {datatype}, and scores are floats"));
    }
    Ok(())
}

fn is_float(spec: &TensorSpec) -> bool {
    matches!(spec.datatype, "FP16" | "BF16" | "FP32" | "FP64")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(settings: &str) -> Folder {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("model.onnx"), "").unwrap();
        std::fs::write(dir.path().join("driftline.toml"), settings).unwrap();
        Folder::read(dir.path(), true).unwrap()
    }

    fn spec(&(name, datatype, rank): &(&str, &'static str, usize)) -> TensorSpec {
        TensorSpec { name: name.into(), datatype, shape: vec![-1; rank], columns: vec![] }
    }

    #[test]
    fn classes_are_found_by_the_names_that_exporters_give() {
        let check = |settings: &str, task, given: &[(&str, &'static str, usize)], expected| {
            let outputs: Vec<TensorSpec> = given.iter().map(spec).collect();
            assert_eq!(classes(&folder(settings), &outputs, task), Ok(expected), "{settings} {given:?}");
        };
        let (text, tokens, tensor) = (Task::TextClassification, Task::TokenClassification, Task::Tensor);
        let probabilities = Some((1, Scores::Probabilities));
        check("", text, &[("logits", "FP32", 2)], Some((0, Scores::Logits)));
        check("", tokens, &[("logits", "FP32", 3)], Some((0, Scores::Logits)));
        check("problem_type = 'regression'", text, &[("logits", "FP32", 2)], None);
        check("", tensor, &[("label", "INT64", 1), ("probabilities", "FP32", 2)], probabilities);
        check("", tensor, &[("output_label", "BYTES", 1), ("output_probability", "FP32", 2)], probabilities);
        check("", tensor, &[("label", "FP32", 1), ("probabilities", "FP32", 2)], None);
        check("", tensor, &[("variable", "FP32", 2)], None);
        check("logits = 'b'", tensor, &[("a", "FP32", 2), ("b", "FP32", 2)], Some((1, Scores::Logits)));
    }

    #[test]
    fn vectors_are_found_by_name_then_by_rank() {
        let check =
            |settings: &str, given: &[(&str, &'static str, usize)], expected: Result<(usize, Pooling), &str>| {
                let outputs: Vec<TensorSpec> = given.iter().map(spec).collect();
                match (embedding(&folder(settings), &outputs), expected) {
                    (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                    (found, expected) => {
                        let found = found.map(|(index, made)| (index, made.pooling));
                        assert_eq!(found, expected.map_err(str::to_owned), "{settings} {given:?}");
                    }
                }
            };
        let hidden = ("last_hidden_state", "FP32", 3);
        let pooler = ("pooler_output", "FP32", 2);
        check("", &[hidden, pooler], Ok((0, Pooling::Mean)));
        check("", &[("token_embeddings", "FP32", 3), (SENTENCE, "FP32", 2)], Ok((1, Pooling::None)));
        check("pooling = 'cls'", &[("token_embeddings", "FP32", 3), (SENTENCE, "FP32", 2)], Ok((0, Pooling::Cls)));
        check("pooling = 'none'", &[hidden, pooler], Ok((1, Pooling::None)));
        check("embedding = 'pooler_output'", &[hidden, pooler], Ok((1, Pooling::None)));
        check("", &[("x", "FP32", 2)], Ok((0, Pooling::None)));
        check("pooling = 'last'", &[("x", "FP32", 2)], Err("no output for pooling \"last\""));
        check("embedding = 'y'", &[hidden], Err("names the output 'y'"));
        check("embedding = 'last_hidden_state'\npooling = 'none'", &[hidden], Err("one vector a token"));
        check("", &[("ids", "INT64", 2)], Err("no output is floats"));
    }
}
