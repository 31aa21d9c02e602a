//! Migrations by many at once, what `status` says of them, and retention that changes.

use std::collections::BTreeMap;
use std::time::Duration;

use store::retention::Age;
use store::{Config, RawConfig, Store};

use crate::house::House;

#[tokio::test]
async fn many_starts_at_once_leave_one_database() {
    let house = House::build().await;
    let starts: Vec<_> = (0..8)
        .map(|_| {
            let store = house.store();
            tokio::spawn(async move { store.migrate().await })
        })
        .collect();
    for start in starts {
        start.await.unwrap().unwrap();
    }
    let store = house.store();
    assert_eq!(store.migrate().await.unwrap(), 0, "a start after them has nothing to do");
    let status = store.status().await.unwrap();
    assert!(status.migrations.iter().all(|migration| migration.state == "applied"), "{:?}", status.migrations);
    assert_eq!(status.unknown_labels, Some(0));
    assert_eq!(
        house.ask("SELECT count(DISTINCT hash), count(DISTINCT number) FROM migrations GROUP BY number LIMIT 1").await,
        "1\t1"
    );
}

#[tokio::test]
async fn a_changed_migration_is_named_and_stops_the_start() {
    let (house, store) = House::migrated().await;
    house.ask("ALTER TABLE migrations UPDATE hash = 'x' WHERE number = 2 SETTINGS mutations_sync = 2").await;
    house.ask("INSERT INTO migrations (number, name, hash) VALUES (99, 'later', 'y')").await;
    let states: Vec<_> = store.status().await.unwrap().migrations.iter().map(|m| (m.number, m.state)).collect();
    assert!(states.contains(&(2, "differs")) && states.contains(&(99, "newer")) && states.contains(&(1, "applied")));
    assert!(store.migrate().await.unwrap_err().to_string().contains("another text"));
}

#[tokio::test]
async fn rows_are_kept_for_as_long_as_the_configuration_says() {
    let (house, store) = House::migrated().await;
    assert_eq!(store.retain().await.unwrap(), Vec::<&str>::new(), "what the migrations made is what is meant");
    let age = |hours: u64| Age(Duration::from_secs(hours * 3600));
    let retention = BTreeMap::from([("payloads".to_owned(), age(36)), ("labels".to_owned(), age(24 * 400))]);
    let raw = RawConfig { data_dir: house.data_dir(), retention, ..RawConfig::default() };
    let changed = Store::connect(&Config::new(raw).unwrap()).unwrap();
    changed.migrate().await.unwrap();
    let kept = async |table: &str| {
        let tables = store.status().await.unwrap().tables;
        tables.into_iter().find(|known| known.table == table).unwrap().kept
    };
    assert_eq!(kept("payloads").await, "36 hours");
    assert_eq!(kept("labels").await, "400 days");
    assert_eq!(changed.retain().await.unwrap(), Vec::<&str>::new(), "once is enough");
    // and back to what holds where nothing is said
    assert_eq!(store.retain().await.unwrap(), ["payloads", "labels"]);
    assert_eq!(kept("payloads").await, "14 days");
}
