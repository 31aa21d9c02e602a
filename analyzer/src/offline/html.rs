//! The report as one HTML file that stands alone: no script, no font, no picture from elsewhere.
//!
//! Drawings are SVG in the file; light and dark follow the reader's system. Columns come most evident first, those without a
//! finding folded away.

use std::fmt::Write as _;

use contract::api::{Distribution, DriftState};

use super::{ColumnReport, Report, column::rounded};
use crate::judge::ks::Method;

const STYLE: &str = include_str!("report.css");

/// Size of a drawing, in its own units.
const WIDTH: f64 = 420.0;
const HEIGHT: f64 = 150.0;
/// Names of a category that are drawn.
const NAMES_DRAWN: usize = 12;
/// Columns of a segment that are listed.
const SEGMENT_ROWS: usize = 5;

/// The whole file.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut page = String::with_capacity(64 << 10);
    let verdict = report.summary();
    let (before, now) = (&report.reference, &report.current);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{verdict}: {current}</title><style>{STYLE}</style></head><body><main>\
         <header><p class=\"brand\">Driftline</p><h1 class=\"{class}\">{verdict}</h1>\
         <p><b>{current}</b> ({n} rows) against the reference <b>{reference}</b> ({m} rows)</p></header>",
        current = escaped(&now.file),
        reference = escaped(&before.file),
        n = thousands(now.rows),
        m = thousands(before.rows),
        class = if report.drifted {
            "bad"
        } else if report.insufficient > 0 {
            "soft"
        } else {
            "good"
        },
    );
    table(&mut page, &report.columns);
    let found = |one: &&ColumnReport| one.state >= DriftState::Insufficient || !one.over.is_empty();
    report.columns.iter().filter(found).for_each(|one| section(&mut page, one, true));
    report.columns.iter().filter(|one| !found(one)).for_each(|one| section(&mut page, one, false));
    segments(&mut page, report);
    if !report.notes.is_empty() {
        let notes: String = report.notes.iter().map(|note| format!("<li>{}</li>", escaped(note))).collect();
        let _ = write!(page, "<section><h2>Not judged, or judged differently</h2><ul>{notes}</ul></section>");
    }
    let _ = writeln!(
        page,
        "<footer><h2>What this promises</h2><p>{}</p></footer></main></body></html>",
        escaped(&report.guarantee)
    );
    page
}

fn table(page: &mut String, columns: &[ColumnReport]) {
    page.push_str(
        "<section><h2>Columns by evidence</h2><div class=\"scroll\"><table><thead><tr><th>column</th><th>verdict</th>\
         <th>shift</th><th>line</th><th>p</th><th>PSI (by chance)</th><th>missing, was</th></tr></thead><tbody>",
    );
    for one in columns {
        let name = escaped(&one.name);
        let psi = one.distances.zip(one.chance);
        let psi = psi.map_or("–".to_owned(), |(found, chance)| format!("{:.4} ({:.4})", found.psi, chance.psi));
        let _ = write!(
            page,
            "<tr><td><a href=\"#{}\">{name}</a></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{psi}</td><td>{}, {}</td></tr>",
            anchor(&one.name),
            badge(one),
            number(one.d),
            number(one.line),
            p_value(one.log_p, one.p),
            percent(one.missing.1),
            percent(one.missing.0),
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn badge(one: &ColumnReport) -> String {
    let over = if one.over.is_empty() {
        String::new()
    } else {
        format!(" <span class=\"badge drifted\">over {}</span>", one.over.join(", "))
    };
    format!("<span class=\"badge {0}\">{0}</span>{over}", one.state.as_str())
}

fn section(page: &mut String, one: &ColumnReport, open: bool) {
    let _ = write!(
        page,
        "<details id=\"{}\"{}><summary><b>{}</b> {} <span class=\"soft\">{}</span></summary><div class=\"pair\">",
        anchor(&one.name),
        if open { " open" } else { "" },
        escaped(&one.name),
        badge(one),
        escaped(&one.sentence),
    );
    if let Some(shown) = &one.distribution {
        page.push_str(&if shown.names.is_empty() { bars(shown) } else { names(shown) });
    }
    if one.curve.len() > 1 {
        page.push_str(&curve(one));
    }
    page.push_str("</div>");
    figures(page, one);
    page.push_str("</details>");
}

fn figures(page: &mut String, one: &ColumnReport) {
    let mut rows: Vec<(&str, String)> = Vec::new();
    if let (Some(d), Some(method)) = (one.d, one.method) {
        let ties = one.p_ties.map(|p| format!(", given the ties {}", p_value(None, Some(p)))).unwrap_or_default();
        let method = if method == Method::Exact { "exact" } else { "asymptotic" };
        rows.push(("Kolmogorov–Smirnov", format!("{d:.4}, p {} ({method}){ties}", p_value(one.log_p, one.p))));
    }
    if let Some((found, chance)) = one.distances.zip(one.chance) {
        let pair = |found: f64, chance: f64| format!("{found:.4} (by chance below {chance:.4})");
        rows.push(("Population stability index", pair(found.psi, chance.psi)));
        rows.push(("Jensen-Shannon", pair(found.jensen_shannon, chance.jensen_shannon)));
        rows.push(("Hellinger", pair(found.hellinger, chance.hellinger)));
        rows.push(("Total variation", pair(found.total_variation, chance.total_variation)));
        rows.push(("L-infinity", pair(found.l_infinity, chance.l_infinity)));
    }
    if let Some(moved) = one.wasserstein {
        let ranges = moved.in_ranges.map(|x| format!(", {x:.3} interquartile ranges")).unwrap_or_default();
        rows.push(("Wasserstein-1", format!("{}{ranges}", rounded(moved.distance))));
    }
    if let Some(ranks) = one.ranks {
        let test = |found: crate::judge::ranks::RankTest| {
            format!("{}, p {}", rounded(found.statistic), p_value(Some(found.log_p), Some(found.p)))
        };
        rows.push(("Cramér–von Mises", test(ranks.cramer_von_mises)));
        rows.extend(ranks.anderson_darling.map(|found| ("Anderson–Darling", test(found))));
        rows.push(("Mann–Whitney", test(ranks.mann_whitney)));
        rows.push(("Kuiper", test(ranks.kuiper)));
    }
    if let Some(found) = one.chi_square {
        rows.push((
            "Chi-square",
            format!(
                "{}, {} degrees of freedom, p {}",
                rounded(found.statistic),
                found.freedom,
                p_value(None, Some(found.p))
            ),
        ));
    }
    let rows: String = rows.iter().map(|(what, value)| format!("<dt>{what}</dt><dd>{value}</dd>")).collect();
    let _ = write!(page, "<dl>{rows}</dl>");
}

fn segments(page: &mut String, report: &Report) {
    if report.segments.is_empty() {
        return;
    }
    page.push_str("<section><h2>Segments</h2>");
    for segment in &report.segments {
        let _ = write!(
            page,
            "<h3>{} = {} <span class=\"soft\">{} rows against {}</span></h3><ul>",
            escaped(&segment.column),
            escaped(&segment.value),
            thousands(segment.n),
            thousands(segment.m)
        );
        for one in segment.columns.iter().take(SEGMENT_ROWS) {
            let _ = write!(page, "<li><b>{}</b> {} {}</li>", escaped(&one.name), badge(one), escaped(&one.sentence));
        }
        page.push_str("</ul>");
    }
    page.push_str("</section>");
}

/// Both histograms over each other.
fn bars(shown: &Distribution) -> String {
    let most = shown.reference.iter().chain(&shown.current).copied().fold(1e-9, f64::max);
    let wide = WIDTH / shown.reference.len().max(1) as f64;
    let column = |class: &str, shares: &[f64]| -> String {
        let one = |(at, share): (usize, &f64)| {
            let high = share / most * HEIGHT;
            format!(
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{high:.1}\"/>",
                at as f64 * wide + 0.5,
                HEIGHT - high,
                (wide - 1.0).max(0.5)
            )
        };
        shares.iter().enumerate().map(one).collect()
    };
    let ends = shown.edges.first().zip(shown.edges.last());
    let ends = ends.map(|(first, last)| axis(*first, *last)).unwrap_or_default();
    figure("Values", &(column("reference", &shown.reference) + &column("current", &shown.current) + &ends))
}

/// Shares by name, the most frequent first.
fn names(shown: &Distribution) -> String {
    let mut order: Vec<usize> = (0..shown.names.len()).collect();
    let key = |at: &usize| shown.reference[*at].max(shown.current[*at]);
    order.sort_by(|a, b| key(b).total_cmp(&key(a)));
    let most = order.first().map_or(1e-9, key).max(1e-9);
    let row = |at: usize| {
        let bar = |class: &str, share: f64| {
            format!("<span class=\"bar {class}\" style=\"width:{:.1}%\"></span>", share / most * 100.0)
        };
        format!(
            "<tr><td>{}</td><td class=\"bars\">{}{}</td><td>{}, was {}</td></tr>",
            escaped(&shown.names[at]),
            bar("reference", shown.reference[at]),
            bar("current", shown.current[at]),
            percent(shown.current[at]),
            percent(shown.reference[at])
        )
    };
    let rows: String = order.iter().take(NAMES_DRAWN).map(|at| row(*at)).collect();
    let more = order.len().saturating_sub(NAMES_DRAWN);
    let more = if more > 0 { format!("<p class=\"soft\">and {more} more</p>") } else { String::new() };
    format!("<figure class=\"names\"><figcaption>{LEGEND}</figcaption><table>{rows}</table>{more}</figure>")
}

const LEGEND: &str = "<i class=\"reference\"></i> reference <i class=\"current\"></i> current";

fn figure(what: &str, drawing: &str) -> String {
    format!(
        "<figure><figcaption>{what}: {LEGEND}</figcaption><svg viewBox=\"-4 -6 {} {}\" role=\"img\" aria-label=\"{what}\">{drawing}</svg></figure>",
        WIDTH + 8.0,
        HEIGHT + 28.0
    )
}

fn axis(first: f64, last: f64) -> String {
    format!(
        "<line class=\"axis\" x1=\"0\" y1=\"{HEIGHT}\" x2=\"{WIDTH}\" y2=\"{HEIGHT}\"/><text x=\"0\" y=\"{0}\">{1}</text>\
         <text x=\"{WIDTH}\" y=\"{0}\" text-anchor=\"end\">{2}</text>",
        HEIGHT + 16.0,
        rounded(first),
        rounded(last)
    )
}

/// Both distribution functions, and where they are farthest apart.
fn curve(one: &ColumnReport) -> String {
    let (Some((first, ..)), Some((last, ..))) = (one.curve.first(), one.curve.last()) else { return String::new() };
    let (first, span) = (*first, (last - first).max(f64::MIN_POSITIVE));
    if !span.is_finite() {
        return String::new();
    }
    let x = |value: f64| ((value - first) / span).clamp(0.0, 1.0) * WIDTH;
    let y = |share: f64| HEIGHT - share * HEIGHT;
    let line = |class: &str, of: fn(&(f64, f64, f64)) -> f64| {
        let points: String = one.curve.iter().map(|point| format!("{:.1},{:.1} ", x(point.0), y(of(point)))).collect();
        format!("<polyline class=\"{class}\" points=\"{}\"/>", points.trim_end())
    };
    let mut drawing = line("reference", |point| point.1) + &line("current", |point| point.2) + &axis(first, *last);
    if let Some((place, value)) = one.witness.as_ref().and_then(|place| Some((place, place.value?))) {
        let (at, top, bottom) =
            (x(value), y(place.reference.max(place.current)), y(place.reference.min(place.current)));
        let (anchor, off) = if at > WIDTH / 2.0 { ("end", -6.0) } else { ("start", 6.0) };
        let _ = write!(
            drawing,
            "<line class=\"gap\" x1=\"{at:.1}\" y1=\"{top:.1}\" x2=\"{at:.1}\" y2=\"{bottom:.1}\"/>\
             <circle class=\"gap\" cx=\"{at:.1}\" cy=\"{top:.1}\" r=\"3\"/><circle class=\"gap\" cx=\"{at:.1}\" cy=\"{bottom:.1}\" r=\"3\"/>\
             <text class=\"gap\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{:.3} at {}</text>",
            at + off,
            f64::midpoint(top, bottom) + 4.0,
            (place.reference - place.current).abs(),
            rounded(value)
        );
    }
    figure("Share at or below", &drawing)
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.4}"))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// A p-value as people read it, small ones as a power of ten.
#[must_use]
pub fn p_value(log_p: Option<f64>, p: Option<f64>) -> String {
    match (log_p.map(|log| log / std::f64::consts::LN_10), p) {
        (Some(power), _) if power < -4.0 => format!("1e{:.0}", power.floor()),
        (_, Some(p)) if p < 1e-4 => format!("{p:.0e}"),
        (_, Some(p)) => format!("{p:.4}"),
        _ => "–".to_owned(),
    }
}

/// `1 234 567`, with thin spaces.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// A link's target: letters and digits stay, the rest is its number.
fn anchor(name: &str) -> String {
    name.chars().fold("c-".to_owned(), |mut text, letter| {
        if letter.is_ascii_alphanumeric() {
            text.push(letter);
        } else {
            let _ = write!(text, "-{:x}-", u32::from(letter));
        }
        text
    })
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_become_markup() {
        assert_eq!(escaped("<script>\"&"), "&lt;script&gt;&quot;&amp;");
        assert_eq!(anchor("a b\"<"), "c-a-20-b-22--3c-");
    }

    #[test]
    fn numbers_as_people_read_them() {
        assert_eq!(
            (p_value(Some(-2_302.0), Some(0.0)), p_value(None, Some(0.25))),
            ("1e-1000".into(), "0.2500".into())
        );
        assert_eq!((thousands(1_234_567), thousands(12)), ("1\u{202f}234\u{202f}567".into(), "12".into()));
    }
}
