//! One column: measured from its values, decided with the others.

use contract::api::DriftState;
use store::files::NameCount;

pub(super) use super::ColumnReport;
use super::measure::measure;
use super::{Kind, Limit, Measure, Options, Place, Ranks};
use crate::judge::{
    bh, display, distances, gate, kolmogorov, ks, null,
    order::{self, Group, Sorts},
    ranks,
    reference::{Categories, Reference},
    shares,
};

const NAMES_MAX: usize = 4_096;

/// How columns are decided.
#[derive(Clone, Debug)]
pub(super) struct Rule {
    delta_ignore: f64,
    /// Chance of error of one margin of one column.
    margin_delta: f64,
    alpha: f64,
    detectable_min: f64,
    limits: Vec<Limit>,
}

impl Rule {
    /// The chance of error is split over all tests, and between the margins of the two samples.
    pub(super) fn new(options: &Options, tests: u64) -> Self {
        Self {
            delta_ignore: options.delta_ignore,
            margin_delta: options.delta / (2.0 * tests.max(1) as f64),
            alpha: options.alpha,
            detectable_min: options.detectable_min,
            limits: options.limits.clone(),
        }
    }

    fn line(&self, reference: &Reference, m: u64, n: u64) -> Option<f64> {
        let margin = |k| gate::margin(reference, k, self.margin_delta);
        (m > 0 && n > 0).then(|| self.delta_ignore + margin(m) + margin(n))
    }
}

/// What the verdicts promise, in words.
pub(super) fn guarantee(options: &Options, tests: u64) -> String {
    format!(
        "If no column moved by more than {}, the chance that any of the {tests} verdicts says drifted is at most {}: the distance has to \
         exceed what is ignored by the margins of both samples (Dvoretzky-Kiefer-Wolfowitz with Massart's constant, split over \
         all verdicts). It assumes that the rows of each file are independent draws. Columns on watch follow p-values \
         (Benjamini-Hochberg at {}), and lines of your own are lines: both promise nothing.",
        options.delta_ignore, options.delta, options.alpha
    )
}

fn blank(name: &str, kind: Kind, (m, n): (u64, u64)) -> ColumnReport {
    ColumnReport {
        name: name.to_owned(),
        kind,
        state: DriftState::Insufficient,
        sentence: String::new(),
        over: Vec::new(),
        m,
        n,
        d: None,
        line: None,
        p: None,
        log_p: None,
        p_ties: None,
        method: None,
        q: None,
        witness: None,
        distances: None,
        chance: None,
        chi_square: None,
        ranks: None,
        wasserstein: None,
        missing: (0.0, 0.0),
        nan: (0.0, 0.0),
        distribution: None,
        curve: Vec::new(),
    }
}

/// A column that the current file does not have.
pub(super) fn gone(name: &str, kind: Kind, (m, _): (u64, u64)) -> ColumnReport {
    ColumnReport {
        state: DriftState::Drifted,
        sentence: "The column is gone.".to_owned(),
        missing: (0.0, 1.0),
        ..blank(name, kind, (m, 0))
    }
}

/// Measures numbers from their unsorted keys.
pub(super) fn numbers(name: &str, mut first: Vec<u64>, mut second: Vec<u64>, rule: &Rule) -> ColumnReport {
    let mut scratch = Vec::new();
    order::sort(&mut first, &mut scratch);
    order::sort(&mut second, &mut scratch);
    let sorts = (Sorts::of_sorted(&first), Sorts::of_sorted(&second));
    in_order(name, sorts, order::groups(&first, &second), Some((&first, &second)), rule)
}

/// Measures numbers that come in order; `samples`, where they are at hand, serve the exact test of small ones.
pub(super) fn in_order(
    name: &str,
    sorts: (Sorts, Sorts),
    groups: impl Iterator<Item = Group>,
    samples: Option<(&[u64], &[u64])>,
    rule: &Rule,
) -> ColumnReport {
    let (m, n) = (sorts.0.total(), sorts.1.total());
    let blank = blank(name, Kind::Number, (m, n));
    if m == 0 || n == 0 {
        return blank;
    }
    let found = measure(sorts, groups);
    let (test, walk) = (ks::of_walk(&found.walk, samples), &found.walk);
    let ranks = Ranks {
        cramer_von_mises: ranks::cramer_von_mises(walk),
        anderson_darling: ranks::anderson_darling(walk),
        mann_whitney: ranks::mann_whitney(walk),
        kuiper: ranks::kuiper(walk),
    };
    let share = |count: u64, of: u64| count as f64 / of as f64;
    let (_, at, upto) = walk.farthest();
    let at = order::value(at);
    let reference = Reference::Numbers(found.frozen);
    ColumnReport {
        d: Some(test.d),
        line: rule.line(&reference, m, n),
        p: Some(test.p),
        log_p: Some(test.log_p),
        p_ties: test.p_ties,
        method: Some(test.method),
        witness: Some(Place {
            value: at.is_finite().then_some(at),
            name: None,
            reference: share(upto.0, m),
            current: share(upto.1, n),
        }),
        ranks: Some(ranks),
        wasserstein: found.moved,
        missing: (share(sorts.0.missing, m), share(sorts.1.missing, n)),
        nan: (share(sorts.0.nan, m), share(sorts.1.nan, n)),
        curve: found.curve,
        ..counted(blank, &reference, &found.cells)
    }
}

/// What follows from counts over bins alone.
fn counted(report: ColumnReport, reference: &Reference, cells: &[u64]) -> ColumnReport {
    let pairs = distances::merged(reference, cells);
    let pairs = pairs.as_deref().unwrap_or_default();
    ColumnReport {
        distances: distances::distances(pairs),
        chance: null::upper(pairs),
        chi_square: distances::chi_square(pairs),
        distribution: Some(display::distribution(reference, cells)),
        ..report
    }
}

/// Measures categories from their counts by name; what has no count by name is the rest.
pub(super) fn categories(
    name: &str,
    (before, now): (&[NameCount], &[NameCount]),
    (m, n): (u64, u64),
    rule: &Rule,
) -> ColumnReport {
    use store::read::bin;
    let total = |counts: &[NameCount]| counts.iter().map(|count| count.rows).sum::<u64>();
    let missing =
        |counts: &[NameCount]| counts.iter().filter(|count| count.name.is_none()).map(|count| count.rows).sum::<u64>();
    let named = |count: &NameCount| count.name.clone().map(|name| (name, count.rows));
    let reference = Reference::categories(before.iter().filter_map(named).collect(), missing(before), NAMES_MAX)
        .plus(bin::NEVER_SEEN, m.saturating_sub(total(before)));
    let blank = blank(name, Kind::Category, (m, n));
    let Reference::Categories(frozen) = &reference else { return blank };
    let places: std::collections::HashMap<&str, i32> = frozen.names.iter().map(String::as_str).zip(0..).collect();
    let bin_of = |count: &NameCount| match &count.name {
        None => bin::MISSING,
        Some(name) => places.get(name.as_str()).copied().unwrap_or(bin::NEVER_SEEN),
    };
    let rest = (bin::NEVER_SEEN, n.saturating_sub(total(now)));
    let cells = reference.cells(now.iter().map(|count| (bin_of(count), count.rows)).chain([rest]));
    let found = shares::largest(frozen, &cells);
    let share = |count: u64, of: u64| count as f64 / of.max(1) as f64;
    ColumnReport {
        d: found.map(|found| found.difference),
        line: rule.line(&reference, m, n),
        p: shares::g_test(&frozen.counts, &cells),
        log_p: shares::g_test(&frozen.counts, &cells).map(f64::ln).filter(|log| log.is_finite()),
        witness: found.map(|found| Place {
            value: None,
            name: Some(cell_name(frozen, found.cell)),
            reference: found.reference,
            current: found.current,
        }),
        missing: (share(missing(before), m), share(missing(now), n)),
        ..counted(blank, &reference, &cells)
    }
}

fn cell_name(frozen: &Categories, cell: usize) -> String {
    match frozen.names.get(cell) {
        Some(name) => name.clone(),
        None => {
            ["(never seen)", "(missing)", "(other)"].get(cell - frozen.names.len()).copied().unwrap_or("").to_owned()
        }
    }
}

/// The verdicts on columns that were measured.
pub(super) fn decide(reports: &mut [ColumnReport], rule: &Rule) {
    let adjusted = bh::adjust(&reports.iter().map(|report| report.p).collect::<Vec<_>>());
    for (report, q) in reports.iter_mut().zip(adjusted) {
        report.q = q;
        report.state = state(report, rule);
        let over = rule.limits.iter().filter(|limit| measured(report, limit.measure).is_some_and(|x| x > limit.most));
        report.over = over.map(|limit| limit.measure.word()).collect();
        report.sentence = sentence(report, rule);
        // a line of the user's own is a verdict of the user's own; `over` says that it is
        if !report.over.is_empty() {
            report.state = DriftState::Drifted;
        }
    }
}

fn state(report: &ColumnReport, rule: &Rule) -> DriftState {
    let (Some(d), Some(line)) = (report.d, report.line) else { return DriftState::Insufficient };
    if d > line {
        return DriftState::Drifted;
    }
    if line > rule.detectable_min {
        return DriftState::Insufficient;
    }
    let beyond = kolmogorov::tail(gate::effective(report.m, report.n), (d - rule.delta_ignore).max(0.0)).p;
    if report.q.is_some_and(|q| q <= rule.alpha) && beyond <= rule.alpha {
        DriftState::Watch
    } else {
        DriftState::Stable
    }
}

fn measured(report: &ColumnReport, measure: Measure) -> Option<f64> {
    match measure {
        Measure::D => report.d,
        Measure::Psi => report.distances.map(|found| found.psi),
        Measure::JensenShannon => report.distances.map(|found| found.jensen_shannon),
        Measure::Hellinger => report.distances.map(|found| found.hellinger),
        Measure::TotalVariation => report.distances.map(|found| found.total_variation),
        Measure::LInfinity => report.distances.map(|found| found.l_infinity),
        Measure::Wasserstein => report.wasserstein.and_then(|moved| moved.in_ranges),
        Measure::Missing => Some(report.missing.1 - report.missing.0),
    }
}

fn sentence(report: &ColumnReport, rule: &Rule) -> String {
    let (Some(d), Some(line)) = (report.d, report.line) else {
        return format!("{} values against {}: there is nothing to compare.", report.n, report.m);
    };
    let moved = lost(report, d).or_else(|| report.witness.as_ref().map(place)).unwrap_or_default();
    match report.state {
        DriftState::Drifted => format!("{moved}: a shift of {d:.3}, above {line:.3}."),
        DriftState::Insufficient => format!(
            "{} values against {} show shifts above {line:.2} only, and {:.2} is asked for; the shift found is {d:.3}.",
            report.n, report.m, rule.detectable_min
        ),
        DriftState::Watch => {
            format!("{moved}: a shift of {d:.3} is hardly chance, and not certainly above {}.", rule.delta_ignore)
        }
        _ => format!("A shift of {d:.3} agrees with chance and the ignored {}.", rule.delta_ignore),
    }
}

/// Where the difference is of what is missing or no number, it first shows somewhere among the numbers, which did not move.
fn lost(report: &ColumnReport, d: f64) -> Option<String> {
    report.witness.as_ref()?;
    let both = (report.missing.0 + report.nan.0, report.missing.1 + report.nan.1);
    let lost = [(report.missing, "missing"), (report.nan, "not a number"), (both, "missing or not a number")];
    let as_far = |(then, now): (f64, f64)| d > 0.0 && (now - then).abs() >= 0.98 * d;
    let ((then, now), what) = lost.into_iter().find(|(shares, _)| as_far(*shares))?;
    Some(format!("{:.1} % of values are {what}, were {:.1} %", now * 100.0, then * 100.0))
}

/// `62 % are at most 0.31, were 21 %`.
fn place(place: &Place) -> String {
    let percent = |share: f64| format!("{:.1} %", share * 100.0);
    let (now, then) = (percent(place.current), percent(place.reference));
    match (&place.value, &place.name) {
        (Some(value), _) => format!("{now} of values are at most {}, were {then}", rounded(*value)),
        (None, Some(name)) => format!("{now} of values are {name}, were {then}"),
        (None, None) => format!("{now} of values are finite numbers, were {then}"),
    }
}

/// Five significant digits at most.
pub(super) fn rounded(value: f64) -> String {
    if value == 0.0 || (1e-4..1e7).contains(&value.abs()) {
        let digits = if value == 0.0 { 0 } else { (4 - value.abs().log10().floor() as i32).max(0) as usize };
        let text = format!("{value:.digits$}");
        return if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text };
    }
    format!("{value:.3e}")
}

/// How evident: by verdict, then by how far over its line.
pub(super) fn evidence(report: &ColumnReport) -> (DriftState, bool, f64) {
    let over = report.d.zip(report.line).map_or(f64::INFINITY, |(d, line)| d / line);
    (report.state, !report.over.is_empty(), over)
}

pub(super) fn sort(reports: &mut [ColumnReport]) {
    reports.sort_by(|a, b| {
        evidence(b).partial_cmp(&evidence(a)).unwrap_or(std::cmp::Ordering::Equal).then_with(|| a.name.cmp(&b.name))
    });
}

impl ColumnReport {
    pub(super) fn drop_drawings(&mut self) {
        self.distribution = None;
        self.curve = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            columns: vec![],
            exclude: vec![],
            segments: vec![],
            segment_values_max: 20,
            delta_ignore: 0.05,
            delta: 0.01,
            alpha: 0.01,
            detectable_min: 0.2,
            limits: vec![Limit { measure: Measure::Missing, most: 0.1 }],
            memory_bytes: 1 << 28,
        }
    }

    fn keys(n: u32, from: f64, to: f64) -> Vec<u64> {
        (0..n).map(|i| order::key(from + (to - from) * f64::from(i * 7_919 % n) / f64::from(n))).collect()
    }

    fn judged(first: Vec<u64>, second: Vec<u64>) -> ColumnReport {
        let rule = Rule::new(&options(), 1);
        let mut reports = [numbers("x", first, second, &rule)];
        decide(&mut reports, &rule);
        let [report] = reports;
        report
    }

    #[test]
    fn each_verdict_from_its_values() {
        let reference = || keys(5_000, 0.0, 1.0);
        let drifted = judged(reference(), keys(5_000, 0.2, 1.2));
        assert_eq!(drifted.state, DriftState::Drifted);
        assert!((drifted.d.unwrap() - 0.2).abs() < 1e-3 && drifted.sentence.contains("at most"), "{drifted:?}");
        assert_eq!(judged(reference(), keys(5_000, 0.03, 1.03)).state, DriftState::Stable);
        assert_eq!(judged(reference(), keys(5_000, 0.09, 1.09)).state, DriftState::Watch);
        assert_eq!(judged(reference(), keys(60, 0.0, 1.0)).state, DriftState::Insufficient);
        assert_eq!(judged(reference(), vec![]).state, DriftState::Insufficient);
    }

    #[test]
    fn fifty_undrifted_rows_are_never_drifted() {
        for start in 0..100 {
            let window: Vec<u64> = keys(5_000, 0.0, 1.0).into_iter().skip(start * 50).take(50).collect();
            assert_ne!(judged(keys(5_000, 0.0, 1.0), window).state, DriftState::Drifted);
        }
    }

    #[test]
    fn a_line_of_the_users_own() {
        let mut window = keys(5_000, 0.0, 1.0);
        window.iter_mut().take(600).for_each(|key| *key = order::MISSING);
        let report = judged(keys(5_000, 0.0, 1.0), window);
        assert_eq!((report.over.as_slice(), report.state), (&["missing"][..], DriftState::Drifted));
        let mut few = keys(5_000, 0.0, 1.0);
        few.iter_mut().take(400).for_each(|key| *key = order::MISSING);
        assert_eq!(judged(keys(5_000, 0.0, 1.0), few).over.len(), 0, "8 % are under the line");
        assert!((report.missing.1 - 0.12).abs() < 1e-12);
        assert!(report.sentence.starts_with("12.0 % of values are missing, were 0.0 %"), "{report:?}");
        let with = |lost: u64, count: usize, more: u64| {
            let mut keys = keys(5_000, 0.0, 1.0);
            keys.iter_mut().take(600).for_each(|key| *key = lost);
            keys.iter_mut().take(count).for_each(|key| *key = more);
            keys
        };
        let plain = || keys(5_000, 0.0, 1.0);
        for (before, now, words) in [
            (plain(), with(order::NAN, 0, 0), "12.0 % of values are not a number, were 0.0 %"),
            (
                plain(),
                with(order::NAN, 200, order::MISSING),
                "12.0 % of values are missing or not a number, were 0.0 %",
            ),
            (with(order::MISSING, 0, 0), plain(), "0.0 % of values are missing, were 12.0 %"),
        ] {
            let report = judged(before, now);
            assert!(report.sentence.starts_with(words), "{words}: {}", report.sentence);
        }
    }

    #[test]
    fn names_that_were_never_seen() {
        let count = |name: Option<&str>, rows| NameCount { column: 0, name: name.map(str::to_owned), rows };
        let before = [count(Some("a"), 2_000), count(Some("b"), 1_000)];
        let now = [count(Some("a"), 2_000), count(Some("c"), 900), count(None, 100)];
        let rule = Rule::new(&options(), 1);
        let mut reports = [categories("x", (&before, &now), (3_000, 3_000), &rule)];
        decide(&mut reports, &rule);
        let place = reports[0].witness.clone().unwrap();
        assert_eq!((reports[0].state, place.name.as_deref()), (DriftState::Drifted, Some("b")));
        assert!((reports[0].missing.1 - 1.0 / 30.0).abs() < 1e-12);
    }
}
