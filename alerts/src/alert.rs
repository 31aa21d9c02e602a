//! What an alert is: an expression, how loud it is, what it tells people, and the proof that it works.

use std::collections::BTreeMap;

use contract::slo::Labels;
use serde::Serialize;

use crate::Options;
use crate::promql::Span;

/// How loud.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Wakes a person.
    Page,
    /// Waits for working hours.
    Ticket,
    /// Nobody has to act.
    Info,
}

impl Severity {
    /// All severities.
    pub const ALL: [Self; 3] = [Self::Page, Self::Ticket, Self::Info];

    /// The word in labels; also the name of the receiver.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Ticket => "ticket",
            Self::Info => "info",
        }
    }
}

impl From<contract::slo::Severity> for Severity {
    fn from(severity: contract::slo::Severity) -> Self {
        match severity {
            contract::slo::Severity::Page => Self::Page,
            contract::slo::Severity::Ticket => Self::Ticket,
        }
    }
}

/// Whose business it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Domain {
    /// Whoever runs the machines.
    Platform,
    /// Whoever trains the model.
    Model,
}

impl Domain {
    /// The word in labels.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Platform => "platform",
            Self::Model => "model",
        }
    }
}

/// An alert rule with the proof that it works.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// Name; also the name of its runbook.
    pub name: &'static str,
    /// How loud.
    pub severity: Severity,
    /// Whose business.
    pub domain: Domain,
    /// Who is woken, where it is not the file's owner.
    pub owner: Option<String>,
    /// Labels that it has beside severity, domain and owner.
    pub more: Labels,
    /// Whether its series carry a `model` label.
    pub of_a_model: bool,
    /// PromQL.
    pub expr: String,
    /// How long the expression must hold before the alert fires.
    pub hold: Span,
    /// How long the alert stays after the expression stopped to hold, against flapping.
    pub keep: Span,
    /// One line. Templates of Prometheus are allowed, see [`Expected`].
    pub summary: String,
    /// What is known and what it means.
    pub description: String,
    /// Cases in which it fires and in which it does not.
    pub scenarios: Vec<Scenario>,
}

/// The alert's value with one decimal, in summaries and descriptions.
pub const VALUE: &str = "{{ printf \"%.1f\" $value }}";
/// The alert's value, a ratio, with three decimals.
pub const RATIO: &str = "{{ printf \"%.3f\" $value }}";

/// A series as promtool's tests take it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Input {
    /// Selector with all labels.
    pub series: String,
    /// Values in promtool's notation (`0+6x10`), one a step.
    pub values: String,
}

impl Input {
    /// A series of a metric.
    #[must_use]
    pub fn new(name: &str, labels: &[(&str, &str)], values: impl Into<String>) -> Self {
        Self { series: crate::promql::select(name, labels), values: values.into() }
    }
}

/// A situation, a moment, and what must fire then.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it shows, a few words.
    pub title: String,
    /// What Prometheus scraped.
    pub inputs: Vec<Input>,
    /// When to look, in steps (a minute of unscaled time).
    pub step: u64,
    /// What fires; nothing when empty.
    pub fires: Vec<Expected>,
}

/// A firing alert: the labels that its series brings, and the value that its texts show.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// Labels from the expression's result.
    pub labels: Vec<(String, String)>,
    /// The value, for [`VALUE`] and [`RATIO`].
    pub value: f64,
    /// Other templates of the texts and what they become here.
    pub becomes: Vec<(String, String)>,
}

impl Expected {
    /// With these labels and this value.
    #[must_use]
    pub fn new(labels: &[(&str, &str)], value: f64) -> Self {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Self { labels, value, becomes: Vec::new() }
    }

    /// And where the texts have `template`, they show `text`.
    #[must_use]
    pub fn with(mut self, template: &str, text: &str) -> Self {
        self.becomes.push((template.to_owned(), text.to_owned()));
        self
    }

    /// What `text` looks like when this fires.
    #[must_use]
    pub fn expand(&self, text: &str) -> String {
        let mut text = text.replace(VALUE, &format!("{:.1}", self.value)).replace(RATIO, &format!("{:.3}", self.value));
        for (name, value) in &self.labels {
            text = text.replace(&label(name), value);
        }
        for (template, value) in &self.becomes {
            text = text.replace(template, value);
        }
        text
    }
}

/// The template that becomes a label's value.
#[must_use]
pub fn label(name: &str) -> String {
    format!("{{{{ $labels.{name} }}}}")
}

impl Scenario {
    /// Fires.
    #[must_use]
    pub fn fires(title: &str, inputs: Vec<Input>, step: u64, expected: Expected) -> Self {
        Self { title: title.into(), inputs, step, fires: vec![expected] }
    }

    /// Keeps quiet.
    #[must_use]
    pub fn quiet(title: &str, inputs: Vec<Input>, step: u64) -> Self {
        Self { title: title.into(), inputs, step, fires: vec![] }
    }
}

impl Alert {
    /// An alert that fires at once and stays no longer than it holds, and says nothing yet.
    #[must_use]
    pub fn new(name: &'static str, severity: Severity, domain: Domain, expr: String) -> Self {
        Self {
            name,
            severity,
            domain,
            owner: None,
            more: Labels::new(),
            of_a_model: false,
            expr,
            hold: Span::ZERO,
            keep: Span::ZERO,
            summary: String::new(),
            description: String::new(),
            scenarios: Vec::new(),
        }
    }

    /// Its series carry a `model` label.
    #[must_use]
    pub fn of_a_model(self) -> Self {
        Self { of_a_model: true, ..self }
    }

    /// Must hold so long, and stays so long.
    #[must_use]
    pub fn timed(self, hold: Span, keep: Span) -> Self {
        Self { hold, keep, ..self }
    }

    /// Is for this owner, if one is given, and carries these labels.
    #[must_use]
    pub fn of(self, owner: Option<&str>, more: Labels) -> Self {
        Self { owner: owner.map(str::to_owned), more, ..self }
    }

    /// Tells people this.
    #[must_use]
    pub fn says(self, summary: String, description: String) -> Self {
        Self { summary, description, ..self }
    }

    /// Is proved by these cases.
    #[must_use]
    pub fn proved_by(self, scenarios: Vec<Scenario>) -> Self {
        Self { scenarios, ..self }
    }

    /// Labels that the rule adds to its series'.
    #[must_use]
    pub fn labels(&self, owner: &str) -> BTreeMap<String, String> {
        let owner = self.owner.as_deref().unwrap_or(owner);
        let pairs = [("severity", self.severity.as_str()), ("domain", self.domain.as_str()), ("owner", owner)];
        let own = pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned()));
        self.more.iter().map(|(k, v)| (k.clone(), v.clone())).chain(own).collect()
    }

    /// Texts and links for whoever is woken.
    #[must_use]
    pub fn annotations(&self, options: &Options) -> BTreeMap<String, String> {
        let runbook = format!("{}/{}.md", options.runbook_base.trim_end_matches('/'), self.name);
        let page = options.dashboard_base.trim_end_matches('/');
        let dashboard = if self.of_a_model { format!("{page}/#/{}", label("model")) } else { format!("{page}/") };
        [
            ("summary", self.summary.clone()),
            ("description", self.description.clone()),
            ("runbook_url", runbook),
            ("dashboard_url", dashboard),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v))
        .collect()
    }
}
