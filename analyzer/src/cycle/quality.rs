//! Quality of a model in a range: questions asked, figures made. One place for the page's ranges and the metrics' windows.

use contract::{
    api::quality::{BackTest, Estimate, Figure, Quality},
    feature,
};
use store::read::{ClassCount, Reader, ScoreCount, ScoresAsked, Window};

use crate::judge::{
    estimate::{self, Calibration},
    quality,
};

/// Bins in which scores are ordered.
const SCORE_BINS: u32 = 1_000;
/// Bins in which confidence is calibrated.
const CALIBRATION_BINS: u32 = 20;
/// How far back before a range labels calibrate.
const CALIBRATED_BY_MS: i64 = 30 * 86_400_000;
/// Earlier labels without which those of the range itself calibrate.
const EARLIER_MIN: u64 = 100;
/// Answers from which F1 and AUROC are estimated, about: more are sampled by request.
const ANSWERED_MAX: u64 = 200_000;

/// Figures of the answers given in a span, by the labels that are known now.
///
/// # Errors
/// When the database does not answer.
pub async fn of(reader: &Reader, model: &str, span: Window) -> Result<Quality, store::Error> {
    let answers = reader.answers(model, span).await?;
    if answers == 0 {
        return of_numbers(reader, model, span).await;
    }
    let classes = reader.classes(model, span).await?;
    let by_answer = quality::two_classes(&classes).is_some();
    let asked = ScoresAsked { bins: SCORE_BINS, by_answer };
    let scores = if classes.is_empty() { Vec::new() } else { reader.scores(model, span, asked).await? };
    let labelled = classes.first().map_or(0, |one| one.labelled);
    Ok(Quality {
        answers,
        labelled,
        coverage: Some(labelled as f64 / answers as f64),
        classes: quality::classification(&classes, &scores, SCORE_BINS),
        numbers: None,
        estimate: Asked { reader, model, span }.estimate(answers, &classes, &scores).await?,
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

/// Whose estimate, and of when.
struct Asked<'a> {
    reader: &'a Reader,
    model: &'a str,
    span: Window,
}

impl Asked<'_> {
    /// Expected accuracy of all answers, and of the labelled ones beside what they turned out to be. Calibrated by answers before
    /// the span: what is estimated must not be known. Where the span reaches back as far as answers are kept, there are no
    /// such answers; then its own labels calibrate, and the later half of them is held against what the earlier expect of it: two
    /// halves drawn by chance would err alike whatever happened.
    async fn estimate(
        &self,
        answers: u64,
        classes: &[ClassCount],
        scores: &[ScoreCount],
    ) -> Result<Option<Estimate>, store::Error> {
        let Self { reader, model, span } = *self;
        let counted = reader.confidence(model, feature::OUTPUT_CONFIDENCE, span, 0.0, CALIBRATION_BINS).await?;
        if counted.answers == 0 {
            return Ok(None);
        }
        let before = Window { start_ms: (span.start_ms - CALIBRATED_BY_MS).max(0), end_ms: span.start_ms };
        let mut known = self.scores(before).await?;
        let within = total(&known) < EARLIER_MIN && total(scores) > total(&known);
        let back_test = if within { self.later_by_earlier().await? } else { back_test(&known, scores) };
        if within {
            known.extend_from_slice(scores);
        }
        let calibration = Calibration::of(&known, SCORE_BINS, CALIBRATION_BINS);
        let mean = counted.sum / counted.answers as f64;
        let Some(mut estimate) = calibration.estimate(&counted.histogram, mean) else { return Ok(None) };
        let answered = reader.answered(model, span, CALIBRATION_BINS, answers.div_ceil(ANSWERED_MAX)).await?;
        let mut names: Vec<&str> = classes.iter().map(|one| one.label.as_str()).collect();
        names.extend(answered.iter().map(|one| one.said.as_str()));
        names.sort_unstable();
        names.dedup();
        let two: Option<[&str; 2]> = names.try_into().ok();
        estimate.macro_f1 = two.and_then(|two| calibration.macro_f1(&answered, two));
        estimate.auroc = calibration.auroc(&answered, two);
        (estimate.within, estimate.back_test) = (within, back_test);
        Ok(Some(estimate))
    }

    async fn scores(&self, span: Window) -> Result<Vec<ScoreCount>, store::Error> {
        let asked = ScoresAsked { bins: SCORE_BINS, by_answer: false };
        self.reader.scores(self.model, span, asked).await
    }

    /// The later half of the labelled answers as the labels of the earlier expect it; `None` where all are of one moment.
    async fn later_by_earlier(&self) -> Result<Option<BackTest>, store::Error> {
        let Some(middle_ms) = self.reader.middle_of_labelled(self.model, self.span).await? else { return Ok(None) };
        let earlier = self.scores(Window { end_ms: middle_ms, ..self.span }).await?;
        let later = self.scores(Window { start_ms: middle_ms, ..self.span }).await?;
        Ok(if total(&earlier) == 0 { None } else { back_test(&earlier, &later) })
    }
}

/// Accuracy that labels expect of other labelled answers.
fn expected(known: &[ScoreCount], of: &[ScoreCount]) -> Option<Figure> {
    let mut counts = vec![0; CALIBRATION_BINS as usize];
    let mut sum = 0.0;
    for score in of {
        counts[(score.bin * CALIBRATION_BINS / SCORE_BINS) as usize] += score.n;
        sum += score.confidence;
    }
    Calibration::of(known, SCORE_BINS, CALIBRATION_BINS).expected(&counts, sum / total(of).max(1) as f64)
}

fn back_test(known: &[ScoreCount], of: &[ScoreCount]) -> Option<BackTest> {
    estimate::back_test(expected(known, of)?, total(known) > 0, right(of), total(of))
}

fn total(scores: &[ScoreCount]) -> u64 {
    scores.iter().map(|score| score.n).sum()
}

fn right(scores: &[ScoreCount]) -> u64 {
    scores.iter().map(|score| score.correct).sum()
}
