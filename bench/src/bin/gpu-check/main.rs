//! `make gpu-check`: whether a card gives the answers of the processor, and what the proxy makes of its speed.
//!
//! Without a card it says so in one sentence and exits with 2: what was not run is not claimed.

#[allow(dead_code)]
#[path = "../bench-proxy/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../bench-proxy/corpus.rs"]
mod corpus;
#[allow(dead_code)]
#[path = "../bench-proxy/server.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::anyhow;
use bench::command::Options;
use bench::table::{Bound, Table};
use clap::Parser;
use inference_proxy::gpu::{self, Card};
use inference_proxy::model::RawCuda;
use inference_proxy::model::raw::RawLoop;

use client::quantile;
use server::{MODEL, Server};

/// Options of this command.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Looks whether there is a card, and does nothing else.
    #[arg(long)]
    look: bool,
    /// The folder of a text model's version; a second one in half precision is checked in its own tolerance.
    #[arg(long, value_name = "DIR", default_value = "models/support-router/1", value_delimiter = ',')]
    models: Vec<PathBuf>,
    /// A libonnxruntime.so that is built for CUDA; default: the one of `make deps`.
    #[arg(long, value_name = "FILE", default_value = ".deps/onnxruntime/libonnxruntime.so")]
    onnxruntime: PathBuf,
    /// Number of the card.
    #[arg(long, default_value_t = 0)]
    device: i32,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// Exit code where there is nothing to check on.
const NO_CARD: u8 = 2;
/// Turns of raw loop and proxy, one after the other.
const TURNS: usize = 5;
/// Open connections at saturation.
const CONNECTIONS: usize = 128;
/// Padded tokens of a batch: a card wants more at once than a processor.
const BATCH_TOKENS: usize = 8_192;

fn promises() -> Table {
    Table::default()
        .row(
            "same",
            "largest difference of a score to the processor's, over the tolerance of the precision",
            Bound::AtMost(1.0),
        )
        .row("company", "the same between a text in a batch and alone, on the card", Bound::AtMost(1.0))
        .row("raw-1", "raw CUDA session loop, one text a run, texts/s", Bound::Printed)
        .row("raw-8", "raw CUDA session loop, 8 texts a run, texts/s", Bound::Printed)
        .row("raw-64", "raw CUDA session loop, 64 texts a run, texts/s", Bound::Printed)
        .row("raw-best", "raw CUDA session loop, length-sorted batches of 8,192 padded tokens, texts/s", Bound::Printed)
        .row("proxy", "the proxy over the best of these", Bound::AtLeast(0.90))
}

#[allow(clippy::print_stderr)] // the one sentence is what a machine without a card is told
fn main() -> anyhow::Result<ExitCode> {
    let Arguments { options, look, models, onnxruntime, device, seconds } = Arguments::parse();
    let card = match gpu::cards() {
        Ok(cards) => cards.into_iter().find(|card| card.number == u32::try_from(device).ok()),
        Err(_) => None,
    };
    let Some(card) = card else {
        eprintln!(
            "there is no NVIDIA card number {device} on this machine, so nothing was checked and nothing is claimed"
        );
        return Ok(ExitCode::from(NO_CARD));
    };
    eprintln!("card {device}: {}", card.name);
    if look {
        return Ok(ExitCode::SUCCESS);
    }
    let check = Check { onnxruntime, cuda: RawCuda { device, ..RawCuda::default() }, card, seconds };
    let mut table = promises();
    check.answers(&models, &mut table)?;
    if let Some(dir) = models.first() {
        check.speed(&options.driftline, dir, &mut table)?;
    }
    options.finish("gpu-check", &table)
}

struct Check {
    onnxruntime: PathBuf,
    cuda: RawCuda,
    card: Card,
    seconds: f64,
}

impl Check {
    fn open(&self, dir: &Path, cuda: Option<&RawCuda>, texts: &[String]) -> anyhow::Result<RawLoop> {
        RawLoop::open_on(cuda, dir, &self.onnxruntime, 1, 1, texts).map_err(|why| anyhow!(why))
    }

    /// Scores on the card beside those of the processor and, on the card, in company beside alone.
    fn answers(&self, models: &[PathBuf], table: &mut Table) -> anyhow::Result<()> {
        let texts = corpus::texts(256, 5);
        let (mut same, mut company, mut notes) = (0.0_f64, 0.0_f64, Vec::new());
        for dir in models {
            let (mut here, mut there) = (self.open(dir, None, &texts)?, self.open(dir, Some(&self.cuda), &texts)?);
            let tolerance = there.tolerance();
            let alone = |raw: &mut RawLoop| -> anyhow::Result<Vec<Vec<f64>>> {
                let one = |i| raw.scores(&[i]).map_err(|why| anyhow!(why));
                Ok((0..texts.len()).map(one).collect::<anyhow::Result<Vec<_>>>()?.into_iter().flatten().collect())
            };
            let (expected, found) = (alone(&mut here)?, alone(&mut there)?);
            let together: Vec<usize> = (0..texts.len().min(32)).collect();
            let crowd = there.scores(&together).map_err(|why| anyhow!(why))?;
            let (one, other) = (difference(&expected, &found)?, difference(&found[..crowd.len()], &crowd)?);
            (same, company) = (same.max(one / tolerance), company.max(other / tolerance));
            notes.push(format!("{}: {one:.1e} and {other:.1e}, tolerance {tolerance:.0e}", dir.display()));
        }
        table.seen("same", same, format!("{}; {} texts", notes.join("; "), texts.len()));
        table.seen("company", company, format!("32 texts; {} on {}", today(), self.card.name));
        Ok(())
    }

    /// The bare session loop in several forms, and the proxy over the best of them, turn about.
    fn speed(&self, program: &Path, dir: &Path, table: &mut Table) -> anyhow::Result<()> {
        let texts = corpus::texts(4_000, 1);
        let mut raw = self.open(dir, Some(&self.cuda), &texts)?;
        let turn = Duration::from_secs_f64(self.seconds);
        let groups = |size: usize| -> Vec<Vec<usize>> {
            (0..texts.len()).collect::<Vec<_>>().chunks(size).map(<[usize]>::to_vec).collect()
        };
        let sorted = corpus::bucketed(&raw.lengths(), BATCH_TOKENS);
        let forms = [("raw-1", groups(1)), ("raw-8", groups(8)), ("raw-64", groups(64)), ("raw-best", sorted)];
        let (mut best, mut fastest) = (0, 0.0);
        for (i, (row, form)) in forms.iter().enumerate() {
            let rate = rate(&mut raw, form, turn)?;
            table.seen(row, rate, format!("{}, one session", self.card.name));
            if rate > fastest {
                (best, fastest) = (i, rate);
            }
        }
        let proxy = Server::proxy_with(program, &self.onnxruntime, &[("1", dir.to_owned())], &self.settings())?;
        let path = format!("/v1/models/{MODEL}/predict");
        let ask = |text: &String| client::post(&path, &serde_json::json!({ "text": text }).to_string());
        let requests: Vec<client::Request> = texts.iter().map(ask).collect();
        let _warm = client::saturate(proxy.address, &requests, CONNECTIONS, turn / 2);
        let (mut ratios, mut bad) = (Vec::new(), 0);
        for _ in 0..TURNS {
            let bare = rate(&mut raw, &forms[best].1, turn)?;
            let load = client::saturate(proxy.address, &requests, CONNECTIONS, turn);
            ratios.push(load.rate() / bare);
            bad += load.bad;
        }
        ratios.sort_by(f64::total_cmp);
        let note = format!("median of {TURNS} turns over {}; {bad} failed", forms[best].0);
        table.seen("proxy", quantile(&ratios, 0.5), note);
        Ok(())
    }

    fn settings(&self) -> String {
        format!(
            "[proxy.models.batching]\nmax_batch_tokens = {BATCH_TOKENS}\n[proxy.models.cuda]\ndevice = {}\n",
            self.cuda.device
        )
    }
}

/// Texts a second, over as many passes as it takes to fill the time.
fn rate(raw: &mut RawLoop, groups: &[Vec<usize>], duration: Duration) -> anyhow::Result<f64> {
    let texts: usize = groups.iter().map(Vec::len).sum();
    let (mut passes, mut wall) = (0, Duration::ZERO);
    while wall < duration {
        wall += raw.pass(groups).map_err(|why| anyhow!(why))?;
        passes += 1;
    }
    Ok((passes * texts) as f64 / wall.as_secs_f64())
}

/// The date, for whoever reads the table later.
fn today() -> String {
    let date = Command::new("date").arg("+%F").output().ok().and_then(|out| String::from_utf8(out.stdout).ok());
    date.map_or_else(|| "at an unknown date".to_owned(), |date| date.trim().to_owned())
}

/// The largest one; NaN where one of them is no number.
fn difference(expected: &[Vec<f64>], found: &[Vec<f64>]) -> anyhow::Result<f64> {
    anyhow::ensure!(expected.len() == found.len(), "{} answers, not {}", found.len(), expected.len());
    let mut largest = 0.0_f64;
    for (expected, found) in expected.iter().zip(found) {
        anyhow::ensure!(expected.len() == found.len(), "{} scores, not {}", found.len(), expected.len());
        for (expected, found) in expected.iter().zip(found) {
            let apart = (expected - found).abs();
            largest = if apart.is_nan() { f64::NAN } else { largest.max(apart) };
            if largest.is_nan() {
                return Ok(largest);
            }
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_the_largest_and_nan_is_never_near() {
        let scores = |a: f64, b: f64| vec![vec![a, 0.5], vec![b, 0.25]];
        assert!((difference(&scores(0.1, 0.2), &scores(0.1, 0.5)).unwrap_or(f64::NAN) - 0.3).abs() < 1e-12);
        assert!(difference(&scores(0.1, 0.2), &scores(f64::NAN, 0.2)).is_ok_and(f64::is_nan));
        assert!(difference(&scores(0.1, 0.2), &[]).is_err());
    }
}
