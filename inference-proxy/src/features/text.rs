//! Features of texts: what a look at the characters, the tokenizer and the language tell.

use contract::feature as names;
use whatlang::{Detector, Lang};

use super::Sink;
use crate::model::{Input, Metadata, TextStats};
use crate::suspicious::is_suspicious;
use crate::tensor::{Data, Tensor};

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

/// A text, or a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passage<'a> {
    text: &'a str,
    pair: Option<&'a str>,
}

impl<'a> From<&'a String> for Passage<'a> {
    fn from(text: &'a String) -> Self {
        Self { text, pair: None }
    }
}

/// The texts of a request to a model that takes text, in whichever form they came.
pub(super) fn passages<'a>(input: &'a Input, metadata: &Metadata) -> Option<Vec<Passage<'a>>> {
    match input {
        Input::Texts(texts) => Some(texts.iter().map(Passage::from).collect()),
        Input::Pairs(pairs) => Some(pairs.iter().map(|(a, b)| Passage { text: a, pair: Some(b) }).collect()),
        Input::Tensors(tensors) if metadata.takes_text => of_tensors(tensors),
        Input::Tensors(_) => None,
    }
}

fn of_tensors(tensors: &[Tensor]) -> Option<Vec<Passage<'_>>> {
    let strings = |tensor: &'_ Tensor| matches!(tensor.data(), Data::Bytes(_));
    match tensors {
        [only] => match (only.data(), only.shape()) {
            (Data::Bytes(texts), [_, 2]) => {
                Some(texts.chunks_exact(2).map(|pair| Passage { text: &pair[0], pair: Some(&pair[1]) }).collect())
            }
            (Data::Bytes(texts), _) => Some(texts.iter().map(Passage::from).collect()),
            _ => None,
        },
        [a, b] if strings(a) && strings(b) => {
            let (a, b) = if a.name() < b.name() { (a, b) } else { (b, a) };
            let (Data::Bytes(texts), Data::Bytes(pairs)) = (a.data(), b.data()) else { return None };
            Some(texts.iter().zip(pairs).map(|(text, pair)| Passage { text, pair: Some(pair) }).collect())
        }
        _ => None,
    }
}

/// The features of one item.
pub(super) fn of(item: usize, passage: &Passage<'_>, stats: Option<&TextStats>, out: &mut Sink) {
    let parts = || std::iter::once(passage.text).chain(passage.pair);
    let (mut chars, mut digits, mut beyond_ascii) = (0_u32, 0_u32, 0_u32);
    for c in parts().flat_map(str::chars) {
        chars += 1;
        digits += u32::from(c.is_ascii_digit());
        beyond_ascii += u32::from(!c.is_ascii());
    }
    let share = |n: u32| f64::from(n) / f64::from(chars.max(1));
    out.number(names::TEXT_CHARS, item, chars.into());
    out.number(names::TEXT_DIGIT_RATE, item, share(digits));
    out.number(names::TEXT_NON_ASCII_RATE, item, share(beyond_ascii));
    out.number(names::TEXT_SUSPICIOUS, item, f64::from(u8::from(parts().any(is_suspicious))));
    out.category(names::TEXT_LANGUAGE, item, language(passage.text));
    if let Some(stats) = stats {
        out.number(names::TEXT_TOKENS, item, stats.tokens.into());
        out.number(names::TEXT_UNKNOWN_RATE, item, stats.unknown_rate);
        out.number(names::TEXT_TRUNCATED, item, f64::from(u8::from(stats.truncated)));
    }
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
    use super::super::testing::{check, check_category, value};
    use super::*;

    fn features(text: &str, pair: Option<&str>, stats: Option<&TextStats>) -> Sink {
        let mut out = Sink::default();
        of(0, &Passage { text, pair }, stats, &mut out);
        out
    }

    #[test]
    fn a_text_is_counted_in_characters() {
        let stats = TextStats { tokens: 7, unknown_rate: 0.5, truncated: true };
        let out = features("é12x", None, Some(&stats));
        check(&out, names::TEXT_CHARS, 0, 4.0);
        check(&out, names::TEXT_DIGIT_RATE, 0, 0.5);
        check(&out, names::TEXT_NON_ASCII_RATE, 0, 0.25);
        check(&out, names::TEXT_TOKENS, 0, 7.0);
        check(&out, names::TEXT_TRUNCATED, 0, 1.0);
        let out = features("", None, None);
        check(&out, names::TEXT_DIGIT_RATE, 0, 0.0);
        assert_eq!(value(&out, names::TEXT_TOKENS, 0), None);
    }

    #[test]
    fn of_a_pair_both_texts_count() {
        let out = features("ab", Some("1\u{0}"), None);
        check(&out, names::TEXT_CHARS, 0, 4.0);
        check(&out, names::TEXT_DIGIT_RATE, 0, 0.25);
        check(&out, names::TEXT_SUSPICIOUS, 0, 1.0);
    }

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
            check_category(&features(text, None, None), names::TEXT_LANGUAGE, 0, code);
        }
    }

    #[test]
    fn pairs_are_found_in_tensors() {
        let bytes = |name: &str, shape: &[usize], texts: &[&str]| {
            let texts = texts.iter().map(|&text| text.to_owned()).collect();
            Tensor::new(name, shape.to_vec(), Data::Bytes(texts)).unwrap()
        };
        let expected = [Passage { text: "a", pair: Some("b") }];
        assert_eq!(of_tensors(&[bytes("text", &[1, 2], &["a", "b"])]).unwrap(), expected);
        let (text, pair) = (bytes("text", &[1], &["a"]), bytes("text_pair", &[1], &["b"]));
        assert_eq!(of_tensors(&[pair, text]).unwrap(), expected);
    }
}
