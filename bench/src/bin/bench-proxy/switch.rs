//! A hundred hot switches while clients keep asking: how many requests fail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::ensure;
use bench::table::Table;

use crate::Setting;
use crate::client::{self, Connection};
use crate::corpus;
use crate::server::{MODEL, Server};
use crate::speed::{CONNECTIONS, SUBJECTS, median, requests};

const SWITCHES: usize = 100;
/// How long each version serves before the next switch.
const BETWEEN: Duration = Duration::from_millis(200);

/// The experiment: to the other version and back again, under as many requests as the machine can answer.
pub fn under_load(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let versions = [("1", setting.root.join(SUBJECTS[1].dir)), ("2", setting.root.join(SUBJECTS[0].dir))];
    let settings = format!("[proxy.models.models.{MODEL}]\nprimary = \"1\"");
    let proxy = Server::proxy(&setting.program, &setting.root, &versions, &settings)?;
    let requests = requests(&corpus::texts(2_000, 8));
    let switches = setting.count(SWITCHES);
    let done = AtomicBool::new(false);
    let mut took = Vec::new();
    let load = thread::scope(|scope| {
        let (done, proxy, requests) = (&done, &proxy, &requests);
        let more = |_| !done.load(Ordering::Relaxed);
        let load = scope.spawn(move || client::ask_while(proxy.address, requests, CONNECTIONS, more));
        let switched = switch(proxy, switches, &mut took);
        done.store(true, Ordering::Relaxed);
        let load = load.join().map_err(|_| anyhow::anyhow!("the client panicked"))?;
        switched.map(|()| load)
    })?;
    let note = format!(
        "of {} answers in {:.0} s of {switches} switches, median {:.0} ms each",
        load.good + load.bad,
        load.wall,
        median(took) * 1e3
    );
    table.seen("switch", load.bad as f64, note);
    Ok(())
}

fn switch(proxy: &Server, switches: usize, took: &mut Vec<f64>) -> anyhow::Result<()> {
    let mut connection = Connection::open(proxy.address)?;
    for n in 0..switches {
        let version = if n % 2 == 0 { "2" } else { "1" };
        let body = serde_json::json!({ "version": version }).to_string();
        let asked = Instant::now();
        let (status, answer) = connection.ask(&client::post(&format!("/v1/models/{MODEL}/promote"), &body))?;
        ensure!(status == 200, "switch {n} to version {version}: {status} {}", String::from_utf8_lossy(answer));
        took.push(asked.elapsed().as_secs_f64());
        thread::sleep(BETWEEN);
    }
    Ok(())
}
