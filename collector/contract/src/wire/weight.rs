//! What an observation takes in memory where it waits, for bounds in bytes: a row of numbers becomes a list of named features
//! many times its size on the wire, and a text does not.

use serde_json::Value;

use super::{Content, Feature, FeatureValue, Gap, Observation, Payload, Prediction, ShadowAnswer};

/// A string's or a vector's own size.
pub const HANDLE_BYTES: usize = 24;

/// Bytes that an observation holds.
#[must_use]
pub fn of(observation: &Observation) -> usize {
    let Observation { trace_id, model, version, route, reason, client, .. } = observation;
    let words = [model, version, route].into_iter().chain(trace_id).chain(reason).chain(client);
    size_of::<Observation>()
        + words.map(String::len).sum::<usize>()
        + observation.features.iter().map(feature).sum::<usize>()
        + predictions(&observation.predictions)
        + shadows(&observation.shadows)
        + content(observation)
}

/// Bytes that shadows' answers hold.
#[must_use]
pub fn shadows(all: &[ShadowAnswer]) -> usize {
    let one = |shadow: &ShadowAnswer| {
        let ShadowAnswer { version, reason, predictions: classes, gaps, outcome: _, timings: _ } = shadow;
        let words = version.len() + reason.as_ref().map_or(0, String::len);
        size_of::<ShadowAnswer>() + words + predictions(classes) + size_of_val::<[Gap]>(gaps)
    };
    all.iter().map(one).sum()
}

/// Those of them that its content holds.
#[must_use]
pub fn content(observation: &Observation) -> usize {
    match &observation.payload {
        Payload::Kept(Content { input, output, .. }) => json(input) + json(output),
        Payload::None | Payload::SampledOut | Payload::Withheld(_) => 0,
    }
}

fn feature(feature: &Feature) -> usize {
    let category = if let FeatureValue::Category(category) = &feature.value { category.len() } else { 0 };
    size_of::<Feature>() + feature.name.len() + category
}

fn predictions(all: &[Prediction]) -> usize {
    all.iter().map(|prediction| size_of::<Prediction>() + prediction.label.len()).sum()
}

/// Bytes that a value holds.
#[must_use]
pub fn json(value: &Value) -> usize {
    let inside = match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(json).sum(),
        Value::Object(members) => members.iter().map(|(key, value)| HANDLE_BYTES + key.len() + json(value)).sum(),
        _ => 0,
    };
    inside + size_of::<Value>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_grows_weighs() {
        let line =
            r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok"}"#;
        let bare: Observation = serde_json::from_str(line).unwrap();
        let with = |change: &dyn Fn(&mut Observation)| {
            let mut observation = bare.clone();
            change(&mut observation);
            of(&observation) - of(&bare)
        };
        let thousand = "x".repeat(1_000);
        let prediction = Prediction { label: thousand.clone(), confidence: 1.0, margin: 0.0, entropy: 0.0 };
        let number = Feature { name: "input.age".into(), item: 0, value: FeatureValue::Number(1.0) };
        let category = Feature { value: FeatureValue::Category(thousand.clone()), ..number.clone() };
        assert!(with(&|o| o.features = vec![number.clone(); 1_000]) >= 1_000 * (9 + size_of::<Feature>()));
        assert!(with(&|o| o.features = vec![category.clone()]) >= 1_000);
        assert!(with(&|o| o.predictions = vec![prediction.clone()]) >= 1_000);
        assert!(with(&|o| o.client = Some(thousand.clone())) >= 1_000);
        let shadow = |change: &dyn Fn(&mut ShadowAnswer)| {
            let line = r#"{"version":"2","outcome":"ok"}"#;
            let mut shadow: ShadowAnswer = serde_json::from_str(line).unwrap();
            change(&mut shadow);
            with(&|o| o.shadows = vec![shadow.clone()])
        };
        assert!(shadow(&|s| s.version.clone_from(&thousand)) >= 1_000);
        assert!(shadow(&|s| s.reason = Some(thousand.clone())) >= 1_000);
        assert!(shadow(&|s| s.predictions = vec![prediction.clone()]) >= 1_000);
        assert!(shadow(&|s| s.gaps = vec![Gap::Shape; 1_000]) >= 1_000 * size_of::<Gap>());
        let kept = |input| Payload::Kept(Content { input, output: Value::Null, inclusion_probability: 1.0 });
        let texts = || serde_json::json!({ "texts": [thousand.clone(), thousand.clone()] });
        assert!(with(&|o| o.payload = kept(texts())) >= 2_000);
        assert!(with(&|o| o.payload = kept(texts())) <= 2_500, "a text is not many times what it was");
        // a column of numbers as JSON has it is
        assert!(json(&serde_json::json!(vec![0; 1_000])) >= 1_000 * size_of::<Value>());
    }
}
