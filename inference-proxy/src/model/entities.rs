//! From one class a token to entities with their place in the caller's text: pure.
//!
//! The grouping is the `simple` strategy of Hugging Face's token-classification pipeline: tokens of one tag run
//! together until the tag changes or a `B-` begins another; the score is the mean of the winning probabilities; what is
//! tagged `O` is left out. Labels without a prefix are read as `I-`.

use std::ops::Range;

use serde::Serialize;

/// The label of what is no entity.
const OUTSIDE: &str = "O";

/// A stretch of the caller's text with one meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entity {
    /// The tag, without its `B-` or `I-`.
    pub label: String,
    /// Mean probability of the winning classes of its tokens, 0 to 1.
    pub score: f64,
    /// First character (Unicode scalar value, from 0) of the caller's text.
    pub start: usize,
    /// One past its last character.
    pub end: usize,
    /// The text between the two.
    pub text: String,
}

/// One token as the model tagged it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagged<'a> {
    /// The winning label, with its prefix.
    pub(crate) label: &'a str,
    /// Its probability.
    pub(crate) score: f32,
    /// Characters of the text that it stands for.
    pub(crate) start: u32,
    /// One past the last.
    pub(crate) end: u32,
}

/// The entities of a text, in its order.
pub(crate) fn group(tokens: &[Tagged<'_>], text: &str) -> Vec<Entity> {
    let mut entities = Vec::new();
    let mut first = 0;
    for at in 1..=tokens.len() {
        if tokens.get(at).is_some_and(|token| continues(token, &tokens[at - 1])) {
            continue;
        }
        let run = &tokens[first..at];
        first = at;
        entities.extend(entity(run, text));
    }
    entities
}

fn continues(token: &Tagged<'_>, before: &Tagged<'_>) -> bool {
    !token.label.starts_with("B-") && tag(token.label) == tag(before.label)
}

fn tag(label: &str) -> &str {
    label.strip_prefix("B-").or_else(|| label.strip_prefix("I-")).unwrap_or(label)
}

fn entity(run: &[Tagged<'_>], text: &str) -> Option<Entity> {
    let (first, last) = (run.first()?, run.last()?);
    let label = tag(first.label);
    if label == OUTSIDE {
        return None;
    }
    let score = run.iter().map(|token| f64::from(token.score)).sum::<f64>() / run.len() as f64;
    let (start, end) = (first.start as usize, last.end as usize);
    Some(Entity { label: label.to_owned(), score, start, end, text: characters(text, start..end) })
}

fn characters(text: &str, range: Range<usize>) -> String {
    text.chars().skip(range.start).take(range.len()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of one space between, each a token, as `label/score`.
    fn check(text: &str, labels: &[&str], expected: &[(&str, &str)]) {
        let mut at = 0;
        let tokens: Vec<Tagged<'_>> = text
            .split(' ')
            .zip(labels)
            .map(|(word, label)| {
                let start = at;
                at += word.chars().count() as u32 + 1;
                Tagged { label, score: 0.5, start, end: at - 1 }
            })
            .collect();
        let found = group(&tokens, text);
        let found: Vec<(&str, &str)> = found.iter().map(|e| (e.label.as_str(), e.text.as_str())).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn tags_run_together_until_they_change_or_begin_anew() {
        check("Åsa Öst of Malmö", &["B-PER", "I-PER", "O", "B-LOC"], &[("PER", "Åsa Öst"), ("LOC", "Malmö")]);
        check("Ann Bo", &["B-PER", "B-PER"], &[("PER", "Ann"), ("PER", "Bo")]);
        check("Ann Bo", &["I-PER", "I-PER"], &[("PER", "Ann Bo")]);
        check("Ann Oslo", &["B-PER", "I-LOC"], &[("PER", "Ann"), ("LOC", "Oslo")]);
        check("a b c", &["NAME", "NAME", "O"], &[("NAME", "a b")]);
        check("a b", &["O", "O"], &[]);
        check("", &[], &[]);
    }

    #[test]
    fn the_score_is_the_mean_of_the_winners() {
        let token = |score, start| Tagged { label: "I-X", score, start, end: start + 1 };
        let found = group(&[token(1.0, 0), token(0.5, 1)], "ab");
        assert!((found[0].score - 0.75).abs() < 1e-12, "{found:?}");
        assert_eq!((found[0].start, found[0].end), (0, 2));
    }
}
