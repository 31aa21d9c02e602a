//! How loud a burn is and in which windows it is watched: data with a citation.
//!
//! Google, *The Site Reliability Workbook*, chapter 5, "Alerting on SLOs", table 5-8.

use serde::{Deserialize, Serialize};

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

/// One-sided 95 % quantile of the normal law: what Wilson's bound on a burn rate is made with.
pub const FLOOR_Z: f64 = 1.645;
/// Bad events in the long window without which nothing alerts: two failures are no trend.
pub const BAD_EVENTS_MIN: u32 = 3;

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

    fn factors(period_days: u32) -> Vec<f64> {
        BURN_WINDOWS.iter().map(|w| (w.factor(period_days) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn factors_follow_the_period() {
        assert_eq!(factors(30), [14.4, 6.0, 3.0, 1.0]);
        assert_eq!(factors(28), [13.44, 5.6, 2.8, 1.0]);
        assert_eq!(factors(14), [6.72, 2.8, 1.4, 1.0]);
        assert_eq!(factors(7), [3.36, 1.4, 1.0, 1.0]);
    }
}
