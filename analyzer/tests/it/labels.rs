//! Labels against the real engine: figures of quality, and errors that change apart from inputs.

use std::{io::Write as _, sync::Arc};

use analyzer::{
    config::{RawBaseline, RawConfig},
    cycle::Snapshot,
};
use contract::{
    api::{Concept, ConceptKind, DriftState, quality::Quality},
    segment::{ALL, TRUTH},
};

use crate::{
    api::Running,
    cycle::{Bench, T0, WINDOW_MS, heartbeat, raw},
    house::House,
};

const ROWS: i64 = 400;
/// What is answered.
const SAID: &str = "if(number % 4 = 0, 'b', 'a')";

fn id(index: i64) -> String {
    format!("toUUID(concat('00000000-0000-4000-9000-', leftPad(toString({index} * {ROWS} + number), 12, '0')))")
}

/// A window of version 1's answers, labelled at once.
async fn window(house: &House, index: i64, shift: f64, wrong: i64) {
    window_of(house, (index, "1"), shift, wrong, 100).await;
}

/// A window of answers, and labels that arrive in it for all of them, or for as many in 100 as are `labelled`.
async fn window_of(house: &House, (index, version): (i64, &str), shift: f64, wrong: i64, labelled: i64) {
    answers(house, (index, version), shift).await;
    labels(house, (index, index), wrong, labelled).await;
    heartbeat(house, T0 + (index + 1) * WINDOW_MS + 1_500).await;
}

/// A window of answers `a` and `b`, one in five with the confidence .95.
async fn answers(house: &House, (index, version): (i64, &str), shift: f64) {
    let (start, id) = (T0 + index * WINDOW_MS, id(index));
    let at = format!("fromUnixTimestamp64Milli({start} + number * 25, 'UTC')");
    for sql in [
        format!(
            "INSERT INTO observations (id, segment, received_at, at, source, model, version, outcome, code, items) \
             SELECT {id}, generateUUIDv4(), {at}, {at}, 's', 'm', '{version}', 'ok', 200, 1 FROM numbers({ROWS})"
        ),
        format!(
            "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '{version}', 'input.x', ((number * 7) % {ROWS} + 0.5) / {ROWS} + {shift}, false \
             FROM numbers({ROWS})"
        ),
        format!(
            "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '{version}', 'output.confidence', if(number % 5 = 0, 0.95, 0.75), false \
             FROM numbers({ROWS})"
        ),
        format!(
            "INSERT INTO categories (id, item, segment, received_at, at, model, version, feature, value) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'm', '{version}', 'output.label', {SAID} FROM numbers({ROWS})"
        ),
    ] {
        house.ask(&sql).await;
    }
}

/// Labels of the answers of one window, for as many in 100 as are `labelled`, that arrive in another: of those that are `a`, `wrong` in
/// 100 are labelled `b`.
async fn labels(house: &House, (of, arrive): (i64, i64), wrong: i64, labelled: i64) {
    let at = format!("fromUnixTimestamp64Milli({} + number * 25, 'UTC')", T0 + arrive * WINDOW_MS);
    house
        .ask(&format!(
            "INSERT INTO labels SELECT {}, 0, generateUUIDv4(), {at}, {at}, \
               if(number % 4 != 0 AND intDiv(number, 4) % 100 < {wrong}, 'b', {SAID}) \
             FROM numbers({ROWS}) WHERE number % 100 < {labelled}",
            id(of)
        ))
        .await;
}

fn config() -> RawConfig {
    let mut config = raw();
    // The first three windows are the reference of features, and their labels that of errors.
    config.provisional_after = 3 * ROWS as u64;
    config.label_reference = 3 * ROWS as u64;
    config
}

async fn step(bench: &mut Bench, index: i64, shift: f64, wrong: i64) -> Arc<Snapshot> {
    window(&bench.house, index, shift, wrong).await;
    bench.after(index).await
}

fn concept(snapshot: &Snapshot) -> &Concept {
    snapshot.overview.models[0].concept.as_ref().expect("labels arrived")
}

/// Kinds after windows of (shift of the inputs, wrong answers in 100 of class `a`): three for the reference, two quiet ones.
async fn kinds(script: &[(f64, i64)]) -> (Bench, Vec<ConceptKind>) {
    let mut bench = Bench::build(config()).await;
    let mut kinds = Vec::new();
    let quiet = [(0.0, 4); 5];
    for (index, (shift, wrong)) in quiet.iter().chain(script).enumerate() {
        let snapshot = step(&mut bench, index as i64, *shift, *wrong).await;
        if index >= 3 {
            kinds.push(concept(&snapshot).kind);
        }
    }
    (bench, kinds)
}

#[tokio::test]
async fn errors_that_change_while_inputs_stay_are_concept_drift() {
    let (mut bench, found) = kinds(&[(0.0, 60), (0.0, 60)]).await;
    assert_eq!(found[..2], [ConceptKind::Stable; 2]);
    assert_eq!(found[3], ConceptKind::Concept, "{found:?}");
    let snapshot = bench.tick().await;
    let concept = concept(&snapshot);
    assert!((concept.error_before.unwrap() - 0.03).abs() < 1e-9 && concept.reference == 1_200, "{concept:?}");
    assert!(concept.sentence.contains("though no input moved"), "{}", concept.sentence);
    // Errors are told apart by the truth: what is `a` is answered as it was, what is `b` now looks like `a`.
    let state = |value: &str| concept.parts.iter().find(|part| part.value == value).unwrap().state;
    assert_eq!((state("b"), state("a")), (DriftState::Drifted, DriftState::Stable));
    assert!(snapshot.overview.events.iter().any(|event| event.text.starts_with("Concept drift")));
    let text = bench.registry.render();
    assert!(text.contains("driftline_concept_state{model=\"m\",state=\"concept\"} 1"), "{text}");
    let expected = |figure: &str| format!("driftline_quality_expected_{figure}_ratio{{model=\"m\",window=\"1d\"}}");
    assert!(["accuracy", "macro_f1", "auroc"].iter().all(|figure| text.contains(&expected(figure))), "{text}");
    bench.restart();
    assert_eq!(bench.tick().await.overview.models[0].concept.as_ref(), Some(concept), "a restart forgets nothing");
}

#[tokio::test]
async fn inputs_that_move_while_errors_stay_are_input_drift() {
    let (_, found) = kinds(&[(0.6, 4), (0.6, 4)]).await;
    assert_eq!(found, [ConceptKind::Stable, ConceptKind::Stable, ConceptKind::Input, ConceptKind::Input]);
}

#[tokio::test]
async fn both_are_said_to_be_both() {
    let (_, found) = kinds(&[(0.6, 60), (0.6, 60)]).await;
    assert_eq!(found[3], ConceptKind::Both, "{found:?}");
}

/// That a mix of classes explains the errors is remembered over a restart, or its end looks like concept drift.
#[tokio::test]
async fn a_restart_in_the_middle_of_another_mix_stays_silent() {
    let mut bench = Bench::build(config()).await;
    let mut kinds = Vec::new();
    for index in 0..20 {
        answers(&bench.house, (index, "1"), 0.0).await;
        mixed(&bench.house, index, if (8..13).contains(&index) { (50, 150) } else { (200, 20) }).await;
        heartbeat(&bench.house, T0 + (index + 1) * WINDOW_MS + 1_500).await;
        let found = bench.after(index).await.overview.models[0].concept.clone();
        kinds.extend(found.as_ref().map(|one| (index, one.kind)));
        if [10, 12, 13, 14].contains(&index) {
            bench.restart();
            assert_eq!(bench.tick().await.overview.models[0].concept, found, "a restart forgets nothing");
        }
    }
    assert!(kinds.iter().any(|(_, kind)| *kind == ConceptKind::Mix), "{kinds:?}");
    assert!(!kinds.iter().any(|(_, kind)| kind.is_of_errors()), "{kinds:?}");
    assert_eq!(kinds.last().unwrap().1, ConceptKind::Stable, "{kinds:?}");
    let events = bench.house.ask("SELECT text FROM events WHERE kind = 'drift'").await;
    assert_eq!(events, "", "nobody is told of a mix that came and went");
}

/// Labels of so many answers of a window whose truth is `a` and `b`: of those two in a hundred are wrong, of these four in ten.
async fn mixed(house: &House, index: i64, (a, b): (i64, i64)) {
    let at = format!("fromUnixTimestamp64Milli({} + number * 25, 'UTC')", T0 + index * WINDOW_MS);
    let (wrong_a, wrong_b) = (a / 50, b * 2 / 5);
    let (right_a, right_b) = (a - wrong_a, b - wrong_b);
    // the place of an answer among those that say the same
    let (of_b, of_a) = ("intDiv(number, 4)", "intDiv(number, 4) * 3 + number % 4 - 1");
    let truth = format!(
        "if(number % 4 = 0, multiIf({of_b} < {right_b}, 'b', {of_b} < {right_b} + {wrong_a}, 'a', ''), \
         multiIf({of_a} < {right_a}, 'a', {of_a} < {right_a} + {wrong_b}, 'b', ''))"
    );
    house
        .ask(&format!(
            "INSERT INTO labels SELECT {}, 0, generateUUIDv4(), {at}, {at}, {truth} AS truth FROM numbers({ROWS}) WHERE truth != ''",
            id(index)
        ))
        .await;
}

/// Labels that come four windows late were judged when the inputs had returned, and called concept drift.
#[tokio::test]
async fn late_labels_are_set_beside_the_inputs_of_their_answers() {
    let mut bench = Bench::build(config()).await;
    let moved = |index: i64| (7..9).contains(&index);
    let (mut kinds, mut last) = (Vec::new(), None);
    for index in 0..20 {
        answers(&bench.house, (index, "1"), if moved(index) { 0.6 } else { 0.0 }).await;
        let of = index - 4;
        if of >= 0 {
            labels(&bench.house, (of, index), if moved(of) { 60 } else { 4 }, 100).await;
        }
        heartbeat(&bench.house, T0 + (index + 1) * WINDOW_MS + 1_500).await;
        let snapshot = bench.after(index).await;
        let found = snapshot.overview.models[0].concept.clone();
        if index == 12 || index == 14 {
            bench.restart();
            assert_eq!(bench.tick().await.overview.models[0].concept, found, "a restart forgets nothing");
        }
        if let Some(found) = found {
            kinds.push((index, found.kind));
            last = Some(found).filter(|found| found.kind == ConceptKind::Both).or(last);
        }
    }
    let of = |kind: ConceptKind| kinds.iter().filter(|one| one.1 == kind).map(|one| one.0).collect::<Vec<_>>();
    assert!(of(ConceptKind::Both).contains(&12), "the errors of a time when inputs were moved: {kinds:?}");
    assert!(of(ConceptKind::Concept).is_empty() && of(ConceptKind::Errors).is_empty(), "{kinds:?}");
    assert_eq!(kinds.last().unwrap().1, ConceptKind::Stable, "{kinds:?}");
    // The inputs are drifted until two windows after they returned.
    let said = last.unwrap().sentence;
    assert!(said.starts_with("Inputs moved (input.x until 2030-03-17T17:48:30Z) and answers err otherwise"), "{said}");
    let told = bench.tick().await;
    assert!(
        !told.overview.events.iter().any(|event| event.text.starts_with("Concept drift")),
        "{:?}",
        told.overview.events
    );
}

#[tokio::test]
async fn errors_that_outlast_the_drift_of_inputs_are_concept_drift() {
    let script = [(0.6, 60), (0.6, 60), (0.0, 60), (0.0, 60), (0.0, 60), (0.0, 60), (0.0, 60)];
    let (_, found) = kinds(&script).await;
    assert!(found[3..5].iter().all(|kind| *kind == ConceptKind::Both), "{found:?}");
    assert_eq!(found.last(), Some(&ConceptKind::Concept), "of answers given since the inputs returned: {found:?}");
}

/// The reference of errors was made of the first labels, those of a drift among them, and its end looked like concept drift.
#[tokio::test]
async fn a_drift_of_inputs_is_no_part_of_the_reference_of_errors() {
    let mut config = config();
    config.label_reference = 2 * ROWS as u64;
    let mut bench = Bench::build(config).await;
    let mut found = Vec::new();
    for index in 0..14 {
        let moved = (4..6).contains(&index);
        let (shift, wrong) = if moved { (0.6, 60) } else { (0.0, 4) };
        window_of(&bench.house, (index, "1"), shift, wrong, if index < 3 { 0 } else { 100 }).await;
        found.extend(bench.after(index).await.overview.models[0].concept.clone());
    }
    assert!(found.iter().all(|one| !one.kind.is_of_errors()), "{found:?}");
    let left_out = "labels are left out: inputs were drifted when their answers were given";
    assert!(found.iter().any(|one| one.sentence.contains(left_out)), "{found:?}");
    let last = found.last().unwrap();
    assert_eq!((last.kind, last.reference), (ConceptKind::Stable, 2 * ROWS as u64), "{}", last.sentence);
    assert!((last.error_before.unwrap() - 0.03).abs() < 1e-9, "{last:?}");
}

/// What traffic adds to a chosen reference changes nothing of the errors: their reference began anew, and with it the waiting.
#[tokio::test]
async fn a_reference_that_is_completed_keeps_its_errors() {
    let mut file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
    writeln!(file, "input.x").unwrap();
    (0..2_000).for_each(|i| writeln!(file, "{}", (f64::from(i) + 0.5) / 2_000.0).unwrap());
    let mut config = config();
    config.label_reference = ROWS as u64;
    config.baselines.insert("m".into(), RawBaseline { file: file.path().to_owned(), categories: vec![] });
    let mut bench = Bench::build(config).await;
    bench.after(-1).await;
    let mut seen = Vec::new();
    for index in 0..9 {
        window(&bench.house, index, 0.0, 4).await;
        let snapshot = bench.after(index).await;
        let model = &snapshot.overview.models[0];
        let completed = model.baseline.as_ref().is_some_and(|known| !known.completes.is_empty());
        seen.push((completed, model.concept.as_ref().map_or(0, |found| found.reference)));
        if index == 6 {
            bench.restart();
        }
    }
    let begun = seen.iter().position(|(_, reference)| *reference == ROWS as u64).unwrap();
    assert!(!seen[begun].0 && seen[8].0, "it had its errors when it was completed: {seen:?}");
    assert!(seen[begun..].iter().all(|(_, reference)| *reference == ROWS as u64), "{seen:?}");
}

/// Inputs that stay as they came to be: after some time the answers that there are make the reference.
#[tokio::test]
async fn inputs_that_stay_drifted_do_not_put_errors_off_for_ever() {
    let mut config = config();
    config.label_reference = 2 * ROWS as u64;
    config.label_reference_time = std::time::Duration::from_secs(60);
    let mut bench = Bench::build(config).await;
    let mut found = None;
    for index in 0..14 {
        let (shift, labelled) = if index < 3 { (0.0, 0) } else { (0.6, 100) };
        window_of(&bench.house, (index, "1"), shift, 4, labelled).await;
        found = bench.after(index).await.overview.models[0].concept.clone();
        assert!(index > 7 || found.as_ref().is_none_or(|one| one.reference == 0), "{index}: {found:?}");
    }
    let found = found.unwrap();
    assert_eq!((found.kind, found.reference), (ConceptKind::Input, 2 * ROWS as u64), "{}", found.sentence);
}

/// A third of the answers labelled, 400 labels in the reference: some 130 of the class `b`, where 800 were asked for.
#[tokio::test]
async fn a_class_of_a_hundred_labels_is_judged_with_the_settings_as_they_come() {
    let mut config = config();
    config.label_reference = 400;
    let mut bench = Bench::build(config).await;
    let mut found = Vec::new();
    for (index, wrong) in [4, 4, 4, 4, 4, 60, 60, 60].into_iter().enumerate() {
        window_of(&bench.house, (index as i64, "1"), 0.0, wrong, 33).await;
        let snapshot = bench.after(index as i64).await;
        found.extend(snapshot.overview.models[0].concept.clone());
    }
    let kinds: Vec<ConceptKind> = found.iter().map(|one| one.kind).collect();
    assert!(!kinds[..kinds.len() - 3].contains(&ConceptKind::Concept), "{kinds:?}");
    assert_eq!(kinds.last(), Some(&ConceptKind::Concept), "{found:?}");
    assert!(found.last().unwrap().reference <= 400);
}

/// Before, another version that errs otherwise was concept drift.
#[tokio::test]
async fn another_version_has_a_reference_of_its_own() {
    let (mut bench, _) = kinds(&[]).await;
    let mut step = async |index: i64| {
        window_of(&bench.house, (index, "2"), 0.0, 60, 100).await;
        bench.after(index).await
    };
    // Far enough on that version 1 answers no more.
    let first = step(45).await;
    let found = concept(&first);
    assert_eq!((found.kind, found.error_before), (ConceptKind::Insufficient, None), "{}", found.sentence);
    assert!(found.sentence.contains("Version 2 has 400 of the 1200 labels"), "{}", found.sentence);
    assert!(found.sentence.contains("Version 1 before it erred in 3.0 % of 1200"), "{}", found.sentence);
    let mut last = first;
    for index in 46..50 {
        last = step(index).await;
        assert!(!concept(&last).kind.is_of_errors(), "{}", concept(&last).sentence);
    }
    assert_eq!((concept(&last).kind, concept(&last).version.as_str()), (ConceptKind::Stable, "2"));
    let said: Vec<&str> = last.overview.events.iter().map(|event| event.text.as_str()).collect();
    assert!(said.iter().any(|text| text.starts_with("Version 2 errs more often than 1 did: 45.0 %")), "{said:?}");
    assert!(!said.iter().any(|text| text.starts_with("Concept drift")), "{said:?}");
}

/// A hundred labels in two weeks never were the thousand that a reference takes.
#[tokio::test]
async fn labels_that_come_slowly_make_a_reference_all_the_same() {
    let mut config = config();
    config.label_reference_time = std::time::Duration::from_secs(25);
    let mut bench = Bench::build(config).await;
    let mut kinds = Vec::new();
    for index in 0..6 {
        window_of(&bench.house, (index, "1"), 0.0, 4, 10).await;
        let snapshot = bench.after(index).await;
        kinds.extend(snapshot.overview.models[0].concept.as_ref().map(|one| (one.kind, one.reference)));
    }
    let reference = kinds.last().unwrap().1;
    assert!((100..=240).contains(&reference), "{kinds:?}");
}

/// A column that is not there any more is not a column that stayed as it was.
#[tokio::test]
async fn an_input_without_values_is_not_one_that_stayed() {
    let (mut bench, _) = kinds(&[]).await;
    let mut last = None;
    for index in 5..10 {
        window(&bench.house, index, 0.0, 60).await;
        bench.house.ask("ALTER TABLE features DELETE WHERE feature = 'input.x' SETTINGS mutations_sync = 1").await;
        last = bench.after(index).await.overview.models[0].concept.clone();
    }
    let found = last.unwrap();
    assert_eq!(found.kind, ConceptKind::Errors, "{}", found.sentence);
    assert!(found.sentence.contains("1 of 1 inputs have too little data"), "{}", found.sentence);
}

#[tokio::test]
async fn figures_of_a_range_are_those_of_its_labels() {
    let mut config = config();
    config.models.clear();
    let running = Running::start_with(config, &[]).await;
    // After the six windows of traffic without labels: the same model, labelled.
    for index in 6..8 {
        window(&running.house, index, 0.0, 20).await;
    }
    let range = |from: i64, to: i64| format!("from_ms={}&to_ms={}", T0 + from * WINDOW_MS, T0 + to * WINDOW_MS);
    let quality: Quality = running.read(&format!("/api/v1/models/m/quality?{}", range(6, 7))).await;
    let classes = quality.classes.unwrap();
    assert_eq!((quality.answers, quality.labelled, quality.coverage), (400, 400, Some(1.0)));
    // 300 answers are `a`: of every 100 groups of four the first 20 are labelled `b`: 60 of 400 are wrong.
    assert!((classes.accuracy.value - 0.85).abs() < 1e-12, "{classes:?}");
    let class = |label: &str| classes.classes.iter().find(|one| one.label == label).unwrap();
    assert!(
        (class("a").precision.unwrap().value - 0.8).abs() < 1e-12
            && (class("a").recall.unwrap().value - 1.0).abs() < 1e-12
    );
    assert!(
        (class("b").precision.unwrap().value - 1.0).abs() < 1e-12
            && (class("b").recall.unwrap().value - 0.625).abs() < 1e-12
    );
    assert_eq!(classes.auroc_of, "b");
    assert!(classes.brier.unwrap().value > 0.0 && classes.auroc.unwrap().value > 0.5);
    // No labels are kept from before: those of the range calibrate. All that are wrong are of its first half, and what the labels of
    // that one expect of the second does not hold; of two halves drawn by chance it would.
    let own = quality.estimate.unwrap();
    assert!(own.within && own.calibrated_by == 400 && (own.accuracy.value - 0.85).abs() < 0.01, "{own:?}");
    let test = own.back_test.unwrap();
    assert!(!test.holds && (test.expected - 0.7).abs() < 0.03 && (test.found.value - 1.0).abs() < 1e-12, "{test:?}");
    let (f1, auroc) = (own.macro_f1.unwrap(), own.auroc.unwrap());
    assert!((0.6..0.95).contains(&f1.value) && (0.5..1.0).contains(&auroc.value), "{own:?}");
    // The estimate of the second window is calibrated by the labels of the first.
    let next: Quality = running.read(&format!("/api/v1/models/m/quality?{}", range(7, 8))).await;
    let estimate = next.estimate.unwrap();
    assert!(estimate.calibrated_by == 400 && !estimate.within);
    let test = estimate.back_test.unwrap();
    assert!(test.holds && (test.expected - 0.85).abs() < 0.02, "{test:?}");
    // Nothing is labelled in the range before.
    let before: Quality = running.read(&format!("/api/v1/models/m/quality?{}", range(0, 6))).await;
    assert_eq!((before.labelled, before.coverage, before.classes), (0, Some(0.0), None));
    running.stop().await;
}

#[tokio::test]
async fn a_model_that_answers_with_a_number_has_errors_in_its_unit() {
    let running = Running::start().await;
    let id = id(50);
    let at = format!("fromUnixTimestamp64Milli({T0} + number, 'UTC')");
    // numpy: a = [2.5, 0.1, 2, 8, 4.2, 5.1], t = [3, -.5, 2, 7, 4, 6]; see analyzer/src/judge/quality/tests.rs
    for sql in [
        format!(
            "INSERT INTO features (id, item, segment, received_at, at, model, version, feature, value, missing) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'price', '1', 'output.y', [2.5, 0.1, 2, 8, 4.2, 5.1, 9][number + 1], false \
             FROM numbers(7)"
        ),
        format!(
            "INSERT INTO labels SELECT {id}, 0, generateUUIDv4(), {at}, {at}, ['3', '-0.5', '2', '7', '4', '6', 'many'][number + 1] \
             FROM numbers(7)"
        ),
    ] {
        running.house.ask(&sql).await;
    }
    let path = format!("/api/v1/models/price/quality?from_ms={T0}&to_ms={}", T0 + WINDOW_MS);
    let quality: Quality = running.read(&path).await;
    let numbers = quality.numbers.unwrap();
    let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
    assert_eq!((quality.answers, quality.labelled, numbers.feature.as_str()), (7, 6, "output.y"));
    near(numbers.mae.value, 0.533_333_333_333_333_4);
    near(numbers.rmse.value, 0.640_312_423_743_284_9);
    numbers.quantiles.into_iter().zip([-0.8, 0.1, 0.9]).for_each(|(found, expected)| near(found, expected));
    numbers.sizes.into_iter().zip([0.55, 0.975]).for_each(|(found, expected)| near(found, expected));
    running.stop().await;
}

/// Those that arrived after the last one of the reference and before it was made were in neither.
#[tokio::test]
async fn a_label_is_in_the_reference_of_errors_or_counted_after_it() {
    for restarted in [false, true] {
        let mut config = config();
        config.label_reference = 400;
        let mut bench = Bench::build(config).await;
        for index in 0..6 {
            step(&mut bench, index, 0.0, 4).await;
            if restarted {
                bench.restart();
            }
        }
        let of = async |table: &str| {
            let sum = format!("SELECT sum(n) FROM {table} FINAL WHERE segment = '{TRUTH}' AND value = '{ALL}'");
            bench.house.ask(&sum).await.parse::<i64>().unwrap()
        };
        let (reference, counted) = (of("segment_references").await, of("segment_counts").await);
        assert_eq!((reference, counted), (400, 5 * ROWS), "restarted: {restarted}");
    }
}
