//! Blocks arrive whole, once, and as they were written.

use contract::wire::{
    Content, Feature, FeatureValue, Gap, Label, Ledger, Observation, Outcome, Payload, Prediction, Provider,
    ShadowAnswer, Timings,
};
use masking::{MaskedSample, Masker, RawConfig};
use serde_json::json;
use store::Store;
use store::engine::Engine;
use store::write::{Block, EncodedSegment, Heartbeat, Inserted, SegmentBuilder, Table};
use uuid::Uuid;

use crate::house::{House, config};

const AT: i64 = 1_767_225_600_123;

pub fn now() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

pub fn sample(id: u128, at_ms: i64) -> MaskedSample {
    let prediction = |label: &str| Prediction { label: label.into(), confidence: 0.75, margin: 0.5, entropy: 0.25 };
    let feature = |name: &str, item, value| Feature { name: name.into(), item, value };
    let plain = Observation {
        id: Uuid::from_u128(id),
        trace_id: Some("0af7651916cd43dd8448eb211c80319c".into()),
        at_ms,
        model: "m".into(),
        version: "1".into(),
        route: "predict".into(),
        outcome: Outcome::Ok,
        code: 200,
        reason: None,
        client: Some("c1".into()),
        timings: Timings {
            total_us: 9,
            tokenize_us: 1,
            queue_us: 2,
            infer_us: 3,
            batch_size: 4,
            from_cache: true,
            padding: 0.25,
            provider: Provider::Cpu,
            ..Timings::default()
        },
        items: 2,
        features: vec![
            feature("input.x", 0, FeatureValue::Number(f64::NAN)),
            feature("input.y", 1, FeatureValue::Missing),
            feature("input.z", 1, FeatureValue::Number(-1.5)),
            feature("output.label", 1, FeatureValue::Category("b é".into())),
        ],
        predictions: vec![prediction("a"), prediction("b é")],
        shadows: vec![
            ShadowAnswer {
                version: "2".into(),
                outcome: Outcome::Ok,
                reason: None,
                timings: Timings { infer_us: 7, ..Timings::default() },
                predictions: vec![prediction("a"), prediction("c")],
                gaps: vec![],
            },
            ShadowAnswer {
                version: "3".into(),
                outcome: Outcome::Rejected,
                reason: Some("shed".into()),
                timings: Timings::default(),
                predictions: vec![],
                gaps: vec![],
            },
            ShadowAnswer {
                version: "4".into(),
                outcome: Outcome::Ok,
                reason: None,
                timings: Timings { infer_us: 9, ..Timings::default() },
                predictions: vec![],
                gaps: vec![Gap::Number { absolute: 0.5, relative: 0.25 }, Gap::Vector { distance: 0.125 }],
            },
        ],
        payload: Payload::Kept(Content {
            input: json!({"text": "x".repeat(300)}),
            output: json!(["a"]),
            inclusion_probability: 0.5,
        }),
    };
    Masker::new(&RawConfig::default()).unwrap().mask(plain).sample
}

pub fn segment(number: u128, samples: &[MaskedSample]) -> EncodedSegment {
    let mut builder = SegmentBuilder::new(Uuid::from_u128(number));
    samples.iter().for_each(|sample| builder.observation(sample, "proxy-1", AT + 1));
    builder.label(&Label { id: Uuid::from_u128(1), item: 1, label: "b".into(), at_ms: Some(AT) }, AT + 1);
    builder.heartbeat(&Heartbeat {
        source: "proxy-1".into(),
        epoch: 5,
        seq: 6,
        sent_at_ms: now(),
        received_at_ms: AT + 1,
        ledger: Ledger { observed: 4, delivered: 3, dropped: 1, in_flight: 0 },
    });
    builder.finish()
}

async fn insert(store: &Store, encoded: &EncodedSegment, look_first: bool) -> Vec<Inserted> {
    let mut all = Vec::new();
    for block in encoded.blocks() {
        all.push(store.write_block(block, look_first).await.unwrap());
    }
    all
}

#[tokio::test]
async fn what_is_read_is_what_was_written() {
    let (house, store) = House::migrated().await;
    let at = now() / 1000 * 1000 + 123;
    insert(&store, &segment(9, &[sample(1, at)]), false).await;
    let id = Uuid::from_u128(1);
    let ms = "toUnixTimestamp64Milli(at)";
    for (sql, expected) in [
        (
            format!(
                "SELECT id, segment, {ms}, toUnixTimestamp64Milli(received_at), source, trace_id, model, version, route,
                 outcome, code, reason, client, total_us, tokenize_us, queue_us, infer_us, batch_size, items, label,
                 confidence, margin, entropy, batch_variant, from_cache, padding, provider FROM observations"
            ),
            format!(
                "{id}\t{}\t{at}\t{}\tproxy-1\t0af7651916cd43dd8448eb211c80319c\tm\t1\tpredict\tok\t200\t\tc1\t9\t1\t2\t3\t4\t2\ta\t0.75\t0.5\t0.25\tfalse\ttrue\t0.25\tcpu",
                Uuid::from_u128(9),
                AT + 1
            ),
        ),
        (
            "SELECT item, feature, value, missing FROM features ORDER BY feature".into(),
            "0\tinput.x\tnan\tfalse\n1\tinput.y\t0\ttrue\n1\tinput.z\t-1.5\tfalse".into(),
        ),
        ("SELECT item, feature, value FROM categories".into(), "1\toutput.label\tb é".into()),
        (
            "SELECT length(input), output, inclusion_probability FROM payloads".into(),
            "311\t[\"a\"]\t0.5".into(),
        ),
        (
            "SELECT shadow, item, answered, outcome, reason, primary_label, shadow_label, primary_infer_us, shadow_infer_us,
               compared, absolute_gap, relative_gap FROM comparisons ORDER BY shadow, item"
                .into(),
            "2\t0\ttrue\tok\t\ta\ta\t3\t7\t\t0\t0\n2\t1\ttrue\tok\t\tb é\tc\t3\t7\t\t0\t0\n\
             3\t0\tfalse\trejected\tshed\t\t\t3\t0\t\t0\t0\n4\t0\ttrue\tok\t\t\t\t3\t9\tnumber\t0.5\t0.25\n\
             4\t1\ttrue\tok\t\t\t\t3\t9\tvector\t0.125\t0.125".into(),
        ),
        ("SELECT id, item, label FROM labels".into(), format!("{id}\t1\tb")),
        (
            "SELECT source, epoch, seq, observed, delivered, dropped, in_flight FROM heartbeats".into(),
            "proxy-1\t5\t6\t4\t3\t1\t0".into(),
        ),
    ] {
        assert_eq!(house.ask(&sql).await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_segment_is_inserted_once_however_often_it_is_sent() {
    let (mut house, store) = House::migrated().await;
    let encoded = segment(1, &[sample(1, now()), sample(2, now())]);
    assert!(insert(&store, &encoded, false).await.iter().all(|i| *i == Inserted::Now));
    // blindly: the engine's token log swallows it; looking: it is found
    insert(&store, &encoded, false).await;
    assert!(insert(&store, &encoded, true).await.iter().all(|i| *i == Inserted::Before));
    let port = house.engine().http_port();
    drop(house.engine.take());
    let error = loop {
        if let Err(error) = store.write_block(&encoded.blocks()[0], true).await {
            break error;
        }
    };
    assert!(error.is_unavailable(), "{error}");
    house.engine = Some(Engine::start(config(house.data_dir(), port)).await.unwrap());
    assert!(insert(&store, &encoded, true).await.iter().all(|i| *i == Inserted::Before));
    for (table, rows) in [("observations", "2"), ("features", "6"), ("comparisons", "10"), ("labels", "1")] {
        assert_eq!(house.ask(&format!("SELECT count() FROM {table}")).await, rows, "{table}");
    }
}

#[tokio::test]
async fn a_token_that_outlived_its_rows_does_not_swallow_them() {
    let (house, store) = House::migrated().await;
    let encoded = segment(1, &[sample(1, now())]);
    insert(&store, &encoded, false).await;
    house.ask("ALTER TABLE observations DELETE WHERE 1 SETTINGS mutations_sync = 2").await;
    insert(&store, &encoded, true).await;
    assert_eq!(house.ask("SELECT count() FROM observations").await, "1");
}

#[tokio::test]
async fn a_large_segment_is_one_part() {
    let (house, store) = House::migrated().await;
    let at = now();
    let samples: Vec<_> = (1..=40_000).map(|i| sample(i, at)).collect();
    let encoded = segment(1, &samples);
    let features = encoded.blocks().iter().find(|b| b.table() == Table::Features).unwrap();
    assert_eq!(features.rows(), 120_000);
    house.ask("SYSTEM STOP MERGES").await;
    insert(&store, &encoded, false).await;
    let parts = "SELECT table, count(), sum(rows) FROM system.parts WHERE database = 'driftline' AND active
                 AND table IN ('features', 'observations') GROUP BY table ORDER BY table";
    assert_eq!(house.ask(parts).await, "features\t1\t120000\nobservations\t1\t40000");
}

#[tokio::test]
async fn a_refused_row_is_told_apart_by_halving() {
    let (house, store) = House::migrated().await;
    house.ask("ALTER TABLE observations ADD CONSTRAINT sane CHECK toString(id) NOT LIKE '%0003'").await;
    let samples: Vec<_> = (1..=5).map(|i| sample(i, now())).collect();
    let encoded = segment(1, &samples);
    let block = encoded.blocks().iter().find(|b| b.table() == Table::Observations).unwrap();
    let mut refused = Vec::new();
    let mut queue: Vec<Block> = vec![block.clone()];
    while let Some(block) = queue.pop() {
        match store.write_block(&block, true).await {
            Ok(_) => {}
            Err(error) => {
                assert!(error.is_data_refused(), "{error}");
                match block.halves() {
                    Some(halves) => queue.extend(halves),
                    None => refused.push(block.first_id().unwrap()),
                }
            }
        }
    }
    assert_eq!(refused, [Uuid::from_u128(3)]);
    assert_eq!(house.ask("SELECT count(), uniqExact(id) FROM observations").await, "4\t4");
}
