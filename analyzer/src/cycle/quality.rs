//! Quality of a model in a range: questions asked, figures made. One place for the page's ranges and the metrics' windows.

use contract::{
    api::quality::{BackTest, Estimate, Quality},
    feature,
};
use store::read::{Reader, Window};

use crate::judge::{
    estimate::Calibration,
    quality::{self, share},
};

/// Bins in which scores are ordered.
const SCORE_BINS: u32 = 1_000;
/// Bins in which confidence is calibrated.
const CALIBRATION_BINS: u32 = 20;
/// How far back before a range labels calibrate.
const CALIBRATED_BY_MS: i64 = 30 * 86_400_000;

/// Figures of the answers given in a span, by the labels that are known now.
///
/// # Errors
/// When the database does not answer.
pub async fn of(reader: &Reader, model: &str, span: Window) -> Result<Quality, store::Error> {
    let answers = reader.answers(model, span).await?;
    if answers == 0 {
        return of_numbers(reader, model, span).await;
    }
    let pairs = reader.confusion(model, span).await?;
    let by_answer = quality::two_classes(&pairs).is_some();
    let scores = if pairs.is_empty() { Vec::new() } else { reader.scores(model, span, SCORE_BINS, by_answer).await? };
    let labelled = pairs.iter().map(|pair| pair.n).sum();
    Ok(Quality {
        answers,
        labelled,
        coverage: Some(labelled as f64 / answers as f64),
        classes: quality::classification(&pairs, &scores, SCORE_BINS),
        numbers: None,
        estimate: estimate(reader, model, span, &scores).await?,
    })
}

async fn of_numbers(reader: &Reader, model: &str, span: Window) -> Result<Quality, store::Error> {
    let Some(name) = reader.number_answered(model, span).await? else { return Ok(Quality::default()) };
    let answers = reader.numbers_of(model, &name, span).await?;
    let errors = reader.number_errors(model, &name, span).await?;
    Ok(Quality {
        answers,
        labelled: errors.n,
        coverage: (answers > 0).then(|| errors.n as f64 / answers as f64),
        classes: None,
        numbers: quality::regression(&name, &errors),
        estimate: None,
    })
}

/// Expected accuracy of all answers, and of the labelled ones beside what they turned out to be. Calibrated by answers before
/// the span alone: what is estimated must not be known.
async fn estimate(
    reader: &Reader,
    model: &str,
    span: Window,
    scores: &[store::read::ScoreCount],
) -> Result<Option<Estimate>, store::Error> {
    let counted = reader.confidence(model, feature::OUTPUT_CONFIDENCE, span, 0.0, CALIBRATION_BINS).await?;
    if counted.answers == 0 {
        return Ok(None);
    }
    let before = Window { start_ms: (span.start_ms - CALIBRATED_BY_MS).max(0), end_ms: span.start_ms };
    let earlier = reader.scores(model, before, SCORE_BINS, false).await?;
    let calibration = Calibration::of(&earlier, SCORE_BINS, CALIBRATION_BINS);
    let Some(mut estimate) = calibration.estimate(&counted.histogram, counted.sum / counted.answers as f64) else {
        return Ok(None);
    };
    let mut labelled = vec![0; CALIBRATION_BINS as usize];
    let (mut n, mut right, mut sum) = (0, 0, 0.0);
    for score in scores {
        labelled[(score.bin * CALIBRATION_BINS / SCORE_BINS) as usize] += score.n;
        (n, right, sum) = (n + score.n, right + score.correct, sum + score.confidence);
    }
    if let (Some(expected), Some(found)) = (calibration.expected(&labelled, sum / n as f64), share(right, n)) {
        let holds = (found.lower..=found.upper).contains(&expected.value);
        estimate.back_test = Some(BackTest { expected: expected.value, found, holds });
    }
    Ok(Some(estimate))
}
