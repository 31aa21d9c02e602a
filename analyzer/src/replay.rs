//! A shadow verdict offline: two versions are asked the same once more, and what they say is judged as it is live.
//!
//! The choice: both versions are asked anew, the one that answered then as well. Stored inputs are masked, so the answer that was
//! recorded is one to another input; comparing it with the other version's would blame the version for the mask. How often the first
//! version repeats its recorded answer is told beside the verdict: that is what masking does.
//!
//! This file is pure: answers come in, a report goes out. [`decide`](agreement::decide) is the live verdict's.

use std::collections::BTreeMap;

use contract::{
    api::{Flip, Interval, ShadowVerdict, shadow::ClassAgreement},
    wire::Gap,
};
use serde::Serialize;
use serde_json::{Value, json};
use store::read::Tolerance;

use crate::judge::{
    agreement::{self, Pairs, ShadowPolicy},
    guardrails::{Class, Limits, Measured},
};

/// Disagreements listed.
const FLIPS_MAX: usize = 20;
/// Classes listed.
const CLASSES_MAX: usize = 64;
/// Why a pair is left out that the proxy was too busy for.
const NO_ROOM: &str = "the proxy had no room (429); ask more slowly, with --rate";
/// How a class without a name is called.
pub const UNNAMED: &str = "class ";
/// Outputs that hold one number a class, by the names that exporters give them.
const CLASS_OUTPUTS: [&str; 6] =
    ["scores", "probabilities", "output_probability", "logits", "output_logits", "predictions"];

/// What one version said to one request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The label of each item, and microseconds from sending to the whole answer.
    Labels(Vec<String>, u64),
    /// Numbers or vectors, which are compared by how far they are apart ([`Asked::gaps`]); and the same microseconds.
    Numbers(u64),
    /// It did not answer well; why, in a word or two.
    Failed(String),
    /// Nobody asked it: whoever serves it had no room, which says nothing of it.
    NoRoom,
}

/// One request, asked of both.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// When it was asked first; `None` for a file.
    pub at_ms: Option<i64>,
    /// What was answered then.
    pub recorded: Option<Vec<String>>,
    /// What the version that answered then says now.
    pub before: Reply,
    /// What the other version says.
    pub candidate: Reply,
    /// How far apart the two are, one an item; empty where they have labels.
    pub gaps: Vec<Gap>,
}

/// The report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Model name.
    pub model: String,
    /// The version asked.
    pub version: String,
    /// The version it is compared with.
    pub against: String,
    /// The verdict.
    pub verdict: ShadowVerdict,
    /// Its reason in one sentence.
    pub sentence: String,
    /// Requests sent to both.
    pub requests: u64,
    /// Items that both labelled, or answered with numbers or vectors.
    pub pairs: u64,
    /// Those with the same label, or no farther apart than is tolerated.
    pub agreed: u64,
    /// Agreement's confidence sequence; `None` without pairs.
    pub agreement: Option<Interval>,
    /// About how many more pairs would decide; `None` where more alone would not.
    pub pairs_needed: Option<u64>,
    /// Requests that the version asked failed on, by reason.
    pub failed: BTreeMap<String, u64>,
    /// Requests that are no evidence, by reason: the version compared with failed on them too, or they could not be sent.
    pub left_out: BTreeMap<String, u64>,
    /// How often the version compared with gives the answer that it gave then; `None` where none was recorded.
    pub repeats: Option<Repeats>,
    /// Median milliseconds of both, from sending to the whole answer, on this machine now.
    pub median_ms: Option<(f64, f64)>,
    /// Agreement by the label of the version compared with.
    pub classes: Vec<ClassAgreement>,
    /// Disagreements, most frequent first.
    pub flips: Vec<Flip>,
    /// What to know when reading this.
    pub notes: Vec<String>,
}

/// Recorded answers given again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Repeats {
    /// Items with a recorded answer.
    pub items: u64,
    /// Those with the same answer now.
    pub same: u64,
}

/// Counts of a replay.
#[derive(Clone, Debug)]
pub struct Tally {
    tolerance: Tolerance,
    /// Pairs without labels, and those that agree.
    numbers: (u64, u64),
    /// What the newest of them compared.
    compared: &'static str,
    requests: u64,
    answered: u64,
    pairs: BTreeMap<(String, String), u64>,
    failed: BTreeMap<String, u64>,
    left_out: BTreeMap<String, u64>,
    repeats: Repeats,
    micros: (Vec<u64>, Vec<u64>),
    span_ms: Option<(i64, i64)>,
}

impl Tally {
    /// None yet; the tolerance says which answers without labels agree.
    #[must_use]
    pub fn new(tolerance: Tolerance) -> Self {
        Self {
            tolerance,
            numbers: (0, 0),
            compared: "",
            requests: 0,
            answered: 0,
            pairs: BTreeMap::new(),
            failed: BTreeMap::new(),
            left_out: BTreeMap::new(),
            repeats: Repeats::default(),
            micros: (Vec::new(), Vec::new()),
            span_ms: None,
        }
    }

    /// Takes what was said to one request.
    pub fn take(&mut self, asked: Asked) {
        self.requests += 1;
        match (&asked.before, &asked.candidate) {
            (Reply::Failed(why), _) => return self.leave_out(&format!("the version compared with: {why}")),
            (Reply::NoRoom, _) | (_, Reply::NoRoom) => return self.leave_out(NO_ROOM),
            _ => {}
        }
        if let (Some(recorded), Reply::Labels(now, _)) = (&asked.recorded, &asked.before) {
            for (then, now) in recorded.iter().zip(now) {
                self.repeats.items += 1;
                self.repeats.same += u64::from(then == now);
            }
        }
        if let Some(at_ms) = asked.at_ms {
            let (first, last) = self.span_ms.unwrap_or((at_ms, at_ms));
            self.span_ms = Some((first.min(at_ms), last.max(at_ms)));
        }
        match (asked.before, asked.candidate) {
            (_, Reply::Failed(why)) => self.fail(&why),
            (Reply::Labels(before, then), Reply::Labels(labels, now)) if labels.len() == before.len() => {
                self.time(then, now);
                for pair in before.into_iter().zip(labels) {
                    *self.pairs.entry(pair).or_default() += 1;
                }
            }
            (Reply::Labels(..), Reply::Labels(..)) => self.fail("another number of items"),
            (Reply::Numbers(then), Reply::Numbers(now)) => {
                self.time(then, now);
                self.compare(&asked.gaps);
            }
            _ => self.fail("another kind of answer"),
        }
    }

    fn fail(&mut self, why: &str) {
        *self.failed.entry(why.to_owned()).or_default() += 1;
    }

    fn time(&mut self, before_micros: u64, micros: u64) {
        self.answered += 1;
        self.micros.0.push(before_micros);
        self.micros.1.push(micros);
    }

    fn compare(&mut self, gaps: &[Gap]) {
        for gap in gaps {
            self.numbers.0 += 1;
            self.numbers.1 += u64::from(agreement::agrees(*gap, self.tolerance));
            self.compared = gap.stored().0;
        }
    }

    /// Counts a request that could not be asked.
    pub fn leave_out(&mut self, why: &str) {
        *self.left_out.entry(why.to_owned()).or_default() += 1;
    }

    /// The counts as the judge takes them. A file has no times, so none is asked of it.
    fn pairs(&self, policy: &ShadowPolicy) -> Pairs {
        let seconds = self.span_ms.map_or(policy.seconds_min, |(first, last)| (last - first).max(0) as u64 / 1_000);
        Pairs {
            pairs: self.numbers.0 + self.pairs.values().sum::<u64>(),
            agreed: self.numbers.1
                + self.pairs.iter().filter(|((before, now), _)| before == now).map(|(_, n)| n).sum::<u64>(),
            answered: self.answered,
            errors: self.failed.values().sum(),
            shed: 0,
            seconds,
        }
    }

    /// The verdict, and what it rests on.
    #[must_use]
    pub fn report(mut self, (model, version, against): (&str, &str, &str), policy: &ShadowPolicy) -> Report {
        let pairs = self.pairs(policy);
        let (measured, policy) = (self.measured(), &offline(policy));
        let decision = agreement::decide(&pairs, &measured, policy);
        let median = |micros: &mut Vec<u64>| {
            micros.sort_unstable();
            micros.get(micros.len() / 2).map(|micros| *micros as f64 / 1e3)
        };
        let median_ms = median(&mut self.micros.0).zip(median(&mut self.micros.1));
        Report {
            model: model.to_owned(),
            version: version.to_owned(),
            against: against.to_owned(),
            verdict: decision.verdict,
            sentence: decision.sentence + &agreement::meaning(self.compared, self.tolerance),
            requests: self.requests,
            pairs: pairs.pairs,
            agreed: pairs.agreed,
            agreement: decision.sequence,
            pairs_needed: agreement::pairs_needed(&pairs, &measured, policy),
            classes: self.classes(policy),
            flips: self.flips(),
            repeats: (self.repeats.items > 0).then_some(self.repeats),
            failed: self.failed,
            left_out: self.left_out,
            median_ms,
            notes: Vec::new(),
        }
    }

    fn measured(&self) -> Measured {
        let (mut classes, mut all) = (BTreeMap::<&str, u64>::new(), 0_u64);
        for ((before, _), n) in &self.pairs {
            *classes.entry(before).or_default() += n;
            all += n;
        }
        let class = |(label, pairs): (&str, u64)| {
            let share = pairs as f64 / all as f64;
            Class { label: label.to_owned(), pairs, share }
        };
        Measured { classes: classes.into_iter().map(class).collect(), ..Measured::default() }
    }

    fn classes(&self, policy: &ShadowPolicy) -> Vec<ClassAgreement> {
        let mut counted: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
        for ((before, now), n) in &self.pairs {
            let (pairs, agreed) = counted.entry(before).or_default();
            *pairs += n;
            *agreed += if before == now { *n } else { 0 };
        }
        let mut counted: Vec<(&str, (u64, u64))> = counted.into_iter().collect();
        counted.sort_by_key(|(label, (pairs, _))| (std::cmp::Reverse(*pairs), *label));
        let class = |(label, (pairs, agreed)): (&str, (u64, u64))| {
            let bounds = agreement::sequence(agreed, pairs, policy.alpha);
            ClassAgreement {
                label: label.to_owned(),
                pairs,
                lower: bounds.map(|bounds| bounds.lower),
                upper: bounds.map(|bounds| bounds.upper),
                needed: agreement::to_prove(agreed, pairs, policy),
            }
        };
        counted.into_iter().take(CLASSES_MAX).map(class).collect()
    }

    fn flips(&self) -> Vec<Flip> {
        let differ = self.pairs.iter().filter(|((before, now), _)| before != now);
        let flip = |((primary, shadow), pairs): (&(String, String), &u64)| Flip {
            primary: primary.clone(),
            shadow: shadow.clone(),
            pairs: *pairs,
        };
        let mut flips: Vec<Flip> = differ.map(flip).collect();
        flips.sort_by(|a, b| b.pairs.cmp(&a.pairs).then_with(|| (&a.primary, &a.shadow).cmp(&(&b.primary, &b.shadow))));
        flips.truncate(FLIPS_MAX);
        flips
    }
}

/// What is asked of a replay: its times are those of this machine now, and confidences and labels are not in the answers.
fn offline(policy: &ShadowPolicy) -> ShadowPolicy {
    ShadowPolicy { limits: Limits { class_pairs_min: policy.limits.class_pairs_min, ..Limits::NONE }, ..*policy }
}

/// The body of an inference request over the Open Inference Protocol: of stored content (`texts` or `inputs`), or of a line of a file
/// (`text` as well). The reason where it is none.
///
/// # Errors
/// Why it cannot be asked, in a few words.
pub fn request(content: &Value) -> Result<Value, &'static str> {
    if let Some(inputs) = content.get("inputs") {
        let narrow = |tensor: &Value| matches!(tensor["datatype"].as_str(), Some("FP16" | "BF16"));
        let tensors = inputs.as_array().filter(|tensors| !tensors.is_empty()).ok_or("inputs is no list of tensors")?;
        if tensors.iter().any(narrow) {
            return Err("16-bit floats, which JSON does not carry");
        }
        return Ok(json!({ "inputs": inputs }));
    }
    let texts = match (content.get("texts"), content.get("text")) {
        (Some(Value::Array(texts)), _) if !texts.is_empty() => texts.clone(),
        (None, Some(text @ Value::String(_))) => vec![text.clone()],
        _ => return Err("neither text, nor texts, nor inputs"),
    };
    let pairs = texts.iter().all(|text| text.as_array().is_some_and(|pair| pair.len() == 2));
    if !pairs && !texts.iter().all(Value::is_string) {
        return Err("texts and pairs of texts are mixed, or were hidden by a rule of the masking");
    }
    let shape = if pairs { json!([texts.len(), 2]) } else { json!([texts.len()]) };
    let data: Vec<Value> =
        if pairs { texts.iter().filter_map(Value::as_array).flatten().cloned().collect() } else { texts };
    Ok(json!({ "inputs": [{ "name": "text", "shape": shape, "datatype": "BYTES", "data": data }] }))
}

/// The label of each item in an answer: its output `label`, or the class with the most in the output that holds one number a class
/// (`output` names it where its name is none of an exporter's). `None` where there are no classes.
#[must_use]
pub fn labels(answer: &Value, output: Option<&str>) -> Option<Vec<String>> {
    let outputs = answer.get("outputs")?.as_array()?;
    let of = |name: &str| outputs.iter().find(|tensor| tensor["name"] == name);
    if let (None, Some(label)) = (output, of("label")) {
        return label["data"].as_array().map(|labels| labels.iter().map(word).collect());
    }
    let found = match output {
        Some(name) => of(name),
        None => CLASS_OUTPUTS.iter().find_map(|name| of(name)),
    }?;
    let classes = found["shape"].as_array().filter(|shape| shape.len() == 2)?.last()?.as_u64()?;
    let data: Vec<f64> = found["data"].as_array()?.iter().filter_map(Value::as_f64).collect();
    let best = |scores: &[f64]| {
        let best = scores.iter().enumerate().max_by(|(i, a), (k, b)| a.total_cmp(b).then(k.cmp(i)));
        best.map(|(class, _)| format!("{UNNAMED}{class}"))
    };
    data.chunks(usize::try_from(classes).ok().filter(|classes| *classes > 0)?).map(best).collect()
}

fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: ShadowPolicy = ShadowPolicy {
        agreement_min: 0.95,
        failure_max: 0.02,
        alpha: 0.05,
        pairs_min: 500,
        seconds_min: 600,
        tolerance: store::read::Tolerance { absolute: 1e-9, relative: 0.01, vector: 0.01 },
        limits: Limits::NONE,
    };

    fn said(label: &str) -> Reply {
        Reply::Labels(vec![label.to_owned()], 1_000)
    }

    fn asked(at_ms: Option<i64>, before: Reply, candidate: Reply) -> Asked {
        Asked { at_ms, recorded: Some(vec!["a".into()]), before, candidate, gaps: Vec::new() }
    }

    #[test]
    fn the_verdict_is_the_live_one() {
        let mut tally = Tally::new(POLICY.tolerance);
        for i in 0..2_000 {
            tally.take(asked(Some(i * 1_000), said("a"), said(if i % 200 == 0 { "b" } else { "a" })));
        }
        let counts = tally.pairs(&POLICY);
        assert_eq!((counts.pairs, counts.agreed, counts.seconds), (2_000, 1_990, 1_999));
        let live = agreement::decide(&counts, &Measured::default(), &POLICY);
        let report = tally.report(("m", "2", "1"), &POLICY);
        assert_eq!((report.verdict, &report.sentence, report.agreement), (live.verdict, &live.sentence, live.sequence));
        assert_eq!(report.verdict, ShadowVerdict::Promote);
        assert_eq!(report.repeats, Some(Repeats { items: 2_000, same: 2_000 }));
        assert_eq!((report.flips.len(), report.flips[0].pairs, report.classes[0].pairs), (1, 10, 2_000));
    }

    #[test]
    fn what_only_the_other_version_fails_on_counts_against_it() {
        let mut tally = Tally::new(POLICY.tolerance);
        for _ in 0..600 {
            tally.take(asked(None, said("a"), Reply::Failed("500".into())));
        }
        tally.take(asked(None, Reply::Failed("500".into()), said("a")));
        let mut busy = Tally::new(POLICY.tolerance);
        for _ in 0..600 {
            busy.take(asked(None, said("a"), Reply::NoRoom));
            busy.take(asked(None, Reply::NoRoom, said("a")));
        }
        let report = busy.report(("m", "2", "1"), &POLICY);
        assert_eq!((report.verdict, report.failed.len(), report.left_out[NO_ROOM]), (ShadowVerdict::Hold, 0, 1_200));
        assert_eq!(report.repeats, None);
        let report = tally.report(("m", "2", "1"), &POLICY);
        assert_eq!((report.verdict, report.failed["500"], report.pairs), (ShadowVerdict::Reject, 600, 0));
        assert_eq!(report.left_out.values().sum::<u64>(), 1);
        assert_eq!(Tally::new(POLICY.tolerance).report(("m", "2", "1"), &POLICY).verdict, ShadowVerdict::Hold);
    }

    /// A version that answers with numbers had no pairs, whatever it said.
    #[test]
    fn numbers_and_vectors_agree_within_the_tolerance() {
        let report = |gap: Gap, n: u64| {
            let mut tally = Tally::new(POLICY.tolerance);
            for _ in 0..n {
                tally.take(Asked { gaps: vec![gap], ..asked(None, Reply::Numbers(1_000), Reply::Numbers(2_000)) });
            }
            tally.report(("m", "2", "1"), &POLICY)
        };
        for (gap, agreed, verdict, says) in [
            (
                Gap::Number { absolute: 2.0, relative: 0.009 },
                600,
                ShadowVerdict::Promote,
                "Numbers agree within 1.00 %",
            ),
            (Gap::Number { absolute: 2.0, relative: 0.011 }, 0, ShadowVerdict::Reject, "Numbers agree within"),
            (Gap::Number { absolute: 1e-10, relative: 1.0 }, 600, ShadowVerdict::Promote, "Numbers agree within"),
            (
                Gap::Vector { distance: 0.005 },
                600,
                ShadowVerdict::Promote,
                "Vectors agree at a cosine of at least 0.99",
            ),
            (Gap::Vector { distance: 0.02 }, 0, ShadowVerdict::Reject, "Vectors agree"),
            (Gap::Shape, 0, ShadowVerdict::Reject, "different shapes"),
        ] {
            let found = report(gap, 600);
            assert_eq!((found.pairs, found.agreed, found.verdict), (600, agreed, verdict), "{gap:?}");
            assert!(found.sentence.contains(says), "{}", found.sentence);
            assert_eq!((found.median_ms, found.repeats), (Some((1.0, 2.0)), None));
        }
        let mut mixed = Tally::new(POLICY.tolerance);
        mixed.take(asked(None, Reply::Numbers(1), said("a")));
        let found = mixed.report(("m", "2", "1"), &POLICY);
        assert_eq!((found.pairs, found.failed["another kind of answer"]), (0, 1));
    }

    #[test]
    fn content_becomes_a_request_of_the_protocol() {
        let text = |shape: Value, data: Value| json!({"inputs": [{"name": "text", "shape": shape, "datatype": "BYTES", "data": data}]});
        assert_eq!(request(&json!({"texts": ["a", "b"], "ticket": 1})), Ok(text(json!([2]), json!(["a", "b"]))));
        assert_eq!(request(&json!({"text": "a"})), Ok(text(json!([1]), json!(["a"]))));
        assert_eq!(request(&json!({"texts": [["a", "b"]]})), Ok(text(json!([1, 2]), json!(["a", "b"]))));
        let tensors = json!([{"name": "x", "shape": [1, 1], "datatype": "FP32", "data": [0.5]}]);
        assert_eq!(request(&json!({"inputs": tensors})), Ok(json!({"inputs": tensors})));
        for wrong in [
            json!({}),
            json!({"texts": []}),
            json!({"texts": ["a", ["b", "c"]]}),
            json!({"inputs": [{"datatype": "FP16"}]}),
        ] {
            assert!(request(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn labels_are_given_or_read_from_the_scores() {
        let answer =
            |name: &str, shape: Value, data: Value| json!({"outputs": [{"name": name, "shape": shape, "data": data}]});
        let of = |answer: &Value, output| labels(answer, output).map(|labels| labels.join(" "));
        assert_eq!(of(&answer("label", json!([2]), json!(["a", "b"])), None).as_deref(), Some("a b"));
        let scores = answer("probabilities", json!([2, 2]), json!([0.1, 0.9, 0.5, 0.5]));
        assert_eq!(of(&scores, None).as_deref(), Some("class 1 class 0"), "of equals the first");
        let own = answer("mine", json!([1, 3]), json!([1, 2, 3]));
        assert_eq!((of(&own, None), of(&own, Some("mine")).as_deref()), (None, Some("class 2")));
        assert_eq!(of(&answer("logits", json!([1, 0]), json!([])), None), None);
    }
}
