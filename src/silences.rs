//! Tells Alertmanager of rollouts, beside the analyzer: the events table says what changed, `alerts` what that silences.

use std::time::Duration;

use alerts::rollout::{CHANGES, Change, Silencer};
use store::read::Reader;
use tokio_util::sync::CancellationToken;

/// Seconds between two looks at the events.
const EVERY: Duration = Duration::from_secs(10);
/// Newest events looked at; a rollout is a handful.
const EVENTS: u64 = 200;

/// Looks, opens, renews and deletes until `shutdown`, then deletes what is open.
pub async fn keep(mut silencer: Silencer, reader: Reader, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = ticks.tick() => {}
        }
        // While the database is away nothing new is known, and what is open is still to be renewed.
        let events = reader.events(EVENTS).await.unwrap_or_default();
        let is_change = |kind: &str| CHANGES.iter().any(|change| change.as_str() == kind);
        let changes: Vec<Change> = events
            .into_iter()
            .filter(|event| is_change(&event.kind))
            .map(|event| Change { model: event.model, version: event.version, at_ms: event.at })
            .collect();
        let step = silencer.step(&changes, host::clock::now_ms()).await;
        if step.failed > 0 {
            tracing::warn!(
                failed = step.failed,
                "Alertmanager did not take silences of rollouts; they are tried again"
            );
        }
        if step.held + step.ended > 0 {
            tracing::info!(held = step.held, ended = step.ended, "silences of rollouts");
        }
    }
    silencer.end().await;
}
