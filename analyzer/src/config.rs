//! The `[analyzer]` section of the configuration: as typed ([`RawConfig`], with all defaults) and as meant ([`Config`]).

mod hours;
mod labels;
mod rollout;
mod segments;
mod shadow;

use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

use host::config::Faults;
use host::gate::{EdgeConfig, RawEdge};
use serde::Deserialize;

use crate::api::limits::{PageConfig, RawPage};
use crate::judge::{agreement::ShadowPolicy, gate::Policy, sequential};

pub use hours::Hours;
pub use labels::LabelsConfig;
pub use rollout::{RawRollout, RolloutConfig};
pub use segments::{RawSegments, SegmentsConfig};
pub use shadow::RawShadow;

/// The section as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// Address of the API, the page and `/metrics`.
    #[serde(deserialize_with = "host::config::listen")]
    pub listen: SocketAddr,
    /// Connections, keys, TLS, rates.
    pub edge: RawEdge,
    /// How much the page may ask at once.
    pub page: RawPage,
    /// How often the analyzer looks for closed windows and refreshes its figures.
    #[serde(with = "humantime_serde")]
    pub refresh: Duration,
    /// Length of a window of event time.
    #[serde(with = "humantime_serde")]
    pub window: Duration,
    /// How much later than its source's clock an observation may still arrive.
    #[serde(with = "humantime_serde")]
    pub lateness: Duration,
    /// A source that was silent for this long no longer holds the watermark back.
    #[serde(with = "humantime_serde")]
    pub source_silence: Duration,
    /// At low traffic, newest windows are judged together until they hold `min_window_n` values, but at most this many.
    pub judge_windows: u32,
    /// After an absence, at most this many windows are caught up with.
    pub max_backlog_windows: u32,
    /// Models that are judged.
    pub max_models: u32,
    /// Features a model that are judged, outputs first.
    pub max_features: u32,
    /// Delta: the shift of a distribution function to ignore.
    pub delta_ignore: f64,
    /// False alarms that one model may raise in thirty days, on average, however often one looks.
    pub false_alarms_a_month: f64,
    /// delta: chance that a reference misleads for its whole life, over all features of a model.
    pub delta: f64,
    /// Level of the classical tests behind `watch`.
    pub alpha: f64,
    /// Values needed for a verdict.
    pub min_window_n: u64,
    /// A reference that cannot show a shift of this size is refused.
    pub min_detectable: f64,
    /// Windows without an alarm before a drift counts as over.
    pub resolve_windows: u32,
    /// Quantile bins of a reference.
    pub bins: u32,
    /// Rows of a reference, at most.
    pub baseline_rows: u64,
    /// Good observations that make a provisional reference where there is none, up to ten times as many where its features need
    /// more to show `min_detectable`; 0 makes none.
    pub provisional_after: u64,
    /// Whether a window is judged against the same hour of its reference: `off`, `day` or `week`.
    pub matched_hours: Hours,
    /// Confidence below which an answer counts as low.
    pub low_confidence: f64,
    /// What a shadow has to prove.
    pub shadow: RawShadow,
    /// Who is told of its verdict.
    pub rollout: RawRollout,
    /// Parts of the traffic judged apart: how many.
    pub segments: RawSegments,
    /// Labelled answers of a version that are its reference of errors, the first to arrive.
    pub label_reference: u64,
    /// So many will do where the first of them arrived `label_reference_time` ago.
    pub min_label_reference: u64,
    /// How long labels are waited for: less than answers are kept (`store.retention.categories`, 30 days).
    #[serde(with = "humantime_serde")]
    pub label_reference_time: Duration,
    /// Reference files by model.
    pub baselines: BTreeMap<String, RawBaseline>,
    /// Overrides by model.
    pub models: BTreeMap<String, RawOverrides>,
}

/// A reference from a file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawBaseline {
    /// CSV with a header line, or JSON lines (`.jsonl`, `.ndjson`); columns are named like features.
    pub file: PathBuf,
    /// CSV columns that are categories though they read as numbers; `output.label` always is.
    #[serde(default)]
    pub categories: Vec<String>,
}

/// Overrides of one model; absent keys keep the section's value.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawOverrides {
    /// See [`RawConfig::delta_ignore`].
    pub delta_ignore: Option<f64>,
    /// See [`RawConfig::false_alarms_a_month`].
    pub false_alarms_a_month: Option<f64>,
    /// See [`RawConfig::delta`].
    pub delta: Option<f64>,
    /// See [`RawConfig::alpha`].
    pub alpha: Option<f64>,
    /// See [`RawConfig::min_window_n`].
    pub min_window_n: Option<u64>,
    /// See [`RawConfig::min_detectable`].
    pub min_detectable: Option<f64>,
    /// See [`RawConfig::provisional_after`].
    pub provisional_after: Option<u64>,
    /// See [`RawConfig::matched_hours`].
    pub matched_hours: Option<Hours>,
    /// See [`RawConfig::low_confidence`].
    pub low_confidence: Option<f64>,
    /// See [`RawShadow::agreement_min`].
    pub agreement_min: Option<f64>,
    /// See [`RawShadow::max_failures`].
    pub max_failures: Option<f64>,
    /// See [`RawShadow::min_pairs`].
    pub min_pairs: Option<u64>,
    /// Parts of the traffic judged apart: `client`, `text.length_bucket` or categorical features.
    pub segments: Vec<String>,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8070)),
            edge: RawEdge::default(),
            page: RawPage::default(),
            refresh: Duration::from_secs(2),
            window: Duration::from_secs(300),
            lateness: Duration::from_secs(10),
            source_silence: Duration::from_secs(30),
            judge_windows: 12,
            max_backlog_windows: 288,
            max_models: 64,
            max_features: 256,
            delta_ignore: 0.05,
            false_alarms_a_month: 1.0,
            delta: 0.01,
            alpha: 0.01,
            min_window_n: 200,
            min_detectable: 0.2,
            resolve_windows: 3,
            bins: 1_024,
            baseline_rows: 100_000,
            provisional_after: 1_000,
            matched_hours: Hours::Off,
            low_confidence: 0.5,
            shadow: RawShadow::default(),
            rollout: RawRollout::default(),
            segments: RawSegments::default(),
            label_reference: 1_000,
            min_label_reference: 100,
            label_reference_time: Duration::from_secs(14 * 86_400),
            baselines: BTreeMap::new(),
            models: BTreeMap::new(),
        }
    }
}

/// The section, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address of the API, the page and `/metrics`.
    pub listen: SocketAddr,
    /// Connections, keys, TLS, rates.
    pub edge: EdgeConfig,
    /// How much the page may ask at once.
    pub page: PageConfig,
    /// Time between cycles.
    pub refresh: Duration,
    /// How windows are made.
    pub windows: Windows,
    /// Models judged.
    pub models_max: u64,
    /// How references are frozen.
    pub freezing: Freezing,
    /// What holds for a model without overrides.
    pub common: ModelConfig,
    /// What holds for the others.
    pub by_model: BTreeMap<String, ModelConfig>,
    /// Who is told of shadows' verdicts.
    pub rollout: RolloutConfig,
    /// Parts of the traffic judged apart.
    pub segments: SegmentsConfig,
    /// The reference of errors.
    pub labels: LabelsConfig,
    /// Reference files by model.
    pub files: BTreeMap<String, RawBaseline>,
}

/// How windows are made and closed; milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Length.
    pub length_ms: i64,
    /// Allowed lateness.
    pub lateness_ms: i64,
    /// Silence after which a source is left out.
    pub silence_ms: i64,
    /// Windows that may be judged together.
    pub span: i64,
    /// Windows caught up with.
    pub backlog: i64,
}

/// How references are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freezing {
    /// Quantile bins.
    pub bins: usize,
    /// Rows, at most.
    pub rows_max: u64,
    /// Features a model, at most.
    pub features_max: usize,
}

/// What holds for one model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ModelConfig {
    /// Drift.
    pub policy: Policy,
    /// Shadows.
    pub shadow: ShadowPolicy,
    /// Observations that make a provisional reference; 0 makes none.
    pub provisional_after: u64,
    /// Whether a window is judged against the same hour of its reference.
    pub hours: Hours,
    /// Confidence below which an answer counts as low.
    pub low_confidence: f64,
}

impl Config {
    /// What holds for a model.
    #[must_use]
    pub fn of(&self, model: &str) -> &ModelConfig {
        self.by_model.get(model).unwrap_or(&self.common)
    }
}

impl TryFrom<RawConfig> for Config {
    type Error = Faults;

    fn try_from(raw: RawConfig) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let windows = windows(&raw, &mut faults);
        let edge = raw.edge.check("analyzer.edge", raw.listen, &mut faults);
        let page = raw.page.check("analyzer.page", &mut faults);
        for (key, value, most) in [
            ("judge_windows", u64::from(raw.judge_windows), 10_000),
            ("max_backlog_windows", u64::from(raw.max_backlog_windows), 100_000),
            ("max_models", u64::from(raw.max_models), 10_000),
            ("max_features", u64::from(raw.max_features), 10_000),
            ("resolve_windows", u64::from(raw.resolve_windows), 10_000),
            ("bins", u64::from(raw.bins), 65_536),
            ("baseline_rows", raw.baseline_rows, 10_000_000),
            ("label_reference", raw.label_reference, 1_000_000),
        ] {
            let within = (1..=most).contains(&value);
            faults.check(within, format!("analyzer.{key}"), format!("is {value}; write a number from 1 to {most}"));
        }
        let common = model_config(&raw, &RawOverrides::default(), "analyzer", &mut faults);
        let by_model = raw
            .models
            .iter()
            .map(|(name, own)| (name.clone(), model_config(&raw, own, &format!("analyzer.models.{name}"), &mut faults)))
            .collect();
        let named = raw.models.iter().map(|(name, own)| (name, &own.segments));
        let segments = raw.segments.check(named, &mut faults);
        let labels = labels::check(&raw, &mut faults);
        let rollout = raw.rollout.check(&mut faults);
        for (model, baseline) in &raw.baselines {
            let key = format!("analyzer.baselines.{model}.file");
            let sentence = format!("{} is not a file that can be read", baseline.file.display());
            faults.check(baseline.file.is_file(), &key, sentence);
        }
        faults.result(Self {
            listen: raw.listen,
            edge,
            page,
            refresh: raw.refresh,
            windows,
            models_max: u64::from(raw.max_models),
            freezing: Freezing {
                bins: raw.bins as usize,
                rows_max: raw.baseline_rows,
                features_max: raw.max_features as usize,
            },
            common,
            by_model,
            rollout,
            segments,
            labels,
            files: raw.baselines,
        })
    }
}

fn windows(raw: &RawConfig, faults: &mut Faults) -> Windows {
    let day = Duration::from_secs(86_400);
    for (key, value, least) in [
        ("refresh", raw.refresh, Duration::from_millis(50)),
        ("window", raw.window, Duration::from_millis(100)),
        ("lateness", raw.lateness, Duration::ZERO),
        ("source_silence", raw.source_silence, Duration::from_secs(1)),
    ] {
        let within = value >= least && value <= day;
        faults.check(within, format!("analyzer.{key}"), format!("is {value:?}; write a time from {least:?} to a day"));
    }
    let millis = |value: Duration| i64::try_from(value.as_millis()).unwrap_or(i64::MAX);
    Windows {
        length_ms: millis(raw.window).max(1),
        lateness_ms: millis(raw.lateness),
        silence_ms: millis(raw.source_silence),
        span: i64::from(raw.judge_windows),
        backlog: i64::from(raw.max_backlog_windows),
    }
}

fn model_config(raw: &RawConfig, own: &RawOverrides, key: &str, faults: &mut Faults) -> ModelConfig {
    let (delta, rate) = (own.delta.unwrap_or(raw.delta), own.false_alarms_a_month.unwrap_or(raw.false_alarms_a_month));
    let sentence = format!("is {rate}; write a number above 0, such as 1");
    faults.check(rate > 0.0 && rate.is_finite(), format!("{key}.false_alarms_a_month"), sentence);
    let policy = Policy {
        delta_ignore: own.delta_ignore.unwrap_or(raw.delta_ignore),
        delta,
        alpha: own.alpha.unwrap_or(raw.alpha),
        n_min: own.min_window_n.unwrap_or(raw.min_window_n),
        detectable_min: own.min_detectable.unwrap_or(raw.min_detectable),
        resolve_windows: raw.resolve_windows,
        false_alarm_windows: sequential::windows_to_false_alarm(raw.window.as_secs_f64(), rate, delta),
    };
    let shadow = shadow::policy(&raw.shadow, own, key, faults);
    let low_confidence = own.low_confidence.unwrap_or(raw.low_confidence);
    for (name, value) in [("delta", policy.delta), ("alpha", policy.alpha)] {
        let sentence = format!("is {value}; write a number between 0 and 1, ends excluded");
        faults.check(value > 0.0 && value < 1.0, format!("{key}.{name}"), sentence);
    }
    let sentence = format!("is {}; write a number from 0 to below 1", policy.delta_ignore);
    faults.check((0.0..1.0).contains(&policy.delta_ignore), format!("{key}.delta_ignore"), sentence);
    let sentence =
        format!("is {}; it must be above delta_ignore ({}) and at most 1", policy.detectable_min, policy.delta_ignore);
    let above = policy.detectable_min > policy.delta_ignore && policy.detectable_min <= 1.0;
    faults.check(above, format!("{key}.min_detectable"), sentence);
    faults.check(policy.n_min >= 1, format!("{key}.min_window_n"), "is 0; a verdict needs at least one value");
    let sentence = format!("is {low_confidence}; write a number from 0 to 1");
    faults.check((0.0..=1.0).contains(&low_confidence), format!("{key}.low_confidence"), sentence);
    let hours = own.matched_hours.unwrap_or(raw.matched_hours);
    hours::check(hours, raw.window, key, faults);
    ModelConfig {
        policy,
        shadow,
        hours,
        provisional_after: own.provisional_after.unwrap_or(raw.provisional_after),
        low_confidence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_hold() {
        assert!(Config::try_from(RawConfig::default()).is_ok());
    }

    #[test]
    fn every_fault_is_listed() {
        let mut raw = RawConfig { delta: 0.0, bins: 0, window: Duration::ZERO, ..RawConfig::default() };
        raw.models.insert("m".into(), RawOverrides { min_detectable: Some(0.01), ..RawOverrides::default() });
        raw.baselines.insert("m".into(), RawBaseline { file: "absent.csv".into(), categories: vec![] });
        let faults = Config::try_from(raw).unwrap_err().to_string();
        for key in [
            "analyzer.delta:",
            "analyzer.bins:",
            "analyzer.window:",
            "analyzer.models.m.min_detectable:",
            "analyzer.baselines.m.file:",
        ] {
            assert!(faults.contains(key), "{key} is not in\n{faults}");
        }
    }

    #[test]
    fn a_model_overrides_what_it_names() {
        let mut raw = RawConfig::default();
        raw.models.insert("digits".into(), RawOverrides { delta_ignore: Some(0.1), ..RawOverrides::default() });
        let config = Config::try_from(raw).unwrap();
        assert_eq!(config.of("digits").policy, Policy { delta_ignore: 0.1, ..config.common.policy });
        assert_eq!(config.of("other"), &config.common);
    }
}
