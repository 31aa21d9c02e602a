//! Every task with a real model, against answers that Python computed (`tests/fixtures/make_tasks.py` wrote both).

use serde_json::Value;

use super::super::testing::{House, fixtures, soon, texts};
use super::super::{Answer, Input, RunError, Task, Version};
use super::{labels, tensor};
use crate::tensor::{Data, Tensor};

/// What Python says; see `oracle.json`.
pub(super) fn oracle(of: &str) -> Value {
    let text = std::fs::read_to_string(fixtures().join("../tasks/oracle.json")).unwrap();
    serde_json::from_str::<Value>(&text).unwrap()[of].clone()
}

pub(super) fn strings(value: &Value) -> Vec<String> {
    serde_json::from_value(value.clone()).unwrap()
}

pub(super) fn rows(value: &Value) -> Vec<Vec<f64>> {
    serde_json::from_value(value.clone()).unwrap()
}

#[track_caller]
fn near(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 2e-5, "{found} is not {expected}");
    }
}

/// Vectors of the first output.
fn vectors(answer: &Answer) -> Vec<&[f32]> {
    let Data::Fp32(values) = answer.outputs[0].data() else { panic!("{:?}", answer.outputs) };
    values.chunks_exact(answer.outputs[0].shape()[1]).collect()
}

fn scores(answer: &Answer) -> Vec<&[f32]> {
    answer.classes.iter().map(|classes| classes.scores.as_slice()).collect()
}

/// All at once, so that items of all lengths share batches.
const TOGETHER: &str = "batching = { max_delay = \"30ms\", max_padding = 0.9 }";

async fn primary(house: &House, model: &str, task: Task) -> std::sync::Arc<Version> {
    let version = house.catalog.primary(model).unwrap();
    assert_eq!(version.metadata().task, task);
    version
}

#[tokio::test]
async fn entities_have_their_place_in_the_callers_text() {
    let house = House::ready(&["tagger/1"], TOGETHER).await;
    let tagger = primary(&house, "tagger", Task::TokenClassification).await;
    let expected = oracle("tagger");
    let asked = strings(&expected["texts"]);
    let answer = tagger.run(Input::Texts(asked.clone()), soon()).await.unwrap();
    assert_eq!(answer.entities.len(), asked.len());
    for ((found, expected), text) in answer.entities.iter().zip(expected["entities"].as_array().unwrap()).zip(&asked) {
        let expected = expected.as_array().unwrap();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert_eq!(found.label, expected["label"].as_str().unwrap(), "{text}");
            assert_eq!(found.text, expected["text"].as_str().unwrap(), "{text}");
            assert_eq!(
                (found.start as u64, found.end as u64),
                (expected["start"].as_u64().unwrap(), expected["end"].as_u64().unwrap())
            );
            assert!((found.score - expected["score"].as_f64().unwrap()).abs() < 1e-5, "{found:?}");
        }
    }
    let truncated: Vec<bool> = answer.texts.iter().map(|text| text.truncated).collect();
    assert_eq!(
        truncated,
        [false, false, false, false, false, true],
        "the last entity is past the end, and that is said"
    );
    // Raw classes of tokens: as many as the longest text has, 0 past the end of the others.
    assert_eq!(answer.outputs[0].shape(), [asked.len(), 24, 5]);
    let Data::Fp32(values) = answer.outputs[0].data() else { panic!() };
    let first = answer.texts[0].tokens as usize;
    assert!(values[first * 5..24 * 5].iter().all(|&x| x == 0.0));
    match tagger.run(Input::Pairs(vec![("Anna".into(), "Oslo".into())]), soon()).await {
        Err(RunError::Invalid(why)) => assert!(why.contains("single texts"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn vectors_are_pooled_as_the_folder_says() {
    let expected = oracle("embedder");
    let asked = || Input::Texts(strings(&expected["texts"]));
    for (settings, name) in [
        ("", "normalized"),
        ("normalize = false", "mean"),
        ("pooling = 'cls'\nnormalize = false", "cls"),
        ("pooling = 'last'\nnormalize = false", "last"),
    ] {
        let house = House::open(&["embedder/1"], TOGETHER);
        std::fs::write(house.path("embedder/1/driftline.toml"), settings).unwrap();
        assert!(house.catalog.load_all().await, "{:?}", house.catalog.states());
        let embedder = primary(&house, "embedder", Task::FeatureExtraction).await;
        assert_eq!(embedder.metadata().max_tokens, Some(12), "sentence-transformers' own length");
        let metadata = embedder.metadata();
        let output = &metadata.outputs[0];
        assert_eq!((output.name.as_str(), output.shape.as_slice()), ("sentence_embedding", [-1, 16].as_slice()));
        let answer = embedder.run(asked(), soon()).await.unwrap();
        for (found, expected) in vectors(&answer).into_iter().zip(rows(&expected[name])) {
            near(found, &expected);
        }
        assert!(answer.texts[2].truncated && !answer.texts[1].truncated);
    }
}

#[tokio::test]
async fn a_graph_that_pools_is_left_to_it() {
    let house = House::ready(&["pooled/1"], "").await;
    let pooled = primary(&house, "pooled", Task::FeatureExtraction).await;
    let expected = oracle("pooled");
    let answer = pooled.run(texts(&[expected["text"].as_str().unwrap()]), soon()).await.unwrap();
    let expected: Vec<f64> = serde_json::from_value(expected["embedding"].clone()).unwrap();
    near(vectors(&answer)[0], &expected);
}

#[tokio::test]
async fn several_classes_may_hold_at_once() {
    let house = House::ready(&["topics/1"], TOGETHER).await;
    let topics = primary(&house, "topics", Task::TextClassification).await;
    let expected = oracle("topics");
    let answer = topics.run(Input::Texts(strings(&expected["texts"])), soon()).await.unwrap();
    for (found, expected) in scores(&answer).into_iter().zip(rows(&expected["scores"])) {
        near(found, &expected);
    }
    let holding: Vec<Vec<&str>> = answer.classes.iter().map(super::super::Classes::holding).collect();
    assert_eq!(holding, [vec!["delivery", "money"], vec!["money", "animals"], vec![]]);
}

#[tokio::test]
async fn pairs_are_told_apart_and_the_longer_is_cut_first() {
    let house = House::ready(&["matcher/1"], TOGETHER).await;
    let matcher = primary(&house, "matcher", Task::TextClassification).await;
    let expected = oracle("matcher");
    let pairs: Vec<(String, String)> = serde_json::from_value(expected["pairs"].clone()).unwrap();
    let wanted: Vec<f64> = serde_json::from_value(expected["scores"].clone()).unwrap();
    let check = |answer: &Answer| {
        for (found, expected) in scores(answer).into_iter().zip(&wanted) {
            near(found, &[*expected]);
        }
        let truncated: Vec<bool> = answer.texts.iter().map(|text| text.truncated).collect();
        assert_eq!(truncated, [false, false, true, true]);
    };
    check(&matcher.run(Input::Pairs(pairs.clone()), soon()).await.unwrap());
    let flat = Data::Bytes(pairs.iter().flat_map(|(a, b)| [a.clone(), b.clone()]).collect());
    check(&matcher.run(tensor("text", &[4, 2], flat), soon()).await.unwrap());
    let column = |name: &str, of: fn(&(String, String)) -> String| {
        Tensor::new(name, vec![4], Data::Bytes(pairs.iter().map(of).collect())).unwrap()
    };
    let two = vec![column("text", |pair| pair.0.clone()), column("text_pair", |pair| pair.1.clone())];
    check(&matcher.run(Input::Tensors(two), soon()).await.unwrap());
    match matcher.run(Input::Pairs(vec![("a".into(), " ".into())]), soon()).await {
        Err(RunError::Invalid(why)) => assert_eq!(why, "the second text of pair 0 is empty"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_scikit_learn_model_brings_its_labels() {
    let models = ["iris", "iris-net", "iris-numbers", "iris-renamed"];
    let house = House::ready(&models.map(|model| format!("{model}/1")).each_ref().map(String::as_str), "").await;
    let expected = oracle("scikit");
    let asked: Vec<f32> = rows(&expected["rows"]).into_iter().flatten().map(|x| x as f32).collect();
    for model in models {
        let version = primary(&house, model, Task::Tensor).await;
        let expected = if model == "iris-renamed" { &expected["iris"] } else { &expected[model] };
        assert_eq!(version.metadata().labels.to_vec(), strings(&expected["labels"]), "{model}");
        let answer = version.run(tensor("X", &[3, 4], Data::Fp32(asked.clone())), soon()).await.unwrap();
        assert_eq!(labels(&answer), strings(&expected["predicted"]), "{model}");
        for (found, expected) in scores(&answer).into_iter().zip(rows(&expected["probabilities"])) {
            near(found, &expected);
        }
    }
}

#[tokio::test]
async fn a_regression_gives_numbers_and_no_classes() {
    let house = House::ready(&["diabetes/1"], "").await;
    let diabetes = primary(&house, "diabetes", Task::Tensor).await;
    let expected = oracle("regression");
    let asked: Vec<f32> = rows(&expected["rows"]).into_iter().flatten().map(|x| x as f32).collect();
    let answer = diabetes.run(tensor("X", &[2, 3], Data::Fp32(asked)), soon()).await.unwrap();
    let expected: Vec<f64> = serde_json::from_value(expected["values"].clone()).unwrap();
    for (found, expected) in vectors(&answer).into_iter().zip(expected) {
        assert!((f64::from(found[0]) - expected).abs() < 1e-3, "{found:?} {expected}");
    }
    assert!(answer.classes.is_empty());
}

#[tokio::test]
async fn a_table_of_mixed_columns_is_checked_against_its_schema() {
    let house = House::ready(&["loans/1"], "").await;
    let loans = primary(&house, "loans", Task::Tensor).await;
    let expected = oracle("loans");
    let ask = |age: Vec<f32>, home: Vec<String>| {
        let rows = age.len();
        Input::Tensors(vec![
            Tensor::new("age", vec![rows, 1], Data::Fp32(age)).unwrap(),
            Tensor::new("home", vec![rows, 1], Data::Bytes(home)).unwrap(),
        ])
    };
    let ages = expected["age"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect();
    let good = ask(ages, strings(&expected["home"]));
    let answer = loans.run(good.clone(), soon()).await.unwrap();
    assert_eq!(labels(&answer), strings(&expected["predicted"]));
    for (found, expected) in scores(&answer).into_iter().zip(rows(&expected["probabilities"])) {
        near(found, &expected);
    }
    let line = |feature: &str, reason: &str, n: u32| {
        let labels = format!("feature=\"{feature}\",model=\"loans\",reason=\"{reason}\",version=\"1\"");
        house.has_metric(&format!("driftline_proxy_schema_violations_total{{{labels}}} {n}"))
    };
    loans.count_violations(&good);
    assert!(line("age", "out_of_range", 0) && line("home", "unseen_category", 0), "{}", house.registry.render());
    let odd = ask(vec![17.0, 20.0, 101.0], vec!["own".into(), "boat".into(), "rent".into()]);
    assert!(loans.run(odd.clone(), soon()).await.is_ok(), "a violation refuses nothing");
    loans.count_violations(&odd);
    assert!(line("age", "out_of_range", 2) && line("home", "unseen_category", 1), "{}", house.registry.render());
}

#[tokio::test]
async fn a_folder_that_asks_for_what_cannot_be_is_refused() {
    for (model, settings, expected) in [
        ("tagger", "strip_suspicious = true", "entities would be placed in another text"),
        ("embedder", "pooling = 'none'", "no output for pooling \"none\""),
        ("topics", "task = 'token-classification'", "a token classification needs [items, tokens, classes]"),
        ("iris", "task = 'feature-extraction'", "there is no tokenizer.json"),
        ("loans", "[inputs.age]\nranges = { height = [0, 1] }", "'height', which is no column of input 'age'"),
        ("loans", "[inputs.age]\nranges = { age = [1, 0] }", "which is no range"),
        ("topics", "problem_type = 'many'", "unknown variant `many`"),
    ] {
        let house = House::open(&[&format!("{model}/1")], "");
        std::fs::write(house.path(&format!("{model}/1/driftline.toml")), settings).unwrap();
        assert!(!house.catalog.load_all().await, "{model} {settings}");
        let why = format!("{:?}", house.catalog.states()[0].state);
        assert!(why.replace("\\\"", "\"").contains(expected), "{model} {settings}: {why}");
    }
}

#[tokio::test]
async fn suspicious_characters_go_before_the_tokenizer_where_the_folder_wants_it() {
    let asked = || texts(&["my <script>parcel</script> is\0late"]);
    let mut found = Vec::new();
    for settings in ["", "strip_suspicious = true"] {
        let house = House::open(&["topics/1"], "");
        std::fs::write(house.path("topics/1/driftline.toml"), settings).unwrap();
        assert!(house.catalog.load_all().await);
        let answer = house.catalog.primary("topics").unwrap().run(asked(), soon()).await.unwrap();
        found.push(answer.texts[0]);
    }
    assert!(found[0].unknown_rate > 0.0, "{found:?}");
    assert_eq!((found[1].tokens, found[1].unknown_rate), (6, 0.0), "[CLS] my parcel is late [SEP]: {found:?}");
}
