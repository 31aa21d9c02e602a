//! Names that were gone over and held nothing: columns are called `input.f12` in every record, and a look into a table
//! costs less than a dozen recognizers.

use std::collections::HashSet;
use std::sync::{Arc, RwLock};

use crate::recognize::Context;

/// Names that are kept; past that the table starts anew, so that a sender of random names costs memory no more than this.
const NAMES_MAX: usize = 4_096;
/// Longer names are gone over each time.
const NAME_BYTES_MAX: usize = 128;

/// Clean names, of models and the like apart from those of fields. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<[RwLock<HashSet<Box<str>>>; 2]>);

impl Names {
    /// Whether a name was found clean before. Only names without a context of their own are kept.
    pub fn is_clean(&self, name: &str, context: Context) -> bool {
        let kept = name.len() <= NAME_BYTES_MAX && context.named.is_empty();
        kept && self.table(context).read().is_ok_and(|names| names.contains(name))
    }

    /// Notes that a name is clean.
    pub fn note_clean(&self, name: &str, context: Context) {
        if name.len() > NAME_BYTES_MAX || !context.named.is_empty() {
            return;
        }
        if let Ok(mut names) = self.table(context).write() {
            if names.len() >= NAMES_MAX {
                names.clear();
            }
            names.insert(name.into());
        }
    }

    fn table(&self, context: Context) -> &RwLock<HashSet<Box<str>>> {
        &self.0[usize::from(context.name)]
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
        assert!(names.0[1].read().unwrap().len() <= NAMES_MAX);
        names.note_clean(&"x".repeat(1_000), Context::NAME);
        assert!(!names.is_clean(&"x".repeat(1_000), Context::NAME));
    }
}
