//! How long rows are kept, a table: `[store.retention]` over the times that the migrations made the tables with.
//!
//! The choice: the table's own definition is what says what is in force, so a changed configuration is one `ALTER` at the
//! next start of a role, and an unchanged one is none. Migrations stay as they were applied.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::faults::Faults;
use serde::Deserialize;

use crate::{Error, Store};

/// Tables that rows leave by age: by which column, and after how many days where the configuration does not say.
const KEPT: [(&str, &str, u64); 14] = [
    ("observations", "at", 90),
    ("features", "at", 30),
    ("categories", "at", 30),
    ("payloads", "at", 14),
    ("comparisons", "at", 90),
    ("labels", "at", 365),
    ("outcomes", "at", 365),
    ("events", "at", 365),
    ("heartbeats", "sent_at", 7),
    ("bin_counts", "window_end", 365),
    ("verdicts", "window_end", 365),
    ("detector_state", "window_end", 30),
    ("segment_counts", "window_end", 90),
    ("segment_verdicts", "window_end", 90),
];
const DAY_SECONDS: u64 = 86_400;
/// Shorter, and rows would leave before windows are judged.
const LEAST: Duration = Duration::from_secs(3600);

/// A time in words, as in `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Age(#[serde(with = "humantime_serde")] pub Duration);

/// `[store.retention]`, as typed: a table and how long its rows are kept.
pub type RawRetention = BTreeMap<String, Age>;

/// Longer, and a time to live passes the last moment of a ClickHouse `DateTime` (2106) and wraps around.
const MOST: Duration = Duration::from_secs(20 * 366 * DAY_SECONDS);

/// Checked: what every table's time to live is to be.
#[derive(Clone, Debug)]
pub(crate) struct Retention(Vec<(&'static str, u64)>);

impl Retention {
    /// Checks; faults are pushed.
    pub fn new(raw: &RawRetention, faults: &mut Faults) -> Self {
        for (table, age) in raw {
            let known = KEPT.iter().any(|(name, ..)| name == table);
            let names: Vec<&str> = KEPT.iter().map(|(name, ..)| *name).collect();
            let sentence = format!("is no table that rows leave by age; those are {}", names.join(", "));
            faults.check(known, format!("store.retention.{table}"), sentence);
            let sentence = "is under an hour; rows would leave before they are judged";
            faults.check(age.0 >= LEAST, format!("store.retention.{table}"), sentence);
            let sentence = "is over 20 years; a time past 2106 cannot be kept in the table, and would lie in the past";
            faults.check(age.0 <= MOST, format!("store.retention.{table}"), sentence);
        }
        let of = |&(table, _, days): &(&'static str, &str, u64)| {
            (table, raw.get(table).map_or(days * DAY_SECONDS, |age| age.0.as_secs()))
        };
        Self(KEPT.iter().map(of).collect())
    }

    /// How long a table's rows are kept; `None` of a table that rows do not leave by age.
    pub fn kept(&self, table: &str) -> Option<Duration> {
        self.0.iter().find(|(name, _)| *name == table).map(|(_, seconds)| Duration::from_secs(*seconds))
    }

    /// The time to live of every table, as ClickHouse writes it.
    fn expressions(&self) -> impl Iterator<Item = (&'static str, String)> {
        self.0.iter().zip(KEPT).map(|((table, seconds), (_, column, _))| (*table, expression(column, *seconds)))
    }
}

/// As ClickHouse writes it in a table's definition.
fn expression(column: &str, seconds: u64) -> String {
    let interval = match seconds % DAY_SECONDS {
        0 => format!("toIntervalDay({})", seconds / DAY_SECONDS),
        _ => format!("toIntervalSecond({seconds})"),
    };
    format!("toDateTime({column}) + {interval}")
}

/// Whether a table's definition has this time to live.
fn has(engine: &str, expression: &str) -> bool {
    of(engine) == expression
}

/// The time to live in a table's definition; empty where there is none.
pub(crate) fn of(engine: &str) -> &str {
    let rest = engine.split_once(" TTL ").map_or("", |(_, rest)| rest);
    rest.split_once(" SETTINGS").map_or(rest, |(own, _)| own)
}

/// How long an [`expression`] keeps rows, as a person says it; another one as it is.
pub(crate) fn in_words(expression: &str) -> String {
    let number = |unit: &str| {
        let (_, rest) = expression.split_once(unit)?;
        rest.strip_suffix(')')?.parse::<u64>().ok()
    };
    match (number("+ toIntervalDay("), number("+ toIntervalSecond(")) {
        (Some(1), _) => "a day".to_owned(),
        (Some(days), _) => format!("{days} days"),
        (_, Some(seconds)) if seconds % 3600 == 0 => format!("{} hours", seconds / 3600),
        (_, Some(seconds)) => format!("{seconds} seconds"),
        _ => expression.to_owned(),
    }
}

impl Store {
    /// Gives every table the time to live that the configuration says; returns the tables that had another.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn retain(&self) -> Result<Vec<&'static str>, Error> {
        let mut changed = Vec::new();
        for server in self.servers() {
            for table in server.retain_there().await? {
                if !changed.contains(&table) {
                    changed.push(table);
                }
            }
        }
        Ok(changed)
    }

    async fn retain_there(&self) -> Result<Vec<&'static str>, Error> {
        let sql = "SELECT name, engine_full FROM system.tables WHERE database = ?";
        let query = self.client().query(sql).bind(self.database());
        let made: BTreeMap<String, String> =
            self.bounded("the tables' definitions", query.fetch_all::<(String, String)>()).await?.into_iter().collect();
        let mut changed = Vec::new();
        for (table, expression) in self.retention().expressions() {
            let local = self.layout().local(table);
            if made.get(&local).is_none_or(|engine| has(engine, &expression)) {
                continue;
            }
            let sql = format!("ALTER TABLE {local}{} MODIFY TTL {expression}", self.layout().on());
            self.execute("changing how long rows are kept", &sql).await?;
            tracing::info!(table, expression, "rows are kept for another time from now on");
            changed.push(table);
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_recognized() {
        let made = "MergeTree ORDER BY at TTL toDateTime(at) + toIntervalDay(30) SETTINGS index_granularity = 8192";
        assert!(has(made, &expression("at", 30 * DAY_SECONDS)));
        assert!(!has(made, &expression("at", 3 * DAY_SECONDS)));
        assert!(!has("MergeTree ORDER BY at", &expression("at", DAY_SECONDS)));
        assert_eq!(expression("at", 90_000), "toDateTime(at) + toIntervalSecond(90000)");
    }

    #[test]
    fn a_time_to_live_is_said_in_words() {
        for (seconds, words) in [(30 * DAY_SECONDS, "30 days"), (90_000, "25 hours"), (3_601, "3601 seconds")] {
            assert_eq!(in_words(&expression("at", seconds)), words);
        }
        assert_eq!(in_words("at + toIntervalMonth(2)"), "at + toIntervalMonth(2)", "of another program");
        assert_eq!(in_words(""), "");
    }

    #[test]
    fn a_mistyped_table_and_a_moment_are_faults() {
        let raw = toml_like(&[("payloads", 60), ("payload", 86_400)]);
        let mut faults = Faults::default();
        let _ = Retention::new(&raw, &mut faults);
        let text = faults.to_string();
        assert!(text.contains("store.retention.payload: is no table") && text.contains("under an hour"), "{text}");
        assert_eq!(faults.len(), 2);
    }

    fn toml_like(pairs: &[(&str, u64)]) -> RawRetention {
        pairs.iter().map(|(table, seconds)| ((*table).to_owned(), Age(Duration::from_secs(*seconds)))).collect()
    }
}
