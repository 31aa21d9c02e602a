//! What a file that can be read may still get wrong.

use std::collections::BTreeSet;

use contract::faults::Faults;
use contract::slo::{Labels, Maintenance, Period, Sli, Slo, SloFile};

use super::RESERVED_LABELS;
use crate::source::WINDOW;

/// Most characters of a name.
pub const NAME_MAX: usize = 64;
/// Most characters of a label's value or a query.
const TEXT_MAX: usize = 4_096;
/// Largest factor that time may be divided by: the shortest window must hold a few scrapes of a second each.
const TIME_SCALE_MAX: u32 = 60;
/// Highest objective: one bad event in a million.
const OBJECTIVE_MAX: f64 = 99.9999;

/// Everything but what each objective says of itself.
pub fn file(file: &SloFile, faults: &mut Faults) {
    for (key, name) in [("service", &file.service), ("owner", &file.owner)] {
        faults.check(
            is_label(name),
            key,
            format!("`{name}` must be 1 to {NAME_MAX} characters without braces or line breaks"),
        );
    }
    period(file, faults);
    labels("labels", &file.labels, faults);
    for model in &file.page_on_drift {
        faults.check(is_model(model), "page_on_drift", format!("`{model}` is no model's name"));
    }
    unique("slos", file.slos.iter().map(|slo| slo.name.as_str()), faults);
    unique("maintenance", file.maintenance.iter().map(|m| m.name.as_str()), faults);
    for (i, time) in file.maintenance.iter().enumerate() {
        maintenance(&format!("maintenance[{i}]"), time, faults);
    }
}

fn period(file: &SloFile, faults: &mut Faults) {
    faults.check(
        (7..=30).contains(&file.period_days),
        "period_days",
        format!("{} is no period: error budgets roll over 7 to 30 days", file.period_days),
    );
    faults.check(
        (1..=TIME_SCALE_MAX).contains(&file.time_scale),
        "time_scale",
        format!("{} must be 1 (real time) to {TIME_SCALE_MAX}, which makes five minutes five seconds", file.time_scale),
    );
    faults.check(
        file.period == Period::Rolling || (file.period_days == 30 && file.time_scale == 1),
        "period",
        "a calendar month has no other length and runs in real time: leave out `period_days` and `time_scale`",
    );
}

fn unique<'a>(key: &str, names: impl Iterator<Item = &'a str>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for name in names {
        faults.check(
            seen.insert(name),
            key,
            format!("the name `{name}` is given twice; alerts and series are told apart by it"),
        );
    }
}

fn maintenance(key: &str, time: &Maintenance, faults: &mut Faults) {
    faults.check(
        is_name(&time.name),
        format!("{key}.name"),
        format!("`{}` must be lower-case letters, digits and dashes, beginning with a letter", time.name),
    );
    faults.check(
        !(time.weekdays.is_empty() && time.times.is_empty() && time.days_of_month.is_empty()),
        key,
        "this would be always; give `weekdays`, `times` or `days_of_month`",
    );
    for range in &time.times {
        let (start, end) = (minutes(&range.start_time), minutes(&range.end_time));
        faults.check(
            start.zip(end).is_some_and(|(start, end)| start < end),
            format!("{key}.times"),
            format!(
                "`{}` to `{}` is no span of a day; write HH:MM, the end after the start, a night as two spans",
                range.start_time, range.end_time
            ),
        );
    }
    const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    for day in time.weekdays.iter().flat_map(|days| days.split(':')) {
        faults.check(
            DAYS.contains(&day),
            format!("{key}.weekdays"),
            format!("`{day}` is no day; write `sunday` or `monday:friday`"),
        );
    }
    for day in time.days_of_month.iter().flat_map(|days| days.split(':')) {
        let number = day.parse::<i32>().ok().filter(|n| *n != 0 && (-31..=31).contains(n));
        faults.check(number.is_some(), format!("{key}.days_of_month"), format!("`{day}` is no day of a month"));
    }
}

/// Minutes since midnight of `HH:MM`.
fn minutes(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two = |part: &str| (part.len() == 2).then(|| part.parse::<u32>().ok()).flatten();
    let all = two(hours)? * 60 + two(minutes).filter(|m| *m < 60)?;
    (all <= 24 * 60).then_some(all)
}

/// One objective.
pub fn slo(key: &str, slo: &Slo, faults: &mut Faults) {
    let name = &slo.name;
    faults.check(
        is_name(name),
        format!("{key}.name"),
        format!("`{name}` must be 1 to {NAME_MAX} lower-case letters, digits and dashes, beginning with a letter"),
    );
    let needs_no_model = matches!(slo.sli, Sli::Events { .. }) && slo.model.is_empty();
    faults.check(
        is_model(&slo.model) || needs_no_model,
        format!("{key}.model"),
        format!("`{}` must be a model's name: 1 to 128 letters, digits, dots, dashes and underscores", slo.model),
    );
    faults.check(
        slo.objective > 0.0 && slo.objective < 100.0,
        format!("{key}.objective"),
        format!("{} is no promise: give the percentage of good events, above 0 and below 100", slo.objective),
    );
    faults.check(
        slo.objective >= 100.0 || slo.objective <= OBJECTIVE_MAX,
        format!("{key}.objective"),
        format!("{} leaves less than one bad event in a million; at most {OBJECTIVE_MAX}", slo.objective),
    );
    if let Some(owner) = &slo.owner {
        faults.check(is_label(owner), format!("{key}.owner"), format!("`{owner}` cannot be a label"));
    }
    for (which, given) in
        [("labels", &slo.labels), ("page_labels", &slo.page_labels), ("ticket_labels", &slo.ticket_labels)]
    {
        labels(&format!("{key}.{which}"), given, faults);
    }
    sli(key, slo, faults);
    loudness(key, slo, faults);
}

fn sli(key: &str, slo: &Slo, faults: &mut Faults) {
    match &slo.sli {
        Sli::Latency { threshold_ms } => faults.check(
            *threshold_ms > 0.0 && threshold_ms.is_finite(),
            format!("{key}.sli.threshold_ms"),
            format!("{threshold_ms} is no latency; give milliseconds above 0"),
        ),
        Sli::ConfidenceFloor { floor } => faults.check(
            (0.0..=1.0).contains(floor),
            format!("{key}.sli.floor"),
            format!("{floor} is no confidence; give a number from 0 to 1"),
        ),
        Sli::Events { total, bad, good } => {
            faults.check(
                bad.is_some() != good.is_some(),
                format!("{key}.sli"),
                "give `total` and one of `bad` and `good`",
            );
            for query in [Some(total), bad.as_ref(), good.as_ref()].into_iter().flatten() {
                faults.check(
                    query.contains(WINDOW) && query.len() <= TEXT_MAX,
                    format!("{key}.sli"),
                    format!("`{query}` has no window; write `[{WINDOW}]` where its length goes"),
                );
            }
        }
        _ => {}
    }
}

fn loudness(key: &str, slo: &Slo, faults: &mut Faults) {
    faults.check(
        slo.sli != Sli::ShadowAgreement || slo.page != Some(true),
        format!("{key}.page"),
        "a shadow answers nobody, so it never pages; leave `page` out",
    );
    if let Some(at) = slo.page_at {
        faults.check(slo.pages(), format!("{key}.page_at"), "this objective does not page");
        faults.check(
            at >= 1.0 && at * slo.budget() < 1.0,
            format!("{key}.page_at"),
            format!("{at} must be at least 1 and below {}, at which nothing but failures burns", 1.0 / slo.budget()),
        );
    }
}

fn labels(key: &str, labels: &Labels, faults: &mut Faults) {
    for (name, value) in labels {
        let is_word = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        faults.check(is_word, key, format!("`{name}` is no label's name: letters, digits and underscores"));
        faults.check(
            !RESERVED_LABELS.contains(&name.as_str()),
            key,
            format!("`{name}` is set by Driftline; choose another name"),
        );
        let fits = value.len() <= TEXT_MAX && !value.contains("{{") && !value.chars().any(char::is_control);
        faults.check(fits, key, format!("`{name}` must be one line without `{{{{`"));
    }
}

pub fn is_name(name: &str) -> bool {
    name.len() <= NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

fn is_model(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Whether text can be a label and stand in a template.
fn is_label(text: &str) -> bool {
    (1..=NAME_MAX).contains(&text.len()) && !text.contains(['{', '}']) && !text.chars().any(char::is_control)
}
