//! What is wrong with a value, in words of whoever sent it: what serde says names types of this program.
//!
//! The choice: serde's sentences are translated, since it is serde that reads; one that is not known stays as it is.

/// Numbers that a field takes, by the type that serde names.
const NUMBERS: [(&str, &str); 6] = [
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0"),
    ("u64", "a whole number from 0"),
    ("i64", "a whole number"),
    ("f64", "a number"),
];
/// Where serde_json says where it stood.
const PLACE: &str = " at line ";

/// A sentence of serde's in words.
pub(super) fn plain(sentence: &str) -> String {
    let (said, place) = sentence.rfind(PLACE).map_or((sentence, ""), |at| sentence.split_at(at));
    let words = variant(said).or_else(|| kind(said));
    words.map_or_else(|| sentence.to_owned(), |words| words + place)
}

/// ``unknown variant `fine`, expected one of `ok`, `error` ``.
fn variant(said: &str) -> Option<String> {
    let (found, expected) = said.strip_prefix("unknown variant ")?.split_once(", expected ")?;
    let known: Vec<&str> = expected.split('`').skip(1).step_by(2).collect();
    Some(format!("{found} is none of {}", known.join(", ")))
}

/// `invalid type: string "slow", expected u64`.
fn kind(said: &str) -> Option<String> {
    let told = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "))?;
    let (found, expected) = told.rsplit_once(", expected ")?;
    Some(format!("is {}, and {} belongs here", found_words(found), expected_words(expected)))
}

fn found_words(found: &str) -> String {
    let number = ["integer `", "floating point `", "boolean `"].into_iter().find_map(|kind| found.strip_prefix(kind));
    match (number, found) {
        (Some(number), _) => number.trim_end_matches('`').to_owned(),
        (None, "sequence") => "a list".to_owned(),
        (None, "map") => "an object".to_owned(),
        (None, "null" | "unit value" | "Option value") => "null".to_owned(),
        (None, other) => {
            other.strip_prefix("string ").map_or_else(|| other.to_owned(), |text| format!("the text {text}"))
        }
    }
}

fn expected_words(expected: &str) -> String {
    let number = NUMBERS.iter().find(|(kind, _)| *kind == expected).map(|(_, words)| *words);
    let words = number.or(match expected {
        "a string" | "a borrowed string" => Some("a text"),
        "a sequence" => Some("a list"),
        "a boolean" => Some("true or false"),
        "a map" => Some("an object"),
        other => other.starts_with("struct ").then_some("an object"),
    });
    words.unwrap_or(expected).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_a_program_become_words() {
        for (said, words) in [
            (
                "unknown variant `fine`, expected one of `ok`, `invalid`, `error` at line 1 column 9",
                "`fine` is none of ok, invalid, error at line 1 column 9",
            ),
            ("unknown variant `x`, expected `load` or `unload`", "`x` is none of load, unload"),
            (
                "invalid type: string \"slow\", expected u64",
                "is the text \"slow\", and a whole number from 0 belongs here",
            ),
            ("invalid value: integer `-1`, expected u16", "is -1, and a whole number from 0 to 65535 belongs here"),
            ("invalid type: sequence, expected struct Timings", "is a list, and an object belongs here"),
            (
                "invalid type: string \"a, expected b\", expected f64",
                "is the text \"a, expected b\", and a number belongs here",
            ),
            ("missing field `source`", "missing field `source`"),
        ] {
            assert_eq!(plain(said), words);
        }
    }
}
