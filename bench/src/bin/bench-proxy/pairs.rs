//! What must cost a client nothing: the mirror, and a shadow that hangs.
//!
//! Two servers stand at once, with and without; turn about, each pair in the other order, so that what the machine does
//! meanwhile meets both alike. A pair gives one ratio; the figure is the lower 90 % bound of the ratios' median, an order
//! statistic (of 9 ratios the third: at most two of them lie below the median with probability 46 / 512 = .09).

use std::path::PathBuf;
use std::time::Duration;

use bench::table::Table;

use crate::Setting;
use crate::client::{self, Load, Request};
use crate::corpus;
use crate::memory::Stalled;
use crate::server::{MODEL, Server};
use crate::speed::{CONNECTIONS, SUBJECTS, median, requests};

const PAIRS: usize = 9;
/// Rank of the lower bound among the sorted ratios, counted from 0.
const BOUND: usize = 2;
/// Requests that may be open at once; enough that none waits in the client.
const OPEN: usize = 128;
/// Share of the capacity at which tails are looked at.
const LOAD: f64 = 0.7;

/// The mirror on, to a collector that takes everything, over the mirror off.
pub fn mirror(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let collector = Stalled::listen()?;
    let settings = format!("[proxy.mirror]\ncollector_url = \"http://{}\"", collector.address);
    let with = Server::proxy(&setting.program, &setting.root, &[("1", int8(setting))], &settings)?;
    let without = Server::proxy(&setting.program, &setting.root, &[("1", int8(setting))], "")?;
    let pair = Pair { with: &with, without: &without, requests: requests(&corpus::texts(2_000, 6)) };
    let part = setting.part(PAIRS as f64 * 4.0 + 1.0, 6.0);
    let capacity = pair.capacity(part);
    let rates =
        pair.ratios(|server, _| client::saturate(server.address, &pair.requests, CONNECTIONS, part), Load::rate);
    table.seen("mirror-throughput", rates.bound(), rates.note("texts/s", 1.0));
    let tails = pair.ratios(|server, n| pair.paced(server, n, LOAD * capacity, part), |load| load.quantile(0.99));
    table.seen("mirror-p99", tails.bound(), tails.note(&format!("ms at {:.0} texts/s", LOAD * capacity), 1e3));
    Ok(())
}

/// A shadow behind a server that hangs, over no shadow.
pub fn shadow(setting: &Setting, table: &mut Table) -> anyhow::Result<()> {
    let behind = Server::proxy(&setting.program, &setting.root, &[("1", int8(setting))], "")?;
    let settings = format!(
        "[proxy.models.models.{MODEL}]\nprimary = \"1\"\nshadows = [{{ version = \"2\", percent = 100 }}]\n\
         remote.2 = {{ url = \"http://{}\", version = \"1\" }}",
        behind.address
    );
    let with = Server::proxy(&setting.program, &setting.root, &[("1", int8(setting))], &settings)?;
    let without = Server::proxy(&setting.program, &setting.root, &[("1", int8(setting))], "")?;
    let pair = Pair { with: &with, without: &without, requests: requests(&corpus::texts(2_000, 7)) };
    let part = setting.part(PAIRS as f64 * 2.0 + 1.0, 8.0);
    // it answered until now, so the shadow is ready; from here on it is asked and says nothing
    let warm = client::saturate(with.address, &pair.requests, CONNECTIONS, part / 2);
    behind.hang()?;
    let rate = LOAD * pair.capacity(part);
    let tails = pair.ratios(|server, n| pair.paced(server, n, rate, part), |load| load.quantile(0.99));
    let note = tails.note(&format!("ms at {rate:.0} texts/s"), 1e3);
    table.seen("shadow-hung", tails.bound(), format!("{note}; {} answers before it hung", warm.good));
    Ok(())
}

fn int8(setting: &Setting) -> PathBuf {
    setting.root.join(SUBJECTS[0].dir)
}

/// Two servers that differ in one thing.
struct Pair<'a> {
    with: &'a Server,
    without: &'a Server,
    requests: Vec<Request>,
}

impl Pair<'_> {
    /// Texts a second that the server without can do; warms both up.
    fn capacity(&self, part: Duration) -> f64 {
        let _warm = client::saturate(self.with.address, &self.requests, CONNECTIONS, part / 2);
        let load = client::saturate(self.without.address, &self.requests, CONNECTIONS, part);
        load.good as f64 / load.wall
    }

    /// The same Poisson arrivals for both of a pair.
    fn paced(&self, server: &Server, n: usize, rate: f64, part: Duration) -> Load {
        let due = corpus::arrivals(rate, part.as_secs_f64(), 200 + n as u64);
        client::paced(server.address, &self.requests, &due, OPEN)
    }

    fn ratios(&self, load: impl Fn(&Server, usize) -> Load, figure: impl Fn(&Load) -> f64) -> Ratios {
        let mut ratios = Ratios::default();
        for n in 0..PAIRS {
            let order = if n % 2 == 0 { [self.with, self.without] } else { [self.without, self.with] };
            let mut loads = order.map(|server| load(server, n));
            if n % 2 == 1 {
                loads.reverse();
            }
            let [with, without] = &loads;
            ratios.with.push(figure(with));
            ratios.without.push(figure(without));
            ratios.bad += with.bad + without.bad;
        }
        ratios
    }
}

/// A figure of every pair's both sides.
#[derive(Default)]
struct Ratios {
    with: Vec<f64>,
    without: Vec<f64>,
    bad: usize,
}

impl Ratios {
    fn sorted(&self) -> Vec<f64> {
        let mut ratios: Vec<f64> = self.with.iter().zip(&self.without).map(|(with, without)| with / without).collect();
        ratios.sort_by(f64::total_cmp);
        ratios
    }

    /// The lower 90 % bound of the median.
    fn bound(&self) -> f64 {
        self.sorted()[BOUND]
    }

    /// Both medians in `unit`, of which there are `scale` in what was measured, and the median of the ratios.
    fn note(&self, unit: &str, scale: f64) -> String {
        let (with, without) = (median(self.with.clone()) * scale, median(self.without.clone()) * scale);
        let ratio = median(self.sorted());
        format!("{with:.1} over {without:.1} {unit}; median {ratio:.3} of {PAIRS} pairs; {} failed", self.bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_lies_below_the_median_as_often_as_it_says() {
        // binomial, n = 9, p = 1/2: at most BOUND of the ratios below the median
        let choose = [1, 9, 36];
        let at_most: u32 = choose[..=BOUND].iter().sum();
        assert!(f64::from(at_most) / 512.0 <= 0.1, "{at_most}");
        let ratios = Ratios { with: (1..=9).map(f64::from).collect(), without: vec![1.0; 9], bad: 0 };
        assert!((ratios.bound() - 3.0).abs() < 1e-12);
        assert_eq!(ratios.note("ms", 10.0), "50.0 over 10.0 ms; median 5.000 of 9 pairs; 0 failed");
    }
}
