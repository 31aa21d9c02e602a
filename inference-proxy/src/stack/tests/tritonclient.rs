//! The protocol's own clients, unmodified, over sockets: `tests/tritonclient/` says what must hold.

use super::*;

/// Runs a script of the client's against a proxy, and gives the proxy's observations.
async fn run(script: &str, proxy: Proxy, address: SocketAddr, ran: &str) -> Vec<Observation> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = folder.join("../.deps/venv/bin/python");
    assert!(python.exists(), "{} is missing: run `make deps`", python.display());
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(proxy.service.run(shutdown.clone()));
    let script = tokio::process::Command::new(python)
        .arg(folder.join("tests/tritonclient").join(script))
        .arg(address.to_string())
        .kill_on_drop(true)
        .output();
    let done = script.await.unwrap();
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && told.contains(ran), "{told}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let seen = proxy.seen.lock().unwrap();
    let observations: Vec<_> = seen.iter().flat_map(|batch| batch.observations.clone()).collect();
    let ledger = seen.last().unwrap().ledger;
    assert_eq!(
        (ledger.observed, ledger.in_flight),
        (ledger.delivered, 0),
        "every request of the client is an observation"
    );
    assert_eq!(observations.len() as u64, ledger.observed);
    observations
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocols_own_client_finds_everything_as_it_should_be() {
    let proxy = Proxy::start(|raw| raw.request_timeout = Duration::from_secs(120)).await;
    let address = proxy.service.local_addr();
    let observed = run("check.py", proxy, address, "test_every_datatype_comes_back").await;
    assert!(observed.len() > 50, "{}", observed.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_protocols_own_client_finds_the_same_over_grpc() {
    let proxy = Proxy::start(|raw| {
        raw.request_timeout = Duration::from_secs(120);
        raw.max_body_bytes = host::config::ByteSize::mib(1);
        raw.grpc = Some("127.0.0.1:0".parse().unwrap());
    })
    .await;
    let address = proxy.service.grpc_addr().unwrap();
    let observed = run("check_grpc.py", proxy, address, "test_every_datatype_comes_back").await;
    assert!(observed.len() > 40, "{}", observed.len());
    assert!(observed.iter().all(|o| o.route == "grpc"), "{observed:?}");
    let count = |outcome| observed.iter().filter(|o| o.outcome == outcome).count();
    // what the client gives up, by either time-out, is its own: over, or gone where that is seen first
    let given_up = observed.iter().filter(|o| o.code == 408 || o.outcome == Outcome::Cancelled).count();
    assert!(given_up >= 2 && count(Outcome::Timeout) == 0, "{observed:?}");
    assert!(count(Outcome::Invalid) >= 10 && count(Outcome::Error) >= 1, "{observed:?}");
    let codes: std::collections::BTreeSet<u16> = observed.iter().map(|o| o.code).collect();
    for code in [200, 400, 404, 408, 413, 503] {
        assert!(codes.contains(&code), "{code} is not among {codes:?}");
    }
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert!(observed.iter().any(|o| o.trace_id.as_deref() == Some(trace)), "a trace of the client's goes on");
    let ticket = |o: &Observation| matches!(&o.payload, Payload::Kept(content) if content.input["ticket"] == "T-1");
    assert!(observed.iter().any(ticket), "the client's own parameters are kept");
}
