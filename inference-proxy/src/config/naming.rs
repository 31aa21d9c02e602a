//! The `[proxy.names]` section: which model finds names, and how long it is waited for.

use std::time::Duration;

use host::config::Faults;
use serde::{Deserialize, Serialize};

use crate::mirror::naming::Config;

/// Which model finds the names that are masked before bytes leave, as typed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNames {
    /// A token-classification model of this proxy's; without it names are not looked for.
    pub model: Option<String>,
    /// An observation waits no longer for it; then its texts are withheld.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// Most observations that wait for it; the texts of more are withheld.
    pub max_waiting: usize,
}

impl Default for RawNames {
    fn default() -> Self {
        Self { model: None, timeout: Duration::from_secs(2), max_waiting: 256 }
    }
}

impl RawNames {
    pub(super) fn check(self, faults: &mut Faults) -> Option<Config> {
        let Self { model, timeout, max_waiting } = self;
        faults.check(!timeout.is_zero(), "proxy.names.timeout", "must be longer than 0s");
        let few = (1..=100_000).contains(&max_waiting);
        faults.check(few, "proxy.names.max_waiting", "must be from 1 to 100000");
        let model = model?;
        faults.check(!model.is_empty(), "proxy.names.model", "is empty; name a model of proxy.models");
        Some(Config { model, timeout, max_waiting: max_waiting.clamp(1, 100_000) })
    }
}

#[cfg(test)]
mod tests {
    use super::super::RawConfig;

    #[test]
    fn one_line_turns_it_on_and_its_faults_are_told() {
        let check = |text: &str| toml::from_str::<RawConfig>(text).unwrap().check();
        assert_eq!(check("").unwrap().names, None);
        let names = check("names.model = 'ner'").unwrap().names.unwrap();
        assert_eq!((names.model.as_str(), names.timeout.as_secs(), names.max_waiting), ("ner", 2, 256));
        let faults = check("names = { model = '', timeout = '0s', max_waiting = 0 }").unwrap_err().to_string();
        for key in ["proxy.names.model", "proxy.names.timeout", "proxy.names.max_waiting"] {
            assert!(faults.contains(key), "{faults}");
        }
    }
}
