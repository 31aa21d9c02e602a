//! The protocol's own client, unmodified, over a socket: `tests/tritonclient/check.py` says what must hold.

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocols_own_client_finds_everything_as_it_should_be() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = folder.join("../.deps/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make deps`", python.display());
    let proxy = Proxy::start(|raw| raw.request_timeout = Duration::from_secs(120)).await;
    let (address, shutdown) = (proxy.service.local_addr(), CancellationToken::new());
    let running = tokio::spawn(proxy.service.run(shutdown.clone()));
    let script = tokio::process::Command::new(python)
        .arg(folder.join("tests/tritonclient/check.py"))
        .arg(address.to_string())
        .kill_on_drop(true)
        .output();
    let done = script.await.unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains("test_every_datatype_comes_back"), "{told}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let seen = proxy.seen.lock().unwrap();
    let observed = seen.iter().map(|batch| batch.observations.len()).sum::<usize>() as u64;
    let ledger = seen.last().unwrap().ledger;
    assert_eq!(
        (ledger.observed, ledger.in_flight),
        (ledger.delivered, 0),
        "every request of the client is an observation"
    );
    assert!(observed > 50 && observed == ledger.observed, "{observed} of {ledger:?}");
}
