//! Files that fit into no memory, read by the real engine.

use store::files::{Files, Kind, Table};

use crate::house::config;

/// The value at a place of the order `-inf < numbers < inf < NaN < missing`, as `Files::sorted` sends it; `None` after the numbers.
fn value(place: u64) -> Option<f64> {
    const SIGN: u64 = 1 << 63;
    (place < u64::MAX - 1).then(|| f64::from_bits(if place >= SIGN { place & !SIGN } else { !place }))
}

/// A sort that does not fit into what it may hold goes to disk, and comes back whole and in order.
#[tokio::test]
async fn a_column_that_fits_into_no_memory_is_sorted_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let files = Files::start(config(dir.path().join("engine"), port)).await.unwrap();
    let path = dir.path().join("x.csv");
    // a walk through all of 0..400,000 in another order, negative ones among them, and every hundredth without a value
    let of = |i: u64| ((i * 179_989) % 400_000) as f64 - 1_000.0;
    let line = |i: u64| if i % 100 == 99 { "\\N\n".to_owned() } else { format!("{}\n", of(i)) };
    let text: String = std::iter::once("x\n".to_owned()).chain((0..400_000).map(line)).collect();
    std::fs::write(&path, text).unwrap();
    let table = Table { path: path.display().to_string(), only: None };
    let spilled = async || {
        let password = std::fs::read_to_string(dir.path().join("engine/password")).unwrap();
        let answer = reqwest::Client::new()
            .post(format!("http://127.0.0.1:{port}/"))
            .header("X-ClickHouse-User", "driftline")
            .header("X-ClickHouse-Key", password.trim())
            .body("SELECT sum(value) FROM system.events WHERE event = 'ExternalSortWritePart'");
        answer.send().await.unwrap().text().await.unwrap().trim().parse::<u64>().unwrap()
    };
    let walk = async |held_bytes: u64| {
        let mut numbers = files.sorted(&table, ("x", Kind::Number), held_bytes).unwrap();
        let mut places: Vec<u64> = Vec::new();
        while let Some((_, words)) = numbers.next().await.unwrap() {
            places.extend(words.iter().map(|word| u64::from_le_bytes(*word)));
        }
        places
    };
    let whole = walk(u64::MAX).await;
    assert_eq!(spilled().await, 0);
    let pieces = walk(500_000).await;
    assert!(spilled().await > 1, "it did not go to disk");
    assert_eq!(whole, pieces);
    let found: Vec<f64> = pieces.iter().map_while(|place| value(*place)).collect();
    let mut expected: Vec<f64> = (0..400_000).filter(|i| i % 100 != 99).map(of).collect();
    expected.sort_by(f64::total_cmp);
    assert_eq!(found, expected);
    assert!(pieces.len() == 400_000 && pieces[found.len()..].iter().all(|place| *place == store::files::MISSING_BITS));
    files.stop().await.unwrap();
}
