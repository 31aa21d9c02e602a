//! What is worth a mark on the time line.

use contract::api::{Concept, DriftState};
use store::read::EventRow;

use super::{parts, verdicts::Judged};

/// Features named in an event.
const NAMED_MAX: usize = 8;

/// An event, as a row.
#[must_use]
pub fn event(at_ms: i64, kind: &str, model: &str, version: &str, text: String) -> EventRow {
    EventRow { at: at_ms, kind: kind.to_owned(), model: model.to_owned(), version: version.to_owned(), text }
}

/// Which version answered before a window and in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions<'a> {
    pub(super) before: &'a str,
    pub(super) now: &'a str,
}

/// Features that started or ceased to drift in the window that ended at a time, and a change of version.
///
/// Parts of the traffic are named only where the whole feature does not say it already.
pub(super) fn of(
    at_ms: i64,
    model: &str,
    versions: Versions<'_>,
    judged: &[Judged],
    segments: &[parts::Judged],
) -> Vec<EventRow> {
    let mut events = Vec::new();
    let mut note = |kind: &str, text| events.push(event(at_ms, kind, model, versions.now, text));
    if !versions.before.is_empty() && versions.before != versions.now {
        note("deployment", format!("Version {} answers in place of {}.", versions.now, versions.before));
    }
    for (state, words) in [(DriftState::Drifted, "Drifted"), (DriftState::Resolved, "No longer drifted")] {
        let names: Vec<&str> = judged
            .iter()
            .filter(|one| one.track.state == state && one.before.state != state)
            .map(|one| one.verdict.feature.as_str())
            .collect();
        if !names.is_empty() {
            note("drift", format!("{words}: {}.", list(&names)));
        }
        let whole = |feature: &str| judged.iter().any(|one| one.verdict.feature == feature && one.track.state == state);
        let changed = |one: &&parts::Judged| one.looked.track.state == state && one.looked.before.state != state;
        let named = segments.iter().filter(changed).filter(|one| !whole(&one.verdict.feature));
        let named: Vec<String> = named
            .map(|one| format!("{} where {} is {}", one.verdict.feature, one.verdict.segment, one.verdict.value))
            .collect();
        if !named.is_empty() {
            let names: Vec<&str> = named.iter().map(String::as_str).collect();
            note("drift", format!("{words} in a segment: {}.", list(&names)));
        }
    }
    events
}

/// Answers that began, or ceased, to err otherwise than they did.
pub(super) fn of_concept(
    at_ms: i64,
    model: &str,
    version: &str,
    before: Option<Concept>,
    now: Option<Concept>,
) -> Option<EventRow> {
    let now = now?;
    // What another version erred is over with it, and no sign that this one errs less.
    let erred = before.is_some_and(|one| one.kind.is_of_errors() && one.version == now.version);
    let text = match (erred, now.kind.is_of_errors()) {
        (false, true) => now.sentence.clone(),
        (true, false) => format!("Answers no longer err otherwise than they did. {}", now.sentence),
        _ => return None,
    };
    Some(event(at_ms, "drift", model, version, text))
}

fn list(names: &[&str]) -> String {
    let shown = names.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    if names.len() > NAMED_MAX { format!("{shown} and {} more", names.len() - NAMED_MAX) } else { shown }
}
