//! The servers that people use now, on the same model, lengths and threads: FastAPI with onnxruntime, twice.

use std::process::Command;

use bench::table::Table;

use crate::Setting;
use crate::client::{self, Request};
use crate::corpus;
use crate::server::Server;
use crate::speed::{CONNECTIONS, SUBJECTS, median, requests};

const TURNS: usize = 5;
/// Texts of a turn; both answer the same ones.
const TEXTS: usize = 800;

/// A peer: its row, its script, and how many processes it is.
pub struct Peer {
    pub row: &'static str,
    pub script: &'static str,
}

pub const PEERS: [Peer; 2] = [
    Peer { row: "fastapi-batcher", script: "bench/peers/batcher.py" },
    Peer { row: "fastapi-best", script: "bench/peers/workers.py" },
];

/// Our throughput over the peer's, turn about.
pub fn throughput(setting: &Setting, peer: &Peer, table: &mut Table) -> anyhow::Result<()> {
    let texts = corpus::texts(setting.count(TEXTS), 1);
    let dir = setting.root.join(SUBJECTS[0].dir);
    let mut command = Command::new(setting.root.join(".deps/venv/bin/python"));
    command.arg(setting.root.join(peer.script)).arg(&dir).arg(setting.threads.to_string());
    let theirs: Vec<Request> =
        texts.iter().map(|text| client::post("/predict", &serde_json::json!({ "text": text }).to_string())).collect();
    let ours = requests(&texts);
    let peer_server = Server::command(command, "/health")?;
    let proxy = Server::proxy(&setting.program, &setting.root, &[("1", dir)], "")?;
    let (mut ratios, mut our_rates, mut their_rates, mut bad) = (vec![], vec![], vec![], 0);
    for address_warm in [(proxy.address, &ours), (peer_server.address, &theirs)] {
        let _warm = client::pass(address_warm.0, address_warm.1, CONNECTIONS);
    }
    for _ in 0..TURNS {
        let load = client::pass(peer_server.address, &theirs, CONNECTIONS);
        let our_load = client::pass(proxy.address, &ours, CONNECTIONS);
        ratios.push(our_load.rate() / load.rate());
        our_rates.push(our_load.rate());
        their_rates.push(load.rate());
        bad += load.bad + our_load.bad;
    }
    let note = format!(
        "INT8; {:.0} over {:.0} texts/s, medians of {TURNS} turns; {bad} failed",
        median(our_rates),
        median(their_rates)
    );
    table.seen(peer.row, median(ratios), note);
    Ok(())
}
