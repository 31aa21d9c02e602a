//! Tells Alertmanager of rollouts, beside the analyzer: the events table says what changed, `alerts` what that silences.

use std::collections::BTreeMap;
use std::time::Duration;

use alerts::rollout::{CHANGES, Change, Silencer};
use contract::wire::EventKind;
use store::read::{EventRow, Reader};
use tokio_util::sync::CancellationToken;

/// Seconds between two looks at the events.
const EVERY: Duration = Duration::from_secs(10);
/// Newest changes looked at of a model; a rollout is a handful, and the one before it tells a change from a start.
const EACH: u64 = 100;

/// Looks, opens, renews and deletes until `shutdown`, then deletes what is open.
pub async fn keep(mut silencer: Silencer, reader: Reader, shutdown: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // while the database is away nothing new is known, and what is open is still to be renewed
    let (mut known, mut away) = (Vec::new(), false);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = ticks.tick() => {}
        }
        match reader.events_of_kinds(&CHANGES.map(EventKind::as_str), EACH).await {
            Ok(events) => (known, away) = (changes(events), false),
            Err(why) if !away => {
                away = true;
                tracing::warn!(%why, "new rollouts are not silenced: what happened to models cannot be read; it is tried again");
            }
            Err(_) => {}
        }
        let step = silencer.step(&known, host::clock::now_ms()).await;
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

/// Changes among events, which come newest first. A process that starts says of each model which version answers: where that
/// is the one that answered before, or the first that ever did, nothing changes, and a restart silences nobody.
fn changes(events: Vec<EventRow>) -> Vec<Change> {
    let mut answering: BTreeMap<String, String> = BTreeMap::new();
    let mut changes = Vec::new();
    for event in events.into_iter().rev() {
        let is = |kind: EventKind| event.kind == kind.as_str();
        let moves = is(EventKind::Switch) || is(EventKind::Rollback);
        let before = if moves { answering.insert(event.model.clone(), event.version.clone()) } else { None };
        let starts = is(EventKind::Switch) && before.is_none_or(|version| version == event.version);
        if CHANGES.into_iter().any(is) && !starts {
            changes.push(Change { model: event.model, version: event.version, at_ms: event.at });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: i64, kind: EventKind, version: &str) -> EventRow {
        EventRow { at, kind: kind.as_str().into(), model: "m".into(), version: version.into(), text: String::new() }
    }

    #[test]
    fn a_restart_is_no_change_and_a_promotion_is_one() {
        let told = vec![
            event(6, EventKind::Switch, "2"),
            event(5, EventKind::Rollback, "1"),
            event(4, EventKind::Canary, "2"),
            event(3, EventKind::Switch, "2"),
            event(2, EventKind::Switch, "1"),
            event(1, EventKind::Switch, "1"),
        ];
        let found: Vec<(i64, String)> = changes(told).into_iter().map(|c| (c.at_ms, c.version)).collect();
        let of = |at, version: &str| (at, version.to_owned());
        assert_eq!(found, [of(3, "2"), of(4, "2"), of(5, "1"), of(6, "2")]);
    }
}
