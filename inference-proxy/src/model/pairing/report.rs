//! What the checks of a folder found, one line a check.

use std::fmt;

use serde::Serialize;

/// What the checks of a folder found; displayed as one line a check.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The checks, in the order in which they were made.
    pub checks: Vec<Check>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name in `docs/model-folder.md`.
    pub name: &'static str,
    /// How it went.
    #[serde(flatten)]
    pub result: CheckResult,
}

/// How a check went, with one sentence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "detail", rename_all = "snake_case")]
pub enum CheckResult {
    /// It holds: what was compared.
    Passed(String),
    /// It does not: file or sample, expected, found.
    Failed(String),
    /// There was nothing to compare, or a check before it failed.
    Skipped(String),
}

impl Report {
    /// Whether nothing failed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failure().is_none()
    }

    /// The first check that failed, with its sentence.
    #[must_use]
    pub fn failure(&self) -> Option<(&'static str, &str)> {
        self.checks.iter().find_map(|check| match &check.result {
            CheckResult::Failed(why) => Some((check.name, why.as_str())),
            _ => None,
        })
    }

    /// Checks that were made and hold.
    #[must_use]
    pub fn count_passed(&self) -> usize {
        self.checks.iter().filter(|check| matches!(check.result, CheckResult::Passed(_))).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, result } in &self.checks {
            let (word, detail) = match result {
                CheckResult::Passed(detail) => ("passed", detail),
                CheckResult::Failed(detail) => ("FAILED", detail),
                CheckResult::Skipped(detail) => ("skipped", detail),
            };
            writeln!(f, "{name:<10}  {word:<7}  {detail}")?;
        }
        Ok(())
    }
}
