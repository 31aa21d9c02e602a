//! Models in half precision, against what the originals say in 64 bits (`tests/fixtures/make_tasks.py` wrote both).

use half::{bf16, f16};

use super::super::testing::{House, soon, texts};
use super::super::{Answer, RunError};
use super::tasks::{oracle, rows, strings};
use super::{labels, tensor};
use crate::tensor::Data;

/// How far a score may be from the original's: what golden samples of that precision may differ by.
#[track_caller]
fn near(found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < tolerance, "{found} is not {expected}");
    }
}

async fn flowers(house: &House, model: &str, row: &[f64]) -> Result<Answer, RunError> {
    let data = match model {
        "flowers-fp16" => Data::Fp16(row.iter().map(|&x| f16::from_f64(x)).collect()),
        _ => Data::Bf16(row.iter().map(|&x| bf16::from_f64(x)).collect()),
    };
    house.catalog.primary(model).unwrap().run(tensor("input", &[1, 4], data), soon()).await
}

#[tokio::test]
async fn a_model_in_half_precision_answers_as_its_original_does() {
    let house = House::ready(&["flowers-fp16/1", "flowers-bf16/1", "mood-fp16/1"], "").await;
    let expected = oracle("halves");
    for (model, precision, datatype, tolerance) in
        [("flowers-fp16", "fp16", "FP16", 5e-3), ("flowers-bf16", "bf16", "BF16", 4e-2)]
    {
        let metadata = house.catalog.primary(model).unwrap().metadata();
        assert_eq!((metadata.precision, metadata.outputs[0].datatype), (Some(precision), datatype));
        for (row, scores) in rows(&expected["rows"]).iter().zip(rows(&expected["probabilities"])) {
            let answer = flowers(&house, model, row).await.unwrap();
            assert_eq!(answer.outputs[0].data().datatype(), datatype, "outputs are as the graph gives them");
            near(&answer.classes[0].scores, &scores, tolerance);
            let best = scores.iter().position(|p| scores.iter().all(|q| q <= p)).unwrap();
            assert_eq!(labels(&answer), [strings(&expected["labels"])[best].clone()]);
        }
    }
    let mood = house.catalog.primary("mood-fp16").unwrap();
    let asked = strings(&expected["texts"]);
    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
    let answer = mood.run(texts(&asked), soon()).await.unwrap();
    for (classes, scores) in answer.classes.iter().zip(rows(&expected["scores"])) {
        near(&classes.scores, &scores, 5e-3);
    }
}

/// The golden samples are the original's: a conversion that moved a score by .02 is refused for halves, whose rounding
/// cannot explain it, and not for bfloat16.
#[tokio::test]
async fn golden_samples_are_compared_in_the_precision_of_the_weights() {
    let first = rows(&oracle("halves")["probabilities"])[0][0];
    for (model, serves) in [("flowers-fp16", false), ("flowers-bf16", true)] {
        let house = House::open(&[&format!("{model}/1")], "");
        let (shown, moved) = (first.to_string(), (first - 0.02).to_string());
        house.edit(&format!("{model}/1/driftline.manifest.json"), &shown, &moved);
        assert_eq!(house.catalog.load_all().await, serves, "{:?}", house.catalog.states());
        if !serves {
            let why = format!("{:?}", house.catalog.states()[0].state);
            assert!(why.contains("golden sample '0' expects") && why.contains("(tolerance 0.005)"), "{why}");
        }
    }
}
