//! Parts of the traffic of one model: what was judged of them in the last window.

use axum::{
    Json,
    extract::{Path, Query, State, rejection::QueryRejection},
};
use contract::api::Segments;
use serde::Deserialize;

use super::{Api, Refusal, bad_query, missing, snapshot};

/// Verdicts in one answer unless asked for another number.
pub(super) const VERDICTS: usize = 100;
/// Verdicts in one answer, at most.
const VERDICTS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    feature: String,
    limit: usize,
}

impl Default for Asked {
    fn default() -> Self {
        Self { feature: String::new(), limit: VERDICTS }
    }
}

pub(super) async fn segments(
    State(api): State<Api>,
    Path(model): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<Segments>, Refusal> {
    let Query(asked) = asked.map_err(|error| bad_query(&error))?;
    let snapshot = snapshot(&api)?;
    let Some(found) = snapshot.segments.get(&model) else {
        let what = format!("no segments of {model} are named; name some in [analyzer.models.{model}] segments");
        return Err(missing(&what));
    };
    let mut shown = found.clone();
    shown.verdicts.retain(|verdict| asked.feature.is_empty() || verdict.feature == asked.feature);
    shown.verdicts.truncate(asked.limit.min(VERDICTS_MAX));
    Ok(Json(shown))
}
