//! What it costs a client that its server stands behind us: the same request to the server itself, and through the proxy.
//!
//! The server behind is another proxy, so that nothing foreign is needed; both are asked over kept-alive connections, turn
//! about by single requests, each pair in the other order. The one in front mirrors what passes, as it would.

use std::time::Instant;

use bench::table::Table;

use crate::Setting;
use crate::client::{self, Connection};
use crate::corpus;
use crate::memory::Stalled;
use crate::server::{MODEL, Server};
use crate::speed::{SUBJECTS, median};

/// Texts that are asked; over and over for as long as the experiment lasts.
const TEXTS: usize = 400;

/// p50 of what a request takes through the proxy, less the same request to the server behind it.
pub fn latency(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let behind = Server::proxy(&setting.program, &setting.root, &[("1", setting.root.join(SUBJECTS[0].dir))], "")?;
    let collector = Stalled::listen()?;
    let settings = format!(
        "[proxy.mirror]\ncollector_url = \"http://{}\"\n[proxy.models.models.{MODEL}]\nbackend = \"http\"\n\
         url = \"http://{}\"",
        collector.address, behind.address
    );
    let front = Server::proxy(&setting.program, &setting.root, &[], &settings)?;
    let requests: Vec<client::Request> = corpus::texts(TEXTS, 9).iter().map(|text| infer(text)).collect();
    let mut connections = [Connection::open(behind.address)?, Connection::open(front.address)?];
    let (mut direct, mut through, mut added) = (vec![], vec![], vec![]);
    let until = Instant::now() + setting.part(1.0, 30.0);
    for turn in 0.. {
        let mut times = [0.0; 2];
        for side in [turn % 2, 1 - turn % 2] {
            let asked = Instant::now();
            let (status, _) = connections[side].ask(&requests[turn % TEXTS])?;
            times[side] = asked.elapsed().as_secs_f64() * 1e3;
            anyhow::ensure!(status == 200, "a server answered {status}");
        }
        // the first round warms both up
        if turn >= TEXTS {
            direct.push(times[0]);
            through.push(times[1]);
            added.push(times[1] - times[0]);
        }
        if turn > 2 * TEXTS && Instant::now() > until {
            break;
        }
    }
    let pairs = added.len();
    let (direct, through) = (median(direct), median(through));
    let note =
        format!("INT8; p50 {through:.2} ms through, {direct:.2} ms direct; the median of {pairs} pairs' differences");
    table.seen("forward", median(added), note);
    Ok(())
}

fn infer(text: &str) -> client::Request {
    let input = serde_json::json!({ "name": "text", "shape": [1], "datatype": "BYTES", "data": [text] });
    client::post(&format!("/v2/models/{MODEL}/infer"), &serde_json::json!({ "inputs": [input] }).to_string())
}
