//! Values that are none: missing, not a number, of another type, or a name never seen; what a data engineer asks first.
//!
//! They have bins of their own, so their drift is judged with the feature's. Here they are named, so that a verdict says that a column
//! turned into text rather than that its numbers moved.

use contract::api::Unusual;

use super::reference::Reference;

/// Change of a share that is worth a word.
const WORTH_A_WORD: f64 = 0.01;

/// Kinds of values that are none, with their shares in the reference and in the window, where either is above 0.
#[must_use]
pub fn of(reference: &Reference, current: &[u64]) -> Vec<Unusual> {
    let names: &[&str] = match reference {
        Reference::Numbers(_) => &["not a number", "missing", "of another type"],
        Reference::Categories(_) => &["never seen before", "missing", "of another type"],
    };
    let (m, n) = (reference.total(), current.iter().sum::<u64>());
    if m == 0 || n == 0 {
        return Vec::new();
    }
    let first = current.len().saturating_sub(names.len());
    let cells = reference.counts().iter().zip(current).skip(first);
    let kinds = names.iter().zip(cells).filter(|(_, (before, now))| **before + **now > 0);
    kinds
        .map(|(what, (before, now))| Unusual {
            what: (*what).to_owned(),
            before: *before as f64 / m as f64,
            now: *now as f64 / n as f64,
        })
        .collect()
}

/// What became more or less frequent of them, to follow the sentence on the feature; empty where nothing did.
#[must_use]
pub fn sentence(found: &[Unusual]) -> String {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let changed: Vec<String> = found
        .iter()
        .filter(|one| (one.now - one.before).abs() >= WORTH_A_WORD)
        .map(|one| format!("{} of values are {}, in the reference {}", percent(one.now), one.what, percent(one.before)))
        .collect();
    if changed.is_empty() { String::new() } else { format!(" Data quality: {}.", changed.join("; ")) }
}

#[cfg(test)]
mod tests {
    use store::read::bin;

    use super::*;

    #[test]
    fn a_column_that_turns_into_text_is_said_to() {
        let reference = Reference::numbers(&(0..100).map(f64::from).collect::<Vec<_>>(), 5, 8);
        let current = reference.cells([(2, 55), (bin::OTHER, 40), (bin::MISSING, 5)]);
        let found = of(&reference, &current);
        assert_eq!(found.iter().map(|one| one.what.as_str()).collect::<Vec<_>>(), ["missing", "of another type"]);
        let text = sentence(&found);
        assert_eq!(
            text, " Data quality: 40 % of values are of another type, in the reference 0 %.",
            "5 % missing is as before"
        );
    }

    #[test]
    fn new_names_are_said_and_ordinary_values_are_not() {
        let reference = Reference::categories(vec![("a".into(), 90), ("b".into(), 10)], 0, 8);
        let text = sentence(&of(&reference, &reference.cells([(0, 50), (bin::NEVER_SEEN, 50)])));
        assert!(text.contains("50 % of values are never seen before, in the reference 0 %"), "{text}");
        assert_eq!(sentence(&of(&reference, &reference.cells([(0, 90), (1, 10)]))), "");
        assert!(of(&reference, &reference.cells([])).is_empty());
    }
}
