//! Everything that is wrong with a file that a person wrote, so that they learn it in one go.
//!
//! Configuration sections of several crates and the SLO file are checked by different crates and shown to one person:
//! so the list of faults lives here.

use std::fmt;

/// Everything that is wrong with a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(Vec<Fault>);

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, as in `proxy.listen` or `slos[2].objective`; empty for the file as a whole.
    pub key: String,
    /// What, and what to do about it.
    pub sentence: String,
}

impl Faults {
    /// Notes that `key` (dotted, as in `proxy.listen`) is wrong, and what to do about it.
    pub fn push(&mut self, key: impl Into<String>, sentence: impl Into<String>) {
        self.0.push(Fault { key: key.into(), sentence: sentence.into() });
    }

    /// Notes the fault unless `holds`.
    pub fn check(&mut self, holds: bool, key: impl Into<String>, sentence: impl Into<String>) {
        if !holds {
            self.push(key, sentence);
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Fault> {
        self.0.iter()
    }

    /// Takes over another part's faults.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Whether nothing is wrong so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of faults.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value, if nothing is wrong.
    ///
    /// # Errors
    /// All faults.
    pub fn result<T>(self, value: T) -> Result<T, Self> {
        if self.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.key.is_empty() { "" } else { ": " };
        write!(f, "{}{colon}{}", self.key, self.sentence)
    }
}

impl fmt::Display for Faults {
    /// One line a fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.0.iter().enumerate() {
            let newline = if i == 0 { "" } else { "\n" };
            write!(f, "{newline}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_faults_are_listed() {
        let mut faults = Faults::default();
        faults.check(true, "a", "not shown");
        faults.check(false, "proxy.listen", "is not an address");
        faults.push("store.url", "has no host");
        let error = faults.result(()).expect_err("has faults");
        assert_eq!(error.to_string(), "proxy.listen: is not an address\nstore.url: has no host");
    }
}
