//! Lives that end with `kill -9` at random moments, each looked at when everything is quiet again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bench::house::{Body, House, PATIENCE, packed, post};
use bench::load::{self, Random};
use contract::wire::{LABELS_PATH, Ledger, OBSERVATIONS_PATH};
use tokio::task::JoinSet;

/// Sources of numbered batches.
const SOURCES: u64 = 3;
/// Batches of a source in one run, and observations in each.
const BATCHES: u64 = 12;
const OBSERVATIONS: u64 = 15;
/// Single observations and labels in one run.
const SINGLES: u64 = 15;
/// Every so manieth post is made twice, as by a sender that lost its patience.
const TWICE: u64 = 5;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Collector,
    Engine,
    Both,
}

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub runs: u64,
    /// Rows that were acknowledged and are absent, or are there twice, over all tables.
    pub wrong: u64,
    /// Runs after which an account did not balance.
    pub unbalanced: u64,
    pub acknowledged: u64,
}

/// Kills so many times; each time under load, and each time everything is counted afterwards.
pub(super) async fn run(house: &mut House, victim: Victim, kills: u64, seed: u64) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut random = Random::new(seed ^ (victim as u64) << 32);
    let mut senders: Vec<Sender> = (0..SOURCES).map(|i| Sender::new(victim, i, random.next_u64())).collect();
    let mut spread = Duration::from_millis(400);
    let begun = Instant::now();
    for run in 0..kills {
        let model = format!("{victim:?}-{run}");
        let started = Instant::now();
        senders = one(house, victim, senders, &model, spread, &mut random).await?;
        let wrong = wrong_rows(house, victim, &model, run + 1).await?;
        let unbalanced = unbalanced(house, &senders).await?;
        if wrong + unbalanced > 0 {
            eprintln!("run {model}: {wrong} rows wrong, {unbalanced} accounts unbalanced");
        }
        seen.runs += 1;
        seen.wrong += wrong;
        seen.unbalanced += u64::from(unbalanced > 0);
        seen.acknowledged += SOURCES * BATCHES * OBSERVATIONS + SINGLES;
        // the moment of a kill is drawn over the time that a run takes
        spread = (spread * 7 + started.elapsed().min(Duration::from_secs(3))) / 8;
        if (run + 1) % 10 == 0 || run + 1 == kills {
            let passed = begun.elapsed().as_secs();
            eprintln!("{victim:?}: {} of {kills} kills, {passed} s, {} rows wrong", run + 1, seen.wrong);
        }
    }
    Ok(seen)
}

/// One run: everybody posts, somebody is killed, everybody is answered in the end.
async fn one(
    house: &mut House,
    victim: Victim,
    senders: Vec<Sender>,
    model: &str,
    spread: Duration,
    random: &mut Random,
) -> anyhow::Result<Vec<Sender>> {
    let model: Arc<str> = model.into();
    let mut posting = JoinSet::new();
    for sender in senders {
        posting.spawn(sender.batches(house.address.clone(), model.clone()));
    }
    let singles = tokio::spawn(singles(house.address.clone(), model, random.next_u64()));
    let moment = |random: &mut Random| spread.mul_f64(random.unit());
    if victim != Victim::Engine {
        tokio::time::sleep(moment(random)).await;
        house.kill_collector().await?;
    }
    if victim != Victim::Collector {
        tokio::time::sleep(moment(random)).await;
        house.kill_engine();
        tokio::time::sleep(moment(random) / 4).await;
        house.start_engine().await?;
    }
    if victim != Victim::Engine {
        house.start_collector().await?;
    }
    let mut senders = Vec::new();
    while let Some(sender) = posting.join_next().await {
        senders.push(sender??);
    }
    singles.await??;
    house.until_inserted().await?;
    Ok(senders)
}

/// A source as the contract has it: it numbers its batches, and keeps each until it has a definite answer.
struct Sender {
    name: String,
    seq: u64,
    delivered: u64,
    random: Random,
    http: reqwest::Client,
}

impl Sender {
    fn new(victim: Victim, number: u64, seed: u64) -> Self {
        let name = format!("{victim:?}-{number}");
        Self { name, seq: 0, delivered: 0, random: Random::new(seed), http: reqwest::Client::new() }
    }

    async fn batches(mut self, address: String, model: Arc<str>) -> anyhow::Result<Self> {
        for i in 0..=BATCHES {
            // the last says that nothing is on the way any more
            let count = if i < BATCHES { OBSERVATIONS } else { 0 };
            let observations = (0..count).map(|_| load::observation(&mut self.random, &model, 300)).collect();
            self.seq += 1;
            let mut batch = load::batch(&self.name, 1, self.seq, observations);
            batch.ledger =
                Ledger { observed: self.delivered + count, delivered: self.delivered, dropped: 0, in_flight: count };
            let body = Body::Packed(packed(&batch)?.into());
            let times = if self.seq.is_multiple_of(TWICE) { 2 } else { 1 };
            until_taken(&self.http, &address, OBSERVATIONS_PATH, &body, times).await?;
            self.delivered += count;
        }
        Ok(self)
    }
}

async fn singles(address: String, model: Arc<str>, seed: u64) -> anyhow::Result<()> {
    let (mut random, http) = (Random::new(seed), reqwest::Client::new());
    for i in 0..SINGLES {
        let observation = load::observation(&mut random, &model, 100);
        let label = serde_json::json!({ "id": observation.id, "label": &*model, "at_ms": load::now_ms() });
        let times = if i.is_multiple_of(TWICE) { 2 } else { 1 };
        let body = Body::Json(serde_json::to_string(&observation)?);
        until_taken(&http, &address, OBSERVATIONS_PATH, &body, times).await?;
        until_taken(&http, &address, LABELS_PATH, &Body::Json(label.to_string()), times).await?;
    }
    Ok(())
}

/// Posts until it was answered 200 so many times.
async fn until_taken(
    http: &reqwest::Client,
    address: &str,
    path: &str,
    body: &Body,
    mut times: u32,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while times > 0 {
        match post(http, address, path, body.clone()).await {
            Ok(200) => times -= 1,
            Ok(status) if status < 500 => anyhow::bail!("{path} is answered {status}"),
            // nobody knows what became of it, or not now
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        anyhow::ensure!(Instant::now() < deadline, "nobody takes a post on {path} within {PATIENCE:?}");
    }
    Ok(())
}

/// Rows that are absent or there twice, over all tables that this run filled.
async fn wrong_rows(house: &House, victim: Victim, model: &str, runs: u64) -> anyhow::Result<u64> {
    let batched = SOURCES * BATCHES * OBSERVATIONS;
    let expected = batched + SINGLES;
    let beats = runs * SOURCES * (BATCHES + 1);
    let mut wrong = 0;
    for (rows, sql) in [
        (expected, format!("SELECT count(), uniqExact(id) FROM observations WHERE model = '{model}'")),
        (expected * 3, format!("SELECT count(), uniqExact(id, feature) FROM features WHERE model = '{model}'")),
        (expected, format!("SELECT count(), uniqExact(id) FROM categories WHERE model = '{model}'")),
        (expected, format!("SELECT count(), uniqExact(id) FROM payloads WHERE model = '{model}'")),
        (SINGLES, format!("SELECT count(), uniqExact(id) FROM labels WHERE label = '{model}'")),
        (
            beats,
            format!(
                "SELECT count(), uniqExact(source, epoch, seq) FROM heartbeats WHERE startsWith(source, '{victim:?}-')"
            ),
        ),
    ] {
        let answer = house.ask(&sql).await?;
        let (count, unique) = answer.split_once('\t').unwrap_or((&answer, "0"));
        let (count, unique): (u64, u64) = (count.parse()?, unique.parse()?);
        if (count, unique) != (rows, rows) {
            eprintln!("{sql}: {count} rows, {unique} of them different, and {rows} were acknowledged");
        }
        wrong += rows.abs_diff(unique) + count.saturating_sub(unique);
    }
    Ok(wrong)
}

/// Accounts that do not balance: `observed = delivered + dropped + in_flight` in every heartbeat, nothing in flight at the
/// end, and what was delivered is what is stored.
async fn unbalanced(house: &House, senders: &[Sender]) -> anyhow::Result<u64> {
    let sql = "SELECT countIf(observed != delivered + dropped + in_flight) FROM heartbeats";
    let mut unbalanced: u64 = house.ask(sql).await?.parse()?;
    for Sender { name, delivered, .. } in senders {
        let last =
            format!("SELECT argMax(delivered, seq), argMax(in_flight, seq) FROM heartbeats WHERE source = '{name}'");
        let stored = format!("SELECT count() FROM observations WHERE source = '{name}'");
        let (last, stored) = (house.ask(&last).await?, house.ask(&stored).await?);
        unbalanced += u64::from(last != format!("{delivered}\t0") || stored != delivered.to_string());
    }
    Ok(unbalanced)
}
