//! Who numbers batches: a proxy of ours, whose own words are no client's.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

/// Sources that are remembered; past that the list starts anew, and a proxy is known again by its next batch.
const SOURCES_MAX: usize = 1_000;

/// The sources that have numbered a batch since the start.
#[derive(Debug, Default)]
pub(super) struct Proxies(RwLock<HashSet<Box<str>>>);

impl Proxies {
    /// It has numbered a batch.
    pub fn note(&self, source: &str) {
        if self.know(source) {
            return;
        }
        // a set of names: a panic while it is held cannot leave it half-changed
        let mut sources = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= SOURCES_MAX {
            sources.clear();
        }
        sources.insert(source.into());
    }

    /// Whether it has.
    pub fn know(&self, source: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).contains(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_remembered_within_a_bound() {
        let proxies = Proxies::default();
        for i in 0..3 * SOURCES_MAX {
            proxies.note(&format!("proxy-{i}"));
        }
        assert!(proxies.know(&format!("proxy-{}", 3 * SOURCES_MAX - 1)) && !proxies.know("ci"));
        assert!(proxies.0.read().unwrap().len() <= SOURCES_MAX);
    }
}
