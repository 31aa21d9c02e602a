//! What verdicts wait for, in one sentence: whether time will bring them, and when, or only somebody's act.

use contract::api::{DriftState, FeatureVerdict};

use super::gate::Policy;

/// What is left for longer than this is worth a word.
const BEHIND_MS: i64 = 300_000;

/// Why a model has no reference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lack {
    /// Nothing is known of it yet.
    #[default]
    Unknown,
    /// The first traffic makes none, by configuration.
    Never,
    /// The first observations are gathered.
    Gathering {
        /// Those that are there.
        seen: u64,
        /// Those that make one.
        needed: u64,
    },
    /// They hold nothing to be judged.
    Featureless,
    /// It is to be taken from a file, which could not be read.
    File,
}

/// What is known of a model.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Why there is no reference; `None` where there is one.
    pub lack: Option<Lack>,
    /// Verdicts of the last window.
    pub verdicts: &'a [FeatureVerdict],
    /// What the user decided.
    pub policy: &'a Policy,
    /// Windows that may be judged together.
    pub windows: i64,
    /// Good observations a second, as of now.
    pub rate: f64,
}

/// One sentence, or two; `None` where every feature is judged.
#[must_use]
pub fn sentence(known: &Known<'_>) -> Option<String> {
    if let Some(lack) = known.lack {
        return of_lack(lack, known.rate);
    }
    if known.verdicts.is_empty() {
        return Some("The first window after the reference was made is not closed yet.".to_owned());
    }
    let unjudged = known.verdicts.iter().filter(|one| one.state == DriftState::Insufficient);
    let (blind, few): (Vec<_>, Vec<_>) = unjudged.partition(|one| one.visible > known.policy.detectable_min);
    let told: Vec<String> = of_reference(&blind, known).into_iter().chain(of_windows(&few, known)).collect();
    (!told.is_empty()).then(|| told.join(" "))
}

/// Said before everything else where closed windows are left that should have been judged; `None` while that is a matter of a few cycles.
#[must_use]
pub fn behind(left_ms: i64) -> Option<String> {
    let long = within(left_ms as f64 / 1e3);
    (left_ms > BEHIND_MS).then(|| {
        format!("A time of {long} could not be judged so far, and what is shown is older: the analyzer's log says why.")
    })
}

fn of_lack(lack: Lack, rate: f64) -> Option<String> {
    Some(match lack {
        Lack::Unknown => return None,
        Lack::Never => "There is no reference, and the first traffic makes none (provisional_after = 0): freeze one with `driftline \
                        baseline freeze`."
            .to_owned(),
        Lack::Gathering { seen, needed } if seen < needed => {
            let left = (needed - seen) as f64 / rate;
            let when = if left.is_finite() { format!("; at this rate the others come within {}", within(left)) } else { String::new() };
            format!("{seen} of the first {needed} good observations, which make a reference, are here{when}.")
        }
        Lack::Gathering { needed, .. } => {
            format!("The first {needed} good observations are here; they make a reference once nothing older can still come.")
        }
        Lack::Featureless => {
            "The first observations hold neither features nor predictions: there is nothing to be judged.".to_owned()
        }
        Lack::File => {
            "The reference file that the configuration names could not be taken: the log says why; it is tried again every minute.".to_owned()
        }
    })
}

/// A reference does not grow by waiting.
fn of_reference(blind: &[&FeatureVerdict], known: &Known<'_>) -> Option<String> {
    let worst = blind.iter().max_by(|a, b| a.visible.total_cmp(&b.visible))?;
    let Policy { detectable_min, delta_ignore, .. } = *known.policy;
    let times = ((worst.visible - delta_ignore) / (detectable_min - delta_ignore)).powi(2);
    let needed = (worst.m as f64 * times).ceil();
    Some(format!(
        "The reference of {} is too small to show a shift of {detectable_min:.2}, and does not grow by waiting: that of {} holds {} values \
         and needs {needed}. Freeze a larger one (`driftline baseline promote {} --from-current`).",
        of(blind.len(), known),
        worst.feature,
        worst.m,
        worst.model
    ))
}

fn of_windows(few: &[&FeatureVerdict], known: &Known<'_>) -> Option<String> {
    let fullest = few.iter().map(|one| one.n).max()?;
    let together = match known.windows {
        1 => String::new(),
        windows => format!(", up to {windows} windows taken together"),
    };
    Some(format!(
        "Too little traffic for {}: at most {fullest} values where a verdict needs {}{together}.",
        of(few.len(), known),
        known.policy.n_min
    ))
}

fn of(some: usize, known: &Known<'_>) -> String {
    match known.verdicts.len() {
        1 => "the one feature".to_owned(),
        all if some == all => format!("all {all} features"),
        all => format!("{some} of {all} features"),
    }
}

fn within(seconds: f64) -> String {
    let (size, unit) = match seconds {
        s if s < 90.0 => (s, "seconds"),
        s if s < 5_400.0 => (s / 60.0, "minutes"),
        s if s < 172_800.0 => (s / 3_600.0, "hours"),
        s => (s / 86_400.0, "days"),
    };
    format!("about {:.0} {unit}", size.ceil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;

    #[test]
    fn old_verdicts_are_said_to_be_old() {
        assert_eq!(behind(BEHIND_MS), None);
        assert!(behind(3 * 3_600_000).unwrap().starts_with("A time of about 3 hours could not"));
    }

    fn verdict(feature: &str, state: DriftState, n: u64, visible: f64) -> FeatureVerdict {
        let verdict = serde_json::json!({
            "model": "digits", "version": "1", "feature": feature, "state": state, "window_start_ms": 0, "window_end_ms": 1, "n": n,
            "needed": 200, "m": 1_000, "ks_lower": null, "ks_upper": null, "p_value": null, "q_value": null, "psi": null,
            "delta": 0.05, "threshold": null, "visible": visible, "baseline": "f", "sentence": ""
        });
        serde_json::from_value(verdict).unwrap()
    }

    fn told(lack: Option<Lack>, verdicts: &[FeatureVerdict]) -> Option<String> {
        sentence(&Known { lack, verdicts, policy: &POLICY, windows: 12, rate: 2.0 })
    }

    #[test]
    fn a_reference_at_fault_is_not_called_a_small_window() {
        let verdicts = [
            verdict("input.a", DriftState::Stable, 4_000, 0.188),
            verdict("output.label", DriftState::Insufficient, 4_000, 0.2056),
            verdict("output.margin", DriftState::Stable, 4_000, 0.188),
        ];
        let found = told(None, &verdicts).unwrap();
        assert!(
            found.starts_with(
                "The reference of 1 of 3 features is too small to show a shift of 0.20, and does not grow"
            ),
            "{found}"
        );
        assert!(found.contains("output.label holds 1000 values and needs 1077"), "{found}");
        assert!(found.contains("promote digits --from-current"), "{found}");
        let few = [verdict("input.a", DriftState::Insufficient, 150, 0.188)];
        let found = told(None, &few).unwrap();
        assert_eq!(
            found,
            "Too little traffic for the one feature: at most 150 values where a verdict needs 200, up to 12 windows taken together."
        );
        assert_eq!(told(None, &verdicts[..1]), None, "all are judged");
    }

    #[test]
    fn what_time_brings_says_when() {
        for (lack, words) in [
            (
                Lack::Gathering { seen: 640, needed: 1_100 },
                "640 of the first 1100 good observations, which make a reference, are here; at this rate the others come within about 4 minutes.",
            ),
            (Lack::Gathering { seen: 1_100, needed: 1_100 }, "once nothing older can still come"),
            (Lack::Never, "provisional_after = 0"),
            (Lack::Featureless, "nothing to be judged"),
            (Lack::File, "could not be taken"),
        ] {
            let found = told(Some(lack), &[]).unwrap();
            assert!(found.contains(words), "{found}");
        }
        assert!(told(None, &[]).unwrap().contains("not closed yet"));
        let quiet = Known {
            lack: Some(Lack::Gathering { seen: 1, needed: 9 }),
            verdicts: &[],
            policy: &POLICY,
            windows: 1,
            rate: 0.0,
        };
        assert_eq!(sentence(&quiet).unwrap(), "1 of the first 9 good observations, which make a reference, are here.");
    }
}
