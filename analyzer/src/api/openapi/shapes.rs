//! The shapes of bodies and answers: a line a shape, in the order of `contract::api`, read into JSON Schema.
//!
//! A member is `name:kind`. Kinds are `int`, `num`, `text`, `flag`, `any`, the name of another shape, `[kind]` for a list and `{kind}`
//! for members of any name; `?` after one means that it may be null. A line that begins with `+Name` has Name's members first.

use host::openapi::reference;
use serde_json::{Map, Value, json};

/// Name, what it is, members.
#[rustfmt::skip]
const SHAPES: &[(&str, &str, &str)] = &[
    ("Error", "What was wrong.", "error:text"),
    ("Overview", "Everything the first page shows.", "at_ms:int watermark_ms:int? models:[ModelOverview] slos:[SloStatus] events:[Event] pipeline:Pipeline"),
    ("ModelOverview", "A model.", "model:text version:text state:DriftState traffic:Traffic history:[TrafficPoint] features:[FeatureVerdict] confidence:Distribution? confidence_mean:num? classes:[ClassShare] concept:Concept? embeddings:[EmbeddingShift] shadows:[ShadowStatus] baseline:BaselineInfo? guarantee:text reference_replay:ReferenceReplay? waiting:text?"),
    ("ReferenceReplay", "Windows drawn from a reference and judged against it: every alarm is a false one.", "windows:int n:int alarms:int rate_at_most:num promised:num"),
    ("Traffic", "Traffic of a span.", "requests_per_second:num bad_ratio:num? p50_ms:num? p95_ms:num? p99_ms:num?"),
    ("TrafficPoint", "Traffic from a time on.", "+Traffic at_ms:int"),
    ("FeatureVerdict", "The judgement of one feature in one window, with its evidence.", "id:text model:text version:text feature:text state:DriftState window_start_ms:int window_end_ms:int n:int needed:int m:int ks_lower:num? ks_upper:num? p_value:num? q_value:num? psi:num? evidence:num? evidence_needed:num? discovery:flag autocorrelation:num? worth:num? delta:num threshold:num? visible:num baseline:text unusual:[Unusual] causes:[Cause] sentence:text"),
    ("EmbeddingShift", "How far an embedding moved, as a description.", "embedding:text n:int m:int distance:num means:num covariances:num means_by_chance:num sentence:text"),
    ("Unusual", "Values that are none.", "what:text before:num now:num"),
    ("Distribution", "Shares of reference and window in bins: `edges` of numbers, or `names`.", "edges:[num] names:[text] reference:[num] current:[num]"),
    ("FeatureDetail", "One feature in full.", "verdict:FeatureVerdict distribution:Distribution history:[FeatureVerdict] segments:[SegmentVerdict] parts:Parts?"),
    ("Parts", "How far a feature is judged by segment.", "judged:int waiting:[text]"),
    ("ClassShare", "Share of one class.", "label:text reference:num? current:num?"),
    ("SloStatus", "An objective's budget and burn.", "slo:text description:text model:text objective:num events:int bad:int budget_remaining:num? burn:[Burn]"),
    ("Burn", "Burn rate of one window.", "window:text rate:num? floor:num? factor:num"),
    ("Event", "A change worth drawing on a time line.", "at_ms:int kind:text model:text version:text text:text"),
    ("Pipeline", "What is stored and who sends.", "observations:int payloads:int labels:int unnamed:int sources:[Source]"),
    ("Source", "One sender.", "source:text heartbeat_ms:int expected:flag ledger:Ledger"),
    ("Ledger", "observed = delivered + dropped + in_flight.", "observed:int delivered:int dropped:int in_flight:int"),
    ("BaselineInfo", "A frozen reference.", "model:text version:text fingerprint:text frozen_at_ms:int features:int observations:int provisional:flag provisional_features:int completes:text"),
    ("FreezeBaseline", "A range of a model's rows.", "model:text from_ms:int to_ms:int"),
    ("BaselineRecord", "A reference and where it stands.", "+BaselineInfo standing:Standing since_ms:int visible:num"),
    ("BaselineShown", "A reference in full.", "+BaselineRecord contents:[FrozenFeature]"),
    ("FrozenFeature", "The reference of one feature.", "feature:text kind:text values:int missing:int bins:int provisional:flag visible:num distribution:Distribution"),
    ("FreezeRequest", "A range, or so many of the newest good observations (0: as many as make a provisional reference).", "from_ms:int? to_ms:int? newest:int? promote:flag"),
    ("BaselineComparison", "Two references, the farthest apart first.", "model:text first:text second:text chance:num features:[FeatureDistance]"),
    ("FeatureDistance", "How far two references of one feature are apart.", "feature:text lower:num? upper:num? by_chance:num? apart:flag sentence:text"),
    ("Explanation", "A stored verdict computed again.", "id:text model:text feature:text window_start_ms:int window_end_ms:int state:DriftState baseline:text equal:flag gone:[text] figures:[ComputedFigure]"),
    ("ComputedFigure", "A number of a verdict, stored and computed.", "name:text stored:any computed:any? equal:flag?"),
    ("Glance", "All models in a few kilobytes.", "at_ms:int sent_ms:int watermark_ms:int? models:[ModelGlance] slos:[SloStatus] events:[Event] pipeline:Pipeline"),
    ("ModelGlance", "A model without its verdicts.", "model:text version:text state:DriftState states:{int} loudest:[text] traffic:Traffic requests:[num] confidence_mean:num? shadows:[ShadowGlance] baseline:BaselineInfo? judged_ms:int? waiting:text?"),
    ("ShadowGlance", "A shadow at a glance.", "shadow:text pairs:int agreement:num? verdict:ShadowVerdict"),
    ("ModelPage", "A model with those of its features that were asked for.", "+ModelOverview matching:int states:{int}"),
    ("TrafficRange", "Traffic of a range.", "step_ms:int points:[TrafficPoint] events:[Event]"),
    ("Heat", "Verdicts of a range by feature and step.", "from_ms:int step_ms:int steps:int rows:[HeatRow]"),
    ("HeatRow", "One feature.", "feature:text cells:[HeatCell]"),
    ("HeatCell", "The worst of one feature in one step.", "step:int state:DriftState ks_lower:num?"),
    ("ConfidenceRange", "Confidence of a range.", "step_ms:int points:[ConfidencePoint] reliability:[ReliabilityBin] labelled:int calibration_error:num?"),
    ("ConfidencePoint", "Confidence of one step.", "at_ms:int answers:int mean:num p05:num p50:num low:num"),
    ("ReliabilityBin", "Answers of about the same confidence.", "n:int confidence:num accuracy:num"),
    ("SloPage", "An objective over its period.", "status:SloStatus period_ms:int points:[BudgetPoint] exhausted_ms:int? projected_from:text?"),
    ("BudgetPoint", "A budget at a time.", "at_ms:int remaining:num"),
    ("ShadowPage", "A shadow in full.", "status:ShadowStatus agreement_min:num points:[AgreementPoint] disagreements:[Disagreement]"),
    ("AgreementPoint", "What was known of an agreement at a time.", "at_ms:int pairs:int agreement:num lower:num upper:num"),
    ("Disagreement", "An input on which primary and shadow disagree, masked.", "id:text at_ms:int primary:text shadow:text primary_confidence:num shadow_confidence:num input:text"),
    ("Sample", "A stored sample, masked before it was stored.", "id:text at_ms:int model:text version:text outcome:text reason:text label:text confidence:num? total_ms:num input:text output:text inclusion_probability:num"),
    ("Quality", "What labels say of a range.", "answers:int labelled:int coverage:num? classes:Classification? numbers:Regression? estimate:Estimate?"),
    ("Figure", "A figure with its 95 % interval.", "value:num lower:num upper:num"),
    ("Classification", "Answers that are labels.", "accuracy:Figure macro_f1:num? classes:[ClassQuality] brier:Figure? log_loss:Figure? calibration_error:num? auroc:Figure? auroc_of:text reliability:[Reliability]"),
    ("ClassQuality", "One class.", "label:text support:int answers:int precision:Figure? recall:Figure? f1:Figure?"),
    ("Reliability", "Answers of about the same confidence, with an interval.", "n:int confidence:num accuracy:Figure"),
    ("Regression", "Answers that are numbers.", "feature:text bias:Figure mae:Figure rmse:Figure quantiles:[num] sizes:[num]"),
    ("Estimate", "What is expected without labels.", "accuracy:Figure calibrated_by:int within:flag macro_f1:Figure? auroc:Figure? back_test:BackTest?"),
    ("BackTest", "The same estimate where labels came.", "expected:num found:Figure holds:flag"),
    ("Concept", "Whether answers err otherwise than they did, apart from whether inputs moved.", "kind:ConceptKind version:text reference:int error_before:num? labelled:int error_now:num? parts:[SegmentVerdict] sentence:text"),
    ("Segments", "Parts of the traffic after the last window.", "named:[text] waiting:[text] tested:int untested:int verdicts:[SegmentVerdict] guarantee:text"),
    ("SegmentVerdict", "One feature among the items of one value of a segment.", "feature:text segment:text value:text state:DriftState window_start_ms:int window_end_ms:int n:int needed:int m:int ks_lower:num? ks_upper:num? p_value:num? q_value:num? evidence:num? discovery:flag visible:num baseline:text sentence:text"),
    ("Cause", "What a value of a segment adds to a shift.", "segment:text value:text within:num mix:num share_before:num share_now:num before:num? now:num?"),
    ("ShadowStatus", "A shadow beside its primary.", "model:text primary:text shadow:text pairs:int agreed:int failed:int shed:int offered:int pairs_needed:int? seconds:int judged_ms:int agreement:num? wilson:Interval? sequence:Interval? latency_ratio:num? flips:[Flip] verdict:ShadowVerdict sentence:text guardrails:[Guardrail] tests:[PairedTest]"),
    ("Guardrail", "One thing that is asked of a shadow, and what is known of it.", "name:GuardrailName state:GuardrailState n:int observed:num? lower:num? upper:num? limit:num needed:int? sentence:text"),
    ("PairedTest", "A classical test of the same pairs, as a description.", "test:text statistic:num freedom:int? p_value:num sentence:text"),
    ("Interval", "Bounds.", "lower:num upper:num"),
    ("Flip", "Pairs in which two labels met.", "primary:text shadow:text pairs:int"),
    ("VerdictAnswer", "A shadow's verdict and what it rests on.", "model:text version:text primary:text verdict:ShadowVerdict promote:flag reject:flag sentence:text judged_ms:int? agreement:Agreement pairs:PairsSeen failures:Failures watched:Watched run_time_ratio:num? batch_variant:flag? primary_batch_variant:flag? guardrails:[Guardrail] tests:[PairedTest] classes:[ClassAgreement]"),
    ("Agreement", "Agreement, and what is required.", "observed:num? lower:num? upper:num? required:num alpha:num"),
    ("PairsSeen", "Pairs, and how many are needed.", "seen:int needed:int? minimum:int"),
    ("Failures", "Answers that the shadow owes.", "offered:int errors:int shed:int ratio:num? allowed:num"),
    ("Watched", "How long it was compared.", "seconds:int minimum:int"),
    ("ClassAgreement", "Agreement on one label of the primary's.", "label:text pairs:int lower:num? upper:num? needed:int?"),
    ("GateAnswer", "Whether a gate is open.", "gate:Gate open:flag verdict:ShadowVerdict sentence:text"),
];

/// Words with a meaning.
const WORDS: &[(&str, &[&str])] = &[
    ("DriftState", &["stable", "resolved", "insufficient", "watch", "drifted"]),
    ("ShadowVerdict", &["promote", "hold", "reject"]),
    ("Standing", &["in_force", "candidate", "replaced", "retired"]),
    ("ConceptKind", &["insufficient", "stable", "input", "concept", "both", "mix", "errors"]),
    (
        "GuardrailName",
        &["agreement", "failures", "slowdown", "slow_runs", "confidence", "accuracy", "brier", "classes"],
    ),
    ("GuardrailState", &["proved", "open", "broken", "unasked"]),
    ("Gate", &["advance", "promote", "rollback"]),
];
/// Bodies whose members may all be left out.
const OPTIONAL: &str = "FreezeRequest";

/// All shapes by name, as JSON Schema.
pub(super) fn all() -> Map<String, Value> {
    let words = WORDS.iter().map(|(name, words)| ((*name).to_owned(), json!({ "type": "string", "enum": words })));
    SHAPES.iter().map(|shape| (shape.0.to_owned(), object(shape))).chain(words).collect()
}

fn object((name, what, _): &(&str, &str, &str)) -> Value {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for (member, kind) in members(name) {
        properties.insert(member.to_owned(), schema(kind));
        required.push(member);
    }
    let mut object =
        json!({ "type": "object", "description": what, "properties": properties, "additionalProperties": false });
    if *name != OPTIONAL {
        object["required"] = json!(required);
    }
    object
}

/// Members of a shape with their kinds, those that it has from another first.
fn members(name: &str) -> Vec<(&'static str, &'static str)> {
    let mut found = Vec::new();
    for word in SHAPES.iter().filter(|shape| shape.0 == name).flat_map(|shape| shape.2.split(' ')) {
        match (word.strip_prefix('+'), word.split_once(':')) {
            (Some(other), _) => found.extend(members(other)),
            (None, Some(member)) => found.push(member),
            (None, None) => {}
        }
    }
    found
}

fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        return json!({ "anyOf": [schema(kind), { "type": "null" }] });
    }
    let inside = |open, close| kind.strip_prefix(open).and_then(|rest: &str| rest.strip_suffix(close));
    if let Some(of) = inside('[', ']') {
        return json!({ "type": "array", "items": schema(of) });
    }
    if let Some(of) = inside('{', '}') {
        return json!({ "type": "object", "additionalProperties": schema(of) });
    }
    match kind {
        "int" => json!({ "type": "integer" }),
        "num" => json!({ "type": "number" }),
        "text" => json!({ "type": "string" }),
        "flag" => json!({ "type": "boolean" }),
        "any" => json!({}),
        shape => reference(shape),
    }
}
