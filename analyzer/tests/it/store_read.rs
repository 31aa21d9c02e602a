//! What the store counts equals what Rust counts from the raw rows; what is written reads back.

use analyzer::{
    baseline::{Baseline, Frozen},
    config::Freezing,
    judge::reference::Reference,
};
use contract::slo::{Sli, Slo};
use store::read::page::Steps;
use store::read::{Act, Answered, EventCounts, EventRow, Reader, Tolerance, VerdictRow, Window, WindowSeen};

use crate::house::House;

const T0: i64 = 1_900_000_000_000;
const SPAN: Window = Window { start_ms: T0, end_ms: T0 + 60_000 };

/// A column of ties, atoms, tiny and huge numbers, both zeros, infinities, NaN and missing ones; one of categories; and in each
/// column some values of the other's type.
const ROWS: &str = "
INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing)
SELECT generateUUIDv4(), 0, toUUID('00000000-0000-0000-0000-000000000001'), fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'),
  fromUnixTimestamp64Milli(1900000000000 + number * 10, 'UTC'), 'm', '1', 'input.x',
  multiIf(number % 97 = 0, nan, number % 89 = 0, inf, number % 83 = 0, -inf, number % 5 = 0, 0., number % 7 = 0, -0.,
    number % 11 = 0, -1.7976931348623157e308, number % 13 = 0, 1.7976931348623157e308,
    number % 3 = 0, (number * 7919 % 1000) / 997 * 1e-9, sin(number) * exp(number % 50 - 25)),
  number % 101 = 0 FROM numbers(6000);
INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value)
SELECT generateUUIDv4(), 0, toUUID('00000000-0000-0000-0000-000000000001'), fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'),
  fromUnixTimestamp64Milli(1900000000000 + number * 10, 'UTC'), 'm', '1',
  if(number % 50 = 49, 'input.x', 'output.label'), 'class ' || toString(number % 17) FROM numbers(6000);
INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing)
SELECT generateUUIDv4(), 0, toUUID('00000000-0000-0000-0000-000000000001'), fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'),
  fromUnixTimestamp64Milli(1900000000000 + number * 10, 'UTC'), 'm', '1', 'output.label', 1., number % 2 = 0 FROM numbers(30);
INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, total_us, items)
SELECT generateUUIDv4(), toUUID('00000000-0000-0000-0000-000000000001'), fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'),
  fromUnixTimestamp64Milli(1900000000000 + number * 10, 'UTC'), 's', 'm', if(number < 5900, '1', '2'),
  ['ok', 'ok', 'ok', 'invalid', 'error', 'timeout', 'rejected', 'cancelled'][number % 8 + 1], 200, number * 100, 1 FROM numbers(6000)";

async fn filled() -> (House, Reader) {
    let house = House::build().await;
    for statement in ROWS.split(";\n") {
        house.ask(statement).await;
    }
    let reader = house.store.read();
    (house, reader)
}

const TOLERANCE: Tolerance = Tolerance { absolute: 1e-9, relative: 0.01, vector: 0.01 };

#[tokio::test]
async fn counts_over_bins_equal_counting_in_rust() {
    let (_house, reader) = filled().await;
    // A reference from the first half: the second half has values and names that it never saw.
    let half = Window { start_ms: T0, end_ms: T0 + 30_000 };
    let limits = Freezing { bins: 128, rows_max: 100_000, features_max: 8 };
    let frozen = analyzer::baseline::from_rows(&reader, "m", half, false, vec![], &limits, T0).await.unwrap();
    assert_eq!(frozen.info.version, "1");
    // Values of the other type are part of what was frozen, and so are names beyond the limit.
    let of = |baseline: &Baseline, name: &str| baseline.reference(name).unwrap().counts().to_vec();
    assert_eq!(of(&frozen, "input.x").last(), Some(&60));
    let few = Freezing { bins: 10, ..limits };
    let few = analyzer::baseline::from_rows(&reader, "m", half, false, vec![], &few, T0).await.unwrap();
    let labels = of(&few, "output.label");
    assert_eq!((labels.len(), labels.iter().sum::<u64>(), &labels[11..]), (13, 2_970, &[15, 15][..]));
    // Only ten of the names are kept.
    let names = reader.category_counts("m", "output.label", half, 100).await.unwrap().named;
    let label = Reference::categories(names, 15, 10);
    let number = frozen.features.iter().find(|f| f.name == "input.x").unwrap().clone();
    let baseline = Baseline::new(
        "m",
        "1",
        T0,
        vec![number.clone(), Frozen { name: "output.label".into(), reference: label.clone(), provisional: false }],
    );
    baseline.save(&reader, Act::Promoted, "test").await.unwrap();

    let cut_ms = T0 + 5_500;
    let seen = WindowSeen { start_ms: T0, version: "1".into(), observations: 6_000, cut_ms };
    for _ in 0..2 {
        reader.count_window("m", &baseline.info.fingerprint, SPAN, &seen).await.unwrap();
    }
    let counts = reader.bin_counts("m", &baseline.info.fingerprint, SPAN).await.unwrap();
    let counted = |feature: &str, reference: &Reference| {
        reference.cells(counts.iter().filter(|c| c.feature == feature).map(|c| (c.bin, c.n)))
    };

    // Rows after the cut are left out: row i was received at T0 + i.
    let until_cut = Window { start_ms: T0, end_ms: T0 + 5_501 * 10 };
    let raw = reader.numbers("m", "input.x", until_cut, 1_000_000).await.unwrap();
    let Reference::Numbers(numbers) = &number.reference else { panic!("numbers were frozen") };
    let mut expected: Vec<(i32, u64)> = raw.values.iter().map(|x| (numbers.bin_of(*x), 1)).collect();
    expected.push((store::read::bin::MISSING, raw.missing));
    expected.push((store::read::bin::OTHER, 110));
    assert!(raw.values.iter().any(|x| x.is_nan()) && raw.missing > 0);
    assert_eq!(counted("input.x", &number.reference), number.reference.cells(expected));

    let Reference::Categories(categories) = &label else { panic!("categories were frozen") };
    let named = reader.category_counts("m", "output.label", until_cut, 100).await.unwrap().named;
    let few = reader.category_counts("m", "output.label", until_cut, 3).await.unwrap();
    assert_eq!((few.named.len(), few.rest), (3, named[3..].iter().map(|(_, n)| n).sum()));
    let bin = |name: &String| {
        categories.names.iter().position(|known| known == name).map_or(store::read::bin::NEVER_SEEN, |at| at as i32)
    };
    let mut expected: Vec<(i32, u64)> = named.iter().map(|(name, n)| (bin(name), *n)).collect();
    expected.extend([(store::read::bin::MISSING, 15), (store::read::bin::OTHER, 15)]);
    assert_eq!(counted("output.label", &label), label.cells(expected));

    let stored = reader.baselines(false).await.unwrap();
    assert_eq!(Baseline::load(&reader, &stored[0]).await.unwrap(), baseline);
}

#[tokio::test]
async fn windows_and_traffic() {
    let (_house, reader) = filled().await;
    let windows = reader.windows("m", SPAN, 10_000, 100).await.unwrap();
    assert_eq!(windows.len(), 6);
    assert_eq!(windows[0], WindowSeen { start_ms: T0, version: "1".into(), observations: 1_000, cut_ms: T0 + 999 });
    assert_eq!(reader.windows("m", SPAN, 10_000, 2).await.unwrap().len(), 2);
    // Version 2 gave the newest hundred answers: it is the one that answers where nothing else is looked at.
    for (lately_ms, version, answering) in
        [(T0, "1", &["1", "2"][..]), (T0 + 59_000, "2", &["2"]), (T0 + 70_000, "2", &[])]
    {
        let mut seen = reader.models(T0, lately_ms, 10).await.unwrap().remove(0);
        seen.answering.sort();
        assert_eq!(
            (seen.version.as_str(), seen.answering.as_slice()),
            (version, &answering.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>()[..])
        );
        assert_eq!((seen.first_at_ms, seen.last_at_ms), (T0, T0 + 59_990));
    }
    assert_eq!(reader.first_observations("m", T0, 3).await.unwrap(), [T0, T0 + 10, T0 + 20]);

    let minute = &reader.traffic("m", SPAN, 60_000).await.unwrap()[0];
    assert_eq!((minute.start_ms, minute.requests, minute.counted, minute.bad), (T0, 6_000, 4_500, 2_250));
    assert!((minute.quantiles_us[0] / 300_000.0 - 1.0).abs() < 0.02, "{minute:?}");
    assert_eq!(reader.traffic("m", SPAN, 10_000).await.unwrap().len(), 6);
    assert_eq!(reader.traffic("absent", SPAN, 60_000).await.unwrap(), []);

    let events = |sli| {
        let reader = reader.clone();
        async move { reader.slo_events(&Slo::new("s", "m", 99.0, sli), TOLERANCE, &[T0 + 30_000, T0]).await.unwrap() }
    };
    let available = events(Sli::Availability).await;
    assert_eq!(
        (available[0].total, available[0].bad, available[1].total, available[1].bad),
        (2_250, 1_125, 4_500, 2_250)
    );
    // Row i took i/10 ms: of the ok ones, those from row 3001 on are slower than 300 ms.
    let slow = events(Sli::Latency { threshold_ms: 300.0 }).await;
    assert_eq!((slow[1].total, slow[1].bad), (4_500, 2_250 + 1_124));
    let rows = reader.row_counts().await.unwrap();
    assert_eq!((rows.observations, rows.payloads, rows.labels), (6_000, 0, 0));
}

/// Each kind of event that the analyzer counts, on rows of which the counts are plain.
#[tokio::test]
async fn events_of_objectives_that_are_known_later() {
    let house = House::build().await;
    fill_events(&house).await;
    let reader = house.store.read();
    for (sli, total, bad) in [
        (Sli::SchemaValid, 100, 10),
        (Sli::ConfidenceFloor { floor: 0.5 }, 100, 26),
        (Sli::LabelAccuracy, 40, 7),
        (Sli::ShadowAgreement, 53, 8),
        (Sli::DriftFree, 18, 3),
        (Sli::Events { total: "x".into(), bad: None, good: None }, 0, 0),
    ] {
        let slo = Slo::new("s", "m", 99.0, sli);
        let since = reader.slo_events(&slo, TOLERANCE, &[T0, T0 + 1_000_000]).await.unwrap();
        assert_eq!((since[0].total, since[0].bad), (total, bad), "{:?}", slo.sli);
        assert_eq!((since[1].total, since[1].bad), (0, 0), "{:?}", slo.sli);
        let (mut summed, cuts) = ((0, 0), [T0, T0 + 17_000, T0 + 30_500, T0 + 200_000]);
        for span in cuts.windows(2).map(|cut| Window { start_ms: cut[0], end_ms: cut[1] }) {
            let counts = reader.slo_events_in(&slo, TOLERANCE, span).await.unwrap();
            summed = (summed.0 + counts.total, summed.1 + counts.bad);
        }
        // what was labelled wrongly in the first span, and rightly a minute later, was an event of both as they were counted
        let corrected = u64::from(slo.sli == Sli::LabelAccuracy);
        assert_eq!(summed, (total + corrected, bad + corrected), "{:?}: spans must add up", slo.sli);
        assert_eq!(reader.slo_events(&slo, TOLERANCE, &[]).await.unwrap(), []);
    }
    let bare = Slo::new("s", "bare", 99.0, Sli::ShadowAgreement);
    assert_eq!(reader.slo_events(&bare, TOLERANCE, &[T0]).await.unwrap()[0], EventCounts::default());
    let known = reader.labelled("m", T0).await.unwrap();
    assert_eq!((known.labelled, known.correct), (40, 33));
    assert!((known.confidence - (10.0 * 0.4 + 29.0 * 0.9) / 39.0).abs() < 1e-9, "{known:?}");
    assert_eq!(reader.labelled("absent", T0).await.unwrap().labelled, 0);
}

async fn fill_events(house: &House) {
    let at = "fromUnixTimestamp64Milli(1900000000000 + number * 1000, 'UTC')";
    let id = "toUUID(concat('01890000-0000-7000-8000-', leftPad(toString(number), 12, '0')))";
    let segment = "generateUUIDv4()";
    for statement in [
        // 100 items: every tenth breaks the schema, every fourth is unsure, and one confidence is no number
        format!(
            "INSERT INTO features SELECT {id}, 0, {segment}, {at}, {at}, 'm', '1', 'quality.violations', number % 10 = 0, false FROM numbers(100)"
        ),
        format!(
            "INSERT INTO features SELECT {id}, 0, {segment}, {at}, {at}, 'm', '1', 'output.confidence', if(number = 1, nan, if(number % 4 = 0, 0.4, 0.9)), false FROM numbers(100)"
        ),
        format!(
            "INSERT INTO categories SELECT {id}, 0, {segment}, {at}, {at}, 'm', '1', 'output.label', 'a' FROM numbers(100)"
        ),
        // 40 labels, every fifth another one; of those the first is corrected later; one is of an answer nobody gave
        format!(
            "INSERT INTO labels SELECT {id}, 0, {segment}, {at}, {at}, if(number % 5 = 0, 'b', 'a') FROM numbers(40)"
        ),
        format!("INSERT INTO labels SELECT {id}, 0, {segment}, {at} + 60, {at} + 60, 'a' FROM numbers(1)"),
        format!("INSERT INTO labels SELECT {id}, 0, {segment}, {at}, {at}, 'a' FROM numbers(500, 1)"),
        // 50 pairs: 5 disagree, 3 more fail, 2 more are shed
        format!(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT {id}, 0, {segment}, {at}, {at}, 'm', '1', '2', number >= 5, \
             if(number >= 5, 'ok', if(number >= 2, 'error', 'rejected')), '', if(number >= 5, 'a', ''), \
             if(number >= 10, 'a', 'b'), 0.5, 0.5, 1, 1 FROM numbers(55)"
        ),
        // 5 more answers without labels are no pairs
        format!(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT {id}, 0, {segment}, {at}, {at}, 'm', '1', '2', true, 'ok', '', '', '', 0, 0, 1, 1 FROM numbers(5)"
        ),
        // the model gives labels, another one none: what fails there is no disagreement
        format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, label) \
             SELECT {id}, {segment}, {at}, {at}, 's', if(number < 50, 'm', 'bare'), '1', 'ok', if(number < 50, 'a', '') FROM numbers(60)"
        ),
        format!(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT {id}, 0, {segment}, {at}, {at}, 'bare', '1', '2', number % 2 = 0, \
             if(number % 2 = 0, 'ok', 'error'), '', '', '', 0, 0, 1, 1 FROM numbers(10)"
        ),
        // 20 windows of two features: in 3 of them one is drifted, 2 are not judged
        format!(
            "INSERT INTO verdicts SELECT 'm', '1', concat('f', toString(number % 2)), {at} - number % 2, \
             {at} - number % 2, {at}, {at} - number % 2, if(number >= 36, 'insufficient', if(number IN (0, 2, 3, 11), 'drifted', 'stable')), \
             1, 1, NULL, NULL, NULL, NULL, NULL, 'x', '' FROM numbers(40)"
        ),
    ] {
        house.ask(&statement).await;
    }
}

/// A label that comes late, about an earlier moment than one before it, corrects nothing: neither do spans in which the first is not.
#[tokio::test]
async fn the_later_truth_holds_whenever_it_came() {
    let house = House::build().await;
    let (id, segment) = ("toUUID('01890000-0000-7000-8000-000000000001')", "generateUUIDv4()");
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({}, 'UTC')", T0 + ms);
    house
        .ask(&format!(
            "INSERT INTO categories SELECT {id}, 0, {segment}, {0}, {0}, 'm', '1', 'output.label', 'a'",
            at(0)
        ))
        .await;
    for (received, known, label) in [(1_000, 900, "a"), (20_000, 500, "b")] {
        let (received, known) = (at(received), at(known));
        house.ask(&format!("INSERT INTO labels SELECT {id}, 0, {segment}, {received}, {known}, '{label}'")).await;
    }
    let reader = house.store.read();
    let slo = Slo::new("s", "m", 99.0, Sli::LabelAccuracy);
    for (since_ms, events) in [(T0, (1, 0)), (T0 + 10_000, (0, 0)), (T0 + 30_000, (0, 0))] {
        let counts = reader.slo_events(&slo, TOLERANCE, &[since_ms]).await.unwrap()[0];
        assert_eq!((counts.total, counts.bad), events, "{since_ms}");
        let known = reader.labelled("m", since_ms).await.unwrap();
        assert_eq!((known.labelled, known.labelled - known.correct), events, "{since_ms}");
    }
}

/// A label that a client sends twice counted twice: once in each span in which it came.
#[tokio::test]
async fn a_label_sent_twice_counts_once_and_a_correction_when_it_came() {
    let house = House::build().await;
    let (id, segment) = ("toUUID('01890000-0000-7000-8000-000000000001')", "generateUUIDv4()");
    let at = |ms: i64| format!("fromUnixTimestamp64Milli({}, 'UTC')", T0 + ms);
    house
        .ask(&format!(
            "INSERT INTO categories SELECT {id}, 0, {segment}, {0}, {0}, 'm', '1', 'output.label', 'a'",
            at(0)
        ))
        .await;
    let reader = house.store.read();
    let counted = async |from: i64, to: i64| {
        let (slo, span) = (Slo::new("s", "m", 99.0, Sli::LabelAccuracy), (T0 + from, T0 + to));
        let counts = reader.slo_events_in(&slo, TOLERANCE, Window { start_ms: span.0, end_ms: span.1 }).await.unwrap();
        let span = Window { start_ms: span.0, end_ms: span.1 };
        let errors = reader.label_errors(("m", "1"), span, &Answered::ALL).await.unwrap();
        assert_eq!(errors.iter().map(|one| one.right + one.wrong).sum::<u64>(), counts.total, "{from}");
        (counts.total, counts.bad)
    };
    for (received, label) in [(1_000, "a"), (20_000, "a")] {
        let received = at(received);
        house.ask(&format!("INSERT INTO labels SELECT {id}, 0, {segment}, {received}, {received}, '{label}'")).await;
    }
    assert_eq!((counted(0, 10_000).await, counted(10_000, 30_000).await), ((1, 0), (0, 0)));
    let corrected = "SELECT sum(corrected) FROM dash_labels";
    assert_eq!(house.ask(corrected).await, "0", "it says what was said");
    let received = at(40_000);
    house.ask(&format!("INSERT INTO labels SELECT {id}, 0, {segment}, {received}, {received}, 'b'")).await;
    assert_eq!((counted(10_000, 30_000).await, counted(30_000, 50_000).await), ((0, 0), (1, 1)), "it was corrected");
    assert_eq!(house.ask(corrected).await, "1");
    // Counted once more, as after a restart, each span is what it was: the first had been forgotten.
    assert_eq!((counted(0, 10_000).await, counted(30_000, 50_000).await), ((1, 0), (1, 1)));
    let whole = Window { start_ms: T0, end_ms: T0 + 50_000 };
    let other = reader.label_errors(("m", "2"), whole, &Answered::ALL).await.unwrap();
    assert!(other.is_empty(), "another version's answers are not its own");
}

/// The labels of a window were looked for among those of a year, and their answers among those of a month.
#[tokio::test]
async fn a_window_of_labels_reads_little_of_a_month() {
    let house = House::build().await;
    let at = |ms: &str| format!("fromUnixTimestamp64Milli({T0} + {ms}, 'UTC')");
    let (id, segment) = ("reinterpretAsUUID(MD5(toString(number)))", "generateUUIDv4()");
    let (given, known, late) = (at("number"), at("number + 60000"), at("1000000 + number"));
    for sql in [
        format!(
            "INSERT INTO categories SELECT {id}, 0, {segment}, {given}, {given}, 'm', '1', 'output.label', 'a' FROM numbers(300000)"
        ),
        format!("INSERT INTO labels SELECT {id}, 0, {segment}, {known}, {known}, 'a' FROM numbers(200000)"),
        format!("INSERT INTO labels SELECT {id}, 0, {segment}, {late}, {late}, 'b' FROM numbers(250000, 100)"),
    ] {
        house.ask(&sql).await;
    }
    let reader = house.store.read();
    let span = Window { start_ms: T0 + 1_000_000, end_ms: T0 + 2_000_000 };
    let errors = reader.label_errors(("m", "1"), span, &Answered::ALL).await.unwrap();
    assert_eq!((errors.len(), errors[0].wrong), (1, 100));
    let read = async |sql: &str| {
        let answer: serde_json::Value = serde_json::from_str(&house.ask(&format!("{sql} FORMAT JSON")).await).unwrap();
        answer["statistics"]["rows_read"].as_u64().unwrap()
    };
    let ids = format!("SELECT id FROM labels WHERE received_at >= {}", at("1000000"));
    let answers = "SELECT count() FROM categories WHERE model = 'm' AND feature = 'output.label'";
    let (of_labels, of_answers) = (read(&ids).await, read(&format!("{answers} AND id IN ({ids})")).await);
    assert!(of_labels <= 8_192, "{of_labels} of 200,100 labels");
    // two granules of answers beside the labels, and one more by chance in a thousand
    assert!(of_answers <= of_labels + 4 * 8_192, "{of_answers} of 300,000 answers");
}

/// Without `count_refusals` a 429 is no event, as in the proxy.
#[tokio::test]
async fn an_objective_may_leave_refusals_out() {
    let (house, reader) = filled().await;
    let refused: u64 = house
        .ask("SELECT count() FROM observations WHERE model = 'm' AND outcome = 'rejected'")
        .await
        .trim()
        .parse()
        .unwrap();
    assert!(refused > 0);
    let counts = |count_refusals| {
        let slo = Slo { count_refusals, ..Slo::new("s", "m", 99.0, Sli::Availability) };
        let reader = reader.clone();
        async move { reader.slo_events(&slo, TOLERANCE, &[T0]).await.unwrap()[0] }
    };
    let (with, without) = (counts(true).await, counts(false).await);
    assert_eq!((with.total - without.total, with.bad - without.bad), (refused, refused));
}

/// A shadow that answers with numbers or vectors was on hold for ever: its answers had no labels to compare.
#[tokio::test]
async fn answers_without_labels_agree_within_the_tolerance() {
    let (house, reader) = filled().await;
    // of 100 each: numbers 0 to 4.95 % apart, vectors with cosines from 1 to .9505, and every tenth of another shape
    for (shadow, compared, gap) in [("2", "'number'", "number / 2000"), ("3", "'vector'", "number / 2000")] {
        let compared = format!("if(number % 10 = 9, 'shape', {compared})");
        house
            .ask(&format!(
                "INSERT INTO comparisons SELECT generateUUIDv4(), 0, generateUUIDv4(), now64(3), \
                   fromUnixTimestamp64Milli({T0} + number, 'UTC'), 'm', '1', '{shadow}', true, 'ok', '', '', '', 0, 0, 100, 150, \
                   {compared}, if(number % 10 = 9, 1e300, 100.), if(number % 10 = 9, 1e300, {gap}) FROM numbers(100)"
            ))
            .await;
    }
    let counts = reader.shadows("m", TOLERANCE, 5).await.unwrap();
    // gaps up to .01 are the first 21, two of which are of another shape
    let found: Vec<_> = counts.iter().map(|one| (one.shadow.as_str(), one.pairs, one.agreed, one.answered)).collect();
    assert_eq!(found, [("2", 100, 19, 100), ("3", 100, 19, 100)]);
    assert_eq!(counts[0].compared, "shape", "the newest pair");
    // Its course, its objective and the boards count as the verdict does: they had no pairs.
    let span = Window { start_ms: T0, end_ms: T0 + 100 };
    let steps = reader.pairs_by_step(&counts[0], TOLERANCE, Steps { span, length_ms: 50 }).await.unwrap();
    assert_eq!(steps.iter().map(|step| (step.pairs, step.agreed)).collect::<Vec<_>>(), [(50, 19), (50, 0)]);
    let slo = Slo::new("s", "m", 99.0, Sli::ShadowAgreement);
    let counted = |tolerance| {
        let (reader, slo) = (reader.clone(), slo.clone());
        async move { reader.slo_events(&slo, tolerance, &[T0]).await.unwrap()[0] }
    };
    assert_eq!(counted(TOLERANCE).await, EventCounts { total: 200, bad: 162 });
    reader.insert_tolerance("m", TOLERANCE, T0).await.unwrap();
    let board =
        "SELECT shadow, sum(pairs), sum(agreed) FROM dash_shadow WHERE model = 'm' GROUP BY shadow ORDER BY shadow";
    assert_eq!(house.ask(board).await, "2\t100\t19\n3\t100\t19");
    let wider = Tolerance { absolute: 100.0, relative: 0.0, vector: 2.0 };
    reader.insert_tolerance("m", wider, T0 + 1).await.unwrap();
    assert_eq!(house.ask(board).await, "2\t100\t90\n3\t100\t90", "the newest holds");
    assert_eq!(counted(wider).await, EventCounts { total: 200, bad: 20 });
    let counts = reader.shadows("m", wider, 5).await.unwrap();
    assert_eq!(counts.iter().map(|one| one.agreed).collect::<Vec<_>>(), [90, 90]);
}

#[tokio::test]
async fn shadows_confidence_and_sources() {
    let (house, reader) = filled().await;
    house
        .ask(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT generateUUIDv4(), number % 2, generateUUIDv4(), now64(3), \
               fromUnixTimestamp64Milli(1900000000000 + number * 1000, 'UTC'), 'm', '1', '2', number < 900, \
               if(number < 900, 'ok', if(number < 950, 'error', 'rejected')), '', if(number < 900, 'a', ''), \
               if(number < 900, if(number < 30, 'b', 'a'), ''), 0.5, 0.5, 100, 150 FROM numbers(1000)",
        )
        .await;
    let shadows = reader.shadows("m", TOLERANCE, 5).await.unwrap();
    assert_eq!(shadows.len(), 1);
    let counts = &shadows[0];
    assert_eq!((counts.pairs, counts.agreed, counts.answered, counts.errors, counts.shed), (900, 870, 450, 50, 50));
    assert_eq!((counts.first_ms, counts.last_ms), (T0, T0 + 999_000));
    assert_eq!((counts.primary_us, counts.shadow_us), (45_000, 67_500));
    // What another primary was compared with before is over, and what the primary's cache answered has no run time to compare.
    let more = |version: &str, primary_us: u64, minute: i64| {
        format!(
            "INSERT INTO comparisons (* EXCEPT (compared, absolute_gap, relative_gap)) SELECT generateUUIDv4(), 0, generateUUIDv4(), now64(3), \
               fromUnixTimestamp64Milli({} + number, 'UTC'), 'm', '{version}', '2', true, 'ok', '', 'a', 'a', \
               0.5, 0.5, {primary_us}, 150 FROM numbers(10)",
            T0 + minute * 60_000
        )
    };
    house.ask(&more("0", 100, -1)).await;
    house.ask(&more("1", 0, 1)).await;
    let with_cached = reader.shadows("m", TOLERANCE, 5).await.unwrap();
    assert_eq!(with_cached.len(), 1);
    assert_eq!((with_cached[0].version.as_str(), with_cached[0].answered), ("1", 460));
    assert_eq!((with_cached[0].primary_us, with_cached[0].shadow_us), (45_000, 67_500));
    let flips = reader.flips("m", "1", "2", 5).await.unwrap();
    assert_eq!((flips[0].primary.as_str(), flips[0].shadow.as_str(), flips[0].pairs), ("a", "b", 30));

    house
        .ask(
            "INSERT INTO features SELECT generateUUIDv4(), 0, generateUUIDv4(), now64(3), \
               fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'), 'm', '1', 'output.confidence', number / 100, false \
             FROM numbers(101)",
        )
        .await;
    let confidence = reader.confidence("m", "output.confidence", SPAN, 0.5, 20).await.unwrap();
    assert_eq!((confidence.answers, confidence.low), (101, 50));
    assert!((confidence.sum - 50.5).abs() < 1e-9);
    assert_eq!(
        (confidence.histogram.len(), confidence.histogram.iter().sum::<u64>(), confidence.histogram[19]),
        (20, 101, 6)
    );
    let none = reader.confidence("absent", "output.confidence", SPAN, 0.5, 20).await.unwrap();
    assert_eq!((none.answers, none.sum), (0, 0.0));

    house
        .ask(
            "INSERT INTO heartbeats SELECT 's' || toString(number % 2), generateUUIDv4(), \
               fromUnixTimestamp64Milli(1900000000000 + number, 'UTC'), 1, number, \
               fromUnixTimestamp64Milli(1900000000000 + number * 2, 'UTC'), number * 10, number * 9, 1, 0 FROM numbers(10)",
        )
        .await;
    let sources = reader.sources(T0).await.unwrap();
    assert_eq!((sources.len(), sources[1].sent_at_ms, sources[1].observed), (2, T0 + 18, 90));
}

#[tokio::test]
async fn verdicts_and_events_read_back() {
    let (_house, reader) = filled().await;
    assert_eq!(reader.last_judged("m").await.unwrap(), None);
    let row = |feature: &str, end: i64, evidence: &str| VerdictRow {
        model: "m".into(),
        version: "1".into(),
        feature: feature.into(),
        window_start_ms: end - 10,
        window_end_ms: end,
        cut_ms: end,
        judged_at_ms: end,
        state: "stable".into(),
        n: 1,
        m: 2,
        ks_lower: Some(0.25),
        ks_upper: None,
        p_value: None,
        q_value: None,
        psi: None,
        fingerprint: "f".into(),
        evidence: evidence.into(),
    };
    reader.insert_verdicts(&[row("a", T0, "1"), row("b", T0, "2"), row("a", T0 + 10, "3")]).await.unwrap();
    let again = VerdictRow { judged_at_ms: T0 + 99, ..row("a", T0 + 10, "4") };
    reader.insert_verdicts(&[again]).await.unwrap();
    assert_eq!(reader.last_judged("m").await.unwrap(), Some(T0 + 10));
    assert_eq!(reader.verdicts_at("m", T0 + 10).await.unwrap(), ["4"]);
    assert_eq!(reader.verdicts("m", "a", T0, 10).await.unwrap(), ["4", "1"]);
    assert_eq!(reader.verdicts("", "", T0, 10).await.unwrap().len(), 3);
    let (later, year) = (T0 + 40 * 86_400_000, T0 + 365 * 86_400_000);
    assert_eq!(
        reader.verdicts("m", "a", later, 10).await.unwrap(),
        ["4", "1"],
        "what is old is found where nothing is newer"
    );
    assert_eq!(reader.verdicts("m", "", year, 1).await.unwrap(), ["4"]);
    assert_eq!(reader.verdicts("it's ? none", "", T0, 10).await.unwrap().len(), 0);
    let event =
        EventRow { at: T0, kind: "drift".into(), model: "m".into(), version: "1".into(), text: "it's so?".into() };
    reader.insert_events(&[event.clone(), event.clone()]).await.unwrap();
    assert_eq!(reader.events(1).await.unwrap(), [event]);
}

#[tokio::test]
async fn what_happens_to_others_crowds_no_change_of_a_model_out() {
    let house = House::build().await;
    let reader = house.store.read();
    let event = |at: i64, kind: &str, model: &str, version: &str| EventRow {
        at: T0 + at,
        kind: kind.into(),
        model: model.into(),
        version: version.into(),
        text: String::new(),
    };
    let switch = event(0, "switch", "quiet", "1");
    let mut rows: Vec<EventRow> = (1..50).map(|at| event(at, "switch", "busy", "2")).collect();
    rows.extend((1..50).map(|at| event(at, "drift", "quiet", "1")));
    rows.push(switch.clone());
    reader.insert_events(&rows).await.unwrap();
    let found = reader.events_of_kinds(&["switch", "rollback"], 3).await.unwrap();
    assert_eq!(found.iter().filter(|row| row.model == "busy").map(|row| row.at - T0).collect::<Vec<_>>(), [49, 48, 47]);
    assert_eq!(found.last(), Some(&switch));
    assert_eq!(found.len(), 4);
}
