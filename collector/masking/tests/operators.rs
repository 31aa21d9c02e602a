//! Operators, fields and rules of the configuration, and what holds for all of them on any bytes.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use masking::{Entity, Given, Masker, RawConfig, RawField, RawKeys, RawOperator, RawRule, Validator};
use proptest::prelude::*;
use serde_json::json;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keys(active: &str) -> RawKeys {
    let secrets = [("old", SECRET), ("new", "fedcba9876543210fedcba9876543210")];
    RawKeys { active: active.into(), secrets: secrets.map(|(id, s)| (id.to_owned(), s.to_owned())).into() }
}

fn with(operator: RawOperator) -> RawConfig {
    RawConfig { operator, keys: keys("new"), ..RawConfig::default() }
}

static MASKERS: LazyLock<Vec<Masker>> = LazyLock::new(|| {
    let greedy = RawRule { name: "word".into(), pattern: r"\S+@?\w".into(), ..RawRule::default() };
    let rules = |operator| RawConfig { rules: vec![RawRule { operator, ..greedy.clone() }], ..with(RawOperator::Mask) };
    let operators = [RawOperator::Replace, RawOperator::Mask, RawOperator::Redact, RawOperator::Hash];
    let mut configs: Vec<RawConfig> = operators.map(with).into();
    configs.extend([None, Some(RawOperator::Redact), Some(RawOperator::Hash)].map(rules));
    configs.iter().map(|config| Masker::new(config).unwrap()).collect()
});

/// Bytes that are often nearly identifiers: pieces of the labelled set between others.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let cases: Vec<String> = include_str!("data/cases.jsonl")
        .lines()
        .map(|line| serde_json::from_str::<Vec<serde_json::Value>>(line).unwrap()[1].as_str().unwrap().to_owned())
        .collect();
    let piece = prop_oneof![
        3 => proptest::sample::select(cases).prop_map(String::into_bytes),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
        1 => "[0-9 .:/@=+-]{1,8}".prop_map(String::into_bytes),
        1 => Just("\u{200B}".as_bytes().to_vec()),
        1 => Just(b"\n".to_vec()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the fuzz target asserts, on every operator.
    #[test]
    fn masking_the_output_changes_nothing(bytes in bytes()) {
        let text = String::from_utf8_lossy(&bytes);
        for masker in MASKERS.iter() {
            let (masked, _) = masker.mask_text(&text);
            let (again, hits) = masker.mask_text(&masked);
            prop_assert_eq!(hits.total(), 0, "{:?} is masked again", &masked);
            prop_assert_eq!(again, masked);
        }
    }
}

#[test]
fn a_token_joins_and_outlives_its_key() {
    let old = Masker::new(&RawConfig { keys: keys("old"), ..with(RawOperator::Hash) }).unwrap();
    let new = Masker::new(&with(RawOperator::Hash)).unwrap();
    let (one, _) = old.mask_text("pay 4111 1111 1111 1111 now");
    let (other, _) = old.mask_text("4111-1111-1111-1111");
    assert_eq!(one, format!("pay {other} now"), "the same card has the same token");
    assert!(other.starts_with("[CARD:old:") && !other.bytes().any(|b| b.is_ascii_digit()), "{other}");
    // after the rotation: new tokens, and old ones are still known and left alone
    let (rotated, _) = new.mask_text("4111111111111111");
    assert!(rotated.starts_with("[CARD:new:"), "{rotated}");
    let tokens = new.tokens(Entity::Card, "4111111111111111");
    assert!(tokens.contains(&other) && tokens.contains(&rotated), "{tokens:?}");
    assert_eq!(new.mask_text(&other).0, other);
}

#[test]
fn each_entity_has_its_operator() {
    let entities = [("email", RawOperator::Redact), ("card", RawOperator::Mask), ("ipv4", RawOperator::Allow)];
    let entities = entities.map(|(name, operator)| (name.to_owned(), operator)).into();
    let masker = Masker::new(&RawConfig { entities, ..RawConfig::default() }).unwrap();
    let (masked, hits) = masker.mask_text("jane@example.com, 4111-1111-1111-1111, 10.0.0.1, +1 415 555 2671");
    assert_eq!(masked, ", ****-****-****-1111, 10.0.0.1, [PHONE]");
    assert_eq!(hits.total(), 3);
}

#[test]
fn a_field_is_dropped_starred_or_hashed_as_a_whole() {
    let fields = [("input.note", RawField::Drop), ("input.user", RawField::Hash), ("input.name", RawField::Mask)];
    let fields = fields.map(|(path, field)| (path.to_owned(), field)).into();
    let masker = Masker::new(&RawConfig { fields, keys: keys("new"), ..RawConfig::default() }).unwrap();
    let plain = json!({
        "note": {"a": "anything"}, "user": {"id": 7, "names": ["Jane", "Jane"]}, "name": "Jane Doe", "other": "Jane",
        "inputs": [{"name": "note", "data": ["x"]}],
    });
    let (masked, _) = masker.find_json(plain).unwrap();
    assert_eq!(masked["note"], json!(null));
    assert_eq!(masked["inputs"][0]["data"], json!(null));
    assert_eq!(masked["name"], json!("**** ***"));
    assert_eq!(masked["other"], json!("Jane"));
    let names = masked["user"]["names"].as_array().unwrap();
    assert!(names[0] == names[1] && names[0].as_str().unwrap().starts_with("[FIELD:new:"), "{names:?}");
    assert!(masked["user"]["id"].as_str().unwrap().starts_with("[FIELD:new:"));
    assert_eq!(masker.find_json(masked.clone()).unwrap(), (masked, vec![]), "a second pass changes nothing");
}

#[test]
fn a_rule_has_its_words_its_check_and_its_budget() {
    let rule = RawRule {
        name: "member".into(),
        pattern: r"\b[0-9]{8}\b".into(),
        context: vec!["member".into()],
        validator: Some(Validator::Luhn),
        operator: None,
    };
    let config = RawConfig { rules: vec![rule], max_rule_matches: 10, max_rule_bytes: 1_000, ..RawConfig::default() };
    let masker = Masker::new(&config).unwrap();
    // 4992739 has the Luhn digit 5
    for (text, masked) in [
        ("member 49927395", "member [MEMBER]"),
        ("member 49927396", "member 49927396"),
        ("number 49927395", "number 49927395"),
    ] {
        assert_eq!(masker.mask_text(text).0, masked);
    }
    let (masked, hits) = masker.mask_text("member 49927395");
    assert_eq!((masked.as_str(), hits.by_entity[&Entity::Custom]), ("member [MEMBER]", 1));
    assert_eq!(masker.find(&"12345678 ".repeat(20)).unwrap_err().0, masking::WITHHELD_RULE);
    assert_eq!(masker.find(&"x".repeat(1_001)).unwrap_err().0, masking::WITHHELD_RULE);
}

#[test]
fn faults_name_the_rule_and_what_to_do() {
    let rule = |name: &str, pattern: &str| RawRule { name: name.into(), pattern: pattern.into(), ..RawRule::default() };
    for (config, told) in [
        (RawConfig { rules: vec![rule("staff", "E-(")], ..RawConfig::default() }, "staff"),
        (RawConfig { rules: vec![rule("huge", r"(\w{1000}){1000}")], ..RawConfig::default() }, "huge"),
        (RawConfig { rules: vec![rule("none", "a*")], ..RawConfig::default() }, "empty text"),
        (RawConfig { rules: vec![rule("email", "a")], ..RawConfig::default() }, "built-in"),
        (RawConfig { rules: vec![rule("K9", "a")], ..RawConfig::default() }, "lower-case"),
        (RawConfig { operator: RawOperator::Hash, ..RawConfig::default() }, "needs a key"),
        (RawConfig { operator: RawOperator::Allow, ..RawConfig::default() }, "everything"),
        (
            RawConfig { entities: [("emial".to_owned(), RawOperator::Mask)].into(), ..RawConfig::default() },
            "there is no such entity",
        ),
    ] {
        let faults = Masker::new(&config).unwrap_err().to_string();
        assert!(faults.contains(told), "{faults}");
    }
    assert!(!format!("{:?}", with(RawOperator::Hash)).contains(SECRET), "a secret is never printed");
}

#[test]
fn what_the_caller_found_is_masked_and_counted_apart() {
    let text = "Zoë Müller <zoe@example.com> lives in Köln";
    let place = text.find("Köln").unwrap();
    let given = [(0..12, Entity::Person), (place..text.len(), Entity::Place)];
    let given = given.map(|(range, entity)| Given { range, entity });
    let (masked, hits) = Masker::new(&RawConfig::default()).unwrap().mask_text_with(text, &given);
    assert_eq!(masked, "[PERSON] <[EMAIL]> lives in [PLACE]");
    assert_eq!((hits.total(), hits.given.values().sum::<u64>()), (1, 2));
}

#[test]
fn tricks_of_unicode_and_line_breaks_do_not_help() {
    let masker = Masker::new(&RawConfig::default()).unwrap();
    for (text, masked) in [
        ("４１１１ １１１１ １１１１ １１１１", "[CARD]"),
        ("4111\u{200B}111111\u{2060}111111", "[CARD]"),
        ("٤١١١١١١١١١١١١١١١", "[CARD]"),
        ("4111 1111\n    1111 1111", "[CARD]"),
        ("jane＠example．com", "[EMAIL]"),
        ("jane@\n  example.com", "[EMAIL]"),
        ("DE89 3704 0044\u{00A0}0532 0130 00", "[IBAN]"),
        ("AKIA\u{200B}IOSFODNN7EXAMPLE", "[API_KEY]"),
        ("电话+44 20 7946 0958。", "电话[PHONE]。"),
        ("(j\u{00AD}ane (a\u{200B}t) example (dot) org)", "([EMAIL])"),
    ] {
        assert_eq!(masker.mask_text(text).0, masked, "{text}");
    }
}

#[test]
fn an_address_in_a_name_is_masked_and_a_version_is_not() {
    let masker = Masker::new(&RawConfig::default()).unwrap();
    for (name, expected) in [
        ("2001:db8:5193:649a::f62c", "[IPV6]"),
        ("seen from ２００１:db８::f６２c", "seen from [IPV6]"),
        ("10.11.12.13", "10.11.12.13"),
        ("std::fmt", "std::fmt"),
        ("10:30:45", "10:30:45"),
    ] {
        assert_eq!(masker.mask_name(name).0, expected);
    }
}

#[test]
fn a_colon_of_the_sentence_ends_or_begins_a_hardware_address() {
    let masker = Masker::new(&RawConfig::default()).unwrap();
    for (text, expected) in [
        ("C9-A0-F3-5A-C6-3F: unknown field", "[MAC]: unknown field"),
        ("43:35:86:EC:F1:EC: unreachable", "[MAC]: unreachable"),
        ("mac:43:35:86:EC:F1:EC", "mac:[MAC]"),
        ("43:35:86:EC:F1:EC:17:2B", "[IPV6]"),
    ] {
        assert_eq!(masker.mask_text(text).0, expected);
    }
}
