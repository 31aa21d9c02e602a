//! Whether the columns of a file are features of its model: one that nobody sends would be judged against for ever without a word.
//!
//! The choice: what counts is what was seen of the model within a day. Where nothing was, only the form of a name can be looked at, and
//! nothing is refused.

use contract::feature;
use store::read::Window;

use super::desk::Desk;
use super::{Baseline, BaselineError};

/// How far back features are looked for.
const SEEN_MS: i64 = 86_400_000;
/// Where features of a model that this program serves come from.
const FAMILIES: [&str; 4] = ["input", "text", "output", "quality"];
/// Names in a sentence.
const NAMED_MAX: usize = 8;

impl Desk<'_> {
    /// Says which columns of a file are no features of their model.
    ///
    /// # Errors
    /// [`BaselineError::Asked`] where none of them is one, or the database does not answer.
    pub async fn strangers(&self, frozen: &Baseline) -> Result<Option<String>, BaselineError> {
        let model = &frozen.info.model;
        let span = Window { start_ms: self.now_ms - SEEN_MS, end_ms: self.now_ms + 60_000 };
        let seen = self.reader.features_seen(model, span).await?;
        let seen: Vec<&str> = seen.iter().map(|one| one.feature.as_str()).collect();
        let columns: Vec<&str> = frozen.features.iter().map(|one| one.name.as_str()).collect();
        match strange(model, &columns, &seen) {
            Some((sentence, true)) => Err(BaselineError::Asked(sentence)),
            Some((sentence, false)) => Ok(Some(sentence)),
            None => Ok(None),
        }
    }
}

/// A sentence on the columns that are no features, and whether not one of them is.
fn strange(model: &str, columns: &[&str], seen: &[&str]) -> Option<(String, bool)> {
    let has_form = |name: &str| name.split_once('.').is_some_and(|(family, _)| FAMILIES.contains(&family));
    let is_strange = |name: &str| if seen.is_empty() { !has_form(name) } else { !seen.contains(&name) };
    let strange: Vec<&str> = columns.iter().copied().filter(|name| is_strange(name)).collect();
    if strange.is_empty() {
        return None;
    }
    let meant = |name: &&str| {
        let mut names = FAMILIES.into_iter().map(|family| format!("{family}.{name}"));
        if seen.is_empty() { names.next() } else { names.find(|name| seen.contains(&name.as_str())) }
    };
    let meant: Vec<String> = strange.iter().filter_map(meant).collect();
    let advice = match meant.is_empty() {
        false => format!("name them as features are named: {}", list(meant.iter().map(String::as_str))),
        true => {
            let mut known = seen.to_vec();
            known.sort_by_key(|name| (feature::priority(name), *name));
            format!("its features of the last day are {}", list(known.into_iter()))
        }
    };
    let none_is = !seen.is_empty() && strange.len() == columns.len();
    let sentence = format!("columns that are no features of {model}: {}; {advice}", list(strange.into_iter()));
    Some((sentence, none_is))
}

fn list<'a>(names: impl ExactSizeIterator<Item = &'a str>) -> String {
    let more = names.len().saturating_sub(NAMED_MAX);
    let mut text = names.take(NAMED_MAX).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_held_against_what_the_model_is_asked() {
        let seen = ["input.age", "input.income", "output.label"];
        assert_eq!(strange("m", &["input.age", "output.label"], &seen), None);
        assert_eq!(
            strange("m", &["age", "income"], &seen),
            Some((
                "columns that are no features of m: age, income; name them as features are named: input.age, input.income".into(),
                true
            ))
        );
        let (sentence, none_is) = strange("m", &["input.age", "input.agee"], &seen).unwrap();
        assert!(
            !none_is && sentence.contains("no features of m: input.agee; its features of the last day are "),
            "{sentence}"
        );
        // nobody knows yet what it will be asked
        assert_eq!(strange("m", &["input.x", "text.tokens"], &[]), None);
        let (sentence, none_is) = strange("m", &["x"], &[]).unwrap();
        assert!(!none_is && sentence.ends_with("name them as features are named: input.x"), "{sentence}");
        let many: Vec<String> = (0..11).map(|i| format!("c{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(strange("m", &many, &seen).unwrap().0.contains("c7 and 3 more"));
    }
}
