//! The `[masking]` section.

use std::collections::BTreeMap;

use contract::faults::Faults;
use serde::Deserialize;

/// The `[masking]` section, as typed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawConfig {
    /// What passes unmasked: payload fields by path from `input` or `output` (`input.ticket`; lists add nothing to a
    /// path; a tensor's data is also `input.<its name>`) with everything below them, and features by name.
    pub allow: Vec<String>,
    /// Declared values by category feature: these pass unmasked, others are gone over.
    pub categories: BTreeMap<String, Vec<String>>,
    /// A payload with more text than this, in bytes, is withheld.
    pub max_payload_bytes: usize,
    /// A payload with more personal data than this is withheld: it is a list of people, not a request.
    pub max_payload_hits: u64,
}

impl Default for RawConfig {
    fn default() -> Self {
        Self { allow: vec![], categories: BTreeMap::new(), max_payload_bytes: 4 << 20, max_payload_hits: 10_000 }
    }
}

impl RawConfig {
    /// Whether it makes sense.
    pub(crate) fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        for path in &self.allow {
            let named = !path.is_empty() && !path.split('.').any(str::is_empty);
            faults.check(named, "masking.allow", format!("'{path}' is no path; write input.ticket"));
            let field = path != "input" && path != "output";
            let sentence = format!("'{path}' would let every payload pass unmasked; name its fields");
            faults.check(field, "masking.allow", sentence);
        }
        let nothing = "is 0, which would withhold every payload";
        faults.check(self.max_payload_bytes > 0, "masking.max_payload_bytes", nothing);
        faults.check(self.max_payload_hits > 0, "masking.max_payload_hits", nothing);
        faults.result(())
    }
}
