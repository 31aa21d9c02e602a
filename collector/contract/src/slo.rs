//! The SLO file and the windows in which its error budget is watched.
//!
//! The proxy counts against these objectives, the analyzer judges by them, `alerts` renders them as rules: so
//! the file's types live here. Windows are data with a citation: Google, *The Site Reliability Workbook*,
//! chapter 5, "Alerting on SLOs", table 5-8.

use serde::{Deserialize, Serialize};

/// A file of service level objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloFile {
    /// The service all objectives belong to.
    pub service: String,
    /// Who is woken: becomes the `owner` label of every alert.
    pub owner: String,
    /// Rolling period of the error budgets, 7 to 30 days.
    #[serde(default = "thirty")]
    pub period_days: u32,
    /// Divides every window, `for` and scrape-dependent interval: 60 turns an hour into a minute. For demonstrations and tests.
    #[serde(default = "real_time")]
    pub time_scale: u32,
    /// The objectives.
    pub slos: Vec<Slo>,
}

fn thirty() -> u32 {
    30
}

fn real_time() -> u32 {
    1
}

/// One objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slo {
    /// Lower-case letters, digits and dashes; unique in the file.
    pub name: String,
    /// What it promises, one sentence, shown to whoever is woken.
    #[serde(default)]
    pub description: String,
    /// The model it is about.
    pub model: String,
    /// Percent of good events promised, above 0 and below 100.
    pub objective: f64,
    /// What a good event is.
    pub sli: Sli,
    /// Whether a fast burn pages; if not it opens a ticket.
    #[serde(default = "yes")]
    pub page: bool,
    /// Whether a refusal (429) spends budget. Without it refusals are left out, as where a client has its own limit.
    #[serde(default = "yes")]
    pub count_refusals: bool,
}

fn yes() -> bool {
    true
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sli {
    /// Good: the request did not end in an error, a timeout or a refusal ([`crate::wire::Outcome::is_bad`]).
    Availability,
    /// Good: answered ok within the threshold. Bad requests of the availability kind are bad here too.
    Latency {
        /// Milliseconds.
        threshold_ms: f64,
    },
}

/// What a request shows of itself to an SLI.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// How it ended.
    pub outcome: crate::wire::Outcome,
    /// Wall time at the edge, seconds.
    pub total_seconds: f64,
}

impl Sli {
    /// `None` where the request does not count, else whether it spent budget.
    #[must_use]
    pub fn is_bad(&self, event: Event) -> Option<bool> {
        if !event.outcome.is_valid_event() {
            return None;
        }
        Some(match self {
            Self::Availability => event.outcome.is_bad(),
            Self::Latency { threshold_ms } => event.outcome.is_bad() || event.total_seconds * 1e3 > *threshold_ms,
        })
    }
}

impl Slo {
    /// `None` where the request does not count for this SLO, else whether it spent budget.
    #[must_use]
    pub fn is_bad(&self, event: Event) -> Option<bool> {
        let left_out = event.outcome == crate::wire::Outcome::Rejected && !self.count_refusals;
        if left_out { None } else { self.sli.is_bad(event) }
    }

    /// The error budget as a ratio of events: 0.001 for 99.9 %.
    #[must_use]
    pub fn budget(&self) -> f64 {
        (100.0 - self.objective) / 100.0
    }
}

/// How loud an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Wakes a person.
    Page,
    /// Waits for working hours.
    Ticket,
}

impl Severity {
    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
        }
    }
}

/// A long window that shows a burn is significant and a short one that shows it is still going on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnWindow {
    /// How loud.
    pub severity: Severity,
    /// The long window in seconds, before scaling.
    pub long_seconds: u64,
    /// The short window in seconds, before scaling: a twelfth of the long one.
    pub short_seconds: u64,
    /// Share of the period's budget that burns in the long window at the threshold.
    pub budget_share: f64,
    /// Name of the long window in labels and rule names (`1h`).
    pub long_name: &'static str,
    /// Name of the short window.
    pub short_name: &'static str,
}

/// Table 5-8 of the workbook: 2 % in an hour and 5 % in six page, 10 % in a day and 10 % in three open a ticket.
pub const BURN_WINDOWS: [BurnWindow; 4] = [
    BurnWindow {
        severity: Severity::Page,
        long_seconds: 3_600,
        short_seconds: 300,
        budget_share: 0.02,
        long_name: "1h",
        short_name: "5m",
    },
    BurnWindow {
        severity: Severity::Page,
        long_seconds: 21_600,
        short_seconds: 1_800,
        budget_share: 0.05,
        long_name: "6h",
        short_name: "30m",
    },
    BurnWindow {
        severity: Severity::Ticket,
        long_seconds: 86_400,
        short_seconds: 7_200,
        budget_share: 0.1,
        long_name: "1d",
        short_name: "2h",
    },
    BurnWindow {
        severity: Severity::Ticket,
        long_seconds: 259_200,
        short_seconds: 21_600,
        budget_share: 0.1,
        long_name: "3d",
        short_name: "6h",
    },
];

impl BurnWindow {
    /// The burn rate at which `budget_share` of the period's budget goes in the long window; at least 1, since a
    /// slower burn never exhausts the budget.
    ///
    /// For 30 days 14.4, 6, 3, 1; for 28 days 13.44, 5.6, 2.8, 1 (0.933 raised).
    #[must_use]
    pub fn factor(&self, period_days: u32) -> f64 {
        let period_seconds = f64::from(period_days) * 86_400.0;
        #[expect(clippy::cast_precision_loss, reason = "windows are a few days at most")]
        let long_seconds = self.long_seconds as f64;
        (self.budget_share * period_seconds / long_seconds).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Outcome;

    fn factors(period_days: u32) -> Vec<f64> {
        BURN_WINDOWS.iter().map(|w| (w.factor(period_days) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn factors_follow_the_period() {
        assert_eq!(factors(30), [14.4, 6.0, 3.0, 1.0]);
        assert_eq!(factors(28), [13.44, 5.6, 2.8, 1.0]);
        assert_eq!(factors(14), [6.72, 2.8, 1.4, 1.0]);
    }

    #[test]
    fn a_file_reads_from_yaml() {
        let text = "
service: demo
owner: platform
slos:
  - name: fast
    model: m
    objective: 99.5
    sli: { kind: latency, threshold_ms: 300 }
";
        let file: SloFile = serde_saphyr::from_str(text).expect("reads");
        assert_eq!(file.period_days, 30);
        assert_eq!(file.slos[0].sli, Sli::Latency { threshold_ms: 300.0 });
        assert!((file.slos[0].budget() - 0.005).abs() < 1e-12);
    }

    #[test]
    fn a_clients_mistake_spends_no_budget_and_a_fast_failure_does() {
        let latency = Sli::Latency { threshold_ms: 100.0 };
        let event = |outcome, total_seconds| Event { outcome, total_seconds };
        assert_eq!(latency.is_bad(event(Outcome::Invalid, 9.0)), None);
        assert_eq!(latency.is_bad(event(Outcome::Ok, 0.05)), Some(false));
        assert_eq!(latency.is_bad(event(Outcome::Ok, 0.15)), Some(true));
        assert_eq!(latency.is_bad(event(Outcome::Error, 0.01)), Some(true));
        assert_eq!(Sli::Availability.is_bad(event(Outcome::Ok, 9.0)), Some(false));
    }
}
