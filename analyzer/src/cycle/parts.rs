//! A feature among some of the items: its verdict, as the API gives it, as a row, and in order.

use contract::api::{DriftState, SegmentVerdict};
use serde::{Deserialize, Serialize};
use store::read::{BinCount, Reader, SegmentCount, SegmentVerdictRow};

use super::{
    judging::{Bench, Looked},
    verdicts::power_of_ten,
};
use crate::{
    baseline::Frozen,
    judge::{concept::Moved, gate::Track, sentence},
};

/// Whose verdict a tested reference gives.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub feature: String,
    pub segment: String,
    pub value: String,
}

impl Pair {
    /// The verdict on a pair, from what a window showed of it.
    pub fn judged(&self, bench: &Bench<'_>, fingerprint: &str, frozen: &Frozen, looked: Looked) -> Judged {
        let (found, watched) = (&looked.finding, &looked.watched);
        let sentence = sentence::of_feature(&frozen.reference, found, watched, looked.track, bench.policy);
        self.said(bench, fingerprint, &frozen.name, looked, (bench.policy.n_min, sentence))
    }

    /// The same where the values needed and the sentence are others than a feature's.
    pub fn said(
        &self,
        bench: &Bench<'_>,
        fingerprint: &str,
        key: &str,
        looked: Looked,
        (needed, sentence): (u64, String),
    ) -> Judged {
        let (found, watched) = (&looked.finding, &looked.watched);
        let Self { feature, segment, value } = self.clone();
        let verdict = SegmentVerdict {
            feature,
            segment,
            value,
            state: looked.track.state,
            window_start_ms: looked.start_ms,
            window_end_ms: bench.window.end_ms,
            n: found.n,
            needed,
            m: found.m,
            ks_lower: found.lower,
            ks_upper: found.upper,
            p_value: found.p,
            q_value: found.q,
            evidence: power_of_ten(watched.evidence),
            discovery: watched.listed,
            visible: found.visible,
            baseline: fingerprint.to_owned(),
            sentence,
        };
        Judged { key: key.to_owned(), verdict, looked, left: Left::default(), alone: false }
    }
}

/// A verdict with what the next one needs, as JSON in the `evidence` column.
#[derive(Serialize, Deserialize)]
struct Evidence {
    #[serde(flatten)]
    verdict: SegmentVerdict,
    quiet_windows: u32,
    #[serde(flatten)]
    left: Left,
}

/// What a window leaves to the next one's verdict on errors; absent in rows of older programs and of other parts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Left {
    /// Whether the mix of classes explains what the window showed of the errors.
    pub explained: bool,
    /// Inputs that had moved when the answers were given that make errors drifted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub moved: Vec<Moved>,
}

/// One pair's judgement before it is written down.
pub(super) struct Judged {
    pub(super) key: String,
    pub(super) verdict: SegmentVerdict,
    pub(super) looked: Looked,
    pub(super) left: Left,
    /// Whether its newest counts alone say what its evidence says.
    pub(super) alone: bool,
}

/// What is stored of the window that ended at a time.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) verdicts: Vec<SegmentVerdict>,
    /// The states it left, by key.
    pub(super) tracks: Vec<(String, Track)>,
    /// What it left to the next one.
    pub(super) left: Left,
}

/// The name under which a pair's detector and state are kept; a tab is in no feature's name.
pub(super) fn key(feature: &str, segment: &str, value: &str) -> String {
    format!("{feature}\t{segment}\t{value}")
}

/// Verdicts of the window that ended at a time, and what the next one needs of them.
pub(super) async fn read(reader: &Reader, model: &str, end_ms: i64) -> Result<Stored, store::Error> {
    let mut stored = Stored::default();
    for text in reader.segment_verdicts_at(model, end_ms).await? {
        // A row of another version's making is no reason to stop: its pair starts afresh.
        let Ok(Evidence { verdict, quiet_windows, left }) = serde_json::from_str(&text) else { continue };
        let key = key(&verdict.feature, &verdict.segment, &verdict.value);
        stored.tracks.push((key, Track { state: verdict.state, quiet_windows }));
        stored.verdicts.push(verdict);
        if left != Left::default() {
            stored.left = left;
        }
    }
    Ok(stored)
}

/// Pairs without values are neither kept nor shown, but for a drift that they do not end.
pub(super) fn is_kept(judged: &Judged) -> bool {
    judged.verdict.n > 0 || judged.verdict.state != DriftState::Insufficient
}

/// Verdicts as rows.
pub(super) fn rows<'a>(judged: impl Iterator<Item = &'a Judged>, model: &str, now_ms: i64) -> Vec<SegmentVerdictRow> {
    let row = |one: &Judged| {
        let verdict = one.verdict.clone();
        let (quiet_windows, left) = (one.looked.track.quiet_windows, one.left.clone());
        let evidence = Evidence { verdict: verdict.clone(), quiet_windows, left };
        SegmentVerdictRow {
            model: model.to_owned(),
            feature: verdict.feature,
            segment: verdict.segment,
            value: verdict.value,
            window_end_ms: verdict.window_end_ms,
            judged_at_ms: now_ms,
            state: verdict.state.as_str().to_owned(),
            fingerprint: verdict.baseline,
            // Numbers, texts and options always serialise.
            evidence: serde_json::to_string(&evidence).unwrap_or_default(),
        }
    };
    judged.filter(|one| is_kept(one)).map(row).collect()
}

/// Loudest first; in a state by evidence.
pub(super) fn sort(verdicts: &mut [SegmentVerdict]) {
    let evidence = |verdict: &SegmentVerdict| verdict.evidence.unwrap_or(f64::NEG_INFINITY);
    verdicts.sort_by(|a, b| {
        let names = |v: &SegmentVerdict| (v.feature.clone(), v.segment.clone(), v.value.clone());
        b.state.cmp(&a.state).then_with(|| evidence(b).total_cmp(&evidence(a))).then_with(|| names(a).cmp(&names(b)))
    });
}

/// Counts of a segment under the keys of its pairs.
pub(super) fn bins(counts: Vec<SegmentCount>) -> Vec<BinCount> {
    let bin = |SegmentCount { at_ms, segment, value, feature, bin, n }| BinCount {
        start_ms: at_ms,
        feature: key(&feature, &segment, &value),
        bin,
        n,
    };
    counts.into_iter().map(bin).collect()
}
