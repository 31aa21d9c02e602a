//! Short texts that the model was asked about before: classes, columns' values and tensors' names are the same in every
//! record, and a look into a table costs a thousandth of a run.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use crate::text::Given;

/// Texts that are kept; past that the table starts anew, so that random texts cost memory no more than this.
const TEXTS_MAX: usize = 4_096;
/// Longer texts are asked about each time.
const TEXT_BYTES_MAX: usize = 64;

/// What the model said of short texts. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Memo(Arc<RwLock<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    model: String,
    texts: HashMap<Box<str>, Arc<[Given]>>,
}

impl Memo {
    /// Says which model is asked from now on (a version, or a load of it): what another one said is forgotten.
    pub fn of_model(&self, model: &str) {
        if self.0.read().is_ok_and(|kept| kept.model == model) {
            return;
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        kept.texts.clear();
        model.clone_into(&mut kept.model);
    }

    pub(crate) fn get(&self, text: &str) -> Option<Arc<[Given]>> {
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        self.0.read().ok()?.texts.get(text).cloned()
    }

    pub(crate) fn note(&self, text: &str, found: &Arc<[Given]>) {
        if text.len() > TEXT_BYTES_MAX {
            return;
        }
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.texts.len() >= TEXTS_MAX {
            kept.texts.clear();
        }
        kept.texts.insert(text.into(), Arc::clone(found));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_bounded_and_of_one_model() {
        let memo = Memo::default();
        memo.of_model("1");
        let nothing: Arc<[Given]> = Arc::new([]);
        for i in 0..10_000 {
            memo.note(&format!("word {i}"), &nothing);
        }
        assert!(memo.0.read().unwrap().texts.len() <= TEXTS_MAX);
        assert!(memo.get("word 9999").is_some());
        memo.note(&"x".repeat(65), &nothing);
        assert!(memo.get(&"x".repeat(65)).is_none());
        memo.of_model("1");
        assert!(memo.get("word 9999").is_some());
        memo.of_model("2");
        assert!(memo.get("word 9999").is_none(), "another model may say something else");
    }
}
