//! Whether a model's answers depend on what else is in the batch, measured at load.
//!
//! Dynamic quantization takes one scale over the whole batch, so a text's scores change with its companions, and with
//! padding. No shape or type tells; so samples are run alone, padded, and in company, and the largest difference says it.

use crate::tensor::{Data, Tensor};

use super::golden;
use super::plan::{Feed, Plan, Work};
use super::rows;
use super::session::Engine;
use super::text::TextEncoder;
use super::validate;

/// Texts of different lengths, for a model that brings too few golden samples.
const TEXTS: [&str; 5] = [
    "Thanks!",
    "Where is my order? It was promised for last Tuesday.",
    "The screen goes black after ten minutes, and restarting does not help; the light blinks three times, then twice.",
    "I was charged twice for the same thing in March, called, was told to wait for a week, waited for three, called \
     again, was told that nobody knew of it, and now I want the money back and somebody who reads what I write.",
    "No.",
];
/// Samples that are run.
const SAMPLES_MAX: usize = 8;

/// The largest difference between answers alone and otherwise: of a class probability, or relative to the largest
/// number of an output. `None` where it cannot be found out.
pub(crate) fn difference(engine: &mut Engine, samples: &[Work]) -> Option<f64> {
    let plan = engine.plan().clone();
    let alone: Vec<Vec<f64>> = samples.iter().map(|work| scores(&plan, engine, &[work], 0)).collect::<Option<_>>()?;
    let alone = alone.concat();
    let company = scores(&plan, engine, &samples.iter().collect::<Vec<_>>(), 0)?;
    let mut largest = apart(&plan, &alone, &company)?;
    if matches!(&plan.feed, Feed::Tokens(feed) if feed.mask) {
        let longest = samples.iter().map(length).max()?;
        let padded: Option<Vec<Vec<f64>>> =
            samples.iter().map(|work| scores(&plan, engine, &[work], longest)).collect();
        largest = largest.max(apart(&plan, &alone, &padded?.concat())?);
    }
    Some(largest)
}

/// What to run: golden samples, and others where there are too few of them.
pub(crate) fn samples(golden: Vec<Work>, probe: Option<&Work>, encoder: Option<&TextEncoder>) -> Vec<Work> {
    let mut samples = golden;
    match (encoder, probe) {
        (Some(encoder), _) => {
            samples.extend(TEXTS.iter().filter_map(|text| encoder.encode(0, *text).ok()).map(Work::Tokens));
        }
        (None, Some(probe)) => {
            let first = samples.first().unwrap_or(probe).clone();
            samples.extend((1..=3).map(|seed| disturbed(&first, seed)));
            let kind = kind(&first);
            samples.retain(|work| self::kind(work) == kind);
        }
        (None, None) => {}
    }
    samples.truncate(SAMPLES_MAX);
    samples
}

fn kind(work: &Work) -> u64 {
    match work {
        Work::Tokens(_) => 0,
        Work::Tensors(tensors) => validate::kind(tensors),
    }
}

fn length(work: &Work) -> usize {
    match work {
        Work::Tokens(text) => text.ids.len(),
        Work::Tensors(_) => 0,
    }
}

/// The same with other floats, the larger the seed the larger: companions of one magnitude would share their scale
/// with it. Whole numbers may be indices, and stay.
fn disturbed(work: &Work, seed: u32) -> Work {
    let Work::Tensors(tensors) = work else { return work.clone() };
    let share = |i: usize| f64::from((i as u32 + seed).wrapping_mul(2_654_435_761) >> 16) / 65_536.0;
    let change = |i: usize| (share(i) - 0.5) * f64::from(seed);
    let tensors = tensors.iter().map(|tensor| {
        let data = match tensor.data() {
            Data::Fp32(values) => Data::Fp32(values.iter().enumerate().map(|(i, x)| x + change(i) as f32).collect()),
            Data::Fp64(values) => Data::Fp64(values.iter().enumerate().map(|(i, x)| x + change(i)).collect()),
            other => other.clone(),
        };
        Tensor::new(tensor.name(), tensor.shape().to_vec(), data).unwrap_or_else(|_| tensor.clone())
    });
    Work::Tensors(tensors.collect())
}

/// The numbers that the works are judged by, one after another.
fn scores(plan: &Plan, engine: &mut Engine, works: &[&Work], least: usize) -> Option<Vec<f64>> {
    let mut all = Vec::new();
    for share in engine.run_padded(works, least).ok()? {
        let (scores, _) = golden::scores(plan, &share.ok()?).ok()?;
        all.extend(scores);
    }
    (!all.is_empty()).then_some(all)
}

fn apart(plan: &Plan, alone: &[f64], otherwise: &[f64]) -> Option<f64> {
    if alone.len() != otherwise.len() {
        return None;
    }
    // a probability is its own scale
    let scale = if plan.head.is_classes() { 1.0 } else { rows::largest(alone).max(f64::MIN_POSITIVE) };
    let differences: Vec<f64> = alone.iter().zip(otherwise).map(|(a, b)| (a - b) / scale).collect();
    Some(rows::largest(&differences)).filter(|largest| largest.is_finite())
}

#[cfg(test)]
mod tests {
    use super::super::head::{ClassOutput, Head, Scores};
    use super::super::testing::{House, soon};
    use super::*;

    #[test]
    fn differences_are_of_probabilities_or_relative() {
        let mut plan = Plan {
            feed: Feed::Tensors(vec![]),
            outputs: vec![],
            splits: true,
            head: Head::Tensors,
            allow_non_finite: false,
        };
        assert_eq!(apart(&plan, &[10.0, -200.0], &[10.0, -198.0]), Some(0.01));
        assert_eq!(apart(&plan, &[1.0], &[1.0, 2.0]), None);
        assert_eq!(apart(&plan, &[1.0], &[f64::NAN]), None, "what cannot be compared is not called equal");
        let labels = ["a".to_owned()].into();
        plan.head = Head::Classes(ClassOutput { index: 0, kind: Scores::Probabilities, threshold: None, labels });
        assert_eq!(apart(&plan, &[0.5], &[0.25]), Some(0.25));
    }

    #[tokio::test]
    async fn a_model_of_32_bit_floats_does_not_mind_company() {
        let house = House::ready(&["router/1", "flowers/1"], "").await;
        for model in ["router", "flowers"] {
            let version = house.catalog.primary(model).unwrap();
            let metadata = version.metadata();
            assert!(metadata.batch_difference.is_some_and(|d| d < 1e-5), "{:?}", metadata.batch_difference);
            assert!(metadata.batches && !metadata.batch_variant);
        }
    }

    #[tokio::test]
    async fn past_the_tolerance_requests_run_alone_unless_somebody_insists() {
        let settings = "batching.max_delay = \"30ms\"\ntuning.max_time = \"0s\"\nmodels.dynamic.instances = 1";
        let ask = async |house: &House| {
            let version = house.catalog.primary("dynamic").unwrap();
            let ask = |value: f32| {
                let values = Tensor::new("values", vec![1, 2], Data::Fp32(vec![value, 0.0])).unwrap();
                version.run(super::super::Input::Tensors(vec![values]), soon())
            };
            let (a, b) = tokio::join!(ask(2.0), ask(6.0));
            (a.unwrap(), b.unwrap())
        };
        let house = House::ready(&["dynamic/1"], settings).await;
        let metadata = house.catalog.primary("dynamic").unwrap().metadata();
        assert!(metadata.batch_variant && !metadata.batches, "{metadata:?}");
        assert!(house.has_metric("driftline_proxy_batch_variant{model=\"dynamic\",version=\"1\"} 1"));
        let (a, b) = ask(&house).await;
        assert_eq!((a.timings.batch_size, b.timings.batch_size), (1, 1));
        assert_eq!(a.outputs[0].data(), &Data::Fp32(vec![2.0, 0.0]));
        let house = House::ready(&["dynamic/1"], &format!("batching.allow_variant = true\n{settings}")).await;
        let (a, _) = ask(&house).await;
        assert_eq!(a.timings.batch_size, 2);
        assert_eq!(a.outputs[0].data(), &Data::Fp32(vec![1.5, 0.0]), "2 in quarters of the companion's 6");
        assert!(a.timings.batch_variant, "a comparison must be able to say that company changed this answer");
    }
}
