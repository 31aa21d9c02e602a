//! A disk that is full: first of somebody else's bytes, then of the log's own; and that has space again.
//!
//! The disk is a file system of eight megabytes in memory, mounted for this, which takes the rights of root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bench::house::{Body, House, PATIENCE, packed, post};
use bench::load::{self, Random};
use contract::wire::OBSERVATIONS_PATH;

const SIZE: &str = "8m";
/// Posts that are made while the disk is full.
const REFUSED: u64 = 60;

/// What was seen.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Answers other than 503 to what could not be kept.
    pub wrong_answers: u64,
    /// Observations that were acknowledged and are absent, or are there twice.
    pub wrong: u64,
    /// The longest time from there being space to a post that is taken.
    pub resumed_seconds: f64,
    pub acknowledged: u64,
    pub refused: u64,
}

/// A small file system; gone when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn new(at: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(at)?;
        let done = Command::new("mount").args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"]).arg(at).status();
        ensure!(
            done.context("mount cannot be called")?.success(),
            "a file system cannot be mounted: root has to run this"
        );
        Ok(Self(at.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// Fills the disk twice and counts what became of everything.
pub(super) async fn run(program: &Path, seed: u64) -> anyhow::Result<Seen> {
    let folder = tempfile::tempdir()?;
    let disk = Mounted::new(&folder.path().join("disk"))?;
    let section = format!("[collector.log]\ndir = {:?}\nsegment_max_age = \"100ms\"", disk.0.join("log"));
    let mut house = House::build(program, &section).await?;
    let mut sender = Sender { seq: 0, random: Random::new(seed), http: reqwest::Client::new(), seen: Seen::default() };

    eprintln!("disk: full of somebody else's bytes");
    let filler = disk.0.join("filler");
    sender.some(&house, 5).await?;
    fill(&filler)?;
    sender.while_full(&house).await?;
    std::fs::remove_file(&filler)?;
    sender.resume(&house).await?;

    eprintln!("disk: full of the log's own bytes");
    house.until_inserted().await?;
    house.kill_engine();
    sender.while_full(&house).await?;
    house.start_engine().await?;
    sender.resume(&house).await?;

    house.until_inserted().await?;
    let answer = house.ask("SELECT count(), uniqExact(id) FROM observations").await?;
    let (count, unique) = answer.split_once('\t').context("two numbers")?;
    let (count, unique): (u64, u64) = (count.parse()?, unique.parse()?);
    let mut seen = sender.seen;
    seen.wrong = seen.acknowledged.abs_diff(unique) + count.saturating_sub(unique);
    Ok(seen)
}

/// Writes until there is no room.
fn fill(path: &Path) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path)?;
    for chunk in [&[0_u8; 65_536][..], &[0; 1]] {
        while file.write_all(chunk).is_ok() {}
    }
    Ok(())
}

struct Sender {
    seq: u64,
    random: Random,
    http: reqwest::Client,
    seen: Seen,
}

impl Sender {
    /// A batch under the next number; its text does not compress.
    fn batch(&mut self) -> anyhow::Result<Body> {
        let observations = (0..20).map(|_| {
            let mut observation = load::observation(&mut self.random, "m", 10);
            observation.reason = Some((0..200).map(|_| format!("{:016x}", self.random.next_u64())).collect());
            observation
        });
        let observations = observations.collect();
        self.seq += 1;
        Ok(Body::Packed(packed(&load::batch("disk", 1, self.seq, observations))?.into()))
    }

    /// Posts one batch once; whether it was taken.
    async fn once(&mut self, house: &House, body: &Body) -> anyhow::Result<bool> {
        let status = post(&self.http, &house.address, OBSERVATIONS_PATH, body.clone()).await?;
        match status {
            200 => self.seen.acknowledged += 20,
            503 => self.seen.refused += 1,
            other => {
                eprintln!("disk: answered {other}");
                self.seen.wrong_answers += 1;
            }
        }
        Ok(status == 200)
    }

    async fn some(&mut self, house: &House, batches: u32) -> anyhow::Result<()> {
        for _ in 0..batches {
            let body = self.batch()?;
            ensure!(self.once(house, &body).await?, "a healthy collector refuses");
        }
        Ok(())
    }

    /// Posts until nothing is taken any more, and then goes on for a while.
    async fn while_full(&mut self, house: &House) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let mut refused = 0;
        while refused < REFUSED {
            let body = self.batch()?;
            if !self.once(house, &body).await? {
                refused += 1;
                // not stored, so the number is free
                self.seq -= 1;
            }
            ensure!(Instant::now() < deadline, "the disk does not get full");
        }
        Ok(())
    }

    /// Posts until one is taken; how long that was.
    async fn resume(&mut self, house: &House) -> anyhow::Result<()> {
        let begun = Instant::now();
        let body = self.batch()?;
        while !self.once(house, &body).await? {
            ensure!(begun.elapsed() < PATIENCE, "it does not resume");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.seen.resumed_seconds = self.seen.resumed_seconds.max(begun.elapsed().as_secs_f64());
        Ok(())
    }
}
