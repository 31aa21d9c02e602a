//! Tail latency at 70 % load: our batching over plain token-budget batching in order of arrival (a switch of ours).
//!
//! The same Poisson arrivals for both, the rate 70 % of what the better of the two can do, turn about.

use bench::table::Table;

use crate::Setting;
use crate::client;
use crate::corpus;
use crate::server::Server;
use crate::speed::{CONNECTIONS, SUBJECTS, median, requests};

const TURNS: usize = 9;
/// Requests that may be open at once; enough that none waits in the client.
const OPEN: usize = 128;
/// Share of the capacity.
const LOAD: f64 = 0.7;

/// The experiment.
pub fn p99(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let texts = corpus::texts(2_000, 4);
    let requests = requests(&texts);
    // fp32: batches are allowed there, so the two differ
    let dir = setting.root.join(SUBJECTS[1].dir);
    let start = |settings: &str| Server::proxy(&setting.program, &setting.root, &[("1", dir.clone())], settings);
    let (ours, fifo) = (start("")?, start("batching.order = \"fifo\"")?);
    let turn = setting.part(TURNS as f64 * 2.0 + 2.0, 20.0);
    let capacity = [&ours, &fifo].map(|server| {
        let load = client::saturate(server.address, &requests, CONNECTIONS, turn);
        load.good as f64 / load.wall
    });
    let rate = LOAD * capacity[0].max(capacity[1]);
    let (mut ratios, mut our_p99, mut fifo_p99, mut bad) = (vec![], vec![], vec![], 0);
    for n in 0..TURNS {
        let due = corpus::arrivals(rate, turn.as_secs_f64(), 100 + n as u64);
        let [a, b] = if n % 2 == 0 { [&ours, &fifo] } else { [&fifo, &ours] }
            .map(|server| client::paced(server.address, &requests, &due, OPEN));
        let (ours, fifo) = if n % 2 == 0 { (a, b) } else { (b, a) };
        ratios.push(ours.quantile(0.99) / fifo.quantile(0.99));
        our_p99.push(ours.quantile(0.99) * 1e3);
        fifo_p99.push(fifo.quantile(0.99) * 1e3);
        bad += ours.bad + fifo.bad;
    }
    let note = format!(
        "fp32 at {rate:.0} texts/s; {:.1} ms over {:.1} ms, medians of {TURNS} turns; {bad} failed",
        median(our_p99),
        median(fifo_p99)
    );
    table.seen("fifo", median(ratios), note);
    Ok(())
}
