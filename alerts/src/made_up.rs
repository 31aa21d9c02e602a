//! Made-up traffic for an objective's tests: counters that show so many events and so many bad ones.
//!
//! Our own counters are named by the objective. A user's queries are read for the series that they select, and series
//! are made up that match: one that only the query for all events finds, and one that the other finds too. A query
//! that cannot be read so has no tests.

use contract::slo::{Sli, Slo};

use crate::alert::Input;
use crate::source::{WINDOW, Which, counter, labels};

/// Steps in which so many events, and so many bad ones, come at each step; `None`: the counters are gone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase {
    /// How many steps.
    pub steps: u64,
    /// Events and bad events a step.
    pub each: Option<(f64, f64)>,
}

/// So many steps of that.
pub const fn phase(steps: u64, events: f64, bad: f64) -> Phase {
    Phase { steps, each: Some((events, bad)) }
}

/// So many steps without counters.
pub const fn gone(steps: u64) -> Phase {
    Phase { steps, each: None }
}

/// A counter in promtool's notation, from 0.
fn counter_of(phases: &[Phase], of: impl Fn((f64, f64)) -> f64) -> String {
    let (mut value, mut text) = (0.0, vec!["0".to_owned()]);
    for Phase { steps, each } in phases.iter().filter(|p| p.steps > 0) {
        match each.map(&of) {
            Some(step) => {
                text.push(format!("{}+{step}x{}", value + step, steps - 1));
                #[expect(clippy::cast_precision_loss, reason = "tests have a few hundred steps")]
                let grown = step * *steps as f64;
                value += grown;
            }
            None => text.push(format!("stale _x{steps}")),
        }
    }
    text.join(" ")
}

/// The series of an objective that show this traffic; nothing where its queries cannot be read.
pub fn inputs(slo: &Slo, phases: &[Phase]) -> Vec<Input> {
    let (events, bad) = (counter_of(phases, |(n, _)| n), counter_of(phases, |(_, bad)| bad));
    if let (Some(all), Some(spent)) = (counter(slo, Which::All), counter(slo, Which::Bad)) {
        let mut named = labels(slo);
        named.push(("instance", "process-1"));
        return vec![Input::new(all.name, &named, events), Input::new(spent.name, &named, bad)];
    }
    let Sli::Events { total, bad: bad_query, good } = &slo.sli else { return vec![] };
    let Some((inner, inner_is_bad)) =
        bad_query.as_ref().map(|q| (q, true)).or_else(|| good.as_ref().map(|q| (q, false)))
    else {
        return vec![];
    };
    let (Some(total), Some(inner)) = (Selector::find(total), Selector::find(inner)) else { return vec![] };
    let rest = counter_of(phases, |(n, bad)| n - bad);
    let (found, others) = if inner_is_bad { (bad, rest) } else { (rest, bad) };
    let same = total.name == inner.name;
    let other_labels = if same { total.without(&inner) } else { total.labels() };
    vec![
        Input::new(&inner.name, &as_strs(&total.and(&inner, same)), found),
        Input::new(&total.name, &as_strs(&other_labels), if same { others } else { events }),
    ]
}

fn as_strs(labels: &[(String, String)]) -> Vec<(&str, &str)> {
    labels.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect()
}

#[derive(Clone, Debug, PartialEq)]
struct Matcher {
    label: String,
    op: String,
    value: String,
}

/// The first series that a query selects over a range.
#[derive(Clone, Debug, PartialEq)]
struct Selector {
    name: String,
    matchers: Vec<Matcher>,
}

impl Selector {
    fn find(query: &str) -> Option<Self> {
        if query.contains("count_over_time(") {
            return None;
        }
        let range = query.find(&format!("[{WINDOW}"))?;
        let before = query[..range].trim_end();
        let (head, inside) = match before.strip_suffix('}') {
            Some(open) => open.rsplit_once('{')?,
            None => (before, ""),
        };
        let is_word = |c: char| c.is_ascii_alphanumeric() || "_:".contains(c);
        let name: String = head.trim_end().rsplit(|c| !is_word(c)).next()?.to_owned();
        let matchers = matchers(inside)?;
        (!name.is_empty()).then_some(Self { name, matchers })
    }

    /// Labels that it matches.
    fn labels(&self) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        for m in &self.matchers {
            if !all.iter().any(|(label, _)| *label == m.label) {
                all.push((m.label.clone(), m.example(true)));
            }
        }
        all
    }

    /// Labels that both match.
    fn and(&self, inner: &Self, same: bool) -> Vec<(String, String)> {
        let mut all = inner.labels();
        if same {
            all.extend(self.labels().into_iter().filter(|(k, _)| !inner.matchers.iter().any(|m| m.label == *k)));
        }
        all
    }

    /// Labels that it matches and the other does not.
    fn without(&self, inner: &Self) -> Vec<(String, String)> {
        let mut all = self.labels();
        let own = |m: &&Matcher| !self.matchers.contains(m);
        for m in inner.matchers.iter().filter(own) {
            all.retain(|(label, _)| *label != m.label);
            all.push((m.label.clone(), m.example(false)));
        }
        all
    }
}

impl Matcher {
    /// A value that it matches, or one that it does not.
    fn example(&self, matches: bool) -> String {
        let positive = matches!(self.op.as_str(), "=" | "=~");
        let value = if self.op.ends_with('~') { example(&self.value) } else { self.value.clone() };
        if positive == matches { value } else { "made-up".to_owned() }
    }
}

/// `a="b", c=~"d"`.
fn matchers(text: &str) -> Option<Vec<Matcher>> {
    let mut rest = text.trim().trim_end_matches(',');
    let mut all = Vec::new();
    while !rest.is_empty() {
        let at = rest.find(['=', '!'])?;
        let (label, tail) = rest.split_at(at);
        let op: String = tail.chars().take_while(|c| "=!~".contains(*c)).collect();
        let quoted = tail[op.len()..].trim_start().strip_prefix('"')?;
        let end = quoted.find('"')?;
        all.push(Matcher { label: label.trim().to_owned(), op, value: quoted[..end].to_owned() });
        rest = quoted[end + 1..].trim_start().trim_start_matches(',').trim_start();
    }
    Some(all)
}

/// A word that a simple pattern matches: the first of its alternatives, `x` or a digit where anything may stand.
fn example(pattern: &str) -> String {
    let plain: String = pattern.chars().filter(|c| !"()^$".contains(*c)).collect();
    let first = plain.split('|').next().unwrap_or_default().to_owned();
    let first = first.replace(".+", "x").replace(".*", "x").replace("\\\\", "");
    let mut out = String::new();
    let mut chars = first.chars();
    while let Some(c) = chars.next() {
        match c {
            '.' => out.push('0'),
            '[' => {
                out.extend(chars.next());
                for c in chars.by_ref() {
                    if c == ']' {
                        break;
                    }
                }
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_counters_in_promtools_notation() {
        let phases = [phase(60, 60.0, 1.0), phase(10, 0.0, 0.0), gone(5)];
        assert_eq!(counter_of(&phases, |(n, _)| n), "0 60+60x59 3600+0x9 stale _x5");
    }

    #[test]
    fn series_are_made_up_that_each_query_finds() {
        let slo = |bad: &str, good: Option<&str>| {
            let total = r#"sum(rate(requests{job="shop",path!="/health"}[{{.window}}]))"#.to_owned();
            let bad = (!bad.is_empty()).then(|| bad.to_owned());
            Slo::new("s", "", 99.0, Sli::Events { total, bad, good: good.map(str::to_owned) })
        };
        let series = |slo: &Slo| {
            inputs(slo, &[phase(2, 10.0, 4.0)]).into_iter().map(|i| (i.series, i.values)).collect::<Vec<_>>()
        };
        let ours =
            series(&slo(r#"sum(rate(requests{job="shop",path!="/health",code=~"(5..|429)"}[{{.window}}]))"#, None));
        assert_eq!(ours[0], (r#"requests{job="shop", path="made-up", code="500"}"#.into(), "0 4+4x1".into()));
        assert_eq!(ours[1], (r#"requests{job="shop", path="made-up", code="made-up"}"#.into(), "0 6+6x1".into()));
        let good =
            series(&slo("", Some(r#"sum(rate(requests{job="shop",path!="/health",code!~"5.."}[{{.window}}]))"#)));
        assert_eq!(good[0], (r#"requests{job="shop", path="made-up", code="made-up"}"#.into(), "0 6+6x1".into()));
        assert_eq!(good[1], (r#"requests{job="shop", path="made-up", code="500"}"#.into(), "0 4+4x1".into()));
        let other = series(&slo("sum(increase(failures[{{.window}}]))", None));
        assert_eq!(other[0], ("failures".into(), "0 4+4x1".into()));
        assert_eq!(other[1].1, "0 10+10x1");
        assert_eq!(series(&slo("vector(1)", None)), []);
    }

    #[test]
    fn examples_of_patterns() {
        for (pattern, word) in [("5..", "500"), ("(5..|429)", "500"), (".+", "x"), ("[45]..", "400"), ("ok", "ok")] {
            assert_eq!(example(pattern), word);
        }
    }
}
