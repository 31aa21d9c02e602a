//! From features to a model: when it alarms, who is named, and what a user's rate of false alarms asks of the evidence.

use super::channel::log_mean;

/// The verdict on a model from the page evidence of its features (in logarithms).
#[derive(Clone, Debug, PartialEq)]
pub struct Alarm {
    /// Logarithm of the mean of the features' page evidence.
    pub evidence: f64,
    /// The features that carry an alarm; empty without one.
    pub named: Vec<usize>,
}

/// A model alarms when the mean of its features' page evidence reaches `c`: the mean of supermartingales is one, so no
/// number of features changes how rare a false alarm is. Named are the features that reach `c` on their own.
#[must_use]
pub fn alarm(pages: &[f64], log_c: f64) -> Alarm {
    let evidence = log_mean(pages.iter().copied());
    let reached = evidence >= log_c;
    let named = pages.iter().enumerate().filter(|(_, page)| reached && **page >= log_c).map(|(at, _)| at).collect();
    Alarm { evidence, named }
}

/// `c` for a rate of false alarms: at least `(1 - delta) c` windows pass between two of them on average.
#[must_use]
pub fn windows_to_false_alarm(window_seconds: f64, false_alarms_a_month: f64, delta: f64) -> f64 {
    const MONTH_SECONDS: f64 = 30.0 * 86_400.0;
    (MONTH_SECONDS / window_seconds / false_alarms_a_month / (1.0 - delta)).max(2.0)
}

/// e-BH (Wang and Ramdas 2022): which of the features have a false discovery rate of at most `alpha` together, under any
/// dependence. Takes lifetime e-values in logarithms; the reference's `delta` comes on top of `alpha`.
#[must_use]
pub fn discoveries(lives: &[f64], alpha: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..lives.len()).collect();
    order.sort_by(|a, b| lives[*b].total_cmp(&lives[*a]));
    let needed = |rank: usize| (lives.len() as f64 / (rank as f64 * alpha)).ln();
    let last = (1..=lives.len()).rev().find(|rank| lives[order[*rank - 1]] >= needed(*rank)).unwrap_or(0);
    order.truncate(last);
    order.sort_unstable();
    order
}
