//! Verdicts in plain words: what differs, by how much, against what.

use contract::api::{Cause, DriftState};

use super::{
    bounds::Witness,
    gate::{Call, Finding, Policy, Track},
    reference::Reference,
    watch::Watched,
};

/// One sentence on a feature.
#[must_use]
pub fn of_feature(
    reference: &Reference,
    finding: &Finding,
    watched: &Watched,
    track: Track,
    policy: &Policy,
) -> String {
    let n = finding.n;
    if let Call::ReferenceTooSmall { needed } = finding.call {
        return format!(
            "The reference of {} values cannot show a shift below {:.2}, and the limit is {:.2}: waiting does not change that, freeze one of at least {needed} values.",
            finding.m, finding.visible, policy.detectable_min
        );
    }
    if finding.call == Call::TooFew {
        let tail = if track.state == DriftState::Drifted { "; that does not end the drift found before" } else { "" };
        return format!("{n} of the {} values that a verdict needs{tail}.", policy.n_min);
    }
    let lower = finding.lower.unwrap_or(0.0);
    let powers = |log: f64| format!("10^{:.1}", log.max(0.0) / std::f64::consts::LN_10);
    let (evidence, needed) = (powers(watched.evidence), powers(policy.false_alarm_windows.ln()));
    let moved = finding.witness.and_then(|witness| what_moved(reference, witness));
    let moved = moved.map(|text| format!("{text}: ")).unwrap_or_default();
    let ignored = policy.delta_ignore;
    match (finding.call, track.state) {
        (Call::Certified, _) => format!(
            "{moved}a shift of {lower:.2}; the evidence of more than the ignored {ignored:.2} is {evidence}, and {needed} is rarer than the false alarms you accept ({n} values)."
        ),
        (_, DriftState::Drifted) if track.quiet_windows >= policy.resolve_windows => format!(
            "Drifted before and not over: {} windows without a new alarm, but the shift of {lower:.2} does not agree with the reference ({n} values).",
            track.quiet_windows
        ),
        (_, DriftState::Drifted) => format!(
            "Drifted before; {} of {} windows without a new alarm, the shift is now {lower:.2} ({n} values).",
            track.quiet_windows, policy.resolve_windows
        ),
        (_, DriftState::Resolved) => format!("The drift is over: the shift is {lower:.2} ({n} values)."),
        (Call::Suspicious, _) => format!(
            "{moved}a shift of {lower:.2} looks like more than the ignored {ignored:.2}, but the evidence over windows is {evidence} of the {needed} that an alarm needs ({n} values)."
        ),
        _ => format!("A shift of {lower:.2} agrees with chance and the ignored shift of {ignored:.2} ({n} values)."),
    }
}

/// Which part of the traffic a shift comes from, to follow the sentence on the feature; empty where none is known.
#[must_use]
pub fn of_causes(causes: &[Cause]) -> String {
    let Some(cause) = causes.first() else { return String::new() };
    let Cause { segment, value, within, mix, .. } = cause;
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let how = match (cause.before, cause.now) {
        (Some(before), Some(now)) if within.abs() >= mix.abs() => {
            format!("its own values went from {} to {} there", percent(before), percent(now))
        }
        _ => format!("it went from {} to {} of the values", percent(cause.share_before), percent(cause.share_now)),
    };
    format!(" Most of it comes from {segment} = {value}, {:.2} of the shift: {how}.", cause.contribution().abs())
}

/// What differs most, as shares: `62 % of values are below 0.31, in the reference 21 %`.
fn what_moved(reference: &Reference, witness: Witness) -> Option<String> {
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    let (now, then) = (percent(witness.current), percent(witness.reference));
    Some(match reference {
        Reference::Numbers(numbers) => {
            let end = numbers.end_of(witness.cell);
            match end {
                Some(end) if end == store::read::bin::LEAST => {
                    format!("{now} of values are minus infinity, in the reference {then}")
                }
                Some(end) if numbers.is_atom(witness.cell) => {
                    format!("{now} of values are at most {}, in the reference {then}", rounded(end.next_down()))
                }
                Some(end) => format!("{now} of values are below {}, in the reference {then}", rounded(end)),
                None => {
                    let kept = ["finite numbers", "numbers", "not missing", "of the expected type"];
                    let past = witness.cell.saturating_sub(numbers.edges.len() + 1).min(kept.len() - 1);
                    format!("{now} of values are {}, in the reference {then}", kept[past])
                }
            }
        }
        Reference::Categories(categories) => {
            let name = match categories.names.get(witness.cell) {
                Some(name) => format!("`{name}`"),
                None => match witness.cell - categories.names.len() {
                    0 => "a category never seen".to_owned(),
                    1 => "missing".to_owned(),
                    _ => "not a category".to_owned(),
                },
            };
            format!("{now} of values are {name}, in the reference {then}")
        }
    })
}

/// Four significant digits, without a tail of zeros.
pub(super) fn rounded(value: f64) -> String {
    if value == 0.0 || !(1e-4..1e7).contains(&value.abs()) {
        return if value == 0.0 { "0".to_owned() } else { format!("{value:.3e}") };
    }
    let decimals = (3 - value.abs().log10().floor() as i32).max(0) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// What the drift verdict of a model promises and assumes.
#[must_use]
pub fn guarantee(policy: &Policy, features: usize, window_ms: i64) -> String {
    if features == 0 {
        return "No reference is frozen yet, so nothing is promised.".to_owned();
    }
    let windows = policy.false_alarm_windows * (1.0 - policy.delta);
    let days = windows * window_ms as f64 / 86_400_000.0;
    format!(
        "If none of the {features} features moved by more than {:.2}, at least {windows:.0} windows ({days:.1} days) pass on average \
         between two false alarms of the model, however often one looks, given a reference that lies within its own margin, which \
         it does with probability at least {:.3}. It assumes that values are independent draws given what came before: bursts of \
         near-equal requests break it, and each verdict carries what was measured of that. A discovery is on a list of which at most \
         {:.0} % are false, at any time (e-BH). The state watch follows classical p-values of single windows (Benjamini-Hochberg at \
         {:.2}) and promises nothing.",
        policy.delta_ignore,
        1.0 - policy.delta,
        (policy.alpha + policy.delta) * 100.0,
        policy.alpha
    )
}

/// What the verdicts on parts of the traffic promise beside those on features.
#[must_use]
pub fn segments_guarantee(policy: &Policy, pairs: usize, window_ms: i64) -> String {
    if pairs == 0 {
        return "No part of the traffic has a reference yet, so nothing is promised.".to_owned();
    }
    let windows = policy.false_alarm_windows * (1.0 - policy.delta);
    let days = windows * window_ms as f64 / 86_400_000.0;
    format!(
        "{pairs} pairs of a feature and a part of the traffic alarm as a family of their own: if none moved by more than {:.2}, at least \
         {windows:.0} windows ({days:.1} days) pass on average between two false alarms of this family, given references that lie \
         within their margins, which they do with probability at least {:.3}. The list of discoveries is one over features and parts \
         together: at most {:.0} % of it are false, at any time (e-BH). Contributions of parts describe where a shift is; they \
         test nothing.",
        policy.delta_ignore,
        1.0 - policy.delta,
        (policy.alpha + 2.0 * policy.delta) * 100.0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{
        gate::{Input, judge},
        sequential::Detector,
        watch::{call, watch},
    };

    const POLICY: Policy = Policy {
        delta_ignore: 0.05,
        delta: 0.01,
        alpha: 0.01,
        n_min: 100,
        detectable_min: 0.2,
        resolve_windows: 3,
        false_alarm_windows: 1e3,
    };

    fn sentence(reference: &Reference, bins: &[(i32, u64)]) -> String {
        let current = reference.cells(bins.iter().copied());
        let input = Input { reference, current: &current };
        let mut finding = judge(&[input], &POLICY)[0];
        let watched = watch(&[input], vec![Detector::default()], &POLICY).remove(0);
        finding.call = call(finding.call, &watched, DriftState::Stable, &POLICY);
        of_feature(reference, &finding, &watched, Track::default().next(finding.call, 3), &POLICY)
    }

    #[test]
    fn a_drift_that_stays_is_not_counted_past_its_end() {
        let reference = Reference::categories(vec![("billing".into(), 2_000), ("returns".into(), 2_000)], 0, 8);
        let current = reference.cells([(0, 280), (1, 220)]);
        let input = Input { reference: &reference, current: &current };
        let finding = Finding { call: Call::Suspicious, ..judge(&[input], &POLICY)[0] };
        let watched = watch(&[input], vec![Detector::default()], &POLICY).remove(0);
        let after = |quiet_windows| {
            let track = Track { state: DriftState::Drifted, quiet_windows };
            of_feature(&reference, &finding, &watched, track, &POLICY)
        };
        assert!(after(2).starts_with("Drifted before; 2 of 3 windows without a new alarm"), "{}", after(2));
        assert!(after(5).starts_with("Drifted before and not over: 5 windows without"), "{}", after(5));
    }

    #[test]
    fn sentences_say_what_moved() {
        let labels = Reference::categories(vec![("billing".into(), 2_000), ("returns".into(), 2_000)], 0, 8);
        assert!(
            sentence(&labels, &[(0, 450), (1, 50)])
                .starts_with("90 % of values are `billing`, in the reference 50 %: a shift of 0.40")
        );
        assert!(sentence(&labels, &[(store::read::bin::NEVER_SEEN, 500)]).contains("a category never seen"));
        assert_eq!(sentence(&labels, &[(0, 5)]), "5 of the 100 values that a verdict needs.");
        let zeros = Reference::numbers(&[vec![0.0; 3_000], vec![4.0; 1_000]].concat(), 0, 64);
        let Reference::Numbers(numbers) = &zeros else { unreachable!("numbers were given") };
        assert!(
            sentence(&zeros, &[(numbers.bin_of(4.0), 300)])
                .starts_with("0 % of values are at most 0, in the reference 75 %")
        );
        use store::read::bin;
        let ones = numbers.bin_of(4.0);
        for (lost, words) in [
            (numbers.bin_of(f64::INFINITY), "are finite numbers"),
            (bin::NAN, "are numbers"),
            (bin::MISSING, "are not missing"),
            (bin::OTHER, "are of the expected type"),
        ] {
            let found = sentence(&zeros, &[(numbers.bin_of(0.0), 210), (ones, 70), (lost, 120)]);
            assert!(found.starts_with(&format!("70 % of values {words}, in the reference 100 %: ")), "{found}");
        }
    }

    #[test]
    fn a_cause_says_whether_it_moved_or_grew() {
        let cause = Cause {
            segment: "text.language".into(),
            value: "deu".into(),
            within: 0.28,
            mix: 0.01,
            share_before: 0.2,
            share_now: 0.25,
            before: Some(0.12),
            now: Some(0.8),
        };
        let text = of_causes(std::slice::from_ref(&cause));
        assert!(
            text.contains("text.language = deu, 0.29 of the shift: its own values went from 12 % to 80 %"),
            "{text}"
        );
        let grew = Cause { within: 0.01, mix: 0.2, ..cause };
        assert!(of_causes(&[grew]).contains("it went from 20 % to 25 % of the values"));
        assert_eq!(of_causes(&[]), "");
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (0.3125, "0.3125"),
            (12.5, "12.5"),
            (1234.567, "1235"),
            (1e-9, "1.000e-9"),
            (-2.0, "-2"),
            (100.0, "100"),
        ] {
            assert_eq!(rounded(value), text);
        }
    }
}
