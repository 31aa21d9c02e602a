//! Erasure on tables that are too large for one request's limit, and after runs that broke off.

use std::time::Duration;

use store::erase::{Subject, TableRows};
use store::{Config, RawConfig, Store};
use uuid::{Timestamp, Uuid};

use crate::house::House;

const TABLES: &str = "SELECT count() FROM system.tables WHERE startsWith(name, 'erasing_')";

/// Looks like a table that takes its time: two seconds of a question's one.
async fn slow(house: &House) -> Store {
    house.ask("RENAME TABLE observations TO many").await;
    house.ask("CREATE VIEW observations AS SELECT * FROM many WHERE sleepEachRow(2) = 0").await;
    let request_timeout = Duration::from_secs(1);
    let raw = RawConfig { data_dir: house.data_dir(), request_timeout, ..RawConfig::default() };
    Store::connect(&Config::new(raw).unwrap()).unwrap()
}

/// `store forget` and `store export` could not finish where finding or counting took over `store.request_timeout`.
#[tokio::test]
async fn finding_and_counting_take_as_long_as_they_take() {
    let (house, _) = House::migrated().await;
    let id = Uuid::now_v7();
    house
        .ask(&format!(
            "INSERT INTO observations (id, segment, at, received_at, source, model, version, outcome, code, client) \
             VALUES ('{id}', generateUUIDv4(), now64(3), now64(3), 's', 'm', '1', 'ok', 200, 'c-1')"
        ))
        .await;
    let store = slow(&house).await;
    let ids = store.ids_of(&Subject::Client(vec!["c-1".to_owned()]), &[]).await.unwrap();
    assert_eq!(store.list(&ids).await.unwrap(), [id]);
    let counted = store.rows_of(&ids).await.unwrap();
    assert!(counted.contains(&TableRows { table: "observations", rows: 1 }), "{counted:?}");
    let mut given = Vec::new();
    let give = |bytes: &[u8]| {
        given.extend_from_slice(bytes);
        Ok::<(), store::Error>(())
    };
    store.give_rows_of(&ids, give).await.unwrap();
    assert!(String::from_utf8(given).unwrap().contains(&id.to_string()));
    store.forget_ids(ids).await.unwrap();
}

#[tokio::test]
async fn no_table_of_ids_is_left_for_long() {
    let (house, store) = House::migrated().await;
    let made = |seconds: u64| Uuid::new_v7(Timestamp::from_unix_time(seconds, 0, 0, 0)).simple();
    let now = Uuid::now_v7().get_timestamp().unwrap().to_unix().0;
    for (seconds, suffix) in [(now - 100_000, ""), (now - 200_000, "_local"), (now - 1_000, "")] {
        house.ask(&format!("CREATE TABLE erasing_{}{suffix} (id UUID) ENGINE = Memory", made(seconds))).await;
    }
    let ids = store.ids_of(&Subject::Id(Uuid::now_v7()), &[]).await.unwrap();
    assert_eq!(house.ask(TABLES).await, "2", "its own, and that of somebody who is at it");
    store.forget_ids(ids).await.unwrap();
    house.ask("RENAME TABLE observations TO elsewhere").await;
    store.ids_of(&Subject::Client(vec!["c-1".to_owned()]), &[]).await.unwrap_err();
    assert_eq!(house.ask(TABLES).await, "1", "what it had begun to note is dropped");
}
