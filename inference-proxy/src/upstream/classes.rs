//! Classes from the outputs of a model that another server runs.

use std::sync::Arc;

use super::config::Scores;
use crate::model::{Classes, Metadata};
use crate::oip::encode::SCORES;
use crate::tensor::{Data, Tensor};

/// One an item, read from the output that the configuration names, or from `scores` where the other server is one of
/// ours and tells its labels; none where there is neither.
///
/// # Errors
/// One sentence where that output cannot hold what it is said to hold.
pub(super) fn classes(
    outputs: &[Tensor],
    metadata: &Metadata,
    scores: Option<&Scores>,
) -> Result<Vec<Classes>, String> {
    let named = scores.map(|scores| (scores.output.as_str(), scores.logits));
    let Some((name, logits)) = named.or((!metadata.labels.is_empty()).then_some((SCORES, false))) else {
        return Ok(vec![]);
    };
    // a request may ask for other outputs
    let Some(tensor) = outputs.iter().find(|tensor| tensor.name() == name) else { return Ok(vec![]) };
    let values = floats(tensor.data()).ok_or_else(|| format!("output '{name}' holds no numbers"))?;
    let width = tensor.shape().last().copied().unwrap_or(1);
    let labels = labels(metadata, width);
    if width == 0 || labels.len() != width {
        return Err(format!("output '{name}' has {width} classes an item, but there are {} labels", labels.len()));
    }
    let item = |row: &[f32]| {
        let scores = if logits { softmax(row) } else { row.to_vec() };
        let sound = scores.iter().all(|p| (0.0..=1.0).contains(p));
        sound.then(|| Classes { labels: Arc::clone(&labels), scores, threshold: None })
    };
    let classes: Option<Vec<_>> = values.chunks_exact(width).map(item).collect();
    classes.ok_or_else(|| format!("output '{name}' holds probabilities outside 0 to 1"))
}

fn labels(metadata: &Metadata, width: usize) -> Arc<[String]> {
    if metadata.labels.is_empty() {
        (0..width).map(|class| class.to_string()).collect()
    } else {
        Arc::clone(&metadata.labels)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a probability needs no more digits")]
fn floats(data: &Data) -> Option<Vec<f32>> {
    match data {
        Data::Fp32(values) => Some(values.clone()),
        Data::Fp64(values) => Some(values.iter().map(|&x| x as f32).collect()),
        _ => None,
    }
}

/// exp(x) over their sum, shifted by the largest so that none overflows.
fn softmax(row: &[f32]) -> Vec<f32> {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = row.iter().map(|x| (x - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}
