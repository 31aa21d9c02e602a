//! From a body to observations or labels, and a sentence that says what is wrong with it, which field and which index.
//!
//! A body is a batch (or a list of labels), or a single observation (or label) for people with curl: which one is told
//! by its fields. A single observation may leave out its `id` and its `at_ms`.

use std::io::Read as _;

use contract::wire::{Batch, Label, Labels, Observation};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use uuid::Uuid;

use crate::pipeline::Refusal;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Msgpack,
}

/// What was posted.
#[derive(Debug)]
pub(crate) enum Posted {
    /// A numbered batch.
    Batch(Batch),
    /// One observation, and whether its id is its sender's.
    Single(Box<Observation>, bool),
}

/// Decompresses a zstd body, up to the limit.
pub(crate) fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Refusal> {
    let broken =
        |error: std::io::Error| Refusal::Malformed(format!("the body is not the zstd it is said to be: {error}"));
    let decoder = zstd::stream::Decoder::new(body).map_err(broken)?;
    let mut plain = Vec::new();
    decoder.take(max_bytes as u64 + 1).read_to_end(&mut plain).map_err(broken)?;
    if plain.len() > max_bytes {
        let sentence =
            format!("the body is over {max_bytes} bytes after decompression (collector.limits.max_decoded_bytes)");
        return Err(Refusal::TooLarge(sentence));
    }
    Ok(plain)
}

/// Fields by which the shapes are told apart.
#[derive(Deserialize)]
struct Probe {
    wire: Option<IgnoredAny>,
    observations: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
}

/// Reads the body of `POST /v1/observations`.
pub(crate) fn observations(body: &[u8], form: Form, now_ms: i64) -> Result<Posted, Refusal> {
    let probe: Probe = read(body, form)?;
    if probe.wire.is_some() || probe.observations.is_some() {
        return read(body, form).map(Posted::Batch);
    }
    let mut value: Value = read(body, form)?;
    let mut named = true;
    if let Some(fields) = value.as_object_mut() {
        if !fields.contains_key("id") {
            named = false;
            fields.insert("id".to_owned(), Uuid::now_v7().to_string().into());
        }
        fields.entry("at_ms").or_insert_with(|| now_ms.into());
    }
    serde_path_to_error::deserialize(value).map(|observation| Posted::Single(observation, named)).map_err(sentence)
}

/// Reads the body of `POST /v1/labels`.
pub(crate) fn labels(body: &[u8], form: Form) -> Result<Vec<Label>, Refusal> {
    let probe: Probe = read(body, form)?;
    if probe.labels.is_some() {
        return read::<Labels>(body, form).map(|labels| labels.labels);
    }
    read(body, form).map(|label| vec![label])
}

fn read<T: DeserializeOwned>(body: &[u8], form: Form) -> Result<T, Refusal> {
    match form {
        Form::Json => {
            let mut reader = serde_json::Deserializer::from_slice(body);
            let value = serde_path_to_error::deserialize(&mut reader).map_err(sentence)?;
            reader
                .end()
                .map_err(|error| Refusal::Malformed(format!("the body goes on after its JSON value: {error}")))?;
            Ok(value)
        }
        Form::Msgpack => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(body);
            serde_path_to_error::deserialize(&mut reader).map_err(sentence)
        }
    }
}

/// `observations[3].timings.total_us: invalid type: …`
fn sentence<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> Refusal {
    // a place inside a value that broke off has no name
    let path = error.path().to_string();
    let path = path.trim_end_matches(['.', '?']);
    let inner = error.into_inner();
    Refusal::Malformed(if path.is_empty() {
        format!("the body cannot be read: {inner}")
    } else {
        format!("{path}: {inner}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(json: &str) -> String {
        observations(json.as_bytes(), Form::Json, 5).unwrap_err().to_string()
    }

    const BATCH: &str = r#"{"wire":1,"source":"s","epoch":1,"seq":1,"sent_at_ms":1,"observations":["#;

    #[test]
    fn a_sentence_says_which_field_and_which_index() {
        for (json, expected) in [
            ("{", "the body cannot be read: EOF"),
            ("[]", "the body cannot be read: "),
            ("{} {}", "goes on after"),
            (r#"{"wire":1}"#, "missing field `source`"),
            (r#"{"model":"m"}"#, "missing field `version`"),
            (r#"{"id":"x","model":"m","version":"1","outcome":"ok"}"#, "id: UUID parsing failed"),
            (r#"{"model":"m","version":"1","outcome":"fine"}"#, "outcome: unknown variant `fine`"),
            (&format!(r#"{BATCH}{{"id":1}}]}}"#), "observations[0].id: "),
        ] {
            let sentence = refused(json);
            assert!(sentence.contains(expected), "{json}: {sentence}");
        }
        let line = r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok""#;
        let sentence = refused(&format!(r#"{BATCH}{line}}},{line},"timings":{{"total_us":"slow"}}}}]}}"#));
        assert!(sentence.starts_with("observations[1].timings.total_us: invalid type"), "{sentence}");
    }

    #[test]
    fn a_single_observation_may_leave_out_id_and_time() {
        let line = r#"{"model":"m","version":"1","outcome":"ok"}"#;
        match observations(line.as_bytes(), Form::Json, 5).unwrap() {
            Posted::Single(observation, named) => {
                assert!(!named);
                assert_eq!(observation.at_ms, 5);
                assert_eq!(observation.id.get_version_num(), 7);
            }
            Posted::Batch(batch) => panic!("{batch:?}"),
        }
    }

    #[test]
    fn labels_come_alone_or_together() {
        let one = r#"{"id":"01890000-0000-7000-8000-000000000001","label":"a"}"#;
        assert_eq!(labels(one.as_bytes(), Form::Json).unwrap().len(), 1);
        let two = format!(r#"{{"labels":[{one},{one}]}}"#);
        assert_eq!(labels(two.as_bytes(), Form::Json).unwrap().len(), 2);
        let packed = rmp_serde::to_vec_named(&serde_json::from_str::<Labels>(&two).unwrap()).unwrap();
        assert_eq!(labels(&packed, Form::Msgpack).unwrap().len(), 2);
        assert!(labels(&packed[..packed.len() - 1], Form::Msgpack).is_err());
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(bomb.len() < 1000);
        assert!(matches!(decompress(&bomb, 1 << 16), Err(Refusal::TooLarge(_))));
        assert_eq!(decompress(&bomb, 1 << 20).unwrap().len(), 1 << 20);
        assert!(matches!(decompress(b"plain", 10), Err(Refusal::Malformed(_))));
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..256)) {
            for form in [Form::Json, Form::Msgpack] {
                let _ = observations(&body, form, 0);
                let _ = labels(&body, form);
            }
            let _ = decompress(&body, 1024);
        }
    }
}
