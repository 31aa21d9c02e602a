//! Quality by labels, from counts and sums: what a page shows and a dashboard draws. Decisions are made elsewhere.
//!
//! Shares carry Wilson's interval. F1 is a monotone function of the share `TP / (TP + FP + FN)`, so its interval is that
//! share's, mapped: `F1 = 2 J / (1 + J)`. Means carry the normal interval of their own spread. AUROC is the share of pairs in
//! which a positive scores above a negative, ties counting one half, with the variance of `DeLong`, `DeLong` and Clarke-Pearson
//! (1988); scores are as fine as the bins they come in.

use std::collections::BTreeMap;

use contract::api::quality::{ClassQuality, Classification, Figure, Regression, Reliability};
use store::read::{ClassCount, ErrorCounts, ScoreCount};

use super::agreement::wilson;

/// Bins of a reliability diagram and of the calibration error.
pub const RELIABILITY_BINS: u32 = 10;
/// Classes shown, those with most labels.
const CLASSES_MAX: usize = 100;
/// Two-sided 95 % quantile of the normal law.
const Z: f64 = 1.959_963_984_540_054;

/// A share and Wilson's interval; `None` of nothing.
#[must_use]
pub fn share(hits: u64, n: u64) -> Option<Figure> {
    wilson(hits, n).map(|bounds| Figure { value: hits as f64 / n as f64, lower: bounds.lower, upper: bounds.upper })
}

/// A mean from sums of values and of their squares.
#[must_use]
pub fn mean(n: u64, sum: f64, squares: f64) -> Option<Figure> {
    let size = n as f64;
    (n > 0).then(|| {
        let value = sum / size;
        let spread = (squares / size - value * value).max(0.0) / size;
        around(value, spread.sqrt())
    })
}

fn around(value: f64, error: f64) -> Figure {
    Figure { value, lower: value - Z * error, upper: value + Z * error }
}

/// Figures of a classification. `scores` come in `bins` equal bins, by answer where there are two classes; none where the model
/// gives no confidence. `None` without labelled answers.
#[must_use]
pub fn classification(counted: &[ClassCount], scores: &[ScoreCount], bins: u32) -> Option<Classification> {
    let accuracy = counted.first().and_then(|one| share(one.right, one.labelled))?;
    let classes: Vec<ClassQuality> = counted.iter().map(class).collect();
    let with_labels = || classes.iter().filter(|class| class.support > 0);
    let f1: f64 = with_labels().filter_map(|class| class.f1).map(|figure| figure.value).sum();
    let count = with_labels().count();
    let total = |of: fn(&ScoreCount) -> f64| scores.iter().map(of).sum::<f64>();
    let scored: u64 = scores.iter().map(|score| score.n).sum();
    let reliability = reliability(scores, bins);
    let (auroc_of, ranked) = ranked(counted, scores);
    Some(Classification {
        accuracy,
        macro_f1: (count > 0).then(|| f1 / count as f64),
        brier: mean(scored, total(|s| s.squares), total(|s| s.squares2)),
        log_loss: mean(scored, total(|s| s.logs), total(|s| s.logs2)),
        calibration_error: calibration_error(&reliability),
        auroc: auroc(ranked),
        auroc_of,
        reliability,
        classes: classes.into_iter().take(CLASSES_MAX).collect(),
    })
}

/// The names that answers and labels hold, if they are two; the second by name counts as positive.
#[must_use]
pub fn two_classes(counted: &[ClassCount]) -> Option<[&str; 2]> {
    let mut names: Vec<&str> = counted.iter().map(|one| one.label.as_str()).collect();
    names.sort_unstable();
    names.try_into().ok()
}

fn class(counted: &ClassCount) -> ClassQuality {
    let ClassCount { label, support, answers, hits, .. } = counted;
    ClassQuality {
        label: label.clone(),
        support: *support,
        answers: *answers,
        precision: share(*hits, *answers),
        recall: share(*hits, *support),
        f1: share(*hits, support + answers - hits).map(|jaccard| {
            let f1 = |j: f64| 2.0 * j / (1.0 + j);
            Figure { value: f1(jaccard.value), lower: f1(jaccard.lower), upper: f1(jaccard.upper) }
        }),
    }
}

fn reliability(scores: &[ScoreCount], bins: u32) -> Vec<Reliability> {
    let mut merged: BTreeMap<u32, (u64, u64, f64)> = BTreeMap::new();
    for score in scores {
        let coarse = score.bin * RELIABILITY_BINS / bins.max(1);
        let of = merged.entry(coarse.min(RELIABILITY_BINS - 1)).or_default();
        *of = (of.0 + score.n, of.1 + score.correct, of.2 + score.confidence);
    }
    let bin = |(n, correct, confidence): (u64, u64, f64)| {
        Some(Reliability { n, confidence: confidence / n as f64, accuracy: share(correct, n)? })
    };
    merged.into_values().filter_map(bin).collect()
}

fn calibration_error(bins: &[Reliability]) -> Option<f64> {
    let n: u64 = bins.iter().map(|bin| bin.n).sum();
    let gaps: f64 = bins.iter().map(|bin| bin.n as f64 * (bin.confidence - bin.accuracy.value).abs()).sum();
    (n > 0).then(|| gaps / n as f64)
}

/// Positives and negatives by score, and what is positive.
fn ranked(counted: &[ClassCount], scores: &[ScoreCount]) -> (String, Vec<(f64, u64, u64)>) {
    let Some([_, positive]) = two_classes(counted) else {
        let by_confidence = scores.iter().map(|s| (s.confidence / s.n.max(1) as f64, s.correct, s.n - s.correct));
        return ("right answers".to_owned(), by_confidence.collect());
    };
    // The score is the probability of the positive class, whichever was said.
    let of = |s: &ScoreCount| {
        let confidence = s.confidence / s.n.max(1) as f64;
        if s.said == positive {
            (confidence, s.correct, s.n - s.correct)
        } else {
            (1.0 - confidence, s.n - s.correct, s.correct)
        }
    };
    (positive.to_owned(), scores.iter().map(of).collect())
}

/// AUROC of positives and negatives by score; `None` where either is absent.
#[must_use]
pub fn auroc(mut ranked: Vec<(f64, u64, u64)>) -> Option<Figure> {
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Equal scores are ties wherever they came from.
    ranked.dedup_by(|next, kept| {
        let equal = (next.0 - kept.0).abs() < 1e-12;
        if equal {
            kept.1 += next.1;
            kept.2 += next.2;
        }
        equal
    });
    let positives: f64 = ranked.iter().map(|one| one.1 as f64).sum();
    let negatives: f64 = ranked.iter().map(|one| one.2 as f64).sum();
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    let (mut below, mut above) = (0.0, positives);
    let (mut of_positives, mut of_negatives) = (Vec::new(), Vec::new());
    for (_, p, n) in &ranked {
        let (p, n) = (*p as f64, *n as f64);
        above -= p;
        of_positives.push((p, (below + 0.5 * n) / negatives));
        of_negatives.push((n, (above + 0.5 * p) / positives));
        below += n;
    }
    let value = of_positives.iter().map(|(p, place)| p * place).sum::<f64>() / positives;
    let spread = |placed: &[(f64, f64)], size: f64| {
        let squares: f64 = placed.iter().map(|(weight, place)| weight * (place - value).powi(2)).sum();
        if size > 1.0 { squares / (size - 1.0) / size } else { 0.25 }
    };
    let error = (spread(&of_positives, positives) + spread(&of_negatives, negatives)).sqrt();
    let bounds = around(value, error);
    Some(Figure { value, lower: bounds.lower.max(0.0), upper: bounds.upper.min(1.0) })
}

/// Figures of numbers; `None` without labelled answers.
#[must_use]
pub fn regression(feature: &str, counts: &ErrorCounts) -> Option<Regression> {
    let n = counts.n;
    let squared = mean(n, counts.squares, counts.squares2)?;
    let rmse = |value: f64| value.max(0.0).sqrt();
    let at = |of: &[f64], i: usize| of.get(i).copied().filter(|x| x.is_finite()).unwrap_or(0.0);
    Some(Regression {
        feature: feature.to_owned(),
        bias: mean(n, counts.signed, counts.squares)?,
        mae: mean(n, counts.absolute, counts.squares)?,
        rmse: Figure { value: rmse(squared.value), lower: rmse(squared.lower), upper: rmse(squared.upper) },
        quantiles: [0, 1, 2].map(|i| at(&counts.quantiles, i)),
        sizes: [0, 1].map(|i| at(&counts.sizes, i)),
    })
}

#[cfg(test)]
mod tests;
