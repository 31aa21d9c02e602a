//! What a look at a text tells without any model: its length, its characters, its language, and what looks like an
//! attempt at something. Pure, and one for whoever sees texts: the proxy those that it serves, the collector those that
//! other servers log. The only crate that knows `whatlang`.

mod language;
mod suspicious;

use contract::feature as names;
use contract::wire::FeatureValue;
use language::language;
pub use suspicious::{is_suspicious, strip};

/// The features of a text, or of a pair together; the language is that of the first.
pub fn features<'a>(mut parts: impl Iterator<Item = &'a str> + Clone) -> [(&'static str, FeatureValue); 5] {
    let (mut chars, mut digits, mut beyond_ascii) = (0_u32, 0_u32, 0_u32);
    for c in parts.clone().flat_map(str::chars) {
        chars += 1;
        digits += u32::from(c.is_ascii_digit());
        beyond_ascii += u32::from(!c.is_ascii());
    }
    let share = |n: u32| FeatureValue::Number(f64::from(n) / f64::from(chars.max(1)));
    let suspicious = parts.clone().any(is_suspicious);
    let language = parts.next().map_or(names::LANGUAGE_UNKNOWN, language);
    [
        (names::TEXT_CHARS, FeatureValue::Number(chars.into())),
        (names::TEXT_DIGIT_RATE, share(digits)),
        (names::TEXT_NON_ASCII_RATE, share(beyond_ascii)),
        (names::TEXT_SUSPICIOUS, FeatureValue::Number(f64::from(u8::from(suspicious)))),
        (names::TEXT_LANGUAGE, FeatureValue::Category(language.to_owned())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted_in_characters_and_nothing_of_it_divides_by_zero() {
        let number = |text: &str, name: &str| {
            features(std::iter::once(text)).into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
        };
        assert_eq!(number("é12x", names::TEXT_CHARS), Some(FeatureValue::Number(4.0)));
        assert_eq!(number("é12x", names::TEXT_DIGIT_RATE), Some(FeatureValue::Number(0.5)));
        assert_eq!(number("é12x", names::TEXT_NON_ASCII_RATE), Some(FeatureValue::Number(0.25)));
        assert_eq!(number("", names::TEXT_DIGIT_RATE), Some(FeatureValue::Number(0.0)));
        assert_eq!(features(std::iter::empty())[4].1, FeatureValue::Category(names::LANGUAGE_UNKNOWN.into()));
    }
}
