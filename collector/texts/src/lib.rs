//! What a look at a text tells without any model: its length, its characters, its language, and what looks like an
//! attempt at something. Pure, and one for whoever sees texts: the proxy those that it serves, the collector those that
//! other servers log. The only crate that knows `whatlang`.

mod suspicious;

use contract::feature as names;
use contract::wire::FeatureValue;
pub use suspicious::{is_suspicious, strip};
use whatlang::{Detector, Lang};

/// Characters from which the language is told: more change little.
const LANGUAGE_CHARS: usize = 120;
/// From which confidence on a language is told. `whatlang` calls .9 reliable, and then tells Russian never, because of
/// its neighbours.
const LANGUAGE_CONFIDENCE: f64 = 0.5;
/// The languages that are told apart. Each costs time (30 us a text for these, 75 for all seventy, on 2 cores of 2026), and
/// the rarer ones are what scraps of common ones are taken for.
const LANGUAGES: [Lang; 29] = [
    Lang::Eng,
    Lang::Spa,
    Lang::Por,
    Lang::Fra,
    Lang::Deu,
    Lang::Ita,
    Lang::Nld,
    Lang::Pol,
    Lang::Tur,
    Lang::Vie,
    Lang::Ind,
    Lang::Ces,
    Lang::Swe,
    Lang::Ron,
    Lang::Hun,
    Lang::Rus,
    Lang::Ukr,
    Lang::Bul,
    Lang::Ara,
    Lang::Pes,
    Lang::Urd,
    Lang::Hin,
    Lang::Mar,
    Lang::Heb,
    Lang::Jpn,
    Lang::Cmn,
    Lang::Kor,
    Lang::Tha,
    Lang::Ell,
];

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

/// ISO 639-3 code of a text's language.
fn language(text: &str) -> &'static str {
    let end = text.char_indices().nth(LANGUAGE_CHARS).map_or(text.len(), |(at, _)| at);
    let found = Detector::with_allowlist(LANGUAGES.to_vec()).detect(&text[..end]);
    found
        .filter(|info| info.confidence() >= LANGUAGE_CONFIDENCE)
        .map_or(names::LANGUAGE_UNKNOWN, |info| info.lang().code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_told_apart_and_scraps_are_not_guessed() {
        for (text, code) in [
            ("My parcel has not arrived yet and nobody answers the phone, what shall I do?", "eng"),
            ("Mein Paket ist noch immer nicht angekommen, und niemand geht ans Telefon.", "deu"),
            ("Mon colis n'est toujours pas arrivé et personne ne répond au téléphone.", "fra"),
            (
                "Моя посылка до сих пор не пришла, и никто не отвечает на звонки. Что мне теперь делать? Этот товар я оплатил ещё в июне.",
                "rus",
            ),
            ("私の荷物はまだ届いていません。", "jpn"),
            ("ok", names::LANGUAGE_UNKNOWN),
            ("12345", names::LANGUAGE_UNKNOWN),
        ] {
            assert_eq!(language(text), code, "{text}");
        }
    }

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
