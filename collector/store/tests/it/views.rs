//! The views are those that `contract` promises to dashboards.

use crate::house::House;

#[tokio::test]
async fn views_have_the_columns_that_contract_names() {
    let (house, _store) = House::migrated().await;
    let made = house
        .ask(
            "SELECT table, arrayStringConcat(groupArray(name), ',') FROM
             (SELECT table, name FROM system.columns WHERE database = 'driftline' AND table LIKE 'dash\\_%'
              ORDER BY table, position) GROUP BY table ORDER BY table",
        )
        .await;
    let mut promised: Vec<String> =
        contract::views::ALL.iter().map(|view| format!("{}\t{}", view.name, view.columns.join(","))).collect();
    promised.sort();
    assert_eq!(made.lines().collect::<Vec<_>>(), promised);
    for view in contract::views::ALL {
        let columns = view.columns.join(", ");
        house.ask(&format!("SELECT {columns} FROM {} WHERE at > now() - INTERVAL 1 DAY", view.name)).await;
    }
}

/// Rows of a feature in a window of ten minutes, whose counts by bin are given.
async fn parts(house: &House, feature: &str, m: u32, bins: &str, counts: &[(i32, u32)]) -> Vec<String> {
    let start = "toDateTime64('2026-01-01 00:00:00', 3, 'UTC')";
    let end = "toDateTime64('2026-01-01 00:10:00', 3, 'UTC')";
    let baseline = format!("('m', '1', '{feature}', 'f', {start}, 0, {m}, '{bins}')");
    house
        .ask(&format!(
            "INSERT INTO baselines (model, version, feature, fingerprint, frozen_at, provisional, m, bins) VALUES {baseline}"
        ))
        .await;
    let rows: Vec<String> =
        counts.iter().map(|(bin, n)| format!("('m', '1', '{feature}', 'f', {start}, {end}, {bin}, {n})")).collect();
    // twice, as after a retry: the newer row of a bin replaces the older
    for _ in 0..2 {
        house
            .ask(&format!(
                "INSERT INTO bin_counts (model, version, feature, fingerprint, window_start, window_end, bin, n) VALUES {}",
                rows.join(", ")
            ))
            .await;
    }
    let asked = format!(
        "SELECT kind, label, round(reference, 6), current FROM dash_bins \
         WHERE model = 'm' AND feature = '{feature}' AND at = {end} ORDER BY part"
    );
    house.ask(&asked).await.lines().map(|line| line.replace('\t', "|")).collect()
}

/// Bins, cells and shares are counted out by hand after `analyzer::judge::reference`: bin 2 is `[1, next above 1)`.
#[tokio::test]
async fn a_window_stands_beside_its_reference_part_by_part() {
    let (house, _store) = House::migrated().await;
    let edges = "[1, 1.0000000000000002, 2, 3, 3.0000000000000004]";
    let numbers = format!(r#"{{"kind":"numbers","edges":{edges},"counts":[0,0,50,20,20,10,0,0,0,0,0]}}"#);
    let seen =
        parts(&house, "x", 100, &numbers, &[(2, 30), (4, 40), (6, 20), (0, 1), (-1, 2), (-2, 10), (-3, 3)]).await;
    let expected = [
        "below|below 1|0|0",
        "atom|= 1|0.5|30",
        "range|from 1|0.2|0",
        "range|from 2|0.2|40",
        "atom|= 3|0.1|0",
        "above|above 3|0|20",
        "infinite|infinite|0|1",
        "NaN|NaN|0|2",
        "missing|missing|0|10",
        "other type|other type|0|3",
    ];
    assert_eq!(seen, expected);

    let categories = r#"{"kind":"categories","names":["a","b"],"counts":[60,40,0,0,0]}"#;
    let seen = parts(&house, "y", 100, categories, &[(0, 5), (-4, 3), (-2, 1)]).await;
    let expected = [
        "category|a|0.6|5",
        "category|b|0.4|0",
        "missing|missing|0|1",
        "other type|other type|0|0",
        "never seen|never seen|0|3",
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_reference_of_a_thousand_bins_is_seen_in_twentieths() {
    let (house, _store) = House::migrated().await;
    let edges: Vec<String> = (0..=1000).map(|i| i.to_string()).collect();
    // cells: -inf, below, a thousand of one value each, above, inf, NaN, missing, other
    let counts: Vec<&str> = std::iter::repeat_n("0", 2).chain(vec!["1"; 1000]).chain(vec!["0"; 5]).collect();
    let bins = format!(r#"{{"kind":"numbers","edges":[{}],"counts":[{}]}}"#, edges.join(","), counts.join(","));
    // the first value of the first twentieth, the last of the first, the first of the second, the last of all
    let seen = parts(&house, "z", 1000, &bins, &[(2, 1), (51, 2), (52, 4), (1001, 8)]).await;
    let ranges: Vec<&String> = seen.iter().filter(|line| line.starts_with("range")).collect();
    assert_eq!(ranges.len(), 20, "{seen:?}");
    assert!(ranges.iter().all(|line| line.contains("|0.05|")), "{seen:?}");
    assert_eq!(
        [ranges[0].as_str(), ranges[1], ranges[19]],
        ["range|from 0|0.05|3", "range|from 50|0.05|4", "range|from 950|0.05|8"]
    );
    // a reference without a number has nowhere to put one
    let nothing = r#"{"kind":"numbers","edges":[],"counts":[0,0,0,0,7,0]}"#;
    let seen = parts(&house, "w", 7, nothing, &[(1, 3), (-2, 4)]).await;
    assert!(seen.contains(&"missing|missing|1|4".to_owned()), "{seen:?}");
    assert_eq!(seen.iter().filter(|line| line.ends_with("|3")).count(), 1, "{seen:?}");
}

#[tokio::test]
async fn stages_of_a_request_add_up_to_its_time() {
    let (house, _store) = House::migrated().await;
    house
        .ask(
            "INSERT INTO observations (id, model, outcome, at, total_us, tokenize_us, queue_us, infer_us) VALUES \
               (generateUUIDv4(), 'a', 'ok', now64(3), 10000, 1000, 2000, 3000), \
               (generateUUIDv4(), 'b', 'error', now64(3), 1000, 0, 1500, 0)",
        )
        .await;
    let stages = "SELECT model, tokenize_ms, queue_ms, infer_ms, rest_ms, total_ms FROM dash_stages ORDER BY model";
    // clocks are read one after the other: a rest is never below nothing
    assert_eq!(house.ask(stages).await, "a\t1\t2\t3\t4\t10\nb\t0\t1.5\t0\t0\t1");
}

/// Whether a label's request is known was looked up among the ids of all observations, which no engine of 1.5 GB holds.
#[tokio::test]
async fn labels_and_feedback_are_looked_up_by_their_own_ids() {
    let (house, store) = House::migrated().await;
    let at = "now64(3)";
    let id = "toUUID(concat('00000000-0000-4000-8000-', leftPad(toString(number), 12, '0')))";
    for sql in [
        format!(
            "INSERT INTO observations (id, segment, at, received_at, source, model, version, outcome, code) \
             SELECT {id}, generateUUIDv4(), {at}, {at}, 's', 'm', '1', 'ok', 200 FROM numbers(5000)"
        ),
        format!("INSERT INTO labels SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'a' FROM numbers(4990, 20)"),
        format!(
            "INSERT INTO outcomes (id, item, segment, received_at, at, name, value, is_boolean) \
             SELECT {id}, 0, generateUUIDv4(), {at}, {at}, 'click', 1, true FROM numbers(4990, 20)"
        ),
    ] {
        house.ask(&sql).await;
    }
    let bound = "SETTINGS max_rows_in_set = 1000, set_overflow_mode = 'throw', max_rows_in_join = 1000, join_overflow_mode = 'throw'";
    assert_eq!(house.ask(&format!("SELECT sum(labels), sum(unknown) FROM dash_labels {bound}")).await, "20\t10");
    assert_eq!(house.ask(&format!("SELECT sum(outcomes) FROM dash_outcomes {bound}")).await, "10");
    assert_eq!(store.status().await.unwrap().unknown_labels, Some(10));
    // one question that cannot be answered is no reason to tell nothing
    house.ask("RENAME TABLE observations TO many").await;
    house.ask("CREATE TABLE observations (other UUID) ENGINE = MergeTree ORDER BY other").await;
    let status = store.status().await.unwrap();
    assert!(status.unknown_labels.is_none() && !status.tables.is_empty(), "{status:?}");
}
