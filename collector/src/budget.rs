//! Memory of all open posts together, as one number that is taken from and given back.
//!
//! The choice: a post takes what it needs as it grows (its body as it comes, what it decompresses to, what its values
//! weigh) and never waits for it: a post that finds nothing left is answered 503 at once and comes again.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::pipeline::Refusal;

/// What a permit stands for.
const UNIT_BYTES: usize = 1024;

/// What posts may hold together. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    units: Arc<Semaphore>,
}

/// What one post holds; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Budget,
    permit: Option<OwnedSemaphorePermit>,
    /// Bytes that were asked for; the permit covers them, rounded up.
    bytes: usize,
    units: usize,
}

impl Budget {
    /// So many bytes.
    pub fn new(bytes: usize) -> Self {
        Self { units: Arc::new(Semaphore::new((bytes / UNIT_BYTES).min(Semaphore::MAX_PERMITS))) }
    }

    /// For a post that holds nothing yet.
    pub fn held(&self) -> Held {
        Held { budget: self.clone(), permit: None, bytes: 0, units: 0 }
    }
}

impl Held {
    /// Takes so many bytes more; where they are not there, it holds what it held.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let bytes = self.bytes.saturating_add(bytes);
        let wanted = bytes.div_ceil(UNIT_BYTES);
        let more = u32::try_from(wanted - self.units).ok();
        let more = more.and_then(|more| self.budget.units.clone().try_acquire_many_owned(more).ok());
        let Some(more) = more else {
            let sentence =
                "open posts hold all the memory they may (collector.limits.max_posts_bytes); nothing was stored";
            return Err(Refusal::Later { reason: sentence.to_owned(), after_seconds: 1 });
        };
        (self.bytes, self.units) = (bytes, wanted);
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_back() {
        let budget = Budget::new(10 * UNIT_BYTES);
        let (mut one, mut two) = (budget.held(), budget.held());
        one.grow(1).unwrap();
        one.grow(UNIT_BYTES - 1).unwrap();
        two.grow(9 * UNIT_BYTES).unwrap();
        assert!(matches!(one.grow(1), Err(Refusal::Later { .. })));
        drop(two);
        one.grow(UNIT_BYTES).unwrap();
        assert_eq!(budget.units.available_permits(), 8, "what was refused is not held");
        drop(one);
        assert_eq!(budget.units.available_permits(), 10);
    }
}
