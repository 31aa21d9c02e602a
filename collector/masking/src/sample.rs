//! The proof that an observation went through the masker.
//!
//! It can be written out but not read back: the wire and the log hold plain samples, and whoever reads them masks
//! again, which finds nothing the second time.

use std::ops::Deref;

use contract::wire::Observation;
use serde::Serialize;

/// An observation that the masker has gone over. Only [`crate::Masker`] makes one.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct MaskedSample(Observation);

impl MaskedSample {
    pub(crate) const fn new(masked: Observation) -> Self {
        Self(masked)
    }
}

impl Deref for MaskedSample {
    type Target = Observation;

    fn deref(&self) -> &Observation {
        &self.0
    }
}
