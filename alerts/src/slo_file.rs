//! From YAML to a checked SLO file that lists all of its faults, not only the first.
//!
//! The text is read into a plain tree first: a mistyped key in the third objective must not hide a mistyped number in
//! the first. The types themselves are the contract's. Files of OpenSLO and of Sloth are turned into ours first
//! (`foreign/`) and then checked like any other.

use contract::faults::Faults;
use contract::slo::{BURN_WINDOWS, Slo, SloFile};
use serde_json::{Map, Value};

use crate::foreign;
use crate::promql::number;

mod check;

/// Most objectives in a file: each is some forty series and evaluated every thirty seconds.
pub const SLOS_MAX: usize = 500;

const FILE_KEYS: &[&str] =
    &["service", "owner", "labels", "period", "period_days", "time_scale", "page_on_drift", "maintenance", "slos"];
const SLO_KEYS: &[&str] = &[
    "name",
    "description",
    "model",
    "objective",
    "sli",
    "owner",
    "labels",
    "page",
    "page_at",
    "page_labels",
    "ticket",
    "ticket_labels",
    "count_refusals",
];
/// Labels that alerts have from elsewhere, and that nobody else may set.
pub const RESERVED_LABELS: &[&str] =
    &["alertname", "severity", "domain", "owner", "slo", "model", "window", "job", "instance"];

/// Reads and checks.
///
/// # Errors
/// Every fault, each with where it is and what to do.
pub fn parse(text: &str) -> Result<SloFile, Faults> {
    let mut faults = Faults::default();
    let documents: Vec<Value> = match serde_saphyr::from_multiple(text) {
        Ok(documents) => documents,
        Err(error) => {
            faults.push("", format!("this is not YAML: {}", error.to_string().lines().next().unwrap_or_default()));
            return Err(faults);
        }
    };
    if let Some(file) = foreign::read(&documents, &mut faults) {
        check_all(&file, &mut faults);
        return faults.result(file);
    }
    let Some(Value::Object(top)) = documents.into_iter().next() else {
        faults.push("", "an SLO file is a map with the keys `service`, `owner` and `slos`");
        return Err(faults);
    };
    let slos = objectives(&top, &mut faults);
    let file = head(top, &mut faults).map(|file| SloFile { slos, ..file });
    match file {
        Some(file) => {
            check::file(&file, &mut faults);
            faults.result(file)
        }
        None => Err(faults),
    }
}

/// Everything but the objectives.
fn head(mut top: Map<String, Value>, faults: &mut Faults) -> Option<SloFile> {
    unknown_keys(&top, FILE_KEYS, "", faults);
    top.retain(|key, _| FILE_KEYS.contains(&key.as_str()));
    top.insert("slos".into(), Value::Array(vec![]));
    serde_json::from_value(Value::Object(top)).map_err(|error| faults.push("", error.to_string())).ok()
}

/// The objectives that can be read; a fault for each that cannot.
fn objectives(top: &Map<String, Value>, faults: &mut Faults) -> Vec<Slo> {
    let items = match top.get("slos") {
        Some(Value::Array(items)) => items.as_slice(),
        None => &[],
        Some(_) => {
            faults.push("slos", "this must be a list of objectives");
            return vec![];
        }
    };
    faults.check(
        !items.is_empty(),
        "slos",
        "there is no objective; add one with `name`, `model`, `objective` and `sli`",
    );
    faults.check(
        items.len() <= SLOS_MAX,
        "slos",
        format!("there are {} objectives, and at most {SLOS_MAX} fit", items.len()),
    );
    items.iter().enumerate().filter_map(|(i, item)| objective(&format!("slos[{i}]"), item, faults)).collect()
}

fn objective(key: &str, item: &Value, faults: &mut Faults) -> Option<Slo> {
    let Value::Object(map) = item else {
        faults.push(key, "an objective is a map with the keys `name`, `model`, `objective` and `sli`");
        return None;
    };
    unknown_keys(map, SLO_KEYS, key, faults);
    let mut map = map.clone();
    map.retain(|key, _| SLO_KEYS.contains(&key.as_str()));
    let slo: Slo =
        serde_json::from_value(Value::Object(map)).map_err(|error| faults.push(key, error.to_string())).ok()?;
    check::slo(key, &slo, faults);
    Some(slo)
}

fn unknown_keys(map: &Map<String, Value>, known: &[&str], at: &str, faults: &mut Faults) {
    for key in map.keys().filter(|key| !known.contains(&key.as_str())) {
        let dot = if at.is_empty() { "" } else { "." };
        faults.push(format!("{at}{dot}{key}"), format!("there is no such key; there are {}", known.join(", ")));
    }
}

/// Checks a file that was put together and not read key by key.
fn check_all(file: &SloFile, faults: &mut Faults) {
    for (i, slo) in file.slos.iter().enumerate() {
        check::slo(&format!("slos[{i}]"), slo, faults);
    }
    check::file(file, faults);
}

/// What is worth knowing about a file that has no faults, one sentence each.
#[must_use]
pub fn notes(file: &SloFile) -> Vec<String> {
    let windows = || BURN_WINDOWS.iter();
    let unreachable = file.slos.iter().flat_map(|slo| {
        windows().filter(|w| !crate::slo_alerts::reachable(file, slo, w)).map(|w| {
            format!(
                "{}: the {} window is left out, because at {} % nothing but failures burns slower than its factor {}",
                slo.name,
                w.long_name,
                number(slo.objective),
                number(slo.factor(w, file.period_days)),
            )
        })
    });
    let raised = windows()
        .filter(|w| w.budget_share * f64::from(file.period_days) * 86_400.0 < w.long_seconds as f64)
        .map(|w| {
            format!(
                "over {} days the {} window's factor would be below 1 and is raised to 1",
                file.period_days, w.long_name
            )
        });
    raised.chain(unreachable).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contract::slo::Sli;

    use super::*;

    const GOOD: &str = "
service: demo
owner: platform
slos:
  - { name: availability, model: m, objective: 99.9, sli: { kind: availability } }
  - { name: fast, model: m, objective: 99, sli: { kind: latency, threshold_ms: 300 }, page: false, description: Quick. }
";

    fn faults(text: &str) -> Vec<String> {
        parse(text).map_or_else(|f| f.to_string().lines().map(str::to_owned).collect(), |_| vec![])
    }

    #[track_caller]
    fn refuses(text: &str, words: &str) {
        let all = faults(text);
        assert!(all.iter().any(|f| f.contains(words)), "no fault says {words:?}: {all:#?}");
    }

    #[test]
    fn a_good_file_is_read_whole() {
        let file = parse(GOOD).unwrap();
        assert_eq!(file.slos.len(), 2);
        assert_eq!((file.period_days, file.time_scale), (30, 1));
        assert_eq!(file.slos[1].sli, Sli::Latency { threshold_ms: 300.0 });
    }

    #[test]
    fn all_faults_are_listed_at_once() {
        let text = "
service: demo
ownr: platform
owner: platform
period_days: 31
time_scale: 0
slos:
  - { name: Fast!, model: m, objective: 100, sli: { kind: availability } }
  - { name: a, model: 'm\"', objective: 99, sli: { kind: latency, threshold_ms: -1 } }
  - { name: a, model: m, objective: 99.99999, sli: { kind: availability }, pager: true }
  - { name: b, model: m, objective: high, sli: { kind: availability } }
  - { name: c, model: m, objective: 99, sli: { kind: throughput } }
";
        let all = faults(text);
        for words in [
            "ownr: there is no such key",
            "period_days: 31",
            "time_scale: 0",
            "slos[0].name: `Fast!`",
            "slos[0].objective: 100 is no promise",
            "slos[1].model",
            "slos[1].sli.threshold_ms: -1",
            "slos[2].pager: there is no such key",
            "slos[2].objective: 99.99999",
            "slos: the name `a` is given twice",
            "slos[3]: invalid type: string \"high\"",
            "slos[4]: unknown variant `throughput`",
        ] {
            assert!(all.iter().any(|f| f.contains(words)), "no fault says {words:?}: {all:#?}");
        }
        assert_eq!(all.len(), 12, "{all:#?}");
    }

    #[test]
    fn what_is_no_slo_file_is_said_so() {
        refuses("- 1", "an SLO file is a map");
        refuses("a: [", "not YAML");
        refuses("service: s\nowner: o", "there is no objective");
        refuses("service: s\nowner: o\nslos: 3", "must be a list");
        refuses("service: s\nowner: o\nslos: [3]", "slos[0]: an objective is a map");
        refuses("slos: []", "missing field `service`");
        refuses("service: s\nowner: 'o{{ $value }}'\nslos: []", "owner:");
        refuses(&GOOD.replace("fast, model", "fast, name: twice, model"), "duplicate");
    }

    #[test]
    fn the_known_keys_are_the_contracts() {
        let all = r#"
service: demo
owner: platform
labels: { a: b }
period: rolling
period_days: 28
time_scale: 1
page_on_drift: [m]
maintenance: [{ name: nights, times: [{ start_time: "00:00", end_time: "06:00" }] }]
slos:
  - { name: s, description: d, model: m, objective: 90, sli: { kind: availability }, owner: o, labels: { a: c }, page: true,
      page_at: 8, page_labels: { a: d }, ticket: true, ticket_labels: { a: e }, count_refusals: false }
"#;
        let file = serde_json::to_value(parse(all).unwrap_or_else(|f| panic!("{f}"))).unwrap();
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let set = |keys: &[&str]| keys.iter().map(|k| (*k).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(keys(&file), set(FILE_KEYS));
        assert_eq!(keys(&file["slos"][0]), set(SLO_KEYS));
    }

    #[test]
    fn what_the_new_keys_must_not_say_is_said() {
        let with = |line: &str| GOOD.replace("owner: platform", &format!("owner: platform\n{line}"));
        refuses(&with("period: calendar_month\ntime_scale: 60"), "a calendar month has no other length");
        refuses(&with("labels: { severity: loud }"), "labels: `severity` is set by Driftline");
        refuses(&with("labels: { 'a-b': c }"), "`a-b` is no label's name");
        refuses(&with("labels: { a: '{{ $value }}' }"), "`a` must be one line");
        refuses(&with("page_on_drift: ['m\"']"), "page_on_drift");
        let maintenance = |text: &str| with(&format!("maintenance: [{{ name: nights, {text} }}]"));
        refuses(&maintenance("weekdays: [caturday]"), "`caturday` is no day");
        refuses(&maintenance("times: [{ start_time: '22:00', end_time: '06:00' }]"), "is no span of a day");
        refuses(&maintenance("pages: true"), "this would be always");
        let slo =
            |text: &str| format!("service: s\nowner: o\nslos:\n  - {{ name: a, model: m, objective: 99, {text} }}\n");
        refuses(&slo("sli: { kind: shadow_agreement }, page: true"), "never pages");
        refuses(&slo("sli: { kind: confidence_floor, floor: 2 }"), "2 is no confidence");
        refuses(&slo("sli: { kind: drift_free }, page_at: 10"), "does not page");
        refuses(&slo("sli: { kind: availability }, page_at: 100"), "at least 1 and below 100");
        refuses(&slo("sli: { kind: events, total: 'a[5m]', bad: 'b[5m]' }"), "has no window");
        refuses(&slo("sli: { kind: events, total: 'a[{{.window}}]' }"), "one of `bad` and `good`");
    }

    #[test]
    fn windows_that_cannot_alert_are_noted() {
        let text = GOOD.replace("objective: 99,", "objective: 90,").replace("owner:", "period_days: 28\nowner:");
        let notes = notes(&parse(&text).unwrap());
        assert_eq!(notes.len(), 2, "{notes:?}");
        assert!(notes[0].contains("the 3d window's factor would be below 1"), "{notes:?}");
        assert!(notes[1].starts_with("fast: the 1h window is left out"), "{notes:?}");
    }
}
