//! What a model does: as the folder says, or as its architecture and the names and ranks of its outputs tell.

use super::folder::Folder;
use super::metadata::{Task, TensorSpec};

/// The output that sentence-transformers' exports pool in the graph, and the name of those that are pooled here.
pub(crate) const SENTENCE: &str = "sentence_embedding";
/// Names of outputs that hold one vector a token.
pub(crate) const HIDDEN: [&str; 2] = ["last_hidden_state", "token_embeddings"];

/// The task of a folder whose graph gives these outputs.
///
/// # Errors
/// A sentence, where a file names a task that is not served.
pub(crate) fn infer(folder: &Folder, outputs: &[TensorSpec]) -> Result<Task, String> {
    if let Some(task) = folder.settings.task {
        return Ok(task);
    }
    if folder.tokenizer.is_none() {
        return Ok(Task::Tensor);
    }
    let architecture = folder.hub.architectures.first().map(String::as_str).unwrap_or_default();
    if architecture.ends_with("ForSequenceClassification") {
        return Ok(Task::TextClassification);
    }
    if architecture.ends_with("ForTokenClassification") {
        return Ok(Task::TokenClassification);
    }
    let rank = |name: &str| outputs.iter().find(|spec| spec.name == name).map(|spec| spec.shape.len());
    if rank(SENTENCE).is_some() || HIDDEN.iter().any(|name| rank(name).is_some()) {
        return Ok(Task::FeatureExtraction);
    }
    match (architecture.contains("For"), rank("logits")) {
        (true, _) => Err(format!(
            "config.json says {architecture}, which is no text-classification, token-classification or \
             feature-extraction: set task in driftline.toml (\"tensor\" takes token ids)"
        )),
        (false, Some(3)) => Ok(Task::TokenClassification),
        (false, _) => Ok(Task::TextClassification),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[(&str, &str)], outputs: &[(&str, usize)], expected: Result<Task, &str>) {
        let dir = tempfile::tempdir().unwrap();
        for (name, content) in files.iter().chain(&[("model.onnx", "")]) {
            std::fs::write(dir.path().join(name), content).unwrap();
        }
        let outputs: Vec<TensorSpec> = outputs
            .iter()
            .map(|&(name, rank)| TensorSpec {
                name: name.into(),
                datatype: "FP32",
                shape: vec![-1; rank],
                columns: vec![],
            })
            .collect();
        let found = infer(&Folder::read(dir.path(), true).unwrap(), &outputs);
        match (found, expected) {
            (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
            (found, expected) => assert_eq!(found, expected.map_err(str::to_owned), "{files:?} {outputs:?}"),
        }
    }

    #[test]
    fn the_files_of_an_export_say_what_it_does() {
        let tokenizer = ("tokenizer.json", "{}");
        let with = |config: &'static str| [tokenizer, ("config.json", config)];
        check(&[], &[("logits", 2)], Ok(Task::Tensor));
        check(&[tokenizer], &[("logits", 2)], Ok(Task::TextClassification));
        check(&[tokenizer], &[("scores", 2)], Ok(Task::TextClassification));
        check(&[tokenizer], &[("logits", 3)], Ok(Task::TokenClassification));
        check(&[tokenizer], &[("last_hidden_state", 3)], Ok(Task::FeatureExtraction));
        check(&[tokenizer], &[("token_embeddings", 3), (SENTENCE, 2)], Ok(Task::FeatureExtraction));
        let sequence = with(r#"{"architectures": ["DistilBertForSequenceClassification"]}"#);
        check(&sequence, &[("logits", 2), ("last_hidden_state", 3)], Ok(Task::TextClassification));
        let token = with(r#"{"architectures": ["BertForTokenClassification"]}"#);
        check(&token, &[("logits", 3)], Ok(Task::TokenClassification));
        let masked = with(r#"{"architectures": ["BertForMaskedLM"]}"#);
        check(&masked, &[("last_hidden_state", 3)], Ok(Task::FeatureExtraction));
        check(&masked, &[("logits", 3)], Err("config.json says BertForMaskedLM"));
        let set = [tokenizer, ("driftline.toml", "task = 'tensor'")];
        check(&set, &[("logits", 3)], Ok(Task::Tensor));
    }
}
