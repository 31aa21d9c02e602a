//! Answers beside the labels that arrived in a span: which label holds of an item, and since when it is known.
//!
//! The choice: a span is counted with what was known when it ended. A label that was corrected later counts in its own span as it
//! did before it was, so a span that is counted again, after a restart or for a replay, gives the same.

use contract::feature::OUTPUT_LABEL;

use super::Window;

/// When labels arrived: from a time on, and before another where one is given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrived {
    since_ms: i64,
    before_ms: Option<i64>,
}

impl Arrived {
    /// From a time on.
    pub const fn since(since_ms: i64) -> Self {
        Self { since_ms, before_ms: None }
    }

    /// In a span.
    pub const fn within(span: Window) -> Self {
        Self { since_ms: span.start_ms, before_ms: Some(span.end_ms) }
    }

    /// The observations that were labelled then.
    pub fn ids(self) -> String {
        format!("SELECT id FROM labels WHERE received_at >= {}{}", time(self.since_ms), self.known())
    }

    /// Of labels, what was known when the span ended.
    fn known(self) -> String {
        self.before_ms.map(|end_ms| format!(" AND received_at < {}", time(end_ms))).unwrap_or_default()
    }
}

/// A time of ours, as SQL.
fn time(ms: i64) -> String {
    format!("fromUnixTimestamp64Milli(toInt64({ms}), 'UTC')")
}

/// The label that holds of each item that was labelled in a span, beside what the model had said, when (`answered_at`), and which
/// version (`answered_by`). A label may come again, corrected: the later truth holds, whichever came before the span or in it, and
/// it is known since it was first said; the same label once more is no event. The model is bound.
pub(super) fn labelled(columns: &str, arrived: Arrived) -> String {
    let (ids, known, since) = (arrived.ids(), arrived.known(), time(arrived.since_ms));
    format!(
        "SELECT {columns} FROM ( \
           SELECT id, item, any(value) AS said, any(version) AS answered_by, min(at) AS answered_at FROM categories \
           WHERE model = ? AND feature = '{OUTPUT_LABEL}' AND id IN ({ids}) GROUP BY id, item) AS answers \
         INNER JOIN ( \
           SELECT id, item, truth, arrayMin(arrayMap(one -> one.2, arrayFilter(one -> one.1 = truth, given))) AS known_at FROM ( \
             SELECT id, item, argMax(label, (labels.at, received_at)) AS truth, groupArray((label, received_at)) AS given \
             FROM labels WHERE id IN ({ids}){known} GROUP BY id, item) \
           WHERE known_at >= {since}) AS truths \
         ON answers.id = truths.id AND answers.item = truths.item"
    )
}
