//! What `up` waits for before it says that everything runs: models that load, and no longer than for those that will.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// A model that is slow to load must not hide the others.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at whether all are ready, and at which are not.
const PAUSE: Duration = Duration::from_millis(50);
const LOOK: Duration = Duration::from_millis(500);
/// Between two lines that say what is waited for.
const WORD: Duration = Duration::from_secs(5);

/// A line of the repository's index.
#[derive(Debug, Deserialize)]
struct Line {
    name: String,
    #[serde(default)]
    version: String,
    state: String,
    #[serde(default)]
    reason: String,
}

/// Waits until every model has a version that serves, or it is known why one has none, which is said. Where callers need keys
/// only the wait is left: a look without one would be counted as a failure to let somebody in.
pub async fn for_models(proxy: &str, keys: bool) {
    let http = reqwest::Client::new();
    let look = async || if keys { None } else { index(&http, proxy).await };
    let since = Instant::now();
    let (mut looked, mut told) = (since, since);
    loop {
        let ready = http.get(format!("{proxy}/health/ready")).send().await;
        if ready.is_ok_and(|answer| answer.status().is_success()) {
            // nothing is loading: there may be nothing at all
            return match look().await {
                Some(lines) if lines.is_empty() => tracing::warn!(
                    "no model is served: put one into proxy.models.models_dir as <name>/<version>/model.onnx, then load it: POST {proxy}/v2/repository/models/<name>/load"
                ),
                _ => {}
            };
        }
        if looked.elapsed() > LOOK {
            looked = Instant::now();
            let (refused, loading) = waiting(&look().await.unwrap_or_default());
            if (loading.is_empty() && !refused.is_empty()) || since.elapsed() > PATIENCE {
                refused.iter().for_each(|(model, why)| tracing::warn!(model, why, "a model does not serve"));
                let loading = loading.join(", ");
                tracing::warn!(
                    loading,
                    "some model does not serve yet; POST {proxy}/v2/repository/index says which, and why"
                );
                return;
            }
            if told.elapsed() > WORD {
                told = Instant::now();
                tracing::info!(models = loading.join(", "), "waits for models to load");
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The repository's index.
async fn index(http: &reqwest::Client, proxy: &str) -> Option<Vec<Line>> {
    let answer = http.post(format!("{proxy}/v2/repository/index")).body("{}").send().await.ok()?;
    serde_json::from_str(&answer.text().await.ok()?).ok()
}

/// Models without a version that serves: those that were refused, each with why, and those that load.
fn waiting(lines: &[Line]) -> (BTreeMap<String, String>, Vec<String>) {
    let mut models: BTreeMap<&str, Vec<&Line>> = BTreeMap::new();
    lines.iter().for_each(|line| models.entry(&line.name).or_default().push(line));
    let (mut refused, mut loading) = (BTreeMap::new(), Vec::new());
    for (model, lines) in models {
        let is = |state: &str| lines.iter().any(|line| line.state == state);
        if is("READY") {
            continue;
        }
        let failed: Vec<String> = lines
            .iter()
            .filter(|line| line.state == "FAILED")
            .map(|line| format!("{} {}", line.version, line.reason).trim().to_owned())
            .collect();
        match failed.len() == lines.len() {
            true => _ = refused.insert(model.to_owned(), failed.join("; ")),
            false => loading.push(model.to_owned()),
        }
    }
    (refused, loading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_waited_for_while_it_may_still_serve() {
        let line = |name: &str, version: &str, state: &str, reason: &str| Line {
            name: name.into(),
            version: version.into(),
            state: state.into(),
            reason: reason.into(),
        };
        let (refused, loading) = waiting(&[
            line("serves", "1", "READY", ""),
            line("serves", "2", "FAILED", "no"),
            line("loads", "1", "LOADING", ""),
            line("flat", "", "FAILED", "put its files into flat/1/"),
        ]);
        assert_eq!(loading, ["loads"]);
        assert_eq!(
            refused.into_iter().collect::<Vec<_>>(),
            [("flat".to_owned(), "put its files into flat/1/".to_owned())]
        );
    }
}
