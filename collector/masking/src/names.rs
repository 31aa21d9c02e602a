//! What was seen of names before: columns are called `input.f12` in every record, and a look into a table costs less than
//! a dozen recognizers, or than reading words out of a key.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};

use crate::recognize::Context;

/// Names that are kept; past that the table starts anew, so that a sender of random names costs memory no more than this.
const NAMES_MAX: usize = 4_096;
/// Longer names are gone over each time.
const NAME_BYTES_MAX: usize = 128;

/// Names that held nothing, and what keys tell of their values. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<Tables>);

#[derive(Debug, Default)]
struct Tables {
    /// Clean names, of models and the like apart from those of fields.
    clean: [RwLock<HashSet<Box<str>>>; 2],
    told: RwLock<HashMap<Box<str>, Context>>,
}

impl Names {
    /// Whether a name was found clean before. Only names without a context of their own are kept.
    pub fn is_clean(&self, name: &str, context: Context) -> bool {
        let kept = name.len() <= NAME_BYTES_MAX && context.named.is_empty();
        kept && self.clean(context).read().is_ok_and(|names| names.contains(name))
    }

    /// Notes that a name is clean.
    pub fn note_clean(&self, name: &str, context: Context) {
        if name.len() > NAME_BYTES_MAX || !context.named.is_empty() {
            return;
        }
        if let Ok(mut names) = self.clean(context).write() {
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(name.into());
        }
    }

    /// What a key tells of its value.
    pub fn context(&self, key: &str) -> Context {
        if let Some(context) = self.0.told.read().ok().and_then(|told| told.get(key).copied()) {
            return context;
        }
        let context = Context::of_key(key);
        if key.len() <= NAME_BYTES_MAX
            && let Ok(mut told) = self.0.told.write()
        {
            if told.len() >= NAMES_MAX {
                told.clear();
            }
            told.insert(key.into(), context);
        }
        context
    }

    fn clean(&self, context: Context) -> &RwLock<HashSet<Box<str>>> {
        &self.0.clean[usize::from(context.name)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_remembered_within_a_bound() {
        let names = Names::default();
        for i in 0..10_000 {
            names.note_clean(&format!("f{i}"), Context::NAME);
        }
        assert!(names.is_clean("f9999", Context::NAME));
        assert!(!names.is_clean("f9999", Context::default()), "an address may be a name of ours and no key");
        assert!(names.0.clean[1].read().unwrap().len() <= NAMES_MAX);
        names.note_clean(&"x".repeat(1_000), Context::NAME);
        assert!(!names.is_clean(&"x".repeat(1_000), Context::NAME));
    }

    #[test]
    fn what_keys_tell_is_remembered_within_a_bound() {
        let names = Names::default();
        for _ in 0..2 {
            for key in ["homePhone", "order", "date_of_birth", &"ssn ".repeat(100)] {
                assert_eq!(names.context(key), Context::of_key(key), "{key}");
            }
        }
        for i in 0..10_000 {
            names.context(&format!("f{i}"));
        }
        assert!(names.0.told.read().unwrap().len() <= NAMES_MAX);
    }
}
