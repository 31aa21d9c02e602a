//! `driftline explain`: a stored verdict computed again from what is stored, each number beside the stored one.

use std::io::Write as _;
use std::process::ExitCode;

use analyzer::cycle::explain::{ExplainError, explain};
use contract::api::FeatureVerdict;
use contract::api::explain::{Explanation, Figure, verdict_id};
use serde_json::Value;

use crate::cli::ExplainArgs;
use crate::config::Loaded;
use crate::exit::{FOUND, HELD, Usage};
use crate::times;

/// Verdicts listed.
const LISTED: u64 = 40;

/// Explains one, or lists the newest; exit code 1 where a number comes out otherwise than it is stored, 3 where nothing can
/// be computed again.
///
/// # Errors
/// What the database says, or that there is no such verdict.
pub async fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let reader = Loaded::read(&args.shared.config)?.store()?.read();
    let Some(id) = &args.verdict else {
        let rows =
            reader.verdicts(args.model.as_deref().unwrap_or_default(), "", host::clock::now_ms(), LISTED).await?;
        return list(&rows, args.shared.json);
    };
    let found = explain(&reader, id).await.map_err(|error| match error {
        ExplainError::NoId(_) | ExplainError::Unknown(_) => Usage(error.to_string()).into(),
        error => anyhow::Error::from(error),
    })?;
    let mut out = std::io::stdout().lock();
    if args.shared.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        out.write_all(text(&found).as_bytes())?;
    }
    Ok(if !compared(&found) {
        ExitCode::from(HELD)
    } else if found.equal {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FOUND)
    })
}

/// Whether anything could be computed again.
fn compared(found: &Explanation) -> bool {
    found.figures.iter().any(|figure| figure.equal.is_some())
}

fn list(rows: &[String], json: bool) -> anyhow::Result<ExitCode> {
    let mut verdicts: Vec<FeatureVerdict> =
        rows.iter().filter_map(|evidence| serde_json::from_str(evidence).ok()).collect();
    for verdict in verdicts.iter_mut().filter(|verdict| verdict.id.is_empty()) {
        verdict.id = verdict_id(verdict.window_end_ms, &verdict.model, &verdict.feature);
    }
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&verdicts)?)?;
    } else {
        for verdict in &verdicts {
            writeln!(out, "{:12} {}", verdict.state.as_str(), verdict.id)?;
        }
        writeln!(out, "{} newest verdicts; `driftline explain ID` computes one again", verdicts.len())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn text(found: &Explanation) -> String {
    let mut text = format!(
        "{} of {}, windows {} to {}: {}\n\n  {:18} {:>24} {:>24}\n",
        found.feature,
        found.model,
        times::shown(found.window_start_ms),
        times::shown(found.window_end_ms),
        found.state.as_str(),
        "",
        "stored",
        "computed now"
    );
    // the long texts after the numbers
    let is_long = |figure: &&Figure| written(&figure.stored).chars().count() > 24;
    for figure in found.figures.iter().filter(|figure| !is_long(figure)) {
        let computed = figure.computed.as_ref().map_or("gone".to_owned(), written);
        text.push_str(&format!(
            "{} {:18} {:>24} {:>24}\n",
            mark(figure),
            figure.name,
            written(&figure.stored),
            computed
        ));
    }
    for figure in found.figures.iter().filter(is_long) {
        text.push_str(&format!("{} {}: {}\n", mark(figure), figure.name, written(&figure.stored)));
        if figure.equal != Some(true) {
            let computed = figure.computed.as_ref().map_or("gone".to_owned(), written);
            text.push_str(&format!("  {} now: {computed}\n", figure.name));
        }
    }
    for gone in &found.gone {
        text.push_str(&format!("\ncannot be computed again: {gone}\n"));
    }
    let equal = found.figures.iter().filter(|figure| figure.equal == Some(true)).count();
    let differ = found.figures.iter().filter(|figure| figure.equal == Some(false)).count();
    let outcome = match differ {
        0 if !compared(found) => "what they were computed from has left by its age".to_owned(),
        0 => "equal to the bit".to_owned(),
        differ => format!("{differ} DIFFER (marked !)"),
    };
    text.push_str(&format!("\n{equal} of {} figures computed again: {outcome}\n", found.figures.len()));
    text
}

fn mark(figure: &Figure) -> &'static str {
    match figure.equal {
        Some(true) => " ",
        Some(false) => "!",
        None => "?",
    }
}

fn written(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".to_owned(),
        value => value.to_string(),
    }
}
