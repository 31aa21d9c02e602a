//! Who hears of what, asked of the real `amtool`.

use contract::slo::{Maintenance, TimeRange};

use super::*;

fn asks(folder: &Path, labels: &[&str], receivers: &str) {
    let verify = format!("--verify.receivers={receivers}");
    let mut command =
        vec!["amtool", "config", "routes", "test", "--config.file=alertmanager/alertmanager.yml", &verify];
    command.extend(labels);
    run(folder, &command);
}

#[test]
fn each_alert_reaches_the_receivers_of_its_severity_and_domain() {
    let folder = write(&render(&file(""), &options()));
    run(folder.path(), &["amtool", "check-config", "alertmanager/alertmanager.yml"]);
    let mut asked = BTreeSet::new();
    for alert in alerts(&file("")) {
        let (severity, domain) = (alert.severity.as_str(), alert.domain.as_str());
        let receivers = match (alert.severity, alert.domain) {
            (Severity::Page, Domain::Model) => "page-model,page".to_owned(),
            (_, Domain::Model) => format!("{severity}-model"),
            (_, Domain::Platform) => severity.to_owned(),
        };
        if asked.insert((alert.name, severity, domain)) {
            let labels = [
                format!("alertname={}", alert.name),
                format!("severity={severity}"),
                format!("domain={domain}"),
                "model=m".into(),
            ];
            asks(folder.path(), &labels.each_ref().map(String::as_str), &receivers);
        }
    }
    asks(folder.path(), &["alertname=SomebodyElses"], "ticket");
}

#[test]
fn without_a_receiver_of_their_own_owners_hear_by_everybodys() {
    let options = Options { webhooks: Webhooks { model: None, ..options().webhooks }, ..options() };
    let folder = write(&render(&file(""), &options));
    run(folder.path(), &["amtool", "check-config", "alertmanager/alertmanager.yml"]);
    for severity in Severity::ALL {
        let label = format!("severity={}", severity.as_str());
        asks(folder.path(), &["alertname=Any", &label, "domain=model"], severity.as_str());
    }
}

#[test]
fn maintenance_mutes_tickets_and_pages_only_where_it_says_so() {
    let at = |name: &str, pages| Maintenance {
        name: name.into(),
        weekdays: vec!["sunday".into(), "monday:tuesday".into()],
        times: vec![TimeRange { start_time: "02:00".into(), end_time: "24:00".into() }],
        days_of_month: vec!["1:7".into()],
        location: Some("Europe/Berlin".into()),
        pages,
    };
    let file = SloFile { maintenance: vec![at("patching", false), at("moving", true)], ..file("") };
    let files = render(&file, &options());
    let folder = write(&files);
    run(folder.path(), &["amtool", "check-config", "alertmanager/alertmanager.yml"]);
    let config = files.iter().find(|f| f.path.ends_with("alertmanager.yml")).unwrap();
    let tree: serde_json::Value = serde_saphyr::from_str(&config.contents).unwrap();
    for route in tree["route"]["routes"].as_array().unwrap() {
        let muted: Vec<&str> =
            route["mute_time_intervals"].as_array().unwrap().iter().map(|m| m.as_str().unwrap()).collect();
        let pages = route["receiver"].as_str().unwrap().starts_with("page");
        assert_eq!(muted, if pages { vec!["moving"] } else { vec!["patching", "moving"] }, "{route}");
    }
    assert_eq!(tree["route"]["group_by"], serde_json::json!(["model", "alertname", "reason"]));
}

/// A cause silences what follows from it: every rule names alerts that there are.
#[test]
fn inhibitions_name_alerts_that_there_are() {
    let config = render(&file(""), &options()).into_iter().find(|f| f.path.ends_with("alertmanager.yml")).unwrap();
    let tree: serde_json::Value = serde_saphyr::from_str(&config.contents).unwrap();
    let named: BTreeSet<_> = alerts(&file("")).iter().map(|a| a.name).collect();
    let rules = tree["inhibit_rules"].as_array().unwrap();
    let matchers = rules.iter().flat_map(|r| ["source_matchers", "target_matchers"].map(|k| r[k].as_array().unwrap()));
    for matcher in matchers.flatten().map(|m| m.as_str().unwrap()).filter(|m| m.starts_with("alertname")) {
        for name in matcher.split('"').nth(1).unwrap().split('|') {
            assert!(named.contains(name), "no alert is called {name}");
        }
    }
    assert!(rules.len() >= 8, "{rules:?}");
    let of = |rule: &serde_json::Value, key: &str| rule[key].to_string();
    let schema = rules.iter().find(|rule| of(rule, "source_matchers").contains("DriftlineSchemaViolations")).unwrap();
    assert!(of(schema, "target_matchers").contains("severity!="), "a ticket silences no page: {schema}");
}
