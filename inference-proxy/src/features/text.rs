//! Features of texts: what a look at them tells (crate `texts`), and what the tokenizer says.

use contract::feature as names;

use super::Sink;
use crate::model::{Input, Metadata, TextStats};
use crate::tensor::{Data, Tensor};

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
    let parts = std::iter::once(passage.text).chain(passage.pair);
    texts::features(parts).into_iter().for_each(|(name, value)| out.put(name, item, value));
    if let Some(stats) = stats {
        out.number(names::TEXT_TOKENS, item, stats.tokens.into());
        out.number(names::TEXT_UNKNOWN_RATE, item, stats.unknown_rate);
        out.number(names::TEXT_TRUNCATED, item, f64::from(u8::from(stats.truncated)));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, value};
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
