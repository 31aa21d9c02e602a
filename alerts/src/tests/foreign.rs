//! Files of OpenSLO and Sloth as their own documentation has them, through to `promtool`.

use contract::slo::{Period, Sli};

use super::*;

/// From Sloth's README (examples/getting-started.yml).
const SLOTH: &str = r##"
version: "prometheus/v1"
service: "myservice"
labels:
  owner: "myteam"
  repo: "myorg/myservice"
  tier: "2"
slos:
  # We allow failing (5xx and 429) 1 request every 1000 requests (99.9%).
  - name: "requests-availability"
    objective: 99.9
    description: "Common SLO based on availability for HTTP request responses."
    sli:
      events:
        error_query: sum(rate(http_request_duration_seconds_count{job="myservice",code=~"(5..|429)"}[{{.window}}]))
        total_query: sum(rate(http_request_duration_seconds_count{job="myservice"}[{{.window}}]))
    alerting:
      name: MyServiceHighErrorRate
      labels:
        category: "availability"
      annotations:
        # Overwrite default Sloth SLO alert summmary on ticket and page alerts.
        summary: "High error rate on 'myservice' requests responses"
      page_alert:
        labels:
          severity: pageteam
          routing_key: myteam
      ticket_alert:
        labels:
          severity: "slack"
          slack_channel: "#alerts-myteam"
  - name: "raw-ratio"
    objective: 99
    sli:
      raw:
        error_ratio_query: sum(rate(bad_total[{{.window}}])) / sum(rate(all_total[{{.window}}]))
    alerting:
      page_alert:
        disable: true
"##;

/// After the specification's examples (OpenSLO, examples/v1): an inline and a named indicator, a rolling window.
const OPEN: &str = r#"
apiVersion: openslo/v1
kind: SLI
metadata:
  name: latency
spec:
  thresholdMetric:
    metricSource:
      metricSourceRef: prom
      type: Prometheus
      spec:
        query: histogram_quantile(0.95, sum by (le) (rate(latency_seconds_bucket[5m])))
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: web_availability
  displayName: SLO for web availability
  labels: { owner: web-team, env: [prod, eu] }
spec:
  description: 99 of a hundred pages
  service: web
  indicator:
    metadata: { name: web-availability }
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource: { type: Prometheus, spec: { query: 'sum(http_requests{k8s_cluster="prod",component="web",code=~"2xx|4xx"})' } }
        total:
          metricSource: { type: Prometheus, spec: { query: 'sum(http_requests{k8s_cluster="prod",component="web"})' } }
  timeWindow: [{ duration: 4w, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ displayName: Good, target: 0.98 }]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: web-latency }
spec:
  service: web
  indicatorRef: latency
  timeWindow: [{ duration: 28d, isRolling: true }]
  budgetingMethod: Timeslices
  objectives: [{ op: lte, value: 0.3, targetPercent: 99.5 }]
"#;

fn read(text: &str) -> SloFile {
    slo_file::parse(text).unwrap_or_else(|faults| panic!("{faults}"))
}

fn refuses(text: &str, words: &str) {
    let faults = slo_file::parse(text).expect_err("it is wrong").to_string();
    assert!(faults.contains(words), "no fault says {words:?}: {faults}");
}

#[test]
fn a_file_of_sloths_is_taken_as_it_is() {
    let file = read(SLOTH);
    assert_eq!((file.service.as_str(), file.owner.as_str(), file.period_days), ("myservice", "myteam", 30));
    assert_eq!(file.slos.len(), 2);
    let first = &file.slos[0];
    assert_eq!((first.name.as_str(), first.objective, first.pages()), ("requests-availability", 99.9, true));
    assert_eq!(first.labels["category"], "availability");
    assert_eq!(first.page_labels["given_severity"], "pageteam");
    assert_eq!(first.ticket_labels["slack_channel"], "#alerts-myteam");
    assert!(!file.slos[1].pages());
    promtool(&SloFile { slos: vec![first.clone()], ..file.clone() }, "slo-");
    let folder = write(&render(&file, &Options { compat_sloth: true, ..options() }));
    run(folder.path(), &["promtool", "check", "config", "prometheus/prometheus.yml"]);
}

#[test]
fn files_of_openslo_are_taken_as_they_are() {
    let file = read(OPEN);
    assert_eq!((file.service.as_str(), file.period, file.period_days), ("web", Period::Rolling, 28));
    let names: Vec<_> = file.slos.iter().map(|s| (s.name.as_str(), s.objective)).collect();
    assert_eq!(names, [("web-availability", 98.0), ("web-latency", 99.5)]);
    assert_eq!(file.slos[0].owner.as_deref(), Some("web-team"));
    assert_eq!(file.slos[0].labels["env"], "prod,eu");
    let Sli::Events { good, bad, .. } = &file.slos[0].sli else { panic!("{:?}", file.slos[0].sli) };
    let good = good.as_deref().unwrap();
    assert!(good.starts_with("sum(increase(http_requests{") && good.ends_with("[{{.window}}]))") && bad.is_none());
    promtool(&SloFile { slos: vec![file.slos[0].clone()], ..file.clone() }, "slo-");
    let folder = write(&render(&file, &options()));
    run(folder.path(), &["promtool", "check", "config", "prometheus/prometheus.yml"]);
    let calendar = read(
        &OPEN
            .replace("duration: 4w, isRolling: true", "duration: 1M, isRolling: false")
            .replace("duration: 28d, isRolling: true", "duration: 1M, isRolling: false"),
    );
    assert_eq!(calendar.period, Period::CalendarMonth);
}

#[test]
fn what_cannot_be_kept_is_said() {
    refuses(&SLOTH.replace("prometheus/v1\"", "prometheus/v1\"\nsurprise: 1"), "unknown field `surprise`");
    refuses(
        &SLOTH.replace("raw:\n        error_ratio_query:", "plugin:\n        id:"),
        "slos[1].sli.plugin: a plug-in of Sloth's is code",
    );
    refuses(&OPEN.replace("openslo/v1\nkind: SLI", "openslo/v2\nkind: SLI"), "`openslo/v2` is not read");
    refuses(&OPEN.replace("4w", "12w"), "its time window is not that of the first SLO");
    refuses(&OPEN.replace("4w", "1Q").replace("28d", "1Q"), "`1Q` is no period of ours");
    refuses(&OPEN.replace("indicatorRef: latency", "indicatorRef: nowhere"), "no SLI in this file");
    refuses(&OPEN.replace("op: lte, ", ""), "one of lte, lt, gte, gt");
}

/// What Sloth's public dashboards read, with the labels that they match (its README and `grafana.com/dashboards/14348`).
#[test]
fn series_are_named_as_sloths_dashboards_want_them() {
    let files = render(&file(""), &Options { compat_sloth: true, ..options() });
    let rules = files.iter().find(|f| f.path == "prometheus/rules/slo-router-availability-budget.yml").unwrap();
    for name in [
        "slo:sli_error:ratio_rate5m",
        "slo:sli_error:ratio_rate30d",
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
        "sloth_slo_info",
    ] {
        assert!(
            rules.contents.contains(&format!("record: {name}\n"))
                || rules.contents.contains(&format!("record: \"{name}\"\n")),
            "no {name}"
        );
    }
    let test = r#"
rule_files: [../rules/slo-router-availability.yml, ../rules/slo-router-availability-budget.yml]
evaluation_interval: 5m
tests:
  - interval: 150s
    input_series:
      - { series: 'driftline_proxy_sli_events_total{slo="router-availability", model="support-router"}', values: '0+1000x80' }
      - { series: 'driftline_proxy_sli_bad_events_total{slo="router-availability", model="support-router"}', values: '0+2x80' }
    promql_expr_test:
      - { expr: 'round(slo:current_burn_rate:ratio * 1e9)', eval_time: 3h, exp_samples: [{ labels: '{sloth_id="demo-router-availability", sloth_service="demo", sloth_slo="router-availability", sloth_window="5m"}', value: 2e9 }] }
      - { expr: 'round(slo:period_error_budget_remaining:ratio * 1e9)', eval_time: 3h, exp_samples: [{ labels: '{sloth_id="demo-router-availability", sloth_service="demo", sloth_slo="router-availability", sloth_window="30d"}', value: -1e9 }] }
"#;
    let folder = write(&files);
    std::fs::write(folder.path().join("prometheus/tests/sloth.yml"), test).unwrap();
    run(folder.path(), &["promtool", "test", "rules", "prometheus/tests/sloth.yml"]);
}

#[test]
fn a_calendar_month_is_whole_again_on_the_first() {
    let mut file = file("period: calendar_month\n");
    file.slos.truncate(1);
    promtool(&file, "slo-");
}
