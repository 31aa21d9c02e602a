//! Scoring of the labelled set: what the test asserts and the evidence command prints.

use std::collections::BTreeMap;

use masking::Masker;

/// A text, and what stands in it: an entity and its characters, or nothing (a near miss).
pub struct Case {
    /// The entity; for a near miss the one that it almost is.
    pub label: String,
    /// The text.
    pub text: String,
    /// First character and the one behind the last.
    pub span: Option<(usize, usize)>,
}

/// How an entity fared.
#[derive(Clone, Copy, Default)]
pub struct Score {
    /// Found where it stands.
    pub right: u32,
    /// Not found, or not wholly.
    pub missed: u32,
    /// Found where nothing of the kind stands.
    pub false_alarms: u32,
}

/// Reads the cases.
pub fn cases(lines: &str) -> Vec<Case> {
    let case = |line: &str| {
        let fields: Vec<serde_json::Value> = serde_json::from_str(line).expect("a line is a JSON array");
        let text_of = |i: usize| fields[i].as_str().expect("a text").to_owned();
        let at = |i: usize| fields.get(i).and_then(serde_json::Value::as_u64).map(|n| n as usize);
        Case { label: text_of(0).trim_start_matches('~').to_owned(), text: text_of(1), span: at(2).zip(at(3)) }
    };
    lines.lines().map(case).collect()
}

/// Scores by entity, and a line for each case that is not as labelled.
pub fn score(masker: &Masker, cases: &[Case]) -> (BTreeMap<String, Score>, Vec<String>) {
    let mut scores: BTreeMap<String, Score> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in cases {
        let found = masker.find(&case.text).expect("no case passes a limit");
        let covers = |name: &str, start: usize, end: usize| {
            case.span.is_some_and(|(from, to)| {
                name == case.label && start <= from && to <= end && end - start <= to - from + 2
            })
        };
        let hit = found.spans.iter().any(|span| covers(&span.name, span.start, span.end));
        if case.span.is_some() {
            let score = scores.entry(case.label.clone()).or_default();
            if hit {
                score.right += 1;
            } else {
                score.missed += 1;
            }
            if !hit {
                wrong.push(format!("{} missed: {:?} became {:?}", case.label, case.text, found.masked));
            }
        }
        for span in found.spans.iter().filter(|span| !covers(&span.name, span.start, span.end)) {
            scores.entry(span.name.clone()).or_default().false_alarms += 1;
            wrong.push(format!("{} false alarm: {:?} became {:?}", span.name, case.text, found.masked));
        }
    }
    (scores, wrong)
}
