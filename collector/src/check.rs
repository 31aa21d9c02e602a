//! What a batch may hold beyond its shape. Faults name the field and the index, as those of decoding do; a place is
//! written out only where there is a fault.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use contract::wire::{
    Batch, Event, FeatureValue, Feedback, Gap, Label, Observation, Payload, SINGLE_SOURCE, WIRE_VERSION,
};

use crate::config::Limits;
use crate::pipeline::Refusal;

/// Names: sources, models, versions, features, classes.
const NAME_BYTES_MAX: usize = contract::feature::NAME_BYTES_MAX;
/// Short texts: reasons, clients, routes, trace ids, categories.
const TEXT_BYTES_MAX: usize = 4096;
const FEATURES_MAX: usize = 65_536;
const SHADOWS_MAX: usize = 64;
/// Of gaps without a unit; of 32-bit floats one may lie a little outside.
const GAP_RELATIVE: RangeInclusive<f64> = -1e-6..=2.0 + 1e-6;
/// Texts that programs write for numbers that JSON has none for, and how these are written here.
const NO_NUMBERS: [(&str, &str); 7] = [
    ("nan", "NaN"),
    ("inf", "Infinity"),
    ("+inf", "Infinity"),
    ("infinity", "Infinity"),
    ("+infinity", "Infinity"),
    ("-inf", "-Infinity"),
    ("-infinity", "-Infinity"),
];
/// Labels, feedback and events are kept for a year.
const LABEL_AGE_MAX: Duration = Duration::from_secs(360 * 86_400);
/// 2000-01-01: an earlier time is in seconds.
const EARLIEST_MS: i64 = 946_684_800_000;

/// Checks a batch's header and number; its observations are checked one by one.
pub(crate) fn batch(batch: &Batch, now_ms: i64, limits: &Limits) -> Result<(), Refusal> {
    let Batch { wire, source, seq, sent_at_ms, observations, .. } = batch;
    if *wire != WIRE_VERSION {
        return invalid(format!("wire is {wire}; this collector reads version {WIRE_VERSION}"));
    }
    self::source(source)?;
    if source == SINGLE_SOURCE {
        return invalid(format!("source '{SINGLE_SOURCE}' is that of single observations; give a host or pod name"));
    }
    if *seq == 0 {
        return invalid("seq is 0; the first batch of an epoch is 1".to_owned());
    }
    // a time ahead would let the analyzer close windows that are still to come
    time("sent_at_ms", *sent_at_ms, now_ms, None, limits)?;
    count(observations.len(), "observations", limits)
}

/// Checks the name of whoever sends.
pub(crate) fn source(source: &str) -> Result<(), Refusal> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-' | b'/');
    if source.is_empty() || source.len() > 128 || !source.bytes().all(plain) {
        return invalid("source is not 1 to 128 letters, digits and . _ : - /; give a host or pod name".to_owned());
    }
    Ok(())
}

/// Whether so many items may come at once.
pub(crate) fn count(items: usize, what: &str, limits: &Limits) -> Result<(), Refusal> {
    if items > limits.max_items {
        let sentence =
            format!("{what} has {items} entries; at most {} at once (collector.limits.max_items)", limits.max_items);
        return Err(Refusal::TooLarge(sentence));
    }
    Ok(())
}

/// Checks an observation; `at` is where it stands (`observations[3].`, or nothing).
pub(crate) fn observation(
    observation: &Observation,
    at: impl Display + Copy,
    now_ms: i64,
    limits: &Limits,
) -> Result<(), Refusal> {
    time(format_args!("{at}at_ms"), observation.at_ms, now_ms, Some(limits.max_age), limits)?;
    name(&observation.model, at, "model")?;
    name(&observation.version, at, "version")?;
    for (value, field) in [
        (Some(&observation.route), "route"),
        (observation.reason.as_ref(), "reason"),
        (observation.client.as_ref(), "client"),
        (observation.trace_id.as_ref(), "trace_id"),
    ] {
        text(value.map_or("", String::as_str), at, field)?;
    }
    if observation.features.len() > FEATURES_MAX {
        return invalid(format!("{at}features has {} entries; at most {FEATURES_MAX}", observation.features.len()));
    }
    for (i, feature) in observation.features.iter().enumerate() {
        name(&feature.name, at, format_args!("features[{i}].name"))?;
        if let FeatureValue::Category(value) = &feature.value {
            text(value, at, format_args!("features[{i}].value"))?;
        }
    }
    predictions(observation, at)?;
    match &observation.payload {
        Payload::Kept(content) if !(content.inclusion_probability > 0.0 && content.inclusion_probability <= 1.0) => {
            let p = content.inclusion_probability;
            invalid(format!("{at}payload.kept.inclusion_probability is {p}; it lies in (0, 1]"))
        }
        Payload::Withheld(reason) => text(reason, at, "payload.withheld"),
        _ => Ok(()),
    }
}

/// Checks what a person may mistake and a numbered batch of a program does not wait for: a refusal would cost the batch.
pub(crate) fn single(observation: &Observation, at: impl Display + Copy) -> Result<(), Refusal> {
    for (i, prediction) in observation.predictions.iter().enumerate() {
        for (value, field) in [(prediction.confidence, "confidence"), (prediction.margin, "margin")] {
            // a sum of 32-bit floats may be a little over
            if !(-1e-6..=1.0 + 1e-6).contains(&value) {
                return invalid(format!("{at}predictions[{i}].{field} is {value}; it is a probability, 0 to 1"));
            }
        }
    }
    for (i, feature) in observation.features.iter().enumerate() {
        if let FeatureValue::Category(text) = &feature.value
            && let Some((_, meant)) = NO_NUMBERS.iter().find(|(word, _)| text.eq_ignore_ascii_case(word))
        {
            return invalid(format!(
                "{at}features[{i}].value is the text \"{text}\", which would be a category; write {{\"number\": \"{meant}\"}} for the \
                 number, or null for a value that is missing"
            ));
        }
    }
    gaps(observation, at)
}

/// Distances: one that is not a number, or below 0, would be within every tolerance.
fn gaps(observation: &Observation, at: impl Display + Copy) -> Result<(), Refusal> {
    for (i, shadow) in observation.shadows.iter().enumerate() {
        for (j, gap) in shadow.gaps.iter().enumerate() {
            let fault = |what: &str, x: f64, range: &str| {
                invalid(format!("{at}shadows[{i}].gaps[{j}].{what} is {x}; it is a distance, {range}"))
            };
            match *gap {
                Gap::Number { absolute, .. } if !(0.0..=f64::MAX).contains(&absolute) => {
                    return fault("number.absolute", absolute, "finite and 0 or more");
                }
                Gap::Number { relative: x, .. } if !GAP_RELATIVE.contains(&x) => {
                    return fault("number.relative", x, "0 to 2");
                }
                Gap::Vector { distance: x } if !GAP_RELATIVE.contains(&x) => {
                    return fault("vector.distance", x, "0 to 2");
                }
                Gap::Number { .. } | Gap::Vector { .. } | Gap::Shape => {}
            }
        }
    }
    Ok(())
}

fn predictions(observation: &Observation, at: impl Display + Copy) -> Result<(), Refusal> {
    for (i, prediction) in observation.predictions.iter().enumerate() {
        text(&prediction.label, at, format_args!("predictions[{i}].label"))?;
    }
    if observation.shadows.len() > SHADOWS_MAX {
        return invalid(format!("{at}shadows has {} entries; at most {SHADOWS_MAX}", observation.shadows.len()));
    }
    for (i, shadow) in observation.shadows.iter().enumerate() {
        name(&shadow.version, at, format_args!("shadows[{i}].version"))?;
        for prediction in &shadow.predictions {
            text(&prediction.label, at, format_args!("shadows[{i}].predictions.label"))?;
        }
    }
    Ok(())
}

/// A time that lies between the oldest allowed and a little ahead of now.
fn time(
    field: impl Display + Copy,
    ms: i64,
    now_ms: i64,
    max_age: Option<Duration>,
    limits: &Limits,
) -> Result<(), Refusal> {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    if ms < EARLIEST_MS {
        return invalid(format!("{field} is {ms}, before 2000; send milliseconds since the Unix epoch"));
    }
    if let Some(age) = max_age.filter(|age| ms < now_ms.saturating_sub(millis(*age))) {
        let days = age.as_secs() / 86_400;
        return invalid(format!("{field} is {ms}, over {days} days ago; rows that old are not kept (limits.max_age)"));
    }
    if ms > now_ms.saturating_add(millis(limits.max_ahead)) {
        return invalid(format!(
            "{field} is {ms}, ahead of this collector's clock, {now_ms}; check the sender's clock"
        ));
    }
    Ok(())
}

/// Checks a label; `at` is where it stands (`labels[3].`, or nothing).
pub(crate) fn label(label: &Label, at: impl Display + Copy, now_ms: i64, limits: &Limits) -> Result<(), Refusal> {
    name(&label.label, at, "label")?;
    label.at_ms.map_or(Ok(()), |ms| time(format_args!("{at}at_ms"), ms, now_ms, Some(LABEL_AGE_MAX), limits))
}

/// Checks feedback; `at` is where it stands.
pub(crate) fn feedback(
    feedback: &Feedback,
    at: impl Display + Copy,
    now_ms: i64,
    limits: &Limits,
) -> Result<(), Refusal> {
    name(&feedback.name, at, "name")?;
    if !feedback.value.number().is_finite() {
        return invalid(format!("{at}value is {}; it is true, false or a finite number", feedback.value.number()));
    }
    feedback.at_ms.map_or(Ok(()), |ms| time(format_args!("{at}at_ms"), ms, now_ms, Some(LABEL_AGE_MAX), limits))
}

/// Checks an event; `at` is where it stands. An incident's model may be unknown.
pub(crate) fn event(event: &Event, at: impl Display + Copy, now_ms: i64, limits: &Limits) -> Result<(), Refusal> {
    time(format_args!("{at}at_ms"), event.at_ms, now_ms, Some(LABEL_AGE_MAX), limits)?;
    name(&event.kind, at, "kind")?;
    for (value, field) in [(&event.model, "model"), (&event.version, "version")] {
        if value.len() > NAME_BYTES_MAX {
            return invalid(format!("{at}{field} is {} bytes long; at most {NAME_BYTES_MAX}", value.len()));
        }
    }
    text(&event.detail, at, "detail")
}

/// Checks a name; `field` says what it names.
pub(crate) fn name(value: &str, at: impl Display + Copy, field: impl Display + Copy) -> Result<(), Refusal> {
    if value.is_empty() {
        return invalid(format!("{at}{field} is empty"));
    }
    if value.len() > NAME_BYTES_MAX {
        return invalid(format!("{at}{field} is {} bytes long; at most {NAME_BYTES_MAX}", value.len()));
    }
    Ok(())
}

fn text(value: &str, at: impl Display + Copy, field: impl Display + Copy) -> Result<(), Refusal> {
    if value.len() > TEXT_BYTES_MAX {
        return invalid(format!("{at}{field} is {} bytes long; at most {TEXT_BYTES_MAX}", value.len()));
    }
    Ok(())
}

fn invalid(sentence: String) -> Result<(), Refusal> {
    Err(Refusal::Invalid(sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, RawConfig};

    const NOW: i64 = 1_767_225_600_000;

    fn sentence(change: impl FnOnce(&mut Observation)) -> String {
        let line = format!(
            r#"{{"id":"01890000-0000-7000-8000-000000000001","at_ms":{NOW},"model":"m","version":"1","outcome":"ok"}}"#
        );
        let mut plain: Observation = serde_json::from_str(&line).unwrap();
        let limits = Config::try_from(RawConfig::default()).unwrap().limits;
        observation(&plain, "", NOW, &limits).unwrap();
        change(&mut plain);
        observation(&plain, "observations[3].", NOW, &limits).unwrap_err().to_string()
    }

    #[test]
    fn what_a_person_mistakes_is_told() {
        let said = |more: &str| {
            let line = format!(
                r#"{{"id":"01890000-0000-7000-8000-000000000001","at_ms":{NOW},"model":"m","version":"1","outcome":"ok",{more}}}"#
            );
            single(&serde_json::from_str(&line).unwrap(), "").map_err(|refusal| refusal.to_string())
        };
        assert_eq!(said(r#""predictions":[{"label":"a","confidence":1.0000001}]"#), Ok(()));
        let error = said(r#""predictions":[{"label":"a","confidence":7}]"#).unwrap_err();
        assert_eq!(error, "predictions[0].confidence is 7; it is a probability, 0 to 1");
        assert_eq!(said(r#""features":[{"name":"x","value":"nancy"},{"name":"y","value":{"number":"NaN"}}]"#), Ok(()));
        let error = said(r#""features":[{"name":"x","value":1},{"name":"y","value":"-inf"}]"#).unwrap_err();
        assert!(
            error.starts_with("features[1].value is the text \"-inf\"") && error.contains(r#"{"number": "-Infinity"}"#),
            "{error}"
        );
    }

    #[test]
    fn a_gap_is_a_distance() {
        let said = |gap: Gap| {
            let line = format!(
                r#"{{"id":"01890000-0000-7000-8000-000000000001","at_ms":{NOW},"model":"m","version":"1","outcome":"ok",
                    "shadows":[{{"version":"2","outcome":"ok"}}]}}"#
            );
            let mut plain: Observation = serde_json::from_str(&line).unwrap();
            plain.shadows[0].gaps = vec![Gap::Shape, gap];
            single(&plain, "").map_err(|refusal| refusal.to_string())
        };
        for good in [Gap::Number { absolute: 1e300, relative: 2.0 }, Gap::Vector { distance: -6e-8 }, Gap::Shape] {
            assert_eq!(said(good), Ok(()));
        }
        for (bad, expected) in [
            (Gap::Number { absolute: f64::NAN, relative: 0.0 }, "shadows[0].gaps[1].number.absolute is NaN; it is"),
            (Gap::Number { absolute: f64::INFINITY, relative: 0.0 }, "absolute is inf; it is a distance, finite"),
            (Gap::Number { absolute: -1.0, relative: 0.0 }, "absolute is -1"),
            (Gap::Number { absolute: 1.0, relative: 2.1 }, "relative is 2.1; it is a distance, 0 to 2"),
            (Gap::Vector { distance: -0.5 }, "shadows[0].gaps[1].vector.distance is -0.5; it is a distance, 0 to 2"),
        ] {
            let sentence = said(bad).unwrap_err();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }

    #[test]
    fn what_cannot_be_is_named() {
        for (found, expected) in [
            (sentence(|o| o.at_ms = NOW / 1000), "observations[3].at_ms is 1767225600, before 2000"),
            (sentence(|o| o.at_ms = NOW - 40 * 86_400_000), "over 28 days ago"),
            (sentence(|o| o.at_ms = NOW + 7_200_000), "ahead of this collector's clock"),
            (sentence(|o| o.at_ms = i64::MAX), "ahead of this collector's clock"),
            (sentence(|o| o.model.clear()), "observations[3].model is empty"),
            (sentence(|o| o.version = "v".repeat(257)), "observations[3].version is 257 bytes long"),
            (sentence(|o| o.client = Some("c".repeat(5000))), "observations[3].client is 5000 bytes long"),
            (
                sentence(|o| {
                    let input = serde_json::Value::Null;
                    let content =
                        contract::wire::Content { output: input.clone(), input, inclusion_probability: f64::NAN };
                    o.payload = Payload::Kept(content);
                }),
                "inclusion_probability is NaN",
            ),
        ] {
            assert!(found.contains(expected), "{found}");
        }
    }
}
