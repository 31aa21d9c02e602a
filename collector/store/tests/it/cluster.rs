//! A cluster: what is said to one with Keeper is read by the real parser; one without is three real engines.

use std::collections::BTreeMap;
use std::time::Duration;

use store::erase::Subject;
use store::read::page::SampleFilter;
use store::read::{BaselineRow, ContentAsked, Window};
use store::retention::Age;
use store::write::{Block, EncodedSegment, Inserted};
use store::{Error, RawConfig, Store};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::house::House;
use crate::shards::{NAME, Shards, connect};
use crate::write::{now, sample, segment};

/// Segments of three requests each, all of one moment.
fn segments(n: u128) -> Vec<EncodedSegment> {
    let at = now();
    (1..=n).map(|number| segment(number, &[2, 1, 0].map(|i| sample(number * 3 - i, at)))).collect()
}

async fn insert(store: &Store, segment: &EncodedSegment, look_first: bool) -> Result<Vec<Inserted>, Error> {
    let mut all = Vec::new();
    for block in segment.blocks() {
        all.push(store.write_block(block, look_first).await?);
    }
    Ok(all)
}

const TOLERANCE: store::read::Tolerance = store::read::Tolerance { absolute: 0.0, relative: 0.01, vector: 0.01 };

#[tokio::test]
async fn what_is_said_to_a_replicated_cluster_can_be_read() {
    let (house, _store) = House::migrated().await;
    let url = Some("http://127.0.0.1:1".to_owned());
    let store = connect(RawConfig { url, cluster: Some("main".to_owned()), ..RawConfig::default() });
    let statements = store.migrations_as_sql().unwrap();
    assert!(statements.len() > 40, "{}", statements.len());
    for statement in statements {
        let tree = house.ask(&format!("EXPLAIN AST {statement}")).await;
        assert!(tree.starts_with("Create") || tree.starts_with("Alter"), "{statement}: {tree}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_answers_as_one_server_does() {
    let shards = Shards::start(3).await;
    let (cluster, single) = (shards.store(), shards.single());
    for store in [&cluster, &single] {
        assert!(store.migrate().await.unwrap() > 0);
        assert_eq!(store.migrate().await.unwrap(), 0, "the second time there is nothing to do");
        store.read().insert_baseline(&baseline()).await.unwrap();
    }
    for segment in segments(12) {
        insert(&cluster, &segment, false).await.unwrap();
        insert(&single, &segment, false).await.unwrap();
    }
    for view in contract::views::ALL {
        let sql = format!("SELECT {} FROM {} ORDER BY ALL", view.columns.join(", "), view.name);
        // whatever server is asked
        for i in 0..3 {
            let (many, one) = (shards.ask(i, "driftline", &sql).await, shards.ask(0, "single", &sql).await);
            assert_eq!(many, one, "{}", view.name);
        }
    }
    // every segment labels the first request, which lies on one shard
    assert_eq!(shards.ask(0, "driftline", "SELECT labels, unknown FROM dash_labels").await, "1\t0");
    assert_eq!(shards.ask(2, "driftline", "SELECT count(), any(answer) FROM labelled").await, "1\tb é");
    assert_eq!(questions(&cluster).await, questions(&single).await);
}

fn baseline() -> Vec<BaselineRow> {
    let row = |feature: &str, bins: &str| BaselineRow {
        model: "m".into(),
        version: "1".into(),
        feature: feature.into(),
        fingerprint: "f".into(),
        frozen_at_ms: 1_767_225_600_000,
        provisional: false,
        m: 10,
        bins: bins.into(),
    };
    vec![
        row("input.z", r#"{"kind":"numbers","edges":[-2.0,0.0],"names":[]}"#),
        row("output.label", r#"{"kind":"categories","edges":[],"names":["a","b é"]}"#),
    ]
}

/// The questions whose subqueries look into other tables, and their answers in words.
async fn questions(store: &Store) -> Vec<String> {
    let read = store.read();
    let hour = 3_600_000;
    let start_ms = now() / hour * hour - hour;
    let window = Window { start_ms, end_ms: start_ms + 3 * hour };
    let seen = read.windows("m", window, 3 * hour, 10).await.unwrap();
    assert_eq!(seen.iter().map(|window| window.observations).sum::<u64>(), 36);
    read.count_window("m", "f", window, &seen[0]).await.unwrap();
    let mut counts = read.bin_counts("m", "f", window).await.unwrap();
    counts.sort_by(|a, b| (&a.feature, a.bin).cmp(&(&b.feature, b.bin)));
    assert!(!counts.is_empty());
    let filter = SampleFilter { before_ms: window.end_ms, limit: 100, ..SampleFilter::default() };
    let samples = read.samples(&filter).await.unwrap();
    assert_eq!(samples.len(), 36);
    let shadows = read.shadows("m", TOLERANCE, 10).await.unwrap();
    let mut disagreements = read.disagreements(&shadows[0], 100).await.unwrap();
    disagreements.sort_by(|a, b| (&a.id, &a.primary).cmp(&(&b.id, &b.primary)));
    let content = ContentAsked { model: "m", version: "1", span: window };
    let with_content = read.content_ids(content, 100).await.unwrap();
    assert_eq!(with_content.len(), 36);
    let labelled = read.labelled("m", 0).await.unwrap();
    let reliability = read.reliability("m", window, 10).await.unwrap();
    vec![
        format!("{seen:?}"),
        format!("{counts:?}"),
        format!("{samples:?}"),
        format!("{shadows:?}"),
        format!("{disagreements:?}"),
        format!("{with_content:?}"),
        format!("{labelled:?}"),
        format!("{reliability:?}"),
        format!("{:?}", read.baselines(true).await.unwrap()),
    ]
}

/// The code with which the database refuses a block that is said to have been tried before.
async fn refusal(store: &Store, block: &Block) -> Option<u32> {
    match store.write_block(block, true).await.unwrap_err() {
        Error::Refused { code, .. } => code,
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_one_block_of_one_shard_and_inserted_once_whoever_is_killed() {
    let mut shards = Shards::start(3).await;
    let store = shards.store();
    store.migrate().await.unwrap();
    for i in 0..3 {
        shards.ask(i, "driftline", "SYSTEM STOP MERGES").await;
    }
    let all = segments(24);
    for segment in &all {
        assert!(insert(&store, segment, false).await.unwrap().iter().all(|done| *done == Inserted::Now));
        // blindly: the shard remembers the token
        insert(&store, segment, false).await.unwrap();
        assert!(insert(&store, segment, true).await.unwrap().iter().all(|done| *done == Inserted::Before));
    }
    let of_all = |table: &str| format!("clusterAllReplicas('{NAME}', driftline.{table}_local)");
    for table in ["observations", "features", "payloads", "comparisons", "labels"] {
        let parted = format!(
            "SELECT count() FROM (SELECT segment FROM {} GROUP BY segment HAVING uniqExact(_shard_num, _part) > 1)",
            of_all(table)
        );
        assert_eq!(shards.ask(1, "driftline", &parted).await, "0", "{table}");
    }
    let used = format!("SELECT uniqExact(_shard_num) FROM {}", of_all("observations"));
    assert_eq!(shards.ask(2, "driftline", &used).await, "3");
    let rows = "SELECT count(), uniqExact(id) FROM observations";
    assert_eq!(shards.ask(0, "driftline", rows).await, "72\t72");

    // one is killed while many are under way
    let mut under_way = JoinSet::new();
    for segment in segments(60).split_off(24) {
        let store = store.clone();
        under_way.spawn(async move {
            let mut look_first = false;
            while let Err(error) = insert(&store, &segment, look_first).await {
                assert!(!error.is_data_refused(), "{error}");
                look_first = true;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
    let count = async |shards: &Shards| shards.ask(0, "driftline", "SELECT count() FROM observations").await;
    while count(&shards).await == "72" {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    shards.kill(1).await;
    shards.restart(1).await;
    under_way.join_all().await;
    assert_eq!(shards.ask(0, "driftline", rows).await, "180\t180");

    // one is gone: what belongs to the others goes in, and nothing is taken for a fault of the rows
    shards.kill(1).await;
    let more: Vec<EncodedSegment> = segments(84).split_off(60);
    let mut waiting = Vec::new();
    for segment in &more {
        match insert(&store, segment, false).await {
            Ok(_) => {}
            Err(error) => {
                assert!(!error.is_data_refused(), "{error}");
                waiting.push(segment);
            }
        }
    }
    assert!(!waiting.is_empty() && waiting.len() < more.len(), "{} of {} wait", waiting.len(), more.len());
    // with a Keeper another replica could speak for it; here nobody does, so nothing is known
    let kept = connect(RawConfig { shards: vec![], ..shards.raw() });
    let block = &waiting[0].blocks()[0];
    assert_eq!(refusal(&kept, block).await, refusal(&store, block).await);
    shards.restart(1).await;
    for segment in waiting {
        insert(&store, segment, true).await.unwrap();
    }
    assert_eq!(shards.ask(0, "driftline", rows).await, "252\t252");
    let features = "SELECT count(), uniqExact(id, feature) FROM features";
    assert_eq!(shards.ask(2, "driftline", features).await, "756\t756");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_retention_and_erasure_reach_every_shard() {
    let mut shards = Shards::start(3).await;
    let store = shards.store();
    store.migrate().await.unwrap();
    for segment in segments(12) {
        insert(&store, &segment, false).await.unwrap();
    }
    let status = store.status().await.unwrap();
    let cluster = status.cluster.unwrap();
    assert_eq!((cluster.name.as_str(), cluster.replicated, cluster.servers.len()), (NAME, false, 3));
    assert_eq!(cluster.servers.iter().filter_map(|server| server.observations).sum::<u64>(), 36);
    assert!(status.migrations.iter().all(|migration| migration.state == "applied"), "{:?}", status.migrations);
    let observations = status.tables.iter().find(|table| table.table == "observations_local").unwrap();
    assert_eq!((observations.rows, observations.kept.as_str()), (36, "90 days"));

    let retention = BTreeMap::from([("payloads".to_owned(), Age(Duration::from_secs(36 * 3600)))]);
    connect(RawConfig { retention, ..shards.raw() }).migrate().await.unwrap();
    for i in 0..3 {
        let kept = "SELECT engine_full LIKE '%toIntervalSecond(129600)%' FROM system.tables \
                    WHERE database = 'driftline' AND name = 'payloads_local'";
        assert_eq!(shards.ask(i, "driftline", kept).await, "1");
    }

    // every request of the samples is of this client; one more is of nobody
    let other = segment(99, &[sample(7_000, now())]);
    insert(&store, &other, false).await.unwrap();
    for i in 0..3 {
        let nobody = format!(
            "ALTER TABLE observations_local UPDATE client = 'c2' WHERE id = '{}' SETTINGS mutations_sync = 2",
            Uuid::from_u128(7_000)
        );
        shards.ask(i, "driftline", &nobody).await;
    }
    let ids = store.ids_of(&Subject::Client(vec!["c1".into()]), &[]).await.unwrap();
    assert_eq!(store.requests_of(&ids).await.unwrap(), 36);
    assert!(store.rows_of(&ids).await.unwrap().iter().map(|table| table.rows).sum::<u64>() > 36 * 5);
    store.delete_rows_of(&ids).await.unwrap();
    assert_eq!(store.rows_of(&ids).await.unwrap().iter().map(|table| table.rows).sum::<u64>(), 0);
    store.forget_ids(ids).await.unwrap();
    assert_eq!(shards.ask(0, "driftline", "SELECT client, count() FROM observations GROUP BY client").await, "c2\t1");
    for i in 0..3 {
        let left = "SELECT count() FROM system.tables WHERE name LIKE 'erasing%'";
        assert_eq!(shards.ask(i, "driftline", left).await, "0");
    }

    // tables of a cluster are not mistaken for those of one server
    let alone = connect(RawConfig { url: Some(shards.url(0)), ..RawConfig::default() });
    let error = alone.migrate().await.unwrap_err().to_string();
    assert!(error.contains("made for a cluster") && error.contains("store.cluster"), "{error}");

    shards.kill(2).await;
    let cluster = store.status().await.unwrap().cluster.unwrap();
    let away: Vec<_> = cluster.servers.iter().filter(|s| s.observations.is_none()).map(|s| s.shard).collect();
    assert_eq!(away, [3]);
}
