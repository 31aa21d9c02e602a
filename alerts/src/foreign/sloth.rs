//! Sloth's `prometheus/v1` (github.com/slok/sloth, `pkg/prometheus/api/v1`).

use contract::faults::Faults;
use contract::slo::{Sli, Slo, SloFile};
use serde::Deserialize;
use serde_json::Value;

use super::{labels, name, one_line, windowed};

/// What such a file says it is.
pub const VERSION: &str = "prometheus/v1";

/// Its period, which Sloth takes from its command line.
const PERIOD_DAYS: u32 = 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Spec {
    #[serde(rename = "version")]
    _version: String,
    service: String,
    #[serde(default)]
    labels: Value,
    slos: Vec<Objective>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Objective {
    name: String,
    #[serde(default)]
    description: String,
    objective: f64,
    #[serde(default)]
    labels: Value,
    sli: Indicator,
    #[serde(default)]
    alerting: Alerting,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Indicator {
    #[serde(default)]
    events: Option<Events>,
    #[serde(default)]
    raw: Option<Raw>,
    #[serde(default)]
    plugin: Option<Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Events {
    error_query: String,
    total_query: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    error_ratio_query: String,
}

/// Names and annotations of its own alerts have no counterpart.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alerting {
    #[serde(default, rename = "name")]
    _name: String,
    #[serde(default)]
    labels: Value,
    #[serde(default, rename = "annotations")]
    _annotations: Value,
    #[serde(default)]
    page_alert: Loudness,
    #[serde(default)]
    ticket_alert: Loudness,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Loudness {
    #[serde(default)]
    disable: bool,
    #[serde(default)]
    labels: Value,
    #[serde(default, rename = "annotations")]
    _annotations: Value,
}

pub fn read(document: &Value, faults: &mut Faults) -> Option<SloFile> {
    let spec: Spec =
        serde_json::from_value(document.clone()).map_err(|error| faults.push("", error.to_string())).ok()?;
    let mut file = SloFile::new(&spec.service, &spec.service, vec![]);
    file.period_days = PERIOD_DAYS;
    file.labels = labels(Some(&spec.labels));
    if let Some(owner) = file.labels.remove("given_owner") {
        file.owner = owner;
    }
    let all = spec.slos.iter().enumerate();
    file.slos = all.filter_map(|(i, objective)| slo(&format!("slos[{i}]"), objective, faults)).collect();
    Some(file)
}

fn slo(key: &str, theirs: &Objective, faults: &mut Faults) -> Option<Slo> {
    let sli = sli(key, &theirs.sli, faults)?;
    let mut slo = Slo::new(&name(&theirs.name), "", theirs.objective, sli);
    slo.description = one_line(&theirs.description);
    slo.labels = labels(Some(&theirs.labels));
    slo.labels.extend(labels(Some(&theirs.alerting.labels)));
    slo.owner = slo.labels.remove("given_owner");
    slo.page = Some(!theirs.alerting.page_alert.disable);
    slo.page_labels = labels(Some(&theirs.alerting.page_alert.labels));
    slo.ticket = !theirs.alerting.ticket_alert.disable;
    slo.ticket_labels = labels(Some(&theirs.alerting.ticket_alert.labels));
    Some(slo)
}

fn sli(key: &str, theirs: &Indicator, faults: &mut Faults) -> Option<Sli> {
    match (&theirs.events, &theirs.raw, &theirs.plugin) {
        (Some(events), None, None) => {
            let mut ask = |query: &str| {
                let asked = windowed(query);
                if asked.is_none() {
                    faults
                        .push(format!("{key}.sli.events"), format!("`{}` has no `[{{{{.window}}}}]`", one_line(query)));
                }
                asked
            };
            let (bad, total) = (ask(&events.error_query), ask(&events.total_query));
            Some(Sli::Events { total: total?, bad: Some(bad?), good: None })
        }
        (None, Some(raw), None) => ratio(key, &raw.error_ratio_query, faults),
        (None, None, Some(_)) => {
            faults.push(format!("{key}.sli.plugin"), "a plug-in of Sloth's is code; write its queries under `events`");
            None
        }
        _ => {
            faults.push(format!("{key}.sli"), "give one of `events` and `raw`");
            None
        }
    }
}

/// A ratio tells of no traffic, so each minute of a window counts as one event.
fn ratio(key: &str, query: &str, faults: &mut Faults) -> Option<Sli> {
    let Some(ratio) = windowed(query) else {
        faults.push(format!("{key}.sli.raw"), format!("`{}` has no `[{{{{.window}}}}]`", one_line(query)));
        return None;
    };
    // what has the window's length as a number is a subquery of a constant, one sample a minute
    let minutes = "sum(count_over_time(vector(1)[{{.window}}:1m]))";
    let known = format!("(({ratio}) >= 0)");
    let total = format!("{known} * 0 + scalar({minutes})");
    Some(Sli::Events { bad: Some(format!("{known} * scalar({minutes})")), total, good: None })
}
