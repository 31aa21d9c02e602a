//! A client is forgotten in every table, in the log that waits, and in the quarantine; nobody else is.

use std::collections::HashSet;
use std::time::Duration;

use collector::erase::Folder;
use contract::wire::Batch;
use serde_json::json;
use store::erase::Subject;

use crate::house::{House, Running, ack, batch, nowhere, post, raw};

/// Two requests of the one and one of the other.
fn mixed(seq: u64) -> Batch {
    let mut sent = batch("proxy-1", 1, seq, 3);
    for (i, client) in ["c-1", "c-1", "c-2"].iter().enumerate() {
        sent.observations[i].client = Some((*client).to_owned());
    }
    sent
}

fn masker() -> masking::Masker {
    masking::Masker::new(&masking::RawConfig::default()).unwrap()
}

#[tokio::test]
async fn a_client_is_forgotten_everywhere_and_nobody_else() {
    let house = House::build().await;
    let mut config = raw(&house.path("log"));
    config.drain = Duration::from_millis(100);
    let client = reqwest::Client::new();

    // in the tables, with labels and feedback
    let collector = Running::start(config.clone(), house.store()).await;
    let sent = mixed(1);
    ack(post(&client, &collector.url, &sent).await.unwrap()).await;
    for observation in &sent.observations {
        let label = json!({"id": observation.id, "label": "a"}).to_string();
        client.post(format!("{}/v1/labels", collector.url)).body(label).send().await.unwrap();
        let outcome = json!({"id": observation.id, "name": "click", "value": true}).to_string();
        client.post(format!("{}/v1/outcomes", collector.url)).body(outcome).send().await.unwrap();
    }
    house
        .until(
            "SELECT (SELECT count() FROM observations), (SELECT count() FROM labels), (SELECT count() FROM outcomes)",
            "3\t3\t3",
        )
        .await;
    let in_use = Folder::open(&house.path("log")).unwrap();
    assert!(in_use.is_in_use(), "a collector runs");
    collector.stop().await;

    // in the log, while ClickHouse is away; one file of it in the quarantine
    let collector = Running::start(config.clone(), nowhere()).await;
    ack(post(&client, &collector.url, &mixed(2)).await.unwrap()).await;
    collector.stop().await;
    let segment = std::fs::read_dir(house.path("log")).unwrap().map(|e| e.unwrap().path());
    let segment = segment.into_iter().find(|p| p.extension().is_some_and(|e| e == "segment")).unwrap();
    let quarantine = house.path("log").join("quarantine");
    std::fs::create_dir_all(&quarantine).unwrap();
    std::fs::copy(&segment, quarantine.join(format!("{}.segment", uuid::Uuid::now_v7()))).unwrap();

    let (store, subject) = (house.store(), Subject::Client(vec!["c-1".into()]));
    let folder = Folder::open(&house.path("log")).unwrap();
    assert!(!folder.is_in_use());
    let lying = folder.ids(&subject, &masker()).unwrap();
    assert_eq!(lying.iter().collect::<HashSet<_>>().len(), 2);
    let ids = store.ids_of(&subject, &lying).await.unwrap();
    assert_eq!(store.requests_of(&ids).await.unwrap(), 4);

    // access before erasure
    let mut given = Vec::new();
    let give = |bytes: &[u8]| {
        given.extend_from_slice(bytes);
        Ok::<(), store::Error>(())
    };
    store.give_rows_of(&ids, give).await.unwrap();
    let text = String::from_utf8(given).unwrap();
    let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |table: &str| rows.iter().filter(|row| row["table"] == table).count();
    assert_eq!((of("observations"), of("payloads"), of("labels"), of("outcomes"), of("features")), (2, 2, 2, 2, 4));
    assert!(!text.contains("\"c-2\""));

    let all: HashSet<_> = store.list(&ids).await.unwrap().into_iter().collect();
    let done = folder.erase(&all, &masker()).unwrap();
    assert_eq!((done.files, done.unreadable), (2, 0), "the log's and the quarantine's");
    assert!(folder.ids(&subject, &masker()).unwrap().is_empty());
    store.delete_rows_of(&ids).await.unwrap();
    assert_eq!(store.rows_of(&ids).await.unwrap().iter().map(|table| table.rows).sum::<u64>(), 0);
    store.forget_ids(ids).await.unwrap();
    drop((folder, in_use));

    let collector = Running::start(config, house.store()).await;
    house.until("SELECT client, count() FROM observations GROUP BY client", "c-2\t2").await;
    house.until("SELECT count() FROM features", "4").await;
    assert_eq!(house.ask("SELECT count() FROM labels").await, "1");
    assert_eq!(house.ask("SELECT count() FROM system.tables WHERE name LIKE 'erasing%'").await, "0");
    // what was erased is not news when it is posted again
    let again = ack(post(&client, &collector.url, &mixed(2)).await.unwrap()).await;
    assert_eq!(again.status, contract::wire::AckStatus::Repeated);
    collector.stop().await;
}
