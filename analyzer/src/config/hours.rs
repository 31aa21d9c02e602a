//! Matched hours: whether a window is judged against the same hour of its reference.

use std::time::Duration;

use host::config::Faults;
use serde::{Deserialize, Serialize};
use store::read::hours;

/// One hour.
const HOUR_MS: i64 = 3_600_000;
/// The first hour of 1970 was one of a Thursday, the fourth day of the week.
const FIRST: i64 = 3 * 24;

/// Which hours are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hours {
    /// All of them.
    #[default]
    Off,
    /// Those of a day, UTC.
    Day,
    /// Those of a week, UTC.
    Week,
}

impl Hours {
    /// Under which name references by the hour are stored; `None` where there are none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Off => None,
            Self::Day => Some(hours::HOUR_OF_DAY),
            Self::Week => Some(hours::HOUR_OF_WEEK),
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u32 {
        match self {
            Self::Off => 1,
            Self::Day => 24,
            Self::Week => 168,
        }
    }

    /// The number of the hour that a moment is in.
    #[must_use]
    pub fn of(self, at_ms: i64) -> u32 {
        let hour = (at_ms.div_euclid(HOUR_MS) + FIRST).rem_euclid(i64::from(self.count()));
        u32::try_from(hour).unwrap_or_default()
    }

    /// Since when a window may be judged together with the one that starts at a moment: since its hour began.
    #[must_use]
    pub const fn since(self, at_ms: i64) -> i64 {
        match self {
            Self::Off => i64::MIN,
            _ => at_ms.div_euclid(HOUR_MS) * HOUR_MS,
        }
    }
}

pub(super) fn check(hours: Hours, window: Duration, key: &str, faults: &mut Faults) {
    let length_ms = i64::try_from(window.as_millis()).unwrap_or(i64::MAX).max(1);
    let sentence = format!("needs windows that an hour is a multiple of; analyzer.window is {window:?}");
    faults.check(hours == Hours::Off || HOUR_MS % length_ms == 0, format!("{key}.matched_hours"), sentence);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_those_of_the_database() {
        // SELECT toDayOfWeek(t) - 1, toHour(t) of fromUnixTimestamp(0), (1763748000), (-3600): 3 0, 4 18, 2 23
        for (at_ms, day, hour) in [(0, 3, 0), (1_763_748_000_000, 4, 18), (-1, 2, 23)] {
            assert_eq!((Hours::Week.of(at_ms), Hours::Day.of(at_ms)), (day * 24 + hour, hour), "{at_ms}");
        }
        assert_eq!((Hours::Off.of(1_763_748_000_000), Hours::Week.since(HOUR_MS + 7)), (0, HOUR_MS));
    }
}
