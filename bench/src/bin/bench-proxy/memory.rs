//! Memory: that ten minutes of varying lengths leave it where it was, and that a collector which takes nothing costs no
//! more than the mirror's byte cap.

use std::io::Write as _;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bench::table::Table;

use crate::Setting;
use crate::client;
use crate::corpus;
use crate::server::{MODEL, Server};
use crate::speed::{CONNECTIONS, SUBJECTS, requests};

/// The bound on the mirror's memory in the experiment with a stalled collector.
const CAP_MIB: f64 = 32.0;
/// Observations a second.
const OBSERVATIONS: f64 = 2_000.0;

/// RSS at the end over RSS after the first tenth, under requests of all lengths.
pub fn lengths(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let requests = requests(&corpus::texts(5_000, 5));
    let dir = setting.root.join(SUBJECTS[1].dir);
    let proxy = Server::proxy(&setting.program, &setting.root, &[("1", dir)], "")?;
    // a tenth at a time: the first minute of ten
    let minute = setting.part(10.0, 60.0);
    let first = client::saturate(proxy.address, &requests, CONNECTIONS, minute);
    let early = proxy.resident()?;
    let rest = client::saturate(proxy.address, &requests, CONNECTIONS, 9 * minute);
    let late = proxy.resident()?;
    let note = format!(
        "fp32; {:.0} MiB over {:.0} MiB after {} texts; {} failed",
        late / MIB,
        early / MIB,
        first.good + rest.good,
        first.bad + rest.bad
    );
    table.seen("lengths-memory", late / early, note);
    Ok(())
}

const MIB: f64 = 1024.0 * 1024.0;

/// RSS growth over the mirror's cap while the collector takes connections and reads nothing, and answers not 2xx.
pub fn stalled(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let collector = Stalled::listen()?;
    let settings =
        format!("[proxy.mirror]\ncollector_url = \"http://{}\"\nmax_bytes = \"{CAP_MIB}MiB\"\n", collector.address);
    let dir = setting.root.join("models/digits/1");
    let proxy = Server::proxy(&setting.program, &setting.root, &[("1", dir)], &settings)?;
    let requests = digits(setting)?;
    let (seconds, lead) = (setting.part(1.0, 60.0).as_secs_f64(), setting.part(6.0, 10.0).as_secs_f64());
    // what any load costs comes before what the stall costs: the collector answers until then
    let warm = client::paced(proxy.address, &requests, &steady(lead), CONNECTIONS);
    let before = proxy.resident()?;
    collector.stall.store(true, Ordering::Release);
    let load = client::paced(proxy.address, &requests, &steady(seconds), CONNECTIONS);
    let growth = (proxy.resident()? - before).max(0.0);
    let note = format!(
        "{:.1} MiB over a cap of {CAP_MIB} MiB, in {seconds:.0} s at {:.0} observations/s",
        growth / MIB,
        load.good as f64 / load.wall
    );
    table.seen("stalled-memory", growth / MIB / CAP_MIB, note);
    let answers = format!("of {}", warm.good + load.good + warm.bad + load.bad);
    table.seen("stalled-answers", (warm.bad + load.bad) as f64, answers);
    Ok(())
}

fn steady(seconds: f64) -> Vec<f64> {
    (0..(seconds * OBSERVATIONS) as usize).map(|i| i as f64 / OBSERVATIONS).collect()
}

/// Requests of the digits model, one image each.
fn digits(setting: &Setting) -> anyhow::Result<Vec<client::Request>> {
    let path = setting.root.join("models/digits/traffic.csv");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let url = format!("/v2/models/{MODEL}/infer");
    let request = |line: &str| {
        let pixels: Vec<&str> = line.split(',').take(64).collect();
        let data = pixels.join(",");
        let input = format!("{{\"name\":\"input\",\"datatype\":\"FP32\",\"shape\":[1,64],\"data\":[{data}]}}");
        client::post(&url, &format!("{{\"inputs\":[{input}]}}"))
    };
    Ok(text.lines().skip(1).map(request).collect())
}

/// A collector that acknowledges every batch until it is told to stall: then it takes connections and reads nothing.
pub struct Stalled {
    pub address: std::net::SocketAddr,
    pub stall: Arc<AtomicBool>,
    _held: Arc<Mutex<Vec<std::net::TcpStream>>>,
}

impl Stalled {
    pub fn listen() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (address, stall) = (listener.local_addr()?, Arc::new(AtomicBool::new(false)));
        let held = Arc::new(Mutex::new(Vec::new()));
        let (stalls, holds) = (Arc::clone(&stall), Arc::clone(&held));
        // ends with the process: it waits for connections only
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let (Ok(mut held), Ok(kept)) = (holds.lock(), stream.try_clone()) {
                    held.push(kept);
                }
                let stalls = Arc::clone(&stalls);
                thread::spawn(move || acknowledge(stream, &stalls));
            }
        });
        Ok(Self { address, stall, _held: held })
    }
}

/// Answers requests on one connection until the stall, or until it ends.
fn acknowledge(mut stream: std::net::TcpStream, stall: &AtomicBool) {
    let mut reader = client::Reader::default();
    while let Ok(true) = reader.request(&mut stream) {
        if stall.load(Ordering::Acquire) {
            // holds the connection and answers nothing
            let since = Instant::now();
            while stall.load(Ordering::Acquire) && since.elapsed() < Duration::from_secs(600) {
                thread::sleep(Duration::from_millis(100));
            }
            return;
        }
        let body = r#"{"status":"stored","stored":0}"#;
        let length = body.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
