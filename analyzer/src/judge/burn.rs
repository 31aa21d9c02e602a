//! Error budgets and burn rates from counts of good and bad events.
//!
//! A burn rate is the bad share of a window over the budget; 1 spends the budget exactly in the period. Ratios are made from
//! counts of the whole window, never from averaged ratios. A window without events has no rate: that is not a rate of 0.

use contract::{
    api::Burn,
    slo::{BAD_EVENTS_MIN, BURN_WINDOWS, FLOOR_Z, Period, Slo, SloFile},
};

/// Events of one span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// Counted events.
    pub total: u64,
    /// Those that spent budget.
    pub bad: u64,
}

/// A window in which burn is watched.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Window {
    /// Name before scaling.
    pub name: &'static str,
    /// Length in milliseconds, after scaling.
    pub millis: i64,
    /// Factor at which it alerts.
    pub factor: f64,
}

/// All windows of an SLO file, shortest first, long and short ones. A window that serves two alerts shows the factor of the one
/// whose long window it is.
#[must_use]
pub fn windows(file: &SloFile) -> Vec<Window> {
    let scale = i64::from(file.time_scale.max(1));
    let millis = |seconds: u64| seconds as i64 * 1_000 / scale;
    let mut windows: Vec<Window> = BURN_WINDOWS
        .iter()
        .map(|w| Window { name: w.long_name, millis: millis(w.long_seconds), factor: w.factor(file.period_days) })
        .collect();
    for w in &BURN_WINDOWS {
        if windows.iter().all(|known| known.name != w.short_name) {
            windows.push(Window {
                name: w.short_name,
                millis: millis(w.short_seconds),
                factor: w.factor(file.period_days),
            });
        }
    }
    windows.sort_by_key(|window| window.millis);
    windows
}

/// Time after which burn rates are worth counting again: a thirtieth of the shortest window.
#[must_use]
pub fn recount_millis(file: &SloFile) -> i64 {
    windows(file).first().map_or(0, |window| window.millis / 30)
}

/// Length of the budget's period in milliseconds, after scaling; of a calendar month, thirty days.
#[must_use]
pub fn period_millis(file: &SloFile) -> i64 {
    i64::from(file.period_days) * 86_400_000 / i64::from(file.time_scale.max(1))
}

/// When the budget's period began: so many (scaled) days ago, or with the month in UTC.
#[must_use]
pub fn period_start_ms(file: &SloFile, now_ms: i64) -> i64 {
    const DAY_MS: i64 = 86_400_000;
    match file.period {
        Period::Rolling => now_ms - period_millis(file),
        Period::CalendarMonth => {
            let day = now_ms.div_euclid(DAY_MS);
            (day - (day_of_month(day) - 1)) * DAY_MS
        }
    }
}

/// Day of the month, from 1, of a day since the Unix epoch (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
const fn day_of_month(day: i64) -> i64 {
    let day_of_era = (day + 719_468).rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    day_of_year - (153 * month + 2) / 5 + 1
}

/// Share of the budget that is left; negative when overspent, `None` without events.
#[must_use]
pub fn budget_remaining(period: Events, budget: f64) -> Option<f64> {
    rate(period, budget).map(|rate| 1.0 - rate)
}

/// How long the budget lasts if it goes on burning at a rate, in milliseconds: what is left of it over what the rate spends
/// in a period. Bad events that leave the rolling period would give some back, so it lasts at least so long. `None` where it does
/// not burn, or nothing is left.
#[must_use]
pub fn exhausted_in(remaining: Option<f64>, rate: Option<f64>, period_ms: i64) -> Option<i64> {
    let (remaining, rate) = (remaining.filter(|left| *left > 0.0)?, rate.filter(|rate| *rate > 0.0)?);
    Some((remaining / rate * period_ms as f64) as i64)
}

/// Burn of one window, beside the factor at which this objective alerts.
#[must_use]
pub fn burn(window: &Window, events: Events, slo: &Slo, file: &SloFile) -> Burn {
    // the factor of the window's own long window, or of the one whose short window it is
    let own = BURN_WINDOWS.iter().find(|w| w.long_name == window.name);
    let of = own.or_else(|| BURN_WINDOWS.iter().find(|w| w.short_name == window.name));
    let factor = of.map_or(window.factor, |w| slo.factor(w, file.period_days));
    let (rate, floor) = (rate(events, slo.budget()), floor(events, slo.budget()));
    Burn { window: window.name.to_owned(), rate, floor, factor }
}

fn rate(events: Events, budget: f64) -> Option<f64> {
    (events.total > 0 && budget > 0.0).then(|| events.bad as f64 / events.total as f64 / budget)
}

/// What the rate is at least, as the rules that alert have it: Wilson 1927, the lower end of his interval for the bad share,
/// over the budget; 0 where too few events were bad to mean anything.
fn floor(events: Events, budget: f64) -> Option<f64> {
    let rate = rate(events, budget)?;
    if events.bad < u64::from(BAD_EVENTS_MIN) {
        return Some(0.0);
    }
    let (n, z2) = (events.total as f64, FLOOR_Z * FLOOR_Z);
    let p = (rate * budget).min(1.0);
    let spread = FLOOR_Z * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    Some((p + z2 / (2.0 * n) - spread) / (1.0 + z2 / n) / budget)
}

#[cfg(test)]
mod tests {
    use contract::slo::Sli;

    use super::*;

    fn file(time_scale: u32) -> SloFile {
        SloFile { time_scale, ..SloFile::new("s", "o", vec![]) }
    }

    #[test]
    fn windows_are_named_once_and_scaled() {
        let named =
            |scale| windows(&file(scale)).iter().map(|w| (w.name, w.millis / 1_000, w.factor)).collect::<Vec<_>>();
        let real = named(1);
        assert_eq!(real.iter().map(|w| w.0).collect::<Vec<_>>(), ["5m", "30m", "1h", "2h", "6h", "1d", "3d"]);
        assert_eq!(real[4], ("6h", 21_600, 6.0));
        assert_eq!(named(60)[0], ("5m", 5, real[0].2));
        assert!((real[0].2 - 14.4).abs() < 1e-9);
    }

    #[test]
    fn a_budget_spent_exactly() {
        // 99 % over 10,000 events: 100 may be bad.
        let left = |bad| budget_remaining(Events { total: 10_000, bad }, 0.01).unwrap();
        assert!((left(100)).abs() < 1e-12 && (left(25) - 0.75).abs() < 1e-12 && (left(200) + 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_budget_lasts_as_long_as_its_rate_says() {
        assert_eq!(exhausted_in(Some(0.5), Some(2.0), 1_000), Some(250));
        assert_eq!(exhausted_in(Some(1.0), Some(1.0), 1_000), Some(1_000));
        for (left, rate) in [(None, Some(1.0)), (Some(0.5), None), (Some(0.5), Some(0.0)), (Some(-0.1), Some(1.0))] {
            assert_eq!(exhausted_in(left, rate, 1_000), None);
        }
    }

    #[test]
    fn no_events_are_no_rate() {
        assert_eq!(budget_remaining(Events::default(), 0.01), None);
        let slo = Slo::new("s", "m", 99.0, Sli::Availability);
        assert_eq!(burn(&windows(&file(1))[0], Events::default(), &slo, &file(1)).rate, None);
    }

    /// `scipy.stats.binomtest(bad, n).proportion_ci(1 - 2 * norm.sf(1.645), "wilson").low`, over the budget.
    #[test]
    fn few_events_prove_little_burn() {
        for (bad, total, low) in [
            (3, 50, 0.024_229_406_253_023_694),
            (3, 10_000, 0.000_119_891_534_524_040_22),
            (30, 1_000, 0.022_316_212_386_600_077),
        ] {
            let found = floor(Events { total, bad }, 0.001).unwrap();
            assert!((found - low / 0.001).abs() < 1e-9, "{bad} of {total}: {found}");
        }
        assert_eq!(floor(Events { total: 4, bad: 2 }, 0.001), Some(0.0));
        assert_eq!(floor(Events::default(), 0.001), None);
    }

    #[test]
    fn an_objective_may_page_at_a_rate_of_its_own() {
        let slo = Slo { page_at: Some(7.2), ..Slo::new("s", "m", 90.0, Sli::Availability) };
        let factors: Vec<f64> =
            windows(&file(1)).iter().map(|w| burn(w, Events::default(), &slo, &file(1)).factor).collect();
        assert_eq!(factors, [7.2, 3.0, 7.2, 3.0, 3.0, 3.0, 1.0]);
    }

    /// `date -u -d @S +%d` for a day of each kind of month and year.
    #[test]
    fn a_calendar_months_budget_is_whole_on_the_first() {
        let file = SloFile { period: Period::CalendarMonth, ..file(1) };
        for (now, start) in [
            (0, 0),                                 // 1 January 1970
            (951_868_800_000, 951_868_800_000),     // 1 March 2000, after a leap day
            (951_868_799_999, 949_363_200_000),     // the end of February 2000, which began on the 1st
            (1_795_271_400_000, 1_793_491_200_000), // 21 November 2026, 14:30
            (1_798_761_599_000, 1_796_083_200_000), // 31 December 2026, 23:59:59
        ] {
            assert_eq!(period_start_ms(&file, now), start, "{now}");
        }
        assert_eq!(period_start_ms(&super::tests::file(60), 43_200_000), 0, "thirty days sixty times faster");
    }
}
