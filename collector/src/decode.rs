//! From a body to observations or labels, and a sentence that says what is wrong with it, which field and which index.
//!
//! A body is a batch (or a list of labels), or a single observation (or label) for people with curl: which one is told
//! by its fields. A single observation may leave out its `id` and its `at_ms`. Many of them come as JSON lines; labels and
//! feedback also as CSV.

mod lines;
mod newer;
mod words;

use std::io::Read as _;

use contract::wire::{Batch, Events, Feedback, Label, Labels, Observation, Outcomes};
use rmp_serde::decode::ReadRefReader;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use uuid::Uuid;

use crate::budget::Held;
use crate::pipeline::Refusal;

pub(crate) use newer::LeftOut;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Json,
    Msgpack,
    /// One JSON value a line.
    Lines,
    /// Rows under a header; of what is flat.
    Csv,
}

/// What was posted.
#[derive(Debug)]
pub(crate) enum Posted {
    /// A numbered batch.
    Batch(Batch),
    /// One of a sender that is newer than this program, without what this program does not know.
    Newer(Batch, LeftOut),
    /// Observations that nobody numbered, and whether the id of each is its sender's.
    Singles(Vec<(Observation, bool)>),
}

/// Largest window of a zstd frame, as a power of two: 8 MiB, which is that of every level without `--ultra` or `--long`.
const WINDOW_LOG_MAX: u32 = 23;
/// Bytes that are decompressed between two looks at the budget.
const CHUNK_BYTES: u64 = 1 << 20;
/// Containers within containers, of MessagePack; what JSON's reader takes, and some more.
const DEPTH_MAX: usize = 160;
/// Memory of one decoded value beside its own bytes: a [`Value`] in a list that doubled when it was full.
const VALUE_BYTES: usize = 64;

/// Decompresses a zstd body, up to the limit; what it grows to is taken from the budget before, where the body says its
/// length, and as it grows where it does not.
pub(crate) fn decompress(body: &[u8], max_bytes: usize, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    if let Some(length) = told_length(body).filter(|length| *length <= max_bytes) {
        held.grow(length)?;
        // one that lies about it, or has more than one frame, is read as it comes
        if let Ok(plain) = zstd::bulk::decompress(body, length)
            && plain.len() == length
        {
            return Ok(plain);
        }
    }
    decompress_slowly(body, max_bytes, held)
}

/// The length that a body's only frame says it has.
pub(crate) fn told_length(body: &[u8]) -> Option<usize> {
    let whole = zstd::zstd_safe::find_frame_compressed_size(body).is_ok_and(|length| length == body.len());
    let length = zstd::zstd_safe::get_frame_content_size(body).ok().flatten().filter(|_| whole)?;
    usize::try_from(length).ok()
}

fn decompress_slowly(body: &[u8], max_bytes: usize, held: &mut Held) -> Result<Vec<u8>, Refusal> {
    let broken =
        |error: std::io::Error| Refusal::Malformed(format!("the body is not the zstd it is said to be: {error}"));
    let mut decoder = zstd::stream::Decoder::new(body).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    let mut plain = Vec::new();
    while plain.len() <= max_bytes {
        let most = CHUNK_BYTES.min((max_bytes - plain.len()) as u64 + 1);
        let read = decoder.by_ref().take(most).read_to_end(&mut plain).map_err(broken)?;
        held.grow(read)?;
        if (read as u64) < most {
            return Ok(plain);
        }
    }
    let sentence =
        format!("the body is over {max_bytes} bytes after decompression (collector.limits.max_decoded_bytes)");
    Err(Refusal::TooLarge(sentence))
}

/// Refuses a body that would grow past the limit in being read: a megabyte of small numbers is sixty of values.
pub(crate) fn weigh(body: &[u8], form: Form, max_bytes: usize, held: &mut Held) -> Result<(), Refusal> {
    let weight = body.len().saturating_add(values(body, form).saturating_mul(VALUE_BYTES));
    if weight > max_bytes {
        return Err(Refusal::TooLarge(format!(
            "the body would take {weight} bytes of memory to read, over {max_bytes} (collector.limits.max_decoded_bytes); \
             send it in parts"
        )));
    }
    held.grow(weight)
}

/// Values, keys and containers in a body, without reading them; of a body that cannot be read, a number all the same.
fn values(body: &[u8], form: Form) -> usize {
    match form {
        Form::Json => {
            // raw tensors may lie behind it, of which every byte may be a value
            let (json, raw) = body.split_at(json_end(body));
            json_values(json).saturating_add(raw.len())
        }
        Form::Lines => json_values(body),
        Form::Msgpack => msgpack_values(body),
        Form::Csv => body.iter().filter(|byte| matches!(byte, b',' | b'\n')).count() + 1,
    }
}

/// Where the first list or object ends; of a body that has none, at its end.
fn json_end(body: &[u8]) -> usize {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let end = body.iter().position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => depth += 1,
            b']' | b'}' if !in_text => {
                depth = depth.saturating_sub(1);
                return depth == 0;
            }
            _ => {}
        }
        false
    });
    end.map_or(body.len(), |end| end + 1)
}

/// Every value but the first follows one of `,:[{` outside of a string.
fn json_values(body: &[u8]) -> usize {
    let (mut count, mut in_text, mut escaped) = (1_usize, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b',' | b':' | b'[' | b'{' if !in_text => count += 1,
            _ => {}
        }
    }
    count
}

/// One marker a value, see the MessagePack specification's table of formats; a container's items follow it.
fn msgpack_values(body: &[u8]) -> usize {
    let (mut count, mut at) = (0_usize, 0_usize);
    let length = |at: usize, bytes: usize| {
        let digits = body.get(at + 1..at + 1 + bytes).unwrap_or_default();
        digits.iter().fold(0_usize, |n, digit| n << 8 | usize::from(*digit))
    };
    while let Some(marker) = body.get(at) {
        count += 1;
        let more = match marker {
            0xA0..=0xBF => usize::from(marker & 0x1F),
            0xC4 | 0xD9 => 1 + length(at, 1),
            0xC5 | 0xDA => 2 + length(at, 2),
            0xC6 | 0xDB => 4 + length(at, 4),
            0xC7 => 2 + length(at, 1),
            0xC8 => 3 + length(at, 2),
            0xC9 => 5 + length(at, 4),
            0xCC | 0xD0 => 1,
            0xCD | 0xD1 | 0xD4 | 0xDC | 0xDE => 2,
            0xD5 => 3,
            0xCA | 0xCE | 0xD2 | 0xDD | 0xDF => 4,
            0xD6 => 5,
            0xCB | 0xCF | 0xD3 => 8,
            0xD7 => 9,
            0xD8 => 17,
            _ => 0,
        };
        at = at.saturating_add(1 + more);
    }
    count
}

/// Fields by which the shapes are told apart.
#[derive(Deserialize)]
struct Probe {
    wire: Option<IgnoredAny>,
    observations: Option<IgnoredAny>,
    labels: Option<IgnoredAny>,
    outcomes: Option<IgnoredAny>,
}

/// Reads the body of `POST /v1/observations`.
pub(crate) fn observations(body: &[u8], form: Form, now_ms: i64) -> Result<Posted, Refusal> {
    match form {
        Form::Csv => {
            let sentence =
                "content-type 'text/csv' is not read here, since an observation is not flat; send application/x-ndjson";
            return Err(Refusal::Unsupported(sentence.to_owned()));
        }
        Form::Lines => {
            let values = lines::json::<Value>(body)?;
            let fault = |i: usize, error| Refusal::Malformed(format!("observation {}: {}", i + 1, says(error)));
            let singles = values.into_iter().enumerate();
            let singles = singles.map(|(i, value)| single(value, now_ms).map_err(|error| fault(i, error)));
            return singles.collect::<Result<_, _>>().map(Posted::Singles);
        }
        Form::Json | Form::Msgpack => {}
    }
    no_list(body, form, "send its observations one a line, with content-type application/x-ndjson")?;
    // what most posts are; a body that is not gets its sentence below, from a reader that knows where it is
    if let Some(batch) = quickly(body, form) {
        return Ok(Posted::Batch(batch));
    }
    let probe: Probe = read(body, form)?;
    if probe.wire.is_some() || probe.observations.is_some() {
        let newer = if form == Form::Msgpack { newer::batch(body) } else { None };
        return newer
            .map_or_else(|| read(body, form).map(Posted::Batch), |(batch, more)| Ok(Posted::Newer(batch, more)));
    }
    let one = single(read(body, form)?, now_ms).map_err(sentence)?;
    Ok(Posted::Singles(vec![one]))
}

/// An observation that may have neither id nor time, and whether the id is its sender's.
fn single(value: Value, now_ms: i64) -> Result<(Observation, bool), serde_path_to_error::Error<serde_json::Error>> {
    let (mut value, mut named) = (value, true);
    if let Some(fields) = value.as_object_mut() {
        if !fields.contains_key("id") {
            named = false;
            fields.insert("id".to_owned(), Uuid::now_v7().to_string().into());
        }
        fields.entry("at_ms").or_insert_with(|| now_ms.into());
    }
    serde_path_to_error::deserialize(value).map(|observation| (observation, named))
}

/// Reads the body of `POST /v1/labels`.
pub(crate) fn labels(body: &[u8], form: Form) -> Result<Vec<Label>, Refusal> {
    flat(body, form, |probe| probe.labels.is_some(), |all: Labels| all.labels)
}

/// Reads the body of `POST /v1/outcomes`.
pub(crate) fn outcomes(body: &[u8], form: Form) -> Result<Vec<Feedback>, Refusal> {
    flat(body, form, |probe| probe.outcomes.is_some(), |all: Outcomes| all.outcomes)
}

/// Reads the body of `POST /v1/events`.
pub(crate) fn events(body: &[u8], form: Form) -> Result<Events, Refusal> {
    match form {
        Form::Json | Form::Msgpack => read(body, form),
        Form::Lines | Form::Csv => {
            Err(Refusal::Unsupported("events are read as one JSON object; send application/json".to_owned()))
        }
    }
}

/// A list under a name, a single one, or lines.
fn flat<T: DeserializeOwned, L: DeserializeOwned>(
    body: &[u8],
    form: Form,
    is_list: fn(&Probe) -> bool,
    items: fn(L) -> Vec<T>,
) -> Result<Vec<T>, Refusal> {
    match form {
        Form::Lines => return lines::json(body),
        Form::Csv => return lines::csv(body),
        Form::Json | Form::Msgpack => {}
    }
    no_list(
        body,
        form,
        "send {\"labels\": [...]} (or outcomes), or one object a line with content-type application/x-ndjson",
    )?;
    if is_list(&read(body, form)?) {
        return read(body, form).map(items);
    }
    read(body, form).map(|one| vec![one])
}

/// Reads without remembering the way to where it is, which costs more than the reading.
fn quickly<T: DeserializeOwned>(body: &[u8], form: Form) -> Option<T> {
    match form {
        Form::Json => serde_json::from_slice(body).ok(),
        Form::Msgpack => {
            let mut reader = packed(body);
            T::deserialize(&mut reader).ok().filter(|_| is_at_end(&mut reader))
        }
        Form::Lines | Form::Csv => None,
    }
}

/// A list would be read as the fields of an object in their order.
fn no_list(body: &[u8], form: Form, remedy: &str) -> Result<(), Refusal> {
    let is_list = form == Form::Json && body.trim_ascii_start().first() == Some(&b'[');
    if is_list { Err(Refusal::Malformed(format!("the body is a list; {remedy}"))) } else { Ok(()) }
}

fn read<T: DeserializeOwned>(body: &[u8], form: Form) -> Result<T, Refusal> {
    match form {
        // these are read line by line, above
        Form::Json | Form::Lines | Form::Csv => {
            let mut reader = serde_json::Deserializer::from_slice(body);
            let value = serde_path_to_error::deserialize(&mut reader).map_err(sentence)?;
            let more = "the body goes on after its JSON value; if it is one object a line, send content-type application/x-ndjson";
            reader.end().map_err(|error| Refusal::Malformed(format!("{more} ({error})")))?;
            Ok(value)
        }
        Form::Msgpack => {
            let mut reader = packed(body);
            let value = serde_path_to_error::deserialize(&mut reader).map_err(sentence)?;
            if !is_at_end(&mut reader) {
                let more = "the body goes on after its MessagePack value; send one value a post";
                return Err(Refusal::Malformed(more.to_owned()));
            }
            Ok(value)
        }
    }
}

/// A reader of MessagePack that goes no deeper than a thread's stack.
fn packed(body: &[u8]) -> rmp_serde::Deserializer<ReadRefReader<'_, [u8]>> {
    let mut reader = rmp_serde::Deserializer::from_read_ref(body);
    reader.set_max_depth(DEPTH_MAX);
    reader
}

/// Whether nothing is left: the reader does not tell where it is, but only there it misses a marker. A number needs no
/// second one, whatever it meets.
fn is_at_end(reader: &mut rmp_serde::Deserializer<ReadRefReader<'_, [u8]>>) -> bool {
    matches!(u8::deserialize(reader), Err(rmp_serde::decode::Error::InvalidMarkerRead(_)))
}

/// `observations[3].timings.total_us: invalid type: …`
fn sentence<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> Refusal {
    let nowhere = place(&error).is_empty();
    let said = says(error);
    Refusal::Malformed(if nowhere { format!("the body cannot be read: {said}") } else { said })
}

fn says<E: std::fmt::Display>(error: serde_path_to_error::Error<E>) -> String {
    let place = place(&error);
    let inner = words::plain(&error.into_inner().to_string());
    if place.is_empty() { inner } else { format!("{place}: {inner}") }
}

/// Where an error is; a place inside a value that broke off has no name.
fn place<E>(error: &serde_path_to_error::Error<E>) -> String {
    error.path().to_string().trim_end_matches(['.', '?']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any};

    fn refused(json: &str) -> String {
        observations(json.as_bytes(), Form::Json, 5).unwrap_err().to_string()
    }

    const BATCH: &str = r#"{"wire":1,"source":"s","epoch":1,"seq":1,"sent_at_ms":1,"observations":["#;

    #[test]
    fn a_sentence_says_which_field_and_which_index() {
        for (json, expected) in [
            ("{", "the body cannot be read: EOF"),
            ("[]", "the body is a list; send its observations one a line"),
            (
                "{} {}",
                "goes on after its JSON value; if it is one object a line, send content-type application/x-ndjson",
            ),
            (r#"{"wire":1}"#, "missing field `source`"),
            (r#"{"model":"m"}"#, "missing field `version`"),
            (r#"{"id":"x","model":"m","version":"1","outcome":"ok"}"#, "id: UUID parsing failed"),
            (r#"{"model":"m","version":"1","outcome":"fine"}"#, "outcome: `fine` is none of ok, invalid"),
            (
                r#"{"model":"m","version":"1","outcome":"ok","code":-1}"#,
                "code: is -1, and a whole number from 0 to 65535 belongs",
            ),
            (
                r#"{"model":"m","version":"1","outcome":"ok","features":[{"name":"x","value":[1]}]}"#,
                "features[0].value: is a list, and a number, a string, null or",
            ),
            (&format!(r#"{BATCH}{{"id":1}}]}}"#), "observations[0].id: "),
        ] {
            let sentence = refused(json);
            assert!(sentence.contains(expected), "{json}: {sentence}");
        }
        let line = r#"{"id":"01890000-0000-7000-8000-000000000001","at_ms":1,"model":"m","version":"1","outcome":"ok""#;
        let sentence = refused(&format!(r#"{BATCH}{line}}},{line},"timings":{{"total_us":"slow"}}}}]}}"#));
        assert!(sentence.starts_with("observations[1].timings.total_us: is the text \"slow\""), "{sentence}");
    }

    #[test]
    fn a_single_observation_may_leave_out_id_and_time() {
        let line = r#"{"model":"m","version":"1","outcome":"ok"}"#;
        match observations(line.as_bytes(), Form::Json, 5).unwrap() {
            Posted::Singles(singles) => {
                let [(observation, named)] = singles.as_slice() else { panic!("{singles:?}") };
                assert!(!named);
                assert_eq!(observation.at_ms, 5);
                assert_eq!(observation.id.get_version_num(), 7);
            }
            other => panic!("{other:?}"),
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
    fn two_batches_in_one_body_are_not_taken_for_one() {
        let batch: Batch = serde_json::from_str(&format!("{BATCH}]}}")).unwrap();
        let one = rmp_serde::to_vec_named(&batch).unwrap();
        assert!(matches!(observations(&one, Form::Msgpack, 5), Ok(Posted::Batch(_))));
        // a second batch, and what begins every kind of value and is not whole
        let more = [0x00, 0x81, 0x91, 0xA1, 0xC0, 0xC1, 0xC4, 0xC7, 0xCA, 0xCC, 0xD4, 0xD9, 0xDC, 0xDE, 0xFF];
        for rest in std::iter::once(one.clone()).chain(more.map(|byte| vec![byte])) {
            let refused = observations(&[one.as_slice(), &rest].concat(), Form::Msgpack, 5).unwrap_err();
            assert!(refused.to_string().contains("goes on after its MessagePack value"), "{rest:x?}: {refused}");
        }
    }

    /// A post must not end the process, however deep it goes: posts are worked on by threads with 2 MiB of stack.
    #[test]
    fn what_is_nested_too_deep_is_refused() {
        let nested = |depth: usize| {
            let mut batch: Batch = serde_json::from_str(&format!("{BATCH}]}}")).unwrap();
            let mut line: Value =
                serde_json::from_str(r#"{"at_ms":1,"model":"m","version":"1","outcome":"ok"}"#).unwrap();
            line["id"] = Uuid::from_u128(1).to_string().into();
            line["payload"] = serde_json::json!({"kept": {"input": "here"}});
            batch.observations.push(serde_json::from_value(line).unwrap());
            let body = rmp_serde::to_vec_named(&batch).unwrap();
            let at = body.windows(5).position(|w| w == b"\xA4here").unwrap();
            [&body[..at], &vec![0x91; depth], b"\xA4here", &body[at + 5..]].concat()
        };
        let read = move |depth| observations(&nested(depth), Form::Msgpack, 5).map(|_| ()).map_err(|e| e.to_string());
        let thread = std::thread::Builder::new().stack_size(2 << 20);
        let work = move || (read(100), read(1_000), read(100_000));
        let (shallow, deep, abyss) = thread.spawn(work).unwrap().join().unwrap();
        assert_eq!(shallow, Ok(()));
        assert!(deep.clone().unwrap_err().contains("depth limit exceeded"), "{deep:?}");
        assert!(abyss.is_err());
    }

    fn held() -> Held {
        crate::budget::Budget::new(1 << 30).held()
    }

    #[test]
    fn a_bomb_is_not_inflated() {
        let bomb = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
        assert!(bomb.len() < 1000);
        assert!(matches!(decompress(&bomb, 1 << 16, &mut held()), Err(Refusal::TooLarge(_))));
        assert!(matches!(decompress(&bomb, (1 << 20) - 1, &mut held()), Err(Refusal::TooLarge(_))));
        assert_eq!(decompress(&bomb, 1 << 20, &mut held()).unwrap().len(), 1 << 20);
        assert!(matches!(decompress(b"plain", 10, &mut held()), Err(Refusal::Malformed(_))));
        let mut little = crate::budget::Budget::new(1 << 19).held();
        assert!(matches!(decompress(&bomb, 1 << 20, &mut little), Err(Refusal::Later { .. })));
    }

    #[test]
    fn a_window_that_would_take_a_hundred_megabytes_is_refused() {
        // magic, a descriptor without single segment or size, a window of 2^27; an empty last block
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0x00, (27 - 10) << 3, 0x01, 0x00, 0x00];
        assert!(matches!(decompress(&frame, 1 << 20, &mut held()), Err(Refusal::Malformed(_))));
        let frame = [0x28, 0xB5, 0x2F, 0xFD, 0x00, (23 - 10) << 3, 0x01, 0x00, 0x00];
        assert_eq!(decompress(&frame, 1 << 20, &mut held()).unwrap(), b"");
    }

    #[test]
    fn small_values_weigh_what_they_become() {
        let packed = rmp_serde::to_vec(&vec![0_u8; 1 << 20]).unwrap();
        let refused = weigh(&packed, Form::Msgpack, 1 << 24, &mut held()).unwrap_err();
        assert!(refused.to_string().contains("would take 68157509 bytes"), "{refused}");
        weigh(&packed, Form::Msgpack, 1 << 27, &mut held()).unwrap();
        let text = serde_json::to_vec(&"a, [text] {of}: signs \" ".repeat(1000)).unwrap();
        weigh(&text, Form::Json, text.len() + VALUE_BYTES, &mut held()).unwrap();
        // raw tensors behind a request, a value a byte
        let raw = [br#"{"inputs":[]}"#.as_slice(), &[0; 1 << 20]].concat();
        assert!(matches!(weigh(&raw, Form::Json, 32 << 20, &mut held()), Err(Refusal::TooLarge(_))));
    }

    fn count(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(count).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(|v| 1 + count(v)).sum::<usize>(),
            _ => 1,
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = proptest::prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,300}".prop_map(Value::from),
            proptest::strategy::Just(Value::Null),
        ];
        leaf.prop_recursive(4, 64, 40, |inner| {
            proptest::prop_oneof![
                proptest::collection::vec(inner.clone(), 0..40).prop_map(Value::from),
                proptest::collection::btree_map(".{0,40}", inner, 0..20)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..256)) {
            for form in [Form::Json, Form::Msgpack, Form::Lines, Form::Csv] {
                let _ = weigh(&body, form, 1 << 30, &mut held());
                let _ = observations(&body, form, 0);
                let _ = labels(&body, form);
                let _ = outcomes(&body, form);
                let _ = events(&body, form);
            }
            let _ = decompress(&body, 1024, &mut held());
        }

        #[test]
        fn every_value_is_counted(value in any_value()) {
            let expected = count(&value);
            proptest::prop_assert_eq!(values(&rmp_serde::to_vec(&value).unwrap(), Form::Msgpack), expected);
            let text = serde_json::to_vec(&value).unwrap();
            // an empty list or object in JSON has a bracket with nothing behind it
            let counted = values(&text, Form::Json);
            proptest::prop_assert!(counted >= expected && counted <= 2 * expected, "{} for {}", counted, expected);
        }
    }
}
