//! The SLO file and the windows in which its error budget is watched.
//!
//! The proxy and the analyzer count against these objectives, the analyzer judges by them, `alerts` renders them as
//! rules: so the file's types live here. The windows are in `slo/windows.rs`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

mod windows;

pub use windows::{BAD_EVENTS_MIN, BURN_WINDOWS, BurnWindow, FLOOR_Z, Severity};

/// Words by names, as alerts carry them.
pub type Labels = BTreeMap<String, String>;

/// A file of service level objectives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SloFile {
    /// The service all objectives belong to.
    pub service: String,
    /// Who is woken: becomes the `owner` label of every alert.
    pub owner: String,
    /// Labels added to every alert about an objective.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// What the error budgets are of.
    #[serde(default)]
    pub period: Period,
    /// Length of the period, 7 to 30 days; a calendar month counts as 30 where a length is needed, for the factors.
    #[serde(default = "thirty")]
    pub period_days: u32,
    /// Divides every window, `for` and scrape-dependent interval: 60 turns an hour into a minute. For demonstrations and tests.
    #[serde(default = "real_time")]
    pub time_scale: u32,
    /// Models whose drift wakes somebody; everybody else's opens a ticket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub page_on_drift: Vec<String>,
    /// When nobody wants to hear of anything, or of nothing but pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Maintenance>,
    /// The objectives.
    pub slos: Vec<Slo>,
}

impl SloFile {
    /// Objectives over a rolling 30 days in real time.
    #[must_use]
    pub fn new(service: &str, owner: &str, slos: Vec<Slo>) -> Self {
        Self {
            service: service.to_owned(),
            owner: owner.to_owned(),
            labels: Labels::new(),
            period: Period::Rolling,
            period_days: thirty(),
            time_scale: real_time(),
            page_on_drift: Vec::new(),
            maintenance: Vec::new(),
            slos,
        }
    }
}

fn thirty() -> u32 {
    30
}

fn real_time() -> u32 {
    1
}

/// What an error budget is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The last so many days.
    #[default]
    Rolling,
    /// The month of the calendar, in UTC: the budget is whole again on the first.
    CalendarMonth,
}

/// A time that comes again, as Alertmanager's `time_intervals` have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Maintenance {
    /// Lower-case letters, digits and dashes; unique in the file.
    pub name: String,
    /// `sunday`, or `monday:friday`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weekdays: Vec<String>,
    /// From and to, `HH:MM`, within a day.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRange>,
    /// `1`, `1:7`, `-1` for the last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days_of_month: Vec<String>,
    /// Time zone as in `Europe/Berlin`; UTC without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Whether pages are muted too.
    #[serde(default)]
    pub pages: bool,
}

/// A span within a day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRange {
    /// `HH:MM`.
    pub start_time: String,
    /// `HH:MM`, later than the start; `24:00` is the day's end.
    pub end_time: String,
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
    /// The model it is about; empty where events by queries are about none.
    #[serde(default)]
    pub model: String,
    /// Percent of good events promised, above 0 and below 100.
    pub objective: f64,
    /// What a good event is.
    pub sli: Sli,
    /// Who is woken, where it is not the file's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Labels added to its alerts, over the file's.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub labels: Labels,
    /// Whether a fast burn pages; without it, what the kind of event is worth a night for ([`Sli::is_worth_a_night`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<bool>,
    /// Burn rate at which the shortest window pages, in place of table 5-8's; other windows that page follow in proportion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page_at: Option<f64>,
    /// Labels added to its page.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub page_labels: Labels,
    /// Whether a slow burn opens a ticket.
    #[serde(default = "yes")]
    pub ticket: bool,
    /// Labels added to its ticket.
    #[serde(default, skip_serializing_if = "Labels::is_empty")]
    pub ticket_labels: Labels,
    /// Whether a refusal (429) spends budget. Without it refusals are left out, as where a client has its own limit.
    #[serde(default = "yes")]
    pub count_refusals: bool,
}

fn yes() -> bool {
    true
}

/// What is counted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Sli {
    /// Good: the request did not end in an error, a timeout or a refusal ([`crate::wire::Outcome::is_bad`]).
    Availability,
    /// Good: answered ok within the threshold. Bad requests of the availability kind are bad here too.
    Latency {
        /// Milliseconds.
        threshold_ms: f64,
    },
    /// Good: no value of an item breaks the schema of the model's folder. An event is an item of an answered request.
    SchemaValid,
    /// Good: an answer's confidence is at least this.
    ConfidenceFloor {
        /// From 0 to 1.
        floor: f64,
    },
    /// Good: a judged window in which no feature of the model is drifted.
    DriftFree,
    /// Good: a shadow answered as its primary did. An event is a pair; a failed shadow answer is bad.
    ShadowAgreement,
    /// Good: the answer was what a label said later. An event is a label, counted when it arrives.
    LabelAccuracy,
    /// Whatever two queries of PromQL count.
    Events {
        /// All events of a window; `{{.window}}` is where its length goes.
        total: String,
        /// Those that spent budget; this or `good`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bad: Option<String>,
        /// Those that did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        good: Option<String>,
    },
}

/// Who counts the events of an SLI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// The proxy, when a request ends.
    Proxy,
    /// The analyzer, from stored rows: what is known later than the request's end.
    Analyzer,
    /// Prometheus itself, by the file's queries.
    Queries,
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
    /// Who counts it.
    #[must_use]
    pub const fn counter(&self) -> Counter {
        match self {
            Self::Availability | Self::Latency { .. } => Counter::Proxy,
            Self::Events { .. } => Counter::Queries,
            Self::SchemaValid
            | Self::ConfidenceFloor { .. }
            | Self::DriftFree
            | Self::ShadowAgreement
            | Self::LabelAccuracy => Counter::Analyzer,
        }
    }

    /// Whether somebody can do something about it at night: a model's quality is not repaired then.
    #[must_use]
    pub fn is_worth_a_night(&self) -> bool {
        self.counter() != Counter::Analyzer
    }

    /// `None` where the request does not count or the proxy does not count it, else whether it spent budget.
    #[must_use]
    pub fn is_bad(&self, event: Event) -> Option<bool> {
        if !event.outcome.is_valid_event() {
            return None;
        }
        match self {
            Self::Availability => Some(event.outcome.is_bad()),
            Self::Latency { threshold_ms } => Some(event.outcome.is_bad() || event.total_seconds * 1e3 > *threshold_ms),
            _ => None,
        }
    }
}

impl Slo {
    /// An objective with everything else as it is by default.
    #[must_use]
    pub fn new(name: &str, model: &str, objective: f64, sli: Sli) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            model: model.to_owned(),
            objective,
            sli,
            owner: None,
            labels: Labels::new(),
            page: None,
            page_at: None,
            page_labels: Labels::new(),
            ticket: true,
            ticket_labels: Labels::new(),
            count_refusals: true,
        }
    }

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

    /// Whether a fast burn wakes somebody.
    #[must_use]
    pub fn pages(&self) -> bool {
        self.page.unwrap_or_else(|| self.sli.is_worth_a_night())
    }

    /// The burn rate at which a window alerts: the table's for the period, or what follows from `page_at`; at least 1.
    #[must_use]
    pub fn factor(&self, window: &BurnWindow, period_days: u32) -> f64 {
        let factor = window.factor(period_days);
        match self.page_at {
            Some(at) if window.severity == Severity::Page => {
                (at * factor / BURN_WINDOWS[0].factor(period_days)).max(1.0)
            }
            _ => factor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Outcome;

    #[test]
    fn a_page_may_be_set_at_another_rate_and_never_below_one() {
        let at = |page_at| Slo { page_at: Some(page_at), ..Slo::new("s", "m", 90.0, Sli::Availability) };
        let factors = |slo: &Slo| BURN_WINDOWS.iter().map(|w| slo.factor(w, 30)).collect::<Vec<_>>();
        assert_eq!(factors(&at(7.2)), [7.2, 3.0, 3.0, 1.0]);
        assert_eq!(factors(&at(1.2)), [1.2, 1.0, 3.0, 1.0]);
    }

    #[test]
    fn quality_wakes_nobody_unless_it_is_said() {
        let pages = |sli, page| Slo { page, ..Slo::new("s", "m", 99.0, sli) }.pages();
        assert!(pages(Sli::Availability, None) && !pages(Sli::Availability, Some(false)));
        assert!(!pages(Sli::DriftFree, None) && pages(Sli::DriftFree, Some(true)));
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
