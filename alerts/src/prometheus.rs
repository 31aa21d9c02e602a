//! Prometheus' own configuration: what it scrapes, which rules it runs, whom it tells.

use contract::slo::SloFile;
use serde::Serialize;

use crate::promql::Scale;
use crate::rules::EVALUATION_SECONDS;
use crate::{Options, yaml};

/// Job of the proxies.
pub const PROXY_JOB: &str = "driftline-proxy";
/// Job of the collectors.
pub const COLLECTOR_JOB: &str = "driftline-collector";
/// Job of the analyzers.
pub const ANALYZER_JOB: &str = "driftline-analyzer";

/// Seconds between scrapes, before scaling: a 5 m window then holds twenty samples.
const SCRAPE_SECONDS: u64 = 15;

#[derive(Serialize)]
struct Config {
    global: Global,
    rule_files: [&'static str; 1],
    alerting: Alerting,
    scrape_configs: Vec<Scrape>,
}

#[derive(Serialize)]
struct Global {
    scrape_interval: String,
    scrape_timeout: String,
    evaluation_interval: String,
}

#[derive(Serialize)]
struct Alerting {
    alertmanagers: Vec<Targets>,
}

#[derive(Serialize)]
struct Targets {
    static_configs: [Static; 1],
}

#[derive(Serialize)]
struct Static {
    targets: Vec<String>,
}

#[derive(Serialize)]
struct Scrape {
    job_name: &'static str,
    static_configs: [Static; 1],
}

/// `prometheus.yml`; rule files are relative to it.
pub fn config(file: &SloFile, options: &Options) -> String {
    let scale = Scale::of(file);
    let scrape = scale.interval(SCRAPE_SECONDS);
    let jobs = [(PROXY_JOB, &options.proxy), (COLLECTOR_JOB, &options.collector), (ANALYZER_JOB, &options.analyzer)];
    let config = Config {
        global: Global {
            scrape_interval: scrape.to_string(),
            scrape_timeout: scale.interval(10).min(scrape).to_string(),
            evaluation_interval: scale.interval(EVALUATION_SECONDS).to_string(),
        },
        rule_files: ["rules/*.yml"],
        alerting: Alerting {
            alertmanagers: vec![Targets { static_configs: [Static { targets: options.alertmanager.clone() }] }],
        },
        scrape_configs: jobs
            .into_iter()
            .filter(|(_, targets)| !targets.is_empty())
            .map(|(job_name, targets)| Scrape { job_name, static_configs: [Static { targets: targets.clone() }] })
            .collect(),
    };
    let retention = scale.window(u64::from(file.period_days + 1) * 86_400);
    let comment = format!(
        "Scrapes Driftline and runs its rules. Rendered by `driftline render`.\n\
         The error budget's period needs data that old: --storage.tsdb.retention.time={retention}"
    );
    yaml(&comment, &config)
}
