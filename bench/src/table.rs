//! A table of promises: each row has a bound that was written before anything was measured.

use std::fmt;

/// What a measured figure must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// This and nothing else: counts.
    Exactly(f64),
    /// Any figure; it is printed, not judged.
    Printed,
}

impl Bound {
    /// Whether a figure is inside; what is not a number never is.
    #[must_use]
    pub fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
            Self::Below(bound) => figure < bound,
            #[allow(clippy::float_cmp)] // counts
            Self::Exactly(count) => figure == count,
            Self::Printed => figure.is_finite(),
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(to, ">= {least}"),
            Self::AtMost(most) => write!(to, "<= {most}"),
            Self::Below(bound) => write!(to, "< {bound}"),
            Self::Exactly(count) => write!(to, "{count}"),
            Self::Printed => write!(to, "printed"),
        }
    }
}

/// A promise and, once measured, what was seen.
#[derive(Clone, Debug)]
struct Row {
    key: &'static str,
    what: &'static str,
    bound: Bound,
    seen: Option<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    figure: f64,
    note: String,
}

/// The rows of one command, in the order of their declaration.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    /// Declares a row: a short unique `key`, `what` is measured, and what it must be.
    #[must_use]
    pub fn row(mut self, key: &'static str, what: &'static str, bound: Bound) -> Self {
        assert!(self.rows.iter().all(|row| row.key != key), "two rows are called '{key}'");
        self.rows.push(Row { key, what, bound, seen: None });
        self
    }

    /// Fills a row.
    ///
    /// # Panics
    /// Where no row has this key: a figure that nobody asked for is a mistake in the bench.
    pub fn seen(&mut self, key: &str, figure: f64, note: impl Into<String>) {
        let row = self.rows.iter_mut().find(|row| row.key == key).unwrap_or_else(|| panic!("no row is called '{key}'"));
        row.seen = Some(Seen { figure, note: note.into() });
    }

    /// Whether every row was measured and is inside its bound.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.rows.iter().all(Row::holds)
    }

    /// The table as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from("| what | must be | measured | holds |\n|---|---|---|---|\n");
        for row in &self.rows {
            text.push_str(&row.markdown());
        }
        text
    }
}

impl Row {
    fn holds(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.bound.holds(seen.figure))
    }

    fn markdown(&self) -> String {
        let measured = match &self.seen {
            None => "not measured".to_owned(),
            Some(seen) if seen.note.is_empty() => figure(seen.figure),
            Some(seen) => format!("{} ({})", figure(seen.figure), seen.note),
        };
        let holds = if self.holds() { "yes" } else { "**no**" };
        format!("| {} | {} | {measured} | {holds} |\n", self.what, self.bound)
    }
}

/// Three significant places for fractions, all digits for counts.
fn figure(value: f64) -> String {
    if value.fract() == 0.0 && value.abs() < 1e15 {
        return format!("{value:.0}");
    }
    let places = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_was_not_measured_does_not_hold() {
        let mut table = Table::default().row("speed", "requests a second", Bound::AtLeast(10.0));
        assert!(!table.holds());
        table.seen("speed", 12.345, "median of 5");
        assert!(table.holds());
        assert!(table.markdown().contains("| requests a second | >= 10 | 12.3 (median of 5) | yes |"));
    }

    #[test]
    fn bounds_are_what_they_say() {
        for (bound, inside, outside) in [
            (Bound::AtLeast(0.9), 0.9, 0.899),
            (Bound::AtMost(1.05), 1.05, 1.051),
            (Bound::Below(1.0), 0.999, 1.0),
            (Bound::Exactly(0.0), 0.0, 1.0),
            (Bound::Printed, 7.0, f64::NAN),
            (Bound::AtMost(1.0), -3.0, f64::NAN),
        ] {
            assert!(bound.holds(inside), "{inside} is {bound}");
            assert!(!bound.holds(outside), "{outside} is not {bound}");
        }
    }

    #[test]
    fn figures_are_short_and_honest() {
        for (value, text) in [(0.9345, "0.934"), (1.0, "1"), (12.345, "12.3"), (0.001_234, "0.00123"), (1e6, "1000000")]
        {
            assert_eq!(figure(value), text);
        }
    }
}
