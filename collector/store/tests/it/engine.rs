//! The engine starts, keeps strangers out, survives a kill, and leaves no orphan.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use store::engine::{Engine, EngineError};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::house::{House, config, library};

#[tokio::test]
async fn it_keeps_its_data_over_a_kill_and_a_stop() {
    let (mut house, store) = House::migrated().await;
    assert_eq!(store.migrate().await.unwrap(), 0, "the second time there is nothing to do");
    house.ask("INSERT INTO events (at, kind, model, version, text) SELECT now64(3), 'test', '', '', 'kept'").await;

    let port = house.engine().http_port();
    drop(house.engine.take());
    let error = until_refused(&store).await;
    assert!(error.is_unavailable(), "{error}");
    house.engine = Some(Engine::start(config(house.data_dir(), port)).await.unwrap());
    assert_eq!(house.ask("SELECT text FROM events").await, "kept");
    store.ping().await.unwrap();

    let pid = house.engine().pid().unwrap();
    let status = house.engine.take().unwrap().stop().await.unwrap();
    assert!(status.success(), "a stop is clean: {status}");
    assert!(!alive(pid));
    house.engine = Some(Engine::start(config(house.data_dir(), 0)).await.unwrap());
    assert_eq!(house.ask("SELECT count() FROM events").await, "1");
}

#[tokio::test]
async fn concurrent_starts_migrate_to_the_same_tables() {
    let house = House::build().await;
    let stores = [house.store(), house.store(), house.store()];
    let (a, b, c) = tokio::join!(stores[0].migrate(), stores[1].migrate(), stores[2].migrate());
    a.unwrap();
    b.unwrap();
    c.unwrap();
    assert_eq!(stores[0].migrate().await.unwrap(), 0);
    let known = stores[0].status().await.unwrap().migrations.len().to_string();
    assert_eq!(house.ask("SELECT count(DISTINCT number) FROM migrations").await, known);
}

#[tokio::test]
async fn a_changed_migration_stops_the_start() {
    let (house, store) = House::migrated().await;
    house.ask("ALTER TABLE migrations UPDATE hash = 'other' WHERE number = 1 SETTINGS mutations_sync = 2").await;
    let error = store.migrate().await.unwrap_err().to_string();
    assert!(error.contains("migration 1 (tables) was applied with another text"), "{error}");
}

#[tokio::test]
async fn only_the_one_user_with_the_password_comes_in() {
    let house = House::build().await;
    let url = format!("{}/?query=SELECT+1", house.engine().url());
    let client = reqwest::Client::new();
    let status = async |headers: &[(&str, &str)], url: &str| {
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status(&[], &url).await, 404, "no user");
    assert_eq!(status(&[("X-ClickHouse-User", "default")], &url).await, 404, "the session's own user");
    assert_eq!(status(&[("X-ClickHouse-User", "driftline")], &url).await, 403, "no password");
    let sneaky = format!("{url}&user=default");
    assert_eq!(status(&[("X-ClickHouse-User", "driftline")], &sneaky).await, 403, "two users at once");
    assert_eq!(status(&[], &sneaky).await, 404, "the session's own user in the address");
    let password = std::fs::read_to_string(house.engine().password_file()).unwrap();
    let right = [("X-ClickHouse-User", "driftline"), ("X-ClickHouse-Key", password.trim())];
    assert_eq!(status(&right, &url).await, 200);

    for name in ["password", "users.xml", "engine.xml", "address"] {
        let mode = std::fs::metadata(house.data_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn the_child_ends_when_its_parent_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = tokio::process::Command::new(env!("CARGO_BIN_EXE_engine-child"))
        .arg("parent")
        .args([library(), dir.path().join("engine")])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut line).await.unwrap();
    let pid: u32 = line.trim().parse().unwrap();
    assert!(alive(pid));
    parent.kill().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while alive(pid) && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(!alive(pid), "the engine outlives its parent");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let mut absent = config(dir.path().join("a"), 0);
    absent.library = dir.path().join("libchdb.so");
    let error = Engine::start(absent.clone()).await.unwrap_err();
    assert!(matches!(error, EngineError::Absent { .. }) && error.to_string().contains("make deps"), "{error}");

    std::fs::write(&absent.library, "not a library").unwrap();
    let mut broken = absent;
    broken.http_port = 1;
    let error = Engine::start(broken).await.unwrap_err().to_string();
    assert!(error.contains("cannot be loaded"), "{error}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = Engine::start(config(dir.path().join("b"), port)).await.unwrap_err();
    assert!(matches!(error, EngineError::EndedEarly { .. }), "{error}");
}

fn alive(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until_refused(store: &store::Store) -> store::Error {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match store.ping().await {
            Err(error) => return error,
            Ok(()) if Instant::now() > deadline => panic!("the dropped engine still answers"),
            Ok(()) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
