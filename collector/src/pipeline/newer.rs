//! What is told of senders that are newer than this collector: each field that it does not know, once.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use masking::Masker;

use crate::decode::LeftOut;

/// Fields that are told; a sender that makes names up fills no log.
const TOLD_MAX: usize = 100;
/// A longer name is not shown.
const NAME_BYTES_MAX: usize = 64;
/// What is shown of a name that may be anything.
const NOT_SHOWN: &str = "(a name that is not shown)";

/// The fields that were told since the start.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashSet<String>>);

impl Told {
    /// Tells those that are new; what a client may have written is not shown.
    pub fn tell(&self, source: &str, left_out: &LeftOut, masker: &Masker) {
        for field in self.fresh(left_out, masker) {
            tracing::warn!(
                source,
                field,
                "a batch has a field that this collector does not know; it is left out, and the rest is stored: upgrade \
                 the collector to have it too"
            );
        }
    }

    fn fresh(&self, left_out: &LeftOut, masker: &Masker) -> Vec<String> {
        // a set of names: a panic while it is held cannot leave it half-changed
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = left_out.names.iter().map(|name| if is_shown(name, masker) { name.as_str() } else { NOT_SHOWN });
        shown.filter(|name| told.len() < TOLD_MAX && told.insert((*name).to_owned())).map(str::to_owned).collect()
    }
}

/// Whether it is a word as programs write fields, and no identifier of anybody.
fn is_shown(name: &str, masker: &Masker) -> bool {
    let word = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    word && name.len() <= NAME_BYTES_MAX && masker.mask_name(name).1.total() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_is_told_once_and_none_that_could_be_somebodys() {
        let (told, masker) = (Told::default(), Masker::new(&masking::RawConfig::default()).unwrap());
        let fresh = |names: &[&str]| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            told.fresh(&LeftOut { count: 1, names }, &masker)
        };
        assert_eq!(fresh(&["gaps", "tenant_id"]), ["gaps", "tenant_id"]);
        assert_eq!(fresh(&["gaps", "jane@example.com", "4111111111111111", "Ann Smith"]), [NOT_SHOWN]);
        assert!(fresh(&["tenant_id", "bob@example.com"]).is_empty());
        (0..1_000).for_each(|n| drop(fresh(&[&format!("field_{n}")])));
        assert_eq!(told.0.lock().unwrap().len(), TOLD_MAX);
    }
}
