//! Names that a model finds: what it is asked, what becomes of its findings, and that nothing passes without them.
//!
//! The model here is a list of words, so that each case says what it found; the real one is asked in the proxy's and the
//! collector's tests.
#![allow(clippy::unwrap_used)]

use contract::wire::{
    Content, Feature, FeatureValue, Observation, Outcome, Payload, Prediction, ShadowAnswer, Timings,
};
use masking::{
    Answered, Entity, Finding, Known, Masked, Masker, Memo, RawConfig, RawKeys, RawNamed, RawNames, RawOperator,
    WITHHELD_NAMES, WITHHELD_NAMES_LIMIT, Withheld,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn observation(input: Value, output: Value) -> Observation {
    Observation {
        id: uuid::Uuid::from_u128(1),
        trace_id: None,
        at_ms: 1,
        model: "Lovelace".into(),
        version: "1".into(),
        route: "predict".into(),
        outcome: Outcome::Ok,
        code: 200,
        reason: Some("queue_full".into()),
        client: None,
        timings: Timings::default(),
        items: 1,
        features: vec![],
        predictions: vec![],
        shadows: vec![],
        payload: Payload::Kept(Content { input, output, inclusion_probability: 1.0 }),
    }
}

fn category(name: &str, value: &str) -> Feature {
    Feature { name: name.into(), item: 0, value: FeatureValue::Category(value.into()) }
}

/// A model that knows some words, each with its label, and reads so many characters.
struct Words<'a> {
    words: &'a [(&'a str, &'a str, f64)],
    reads: usize,
}

impl Words<'_> {
    fn answer(&self, text: &str) -> Answered {
        let read: String = text.chars().take(self.reads).collect();
        let found = self.words.iter().flat_map(|(word, label, score)| {
            read.match_indices(word).map(|(at, _)| {
                let start = read[..at].chars().count();
                let (label, score) = ((*label).to_owned(), *score);
                Finding { label, score, start, end: start + word.chars().count() }
            })
        });
        Answered { findings: found.collect(), truncated: text.chars().count() > self.reads }
    }

    fn known(&self, masker: &Masker, plain: &Observation) -> Known {
        let mut inquiry = masker.inquiry([plain], &Memo::default());
        while !inquiry.is_done() {
            let batch = inquiry.batch();
            assert!(!batch.is_empty() && batch.iter().all(|text| text.chars().any(char::is_alphabetic)));
            inquiry.answered(batch.iter().map(|text| self.answer(text)));
        }
        inquiry.known()
    }

    fn mask(&self, masker: &Masker, plain: Observation) -> Masked {
        let known = self.known(masker, &plain);
        masker.mask_named(plain, &known)
    }
}

const WORDS: Words<'_> = Words {
    words: &[
        ("Ada Lovelace", "PER", 0.9),
        ("Turin", "B-LOC", 0.9),
        ("Acme", "I-ORG", 0.9),
        ("English", "MISC", 0.9),
        ("Mark", "B-PER", 0.3),
    ],
    reads: 10_000,
};

fn masker() -> Masker {
    Masker::new(&RawConfig::default()).unwrap()
}

fn contents(masked: &Masked) -> (&Value, &Value) {
    match &masked.sample.payload {
        Payload::Kept(content) => (&content.input, &content.output),
        other => panic!("{other:?}"),
    }
}

fn withheld(masked: &Masked) -> &str {
    match &masked.sample.payload {
        Payload::Withheld(why) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_model_finds_is_masked_beside_what_patterns_find() {
    let input = json!({"texts": ["Ada Lovelace (ada@example.com) of Acme, Turin, Mark my English words"], "n": 4});
    let masked = WORDS.mask(&masker(), observation(input, Value::Null));
    let expected = json!({"texts": ["[PERSON] ([EMAIL]) of [ORGANISATION], [PLACE], Mark my English words"], "n": 4});
    assert_eq!(contents(&masked).0, &expected);
    let given: Vec<(Entity, u64)> = masked.hits.given.clone().into_iter().collect();
    assert_eq!(given, [(Entity::Person, 1), (Entity::Place, 1), (Entity::Organisation, 1)]);
    assert_eq!(masked.hits.total(), 1, "what patterns found is counted apart");
    assert_eq!(masked.sample.model, "Lovelace", "the name of a model is a name of ours");
}

/// A model that takes every word with a capital for a name: it may hide neither the word that tells what a number is nor a
/// part of what a pattern knows as a whole.
#[test]
fn what_patterns_find_is_masked_whatever_the_model_takes_for_a_name() {
    let masker = masker();
    for line in include_str!("data/cases.jsonl").lines() {
        let case: Vec<Value> = serde_json::from_str(line).unwrap();
        let (text, from, to) = (case[1].as_str().unwrap(), case.get(2), case.get(3));
        let (Some(from), Some(to)) = (from.and_then(Value::as_u64), to.and_then(Value::as_u64)) else { continue };
        let identifier: String = text.chars().take(to as usize).skip(from as usize).collect();
        let capital = |word: &&str| word.starts_with(char::is_uppercase) && word.chars().all(char::is_alphanumeric);
        let words: Vec<(&str, &str, f64)> =
            text.split(|c: char| !c.is_alphanumeric()).filter(capital).map(|word| (word, "ORG", 0.9)).collect();
        let model = Words { words: &words, reads: 10_000 };
        let masked = model.mask(&masker, observation(json!({ "text": text }), Value::Null));
        let Payload::Kept(content) = &masked.sample.payload else { continue };
        let left = content.input.to_string();
        assert!(!left.contains(json!(identifier).to_string().trim_matches('"')), "{text} became {left}");
    }
}

/// What a key tells of its value is told also where the model takes the key for a name.
#[test]
fn a_key_that_is_a_name_still_tells_what_its_value_is() {
    let model = Words { words: &[("SSN", "ORG", 0.9), ("Ticket", "ORG", 0.9)], reads: 10_000 };
    let fields = [("input.Ticket".to_owned(), masking::RawField::Drop)].into();
    let masker = Masker::new(&RawConfig { fields, ..RawConfig::default() }).unwrap();
    let input = json!({"SSN": "219099999", "Ticket": 4711});
    let masked = model.mask(&masker, observation(input, Value::Null));
    let (input, _) = contents(&masked);
    assert!(!input.to_string().contains("219099999") && !input.to_string().contains("4711"), "{input}");
}

/// A name is masked wherever it stands: in keys, in columns, and where it stands alone, as in the model's own quotation of
/// it: there a model often does not know it for one.
#[test]
fn a_name_is_found_in_keys_and_columns_and_again_in_the_answer() {
    let input = json!({"text": "Yes, Ada Lovelace wrote", "owner": {"Acme": 1}});
    let output = json!({"quotes": ["Ada Lovelace", "Ada Lovelaces"], "cities": ["Turinese", "Turin"]});
    let mut plain = observation(input, output);
    plain.features =
        vec![category("input.city", "Turin"), category("input.home", "own"), category("text.language", "Turin")];
    let masker = masker();
    let mut inquiry = masker.inquiry([&plain], &Memo::default());
    let batch = inquiry.batch();
    let shy = |text: &String| if text.starts_with("Ada") { Answered::default() } else { WORDS.answer(text) };
    inquiry.answered(batch.iter().map(shy));
    let masked = masker.mask_named(plain, &inquiry.known());
    let (input, output) = contents(&masked);
    assert_eq!(input, &json!({"text": "Yes, [PERSON] wrote", "owner": {"[ORGANISATION]": 1}}));
    assert_eq!(output["quotes"], json!(["[PERSON]", "Ada Lovelaces"]), "only as a whole");
    assert_eq!(output["cities"], json!(["[PLACE]", "[PLACE]"]), "what the model found is widened to its word");
    let features = ["[PLACE]", "own", "Turin"].map(|value| FeatureValue::Category(value.into()));
    assert_eq!(masked.sample.features.iter().map(|f| f.value.clone()).collect::<Vec<_>>(), features);
}

/// A longer name that begins where a shorter one stands, and does not stand whole itself, hides nothing; where it does, it
/// is one name and not two.
#[test]
fn a_name_within_the_beginning_of_another_is_masked_again() {
    let model = Words { words: &[("Ada", "PER", 0.9), ("Ada Lovelace Institute", "ORG", 0.9)], reads: 10_000 };
    let input = json!({"a": "Ada wrote", "b": "the Ada Lovelace Institute"});
    let plain = observation(input, json!({"quotes": ["Ada Lovelace Institutes", "Ada Lovelace Institute, Ada"]}));
    let masker = masker();
    let mut inquiry = masker.inquiry([&plain], &Memo::default());
    let batch = inquiry.batch();
    let shy = |text: &String| if text.starts_with("Ada L") { Answered::default() } else { model.answer(text) };
    inquiry.answered(batch.iter().map(shy));
    let masked = masker.mask_named(plain, &inquiry.known());
    let quotes = json!(["[PERSON] Lovelace Institutes", "[ORGANISATION], [PERSON]"]);
    assert_eq!(contents(&masked).1["quotes"], quotes);
}

#[test]
fn without_an_answer_nothing_that_people_wrote_passes() {
    let mut plain = observation(json!({"texts": ["Ada Lovelace"]}), json!({"scores": [0.5]}));
    plain.features = vec![category("input.city", "Turin"), category("output.label", "urgent")];
    plain.client = Some("Ada Lovelace".into());
    let masked = masker().mask_named(plain.clone(), &Known::default());
    assert_eq!(withheld(&masked), WITHHELD_NAMES);
    assert_eq!(masked.sample.features, [category("input.city", "[WITHHELD]"), category("output.label", "urgent")]);
    assert_eq!(masked.sample.client.as_deref(), Some("[WITHHELD]"));
    assert_eq!(masked.sample.reason.as_deref(), Some("queue_full"), "a word of a program's");
    // one text of two is not enough
    let two = observation(json!({"texts": ["Ada Lovelace", "and Turin"]}), Value::Null);
    assert_eq!(withheld(&masker().mask_named(two, &WORDS.known(&masker(), &plain))), WITHHELD_NAMES);
    // where there is nothing to ask, nothing is missed
    let numbers = observation(json!([{"name": "x", "datatype": "FP32", "data": [1.5, "17"]}]), Value::Null);
    let named = masker().inquiry([&numbers], &Memo::default()).batch();
    assert_eq!(named, ["x"]);
    let bare = observation(json!([1.5, "17", null]), json!({"shape": [1]}));
    assert!(masker().inquiry([&bare], &Memo::default()).is_done());
    contents(&masker().mask_named(bare, &Known::default()));
}

#[test]
fn a_finding_that_is_nowhere_in_the_text_is_no_answer() {
    let plain = observation(json!("Ada Lovelace"), Value::Null);
    for (start, end) in [(3, 99), (5, 5), (9, 2)] {
        let mut inquiry = masker().inquiry([&plain], &Memo::default());
        inquiry.answered([Answered {
            findings: vec![Finding { label: "PER".into(), score: 1.0, start, end }],
            truncated: false,
        }]);
        assert!(inquiry.is_done());
        assert_eq!(withheld(&masker().mask_named(plain.clone(), &inquiry.known())), WITHHELD_NAMES, "{start} {end}");
    }
}

#[test]
fn more_text_than_may_be_asked_about_is_withheld_and_not_asked() {
    let names = RawNames { max_texts: 2, max_bytes: 40, ..RawNames::default() };
    let masker = Masker::new(&RawConfig { names, ..RawConfig::default() }).unwrap();
    for input in [json!(["one", "two", "three"]), json!(["word ".repeat(9)])] {
        let plain = observation(input, Value::Null);
        assert!(masker.inquiry([&plain], &Memo::default()).is_done());
        assert_eq!(withheld(&WORDS.mask(&masker, plain)), WITHHELD_NAMES_LIMIT);
    }
    // its neighbour in the post is asked about all the same
    let (large, small) =
        (observation(json!(["Acme", "b", "c"]), Value::Null), observation(json!(["Acme"]), Value::Null));
    assert_eq!(masker.inquiry([&large, &small], &Memo::default()).batch(), ["Acme"]);
}

#[test]
fn names_have_operators_labels_and_fields_as_others_have() {
    let secrets = [("spring".to_owned(), "0123456789abcdef0123456789abcdef".to_owned())];
    let config = RawConfig {
        entities: [("person", RawOperator::Hash), ("place", RawOperator::Allow), ("organisation", RawOperator::Redact)]
            .map(|(entity, operator)| (entity.to_owned(), operator))
            .into(),
        keys: RawKeys { active: "spring".into(), secrets: secrets.into() },
        allow: vec!["input.ticket".into()],
        names: RawNames { labels: [("misc".to_owned(), RawNamed::Organisation)].into(), ..RawNames::default() },
        ..RawConfig::default()
    };
    let masker = Masker::new(&config).unwrap();
    let input = json!({"text": "Ada Lovelace, Turin, Acme, English!", "ticket": "Acme"});
    let plain = observation(input, Value::Null);
    assert!(masker.inquiry([&plain], &Memo::default()).batch().iter().all(|text| text != "Acme"), "is not asked about");
    let masked = WORDS.mask(&masker, plain);
    let token = &masker.tokens(Entity::Person, "ada lovelace")[0];
    assert_eq!(contents(&masked).0, &json!({"text": format!("{token}, Turin, , !"), "ticket": "Acme"}));
    let faulty = RawNames { min_score: 1.5, max_texts: 0, ..RawNames::default() };
    let faults = Masker::new(&RawConfig { names: faulty, ..RawConfig::default() }).unwrap_err().to_string();
    assert!(faults.contains("masking.names.min_score") && faults.contains("masking.names.max_texts"), "{faults}");
}

#[test]
fn a_short_text_is_asked_about_once() {
    let (masker, memo) = (masker(), Memo::default());
    let plain = observation(json!(["Turin", "ordinary"]), Value::Null);
    let mut first = masker.inquiry([&plain], &memo);
    let batch = first.batch();
    first.answered(batch.iter().map(|text| WORDS.answer(text)));
    drop(first.known());
    let second = masker.inquiry([&plain], &memo);
    assert!(second.is_done());
    assert_eq!(contents(&masker.mask_named(plain, &second.known())).0, &json!(["[PLACE]", "ordinary"]));
}

/// What our proxy calls a class or a column is its model's; what somebody else calls so may be a sentence.
#[test]
fn what_strangers_call_a_class_or_a_column_is_asked_about() {
    let prediction = |label: &str| Prediction { label: label.into(), confidence: 0.5, margin: 0.0, entropy: 0.0 };
    let plain = Observation {
        features: vec![
            category("output.label", "Ada Lovelace"),
            category("text.language", "from Turin"),
            category("input.Acme", "billing"),
            category("output.Ada Lovelace.norm", "x"),
        ],
        predictions: vec![prediction("Ada Lovelace"), prediction("billing")],
        shadows: vec![ShadowAnswer {
            version: "2".into(),
            outcome: Outcome::Ok,
            reason: None,
            timings: Timings::default(),
            predictions: vec![prediction("not Turin")],
            gaps: vec![],
        }],
        payload: Payload::Withheld("too long for Ada Lovelace".into()),
        ..observation(Value::Null, Value::Null)
    };
    let told = |masked: &Masked| {
        let of = |feature: &Feature| match &feature.value {
            FeatureValue::Category(category) => format!("{}={category}", feature.name),
            other => panic!("{other:?}"),
        };
        let labels = masked.sample.predictions.iter().chain(&masked.sample.shadows[0].predictions);
        (masked.sample.features.iter().map(of).collect::<Vec<_>>(), labels.map(|p| p.label.clone()).collect::<Vec<_>>())
    };
    let masker = masker();
    let mut inquiry = masker.inquiry_of_strangers([&plain], &Memo::default());
    let batch = inquiry.batch();
    inquiry.answered(batch.iter().map(|text| WORDS.answer(text)));
    let masked = masker.mask_named(plain.clone(), &inquiry.known());
    let (features, labels) = told(&masked);
    let expected = [
        "output.label=[PERSON]",
        "text.language=from [PLACE]",
        "input.[ORGANISATION]=billing",
        "output.[PERSON].norm=x",
    ];
    assert_eq!(features, expected);
    assert_eq!(labels, ["[PERSON]", "billing", "not [PLACE]"]);
    assert_eq!(withheld(&masked), "too long for [PERSON]");

    // without an answer none of it passes, and what a program writes stays
    let unanswered = masker.inquiry_of_strangers([&plain], &Memo::default()).known();
    let masked = masker.mask_named(plain.clone(), &unanswered);
    let (features, labels) = told(&masked);
    let expected = [
        "output.label=[WITHHELD]",
        "text.language=[WITHHELD]",
        "input.[WITHHELD]=[WITHHELD]",
        "output.[WITHHELD]=[WITHHELD]",
    ];
    assert_eq!(features, expected);
    assert_eq!(labels, ["[WITHHELD]", "billing", "[WITHHELD]"]);
    assert_eq!(withheld(&masked), "[WITHHELD]");

    // our proxy's are not asked about
    let asked = masker.inquiry([&plain], &Memo::default()).batch();
    assert_eq!(asked, ["billing", "too long for Ada Lovelace"]);
}

#[test]
fn texts_that_stand_alone_are_masked_or_not_answered_for() {
    let masker = masker();
    let mut inquiry = masker.inquiry_of_texts(["shipped by Ada Lovelace", "billing"], &Memo::default());
    assert_eq!(inquiry.batch(), ["shipped by Ada Lovelace"]);
    inquiry.answered([WORDS.answer("shipped by Ada Lovelace")]);
    let known = inquiry.known();
    assert_eq!(masker.mask_text_named("shipped by Ada Lovelace", &known).unwrap().0, "shipped by [PERSON]");
    assert_eq!(masker.mask_name_named("billing", &known).unwrap().0, "billing");
    assert_eq!(masker.mask_name_named("Turin", &known), Err(Withheld(WITHHELD_NAMES)));
    let long = "Turin ".repeat(20_000);
    assert_eq!(masker.mask_text_named(&long, &known), Err(Withheld(WITHHELD_NAMES_LIMIT)));
}

/// Two clients with names became one, `[PERSON]`, whom nobody could forget.
#[test]
fn a_client_is_a_key_also_where_its_name_is_masked() {
    let secrets = [("spring", "0"), ("autumn", "1")].map(|(id, digit)| (id.to_owned(), digit.repeat(32)));
    let keys = RawKeys { active: "spring".into(), secrets: secrets.into() };
    let keyed = Masker::new(&RawConfig { keys, ..RawConfig::default() }).unwrap();
    let stored = |masker: &Masker, client: &str| {
        let plain = Observation { client: Some(client.to_owned()), ..observation(Value::Null, Value::Null) };
        let once = WORDS.mask(masker, plain).sample;
        let twice = masker.mask((*once).clone());
        assert_eq!(twice.sample, once, "a second pass finds the token as it is");
        once.client.clone().unwrap()
    };
    for client in ["Ada Lovelace", "ada@example.com", "Someone From Turin"] {
        let token = stored(&keyed, client);
        assert!(token.starts_with("[CLIENT:spring:"), "{client}: {token}");
        assert!(keyed.client_tokens(client).contains(&token), "it is found by its name");
        assert_eq!(keyed.client_tokens(client).len(), 2, "also after a rotation");
    }
    assert_ne!(stored(&keyed, "Ada Lovelace"), stored(&keyed, "Someone From Turin"));
    // forgetting one must not forget the other
    assert_ne!(stored(&keyed, "ada@example.com"), stored(&keyed, "Ada@example.com"));
    // a token is no place for names, also where the word of its kind is one to the model
    let token = stored(&keyed, "Ada Lovelace");
    let words = Words { words: &[("CLIENT", "ORG", 0.9)], ..WORDS };
    let plain = Observation { client: Some(token.clone()), ..observation(Value::Null, Value::Null) };
    assert_eq!(words.mask(&keyed, plain).sample.client.as_deref(), Some(token.as_str()));
    assert_eq!(stored(&keyed, "acme-shop-7"), "acme-shop-7");
    assert_eq!(stored(&masker(), "Ada Lovelace"), "[PERSON]", "without a key it is nobody's");
    // nobody was asked: it is hidden and still itself
    let plain = Observation { client: Some("Ada Lovelace".into()), ..observation(Value::Null, Value::Null) };
    let unanswered = keyed.mask_named(plain, &Known::default()).sample.client.clone();
    assert_eq!(unanswered.unwrap(), stored(&keyed, "Ada Lovelace"));
}

/// What a model of any appetite leaves when it is asked again about what was masked: every letter is a name to it.
#[test]
fn masking_names_again_changes_nothing() {
    let greedy = |text: &str| {
        let end = text.chars().count();
        let finding = |start, end| Finding { label: "PER".into(), score: 1.0, start, end };
        Answered { findings: vec![finding(0, end), finding(1, end), finding(0, end - 1)], truncated: false }
    };
    let input = json!(["Ada Lovelace, Turin", "[WITHHELD]", "jane@example.com", {"Acme Works": 1}]);
    let again = |plain: Observation| {
        let mut inquiry = masker().inquiry([&plain], &Memo::default());
        let batch = inquiry.batch();
        inquiry.answered(batch.iter().map(|text| greedy(text)));
        masker().mask_named(plain, &inquiry.known())
    };
    let once = again(observation(input, Value::Null));
    let (masked, _) = contents(&once);
    assert_eq!(masked, &json!(["[PERSON]", "[WITHHELD]", "[EMAIL]", {"[PERSON]": 1}]));
    let twice = again((*once.sample).clone());
    assert_eq!(twice.sample, once.sample);
    assert!(twice.hits.given.is_empty(), "{:?}", twice.hits);
    // what looks like a marker and is none is no hiding place
    assert_eq!(contents(&again(observation(json!("[SMITH]"), Value::Null))).0, &json!("[PERSON]"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    /// However long a text and wherever the name stands, and however little the model reads at once.
    #[test]
    fn a_name_in_a_long_text_is_found(before in "[a-zé .\n]{0,2500}", after in "[a-z日 .]{0,900}", reads in 120_usize..600) {
        let words = Words { words: &[("Ada Lovelace", "PER", 0.9)], reads };
        let plain = observation(json!(format!("{before} Ada Lovelace {after}")), Value::Null);
        let masked = words.mask(&masker(), plain);
        let text = contents(&masked).0.as_str().unwrap().to_owned();
        prop_assert_eq!(text, format!("{before} [PERSON] {after}"));
    }
}
