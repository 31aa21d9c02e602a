//! Ranges of time in a question, and the steps they are cut into.

use axum::http::StatusCode;
use serde::Deserialize;
use store::read::{Window, page::Steps};

use super::Refusal;

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// No table keeps rows for longer.
const LONGEST_MS: i64 = 400 * DAY_MS;
/// Lengths of steps that people read without calculating, in seconds.
const STEP_SECONDS: [i64; 22] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 345_600,
    432_000, 864_000,
];

/// A range as asked for; the last hour where nothing is said.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    pub(super) from_ms: Option<i64>,
    pub(super) to_ms: Option<i64>,
}

impl Asked {
    /// The range, checked.
    pub(super) fn span(self, now_ms: i64) -> Result<Window, Refusal> {
        let end_ms = self.to_ms.unwrap_or(now_ms);
        let start_ms = self.from_ms.unwrap_or_else(|| end_ms.saturating_sub(HOUR_MS));
        // Times have to be ones that the database can hold.
        if (0..end_ms).contains(&start_ms) && end_ms - start_ms <= LONGEST_MS && end_ms <= 4_102_444_800_000 {
            return Ok(Window { start_ms, end_ms });
        }
        let what = format!(
            "from_ms ({start_ms}) has to be at least 0, before to_ms ({end_ms}) and within 400 days of it, before the year 2100"
        );
        Err(Refusal(StatusCode::BAD_REQUEST, what))
    }
}

/// At most `points` steps of a readable length, none shorter than `least_ms`. The range grows to whole steps, so that a live
/// view moves by steps and does not shimmer.
pub(super) fn steps(span: Window, points: i64, least_ms: i64) -> Steps {
    let wanted = ((span.end_ms - span.start_ms) / points.max(1)).max(least_ms).max(1);
    let length_ms = STEP_SECONDS.iter().map(|s| s * 1_000).find(|ms| *ms >= wanted).unwrap_or(wanted);
    let start_ms = span.start_ms.div_euclid(length_ms) * length_ms;
    let end_ms = (span.end_ms + length_ms - 1).div_euclid(length_ms) * length_ms;
    Steps { span: Window { start_ms, end_ms }, length_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_range_it_is_the_last_hour() {
        let span = Asked::default().span(10 * HOUR_MS).unwrap();
        assert_eq!(span, Window { start_ms: 9 * HOUR_MS, end_ms: 10 * HOUR_MS });
    }

    #[test]
    fn a_range_that_makes_no_sense_is_refused() {
        for (from, to) in [(5, 5), (6, 5), (-1, 5), (0, LONGEST_MS + 1), (i64::MIN, i64::MAX), (0, i64::MIN)] {
            let asked = Asked { from_ms: Some(from), to_ms: Some(to) };
            assert_eq!(asked.span(0).unwrap_err().0, StatusCode::BAD_REQUEST, "{from}..{to}");
        }
        assert!(Asked { from_ms: None, to_ms: Some(i64::MIN) }.span(0).is_err());
    }

    #[test]
    fn steps_are_few_whole_and_cover_the_range() {
        for (length_ms, points, least_ms) in
            [(1, 100, 1), (HOUR_MS, 120, 1), (HOUR_MS, 90, 10_000), (LONGEST_MS, 60, 1), (7 * DAY_MS, 100, 7_000)]
        {
            let span = Window { start_ms: 1_900_000_000_123, end_ms: 1_900_000_000_123 + length_ms };
            let cut = steps(span, points, least_ms);
            let whole = cut.span.end_ms - cut.span.start_ms;
            assert!(cut.span.start_ms <= span.start_ms && cut.span.end_ms >= span.end_ms);
            assert!(whole % cut.length_ms == 0 && whole / cut.length_ms <= points + 2 && cut.length_ms >= least_ms);
        }
    }
}
