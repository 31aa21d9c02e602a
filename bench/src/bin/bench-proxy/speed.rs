//! Speed over the bare session loop: throughput at saturation, and latency with nobody else there.
//!
//! Both run on the same number of threads, turn about, in this one run; the ratio is the median over the turns. A
//! version whose answers depend on its batch is held against one text a session; any other against the better of that
//! and length-sorted batches of 512 padded tokens. The mirror is off: what it costs has rows of its own.

use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use bench::table::Table;
use inference_proxy::model::raw::RawLoop;

use crate::Setting;
use crate::client::{self, Connection, quantile};
use crate::corpus;
use crate::server::{MODEL, Server};

/// Open connections that keep every session busy.
pub const CONNECTIONS: usize = 32;
/// Open connections that are tried to find out how many saturate a server.
const TRIED: [usize; 3] = [CONNECTIONS, 2 * CONNECTIONS, 4 * CONNECTIONS];
/// Padded tokens of the raw loop's batches.
const BUCKET_TOKENS: usize = 512;
const TURNS: usize = 5;
/// Texts of a turn; everybody runs the same ones.
const TEXTS: usize = 2_000;

/// A model, and what it is held against.
pub struct Subject {
    pub row: &'static str,
    pub dir: &'static str,
    /// Whether an answer depends on its batch companions (the proxy finds that by itself).
    pub variant: bool,
}

/// The models of `make models`.
pub const SUBJECTS: [Subject; 2] = [
    Subject { row: "raw-int8", dir: "models/support-router/2", variant: true },
    Subject { row: "raw-fp32", dir: "models/support-router/1", variant: false },
];

/// The requests of a corpus, as our proxy takes them.
pub fn requests(texts: &[String]) -> Vec<client::Request> {
    let path = format!("/v1/models/{MODEL}/predict");
    texts.iter().map(|text| client::post(&path, &serde_json::json!({ "text": text }).to_string())).collect()
}

/// Throughput over the raw loop.
pub fn throughput(setting: &Setting, subject: &Subject, table: &mut Table) -> anyhow::Result<()> {
    let texts = corpus::texts(setting.count(TEXTS), 1);
    let dir = setting.root.join(subject.dir);
    let mut raw = raw(setting, &dir, &texts)?;
    let alone: Vec<Vec<usize>> = (0..texts.len()).map(|i| vec![i]).collect();
    let buckets = shuffled(&corpus::bucketed(&raw.lengths(), BUCKET_TOKENS));
    let proxy = Server::proxy(&setting.program, &setting.root, &[("1", dir)], "")?;
    let requests = requests(&texts);
    let connections = saturating(&proxy, &requests);
    let (mut ratios, mut ours, mut theirs, mut own, mut bad) = (vec![], vec![], vec![], 0.0_f64, 0);
    for _ in 0..TURNS {
        let mut best = rate(&mut raw, &alone, texts.len())?;
        if !subject.variant {
            best = best.max(rate(&mut raw, &buckets, texts.len())?);
        }
        let load = client::pass(proxy.address, &requests, connections);
        ratios.push(load.rate() / best);
        ours.push(load.rate());
        theirs.push(best);
        (own, bad) = (own.max(load.own_share()), bad + load.bad);
    }
    let note = format!(
        "{:.0} over {:.0} texts/s, medians of {TURNS} turns over the same {} texts, {connections} connections; the client's \
         {:.1} % of the machine subtracted; {bad} failed",
        median(ours),
        median(theirs),
        texts.len(),
        own * 100.0
    );
    table.seen(subject.row, median(ratios), note);
    Ok(())
}

/// Open connections under which a server answers most: more than its sessions hold at once, so that those who wait leave
/// it a choice of what to run together. Warms it up, too.
fn saturating(server: &Server, requests: &[client::Request]) -> usize {
    let _warm = client::pass(server.address, requests, CONNECTIONS);
    let rate = |connections: &usize| client::pass(server.address, requests, *connections).rate();
    TRIED.into_iter().map(|n| (n, rate(&n))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(CONNECTIONS, |best| best.0)
}

/// Texts that one side answers before it is the other's turn.
const BLOCK: usize = 100;

/// p50 with one connection, less the bare run of the same text.
///
/// The two take turns by blocks, the bare loop first: turns by single texts would have each of two copies of the weights
/// throw the other's out of the processor's cache, which no server that has the machine for itself lives with. The first
/// texts of a block still pay for that, and count.
pub fn latency(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let texts = corpus::texts(4 * BLOCK, 2);
    let dir = setting.root.join(SUBJECTS[0].dir);
    let mut raw = raw(setting, &dir, &texts)?;
    let proxy = Server::proxy(&setting.program, &setting.root, &[("1", dir)], "")?;
    let requests = requests(&texts);
    let mut connection = Connection::open(proxy.address)?;
    let mut pairs = Pairs::default();
    let until = std::time::Instant::now() + setting.part(1.0, 60.0);
    for block in 0.. {
        let turn = (0..BLOCK).map(|i| (block * BLOCK + i) % texts.len());
        let alone: Result<Vec<_>, _> = turn.clone().map(|i| raw.time_one(i)).collect();
        for (i, alone) in turn.zip(alone.map_err(|why| anyhow!(why))?) {
            let asked = std::time::Instant::now();
            let (status, answer) = connection.ask(&requests[i])?;
            let through = asked.elapsed();
            anyhow::ensure!(status == 200, "the proxy answered {status}");
            let timing = serde_json::from_slice::<serde_json::Value>(answer)?["timing_ms"].take();
            // the first round warms both up
            if block >= texts.len() / BLOCK {
                pairs.add(alone, through, &timing);
            }
        }
        if block > 2 * texts.len() / BLOCK && std::time::Instant::now() > until {
            break;
        }
    }
    let apart = median(pairs.apart.clone());
    table.seen("latency", apart, format!("INT8; {}", pairs.told()));
    Ok(())
}

/// Bare runs and requests of the same texts, in milliseconds, and where the time between them goes, by what each answer
/// says of itself.
#[derive(Default)]
struct Pairs {
    bare: Vec<f64>,
    served: Vec<f64>,
    apart: Vec<f64>,
    slower: Vec<f64>,
    tokenize: Vec<f64>,
    queue: Vec<f64>,
    rest: Vec<f64>,
    outside: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, alone: Duration, through: Duration, timing: &serde_json::Value) {
        let (alone, through) = (alone.as_secs_f64() * 1e3, through.as_secs_f64() * 1e3);
        let ms = |stage: &str| timing[stage].as_f64().unwrap_or_default();
        let (total, tokenize, queue, infer) = (ms("total"), ms("tokenize"), ms("queue"), ms("infer"));
        self.bare.push(alone);
        self.served.push(through);
        self.apart.push(through - alone);
        self.slower.push(infer - alone);
        self.tokenize.push(tokenize);
        self.queue.push(queue);
        self.rest.push(total - tokenize - queue - infer);
        self.outside.push(through - total);
    }

    fn told(self) -> String {
        let Self { bare, served, apart, slower, tokenize, queue, rest, outside } = self;
        format!(
            "p50 {:.2} ms served, {:.2} ms bare, over {} pairs in blocks of {BLOCK}; the median of the pairs' differences, \
             whose parts have the medians: the run itself {:+.3}, tokenizer {:.3}, queue {:.3}, the rest of the request \
             {:.3}, outside of it (HTTP, the kernel, the client) {:.3}",
            median(served),
            median(bare),
            apart.len(),
            median(slower),
            median(tokenize),
            median(queue),
            median(rest),
            median(outside)
        )
    }
}

fn raw(setting: &Setting, dir: &Path, texts: &[String]) -> anyhow::Result<RawLoop> {
    let library = setting.root.join(".deps/onnxruntime/libonnxruntime.so");
    RawLoop::open(dir, &library, setting.threads, 1, texts).map_err(|why| anyhow!(why))
}

fn rate(raw: &mut RawLoop, groups: &[Vec<usize>], texts: usize) -> anyhow::Result<f64> {
    let wall = raw.pass(groups).map_err(|why| anyhow!(why))?;
    Ok(texts as f64 / wall.as_secs_f64())
}

/// Groups in a random but fixed order, so that the longest are not all run together at the end.
fn shuffled(groups: &[Vec<usize>]) -> Vec<Vec<usize>> {
    let mut groups = groups.to_vec();
    let mut random = corpus::Seeded(3);
    for i in (1..groups.len()).rev() {
        groups.swap(i, random.below(i + 1));
    }
    groups
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}
