//! Pieces of PromQL: durations that shrink with the SLO file's `time_scale`, selectors, and growth of counters.
//!
//! Expressions are put together as text on purpose: the reader of a rendered rule has to be able to follow it, and
//! `promtool` parses every one of them in the tests.

use std::fmt;

use contract::metrics::Metric;

/// A duration as PromQL and Prometheus' files write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    milliseconds: u64,
}

impl Span {
    /// Nothing.
    pub const ZERO: Self = Self { milliseconds: 0 };

    /// So many seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self { milliseconds: seconds * 1_000 }
    }

    /// Whole seconds in it, rounded down.
    #[must_use]
    pub const fn whole_seconds(self) -> u64 {
        self.milliseconds / 1_000
    }

    /// Seconds in it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a year has fewer than 2^53 milliseconds")]
    pub const fn as_seconds(self) -> f64 {
        self.milliseconds as f64 / 1e3
    }

    /// How many steps of a length it takes, rounded up.
    #[must_use]
    pub const fn steps_of(self, step: Self) -> u64 {
        self.milliseconds.div_ceil(step.milliseconds)
    }

    /// Half of it.
    #[must_use]
    pub const fn half(self) -> Self {
        Self { milliseconds: self.milliseconds / 2 }
    }

    /// So many of it in a row.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self { milliseconds: self.milliseconds * n }
    }
}

impl fmt::Display for Span {
    /// In the largest unit that divides it: `90s`, `5m`, `30d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        let ms = self.milliseconds;
        match UNITS.iter().find(|(unit, _)| ms > 0 && ms.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", ms / unit),
            None if ms == 0 => f.write_str("0s"),
            None => write!(f, "{ms}ms"),
        }
    }
}

/// How much faster than real time everything runs: 1 in earnest, 60 in a demonstration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale(u32);

impl Scale {
    /// Of an SLO file; 0, which the file's check refuses, counts as 1.
    #[must_use]
    pub fn of(file: &contract::slo::SloFile) -> Self {
        Self(file.time_scale.max(1))
    }

    /// A window of so many real seconds, scaled.
    #[must_use]
    pub fn window(self, seconds: u64) -> Span {
        Span { milliseconds: seconds * 1_000 / u64::from(self.0) }
    }

    /// An interval or a wait of so many real seconds, scaled, at least a second: nothing is scraped or evaluated
    /// more often.
    #[must_use]
    pub fn interval(self, seconds: u64) -> Span {
        self.window(seconds).max(Span::seconds(1))
    }
}

/// `name{key="value", …}`; values are quoted as PromQL wants them.
#[must_use]
pub fn select(name: &str, matchers: &[(&str, &str)]) -> String {
    if matchers.is_empty() {
        return name.to_owned();
    }
    let inside: Vec<String> = matchers.iter().map(|(key, value)| format!("{key}={}", quote(value))).collect();
    format!("{name}{{{}}}", inside.join(", "))
}

/// A string literal.
#[must_use]
pub fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

/// A number with at most twelve decimals: `0.001` where binary arithmetic says `0.000_999_999_999_999_943_2`.
#[must_use]
pub fn number(x: f64) -> String {
    let text = format!("{x:.12}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// How much a labelled counter grew in `window`, summed by `by`.
///
/// A series that appears with its first event has no earlier sample, so `increase()` alone never sees that event:
/// where the hour before the window knew nothing of the series, all of its value is growth.
#[must_use]
pub fn grown(metric: &Metric, matchers: &[(&str, &str)], by: &[&str], window: Span, memory: Span) -> String {
    let series = select(metric.name, matchers);
    let by = by.join(", ");
    format!(
        "sum by ({by}) (\n  ({series} unless last_over_time({series}[{memory}] offset {window}))\n  or increase({series}[{window}])\n)"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_largest_unit_that_fits() {
        let cases = [(30 * 86_400, "30d"), (21_600, "6h"), (5_400, "90m"), (90, "90s"), (0, "0s")];
        for (seconds, text) in cases {
            assert_eq!(Span::seconds(seconds).to_string(), text);
        }
        assert_eq!(Scale(7).window(300).to_string(), "42857ms");
    }

    #[test]
    fn an_interval_is_never_below_a_second() {
        assert_eq!(Scale(60).interval(15).to_string(), "1s");
        assert_eq!(Scale(60).window(300).to_string(), "5s");
        assert_eq!(Scale(1).interval(15).to_string(), "15s");
    }

    #[test]
    fn a_label_value_cannot_end_its_own_quotes() {
        assert_eq!(select("m", &[("a", "x\"} or up{\\")]), r#"m{a="x\"} or up{\\"}"#);
    }

    #[test]
    fn budgets_are_written_as_people_write_them() {
        assert_eq!(number((100.0 - 99.9) / 100.0), "0.001");
        assert_eq!(number(14.4), "14.4");
        assert_eq!(number(1.0), "1");
        assert_eq!(number(1e-6), "0.000001");
    }
}
