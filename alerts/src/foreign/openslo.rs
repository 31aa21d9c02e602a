//! OpenSLO v1 (github.com/OpenSLO/OpenSLO): SLOs, and the SLIs they name, of one file.

use contract::faults::Faults;
use contract::slo::{Period, Sli, Slo, SloFile};
use serde_json::{Map, Value};

use super::{labels, name, one_line, string, windowed};

/// The only version that is read.
const VERSION: &str = "openslo/v1";

/// Its documents, by what they are.
struct Documents<'a> {
    slos: Vec<&'a Map<String, Value>>,
    indicators: Vec<&'a Map<String, Value>>,
}

pub fn read(documents: &[Value], faults: &mut Faults) -> Option<SloFile> {
    let documents = sorted(documents, faults);
    let mut file = SloFile::new("", "", vec![]);
    for (i, document) in documents.slos.iter().enumerate() {
        let key = format!("SLO {}", i + 1);
        let Some(Value::Object(spec)) = document.get("spec") else {
            faults.push(&key, "there is no `spec`");
            continue;
        };
        let metadata = document.get("metadata").and_then(Value::as_object);
        let period = period(&key, spec, faults);
        let service = string(spec, "service").unwrap_or_else(|| "openslo".to_owned());
        if i == 0 {
            (file.period, file.period_days) = period;
            (file.service, file.owner) = (service.clone(), service);
        } else {
            faults.check(
                (file.period, file.period_days) == period,
                &key,
                "its time window is not that of the first SLO; one file has one period: put it into a file of its own",
            );
        }
        file.slos.extend(objectives(&key, metadata, spec, &documents.indicators, faults));
    }
    faults.check(!documents.slos.is_empty(), "", "there is no document of kind SLO");
    Some(file)
}

fn sorted<'a>(documents: &'a [Value], faults: &mut Faults) -> Documents<'a> {
    let mut sorted = Documents { slos: vec![], indicators: vec![] };
    for document in documents.iter().filter_map(Value::as_object) {
        let version = string(document, "apiVersion").unwrap_or_default();
        faults.check(version == VERSION, "apiVersion", format!("`{version}` is not read, only {VERSION}"));
        match string(document, "kind").as_deref() {
            Some("SLO") => sorted.slos.push(document),
            Some("SLI") => sorted.indicators.push(document),
            // who is told, and where numbers are, the configuration of Driftline and Prometheus says
            _ => {}
        }
    }
    sorted
}

/// `timeWindow`: `28d` or `4w` rolling, `1M` by the calendar.
fn period(key: &str, spec: &Map<String, Value>, faults: &mut Faults) -> (Period, u32) {
    let rolling = (Period::Rolling, 30);
    let Some(window) = spec.get("timeWindow").and_then(|w| w.get(0).or(Some(w))).and_then(Value::as_object) else {
        return rolling;
    };
    let duration = string(window, "duration").unwrap_or_default();
    let number = |unit: char| duration.strip_suffix(unit).and_then(|n| n.parse::<u32>().ok());
    let is_rolling = window.get("isRolling").and_then(Value::as_bool).unwrap_or(true);
    match (number('d'), number('w'), number('M')) {
        (Some(days), ..) if is_rolling => (Period::Rolling, days),
        (_, Some(weeks), _) if is_rolling => (Period::Rolling, weeks.saturating_mul(7)),
        (_, _, Some(1)) if !is_rolling => (Period::CalendarMonth, 30),
        _ => {
            let says = "is no period of ours: 7d to 30d rolling, or one calendar month (`1M`, isRolling: false)";
            faults.push(format!("{key}.timeWindow"), format!("`{duration}` {says}"));
            rolling
        }
    }
}

fn objectives(
    key: &str,
    metadata: Option<&Map<String, Value>>,
    spec: &Map<String, Value>,
    indicators: &[&Map<String, Value>],
    faults: &mut Faults,
) -> Vec<Slo> {
    let Some(Value::Array(objectives)) = spec.get("objectives") else {
        faults.push(format!("{key}.objectives"), "there is none");
        return vec![];
    };
    let named = metadata.and_then(|m| string(m, "name")).unwrap_or_default();
    let mut all = Vec::new();
    for (i, objective) in objectives.iter().filter_map(Value::as_object).enumerate() {
        let key = format!("{key}.objectives[{i}]");
        let Some(indicator) = indicator(objective, spec, indicators) else {
            faults.push(&key, "there is no `indicator`, and no SLI in this file that `indicatorRef` names");
            continue;
        };
        let Some(sli) = sli(&key, &indicator, objective, faults) else { continue };
        let Some(percent) = target(objective) else {
            faults.push(&key, "give `target` (0 to 1) or `targetPercent`");
            continue;
        };
        let suffix = string(objective, "displayName").unwrap_or_else(|| (i + 1).to_string());
        let full = if objectives.len() == 1 { named.clone() } else { format!("{named}-{suffix}") };
        let mut slo = Slo::new(&name(&full), "", percent, sli);
        slo.description = one_line(&string(spec, "description").unwrap_or_default());
        slo.labels = labels(metadata.and_then(|m| m.get("labels")));
        slo.owner = slo.labels.remove("given_owner");
        all.push(slo);
    }
    all
}

/// Percent; a ratio such as 0.999 in binary arithmetic is 99.9, not 99.900_000_000_000_01.
fn target(objective: &Map<String, Value>) -> Option<f64> {
    let ratio = objective.get("target").and_then(Value::as_f64).map(|ratio| (ratio * 1e10).round() / 1e8);
    ratio.or_else(|| objective.get("targetPercent").and_then(Value::as_f64))
}

/// The spec of the objective's own indicator, the SLO's, or the one that is named.
fn indicator(
    objective: &Map<String, Value>,
    spec: &Map<String, Value>,
    indicators: &[&Map<String, Value>],
) -> Option<Map<String, Value>> {
    let inline = |from: &Map<String, Value>| from.get("indicator")?.get("spec")?.as_object().cloned();
    let referred = |from: &Map<String, Value>| {
        let wanted = string(from, "indicatorRef")?;
        let of = |d: &&&Map<String, Value>| {
            d.get("metadata").and_then(|m| m.get("name")).and_then(Value::as_str) == Some(&wanted)
        };
        indicators.iter().find(of)?.get("spec")?.as_object().cloned()
    };
    inline(objective).or_else(|| referred(objective)).or_else(|| inline(spec)).or_else(|| referred(spec))
}

fn sli(key: &str, indicator: &Map<String, Value>, objective: &Map<String, Value>, faults: &mut Faults) -> Option<Sli> {
    if let Some(ratio) = indicator.get("ratioMetric").and_then(Value::as_object) {
        return ratio_sli(key, ratio, faults);
    }
    if let Some(threshold) = indicator.get("thresholdMetric") {
        return threshold_sli(key, threshold, objective, faults);
    }
    faults.push(key, "the indicator has neither `ratioMetric` nor `thresholdMetric`");
    None
}

fn ratio_sli(key: &str, ratio: &Map<String, Value>, faults: &mut Faults) -> Option<Sli> {
    if ratio.contains_key("raw") {
        faults.push(key, "a `raw` ratio has no counts; give `total` with `good` or `bad`");
        return None;
    }
    let mut ask = |part: &str| {
        let query = query(ratio.get(part)?)?;
        let asked = windowed(&query);
        if asked.is_none() {
            faults.push(format!("{key}.{part}"), format!("`{}` has no range that could be a window", one_line(&query)));
        }
        Some(asked)
    };
    let (total, bad, good) = (ask("total"), ask("bad"), ask("good"));
    let Some(total) = total else {
        faults.push(format!("{key}.total"), "there is no Prometheus query");
        return None;
    };
    if bad.is_none() && good.is_none() {
        faults.push(key, "there is neither a `good` nor a `bad` Prometheus query");
        return None;
    }
    // one of both is enough, and what cannot be read is a fault already
    let (bad, good) = (bad.flatten(), good.flatten());
    let good = if bad.is_some() { None } else { good };
    if bad.is_none() && good.is_none() {
        return None;
    }
    Some(Sli::Events { total: total?, bad, good })
}

/// Each minute in which the metric is known is an event, and a good one where it is on the right side of the value.
fn threshold_sli(key: &str, threshold: &Value, objective: &Map<String, Value>, faults: &mut Faults) -> Option<Sli> {
    let op = match string(objective, "op").as_deref() {
        Some("lte") => "<=",
        Some("lt") => "<",
        Some("gte") => ">=",
        Some("gt") => ">",
        _ => {
            faults.push(format!("{key}.op"), "a threshold needs one of lte, lt, gte, gt");
            return None;
        }
    };
    let value = objective.get("value").and_then(Value::as_f64);
    let (Some(value), Some(query)) = (value, query(threshold)) else {
        faults.push(key, "a threshold needs a `value` and a Prometheus query");
        return None;
    };
    let query = one_line(&query);
    Some(Sli::Events {
        total: format!("count_over_time(({query})[{{{{.window}}}}:1m])"),
        bad: None,
        good: Some(format!("count_over_time((({query}) {op} {value})[{{{{.window}}}}:1m])")),
    })
}

/// The query of a metric source.
fn query(metric: &Value) -> Option<String> {
    metric.get("metricSource")?.get("spec")?.get("query")?.as_str().map(str::to_owned)
}
