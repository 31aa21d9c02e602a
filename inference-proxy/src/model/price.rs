//! What a second of a busy session costs, by the prices in the configuration.
//!
//! On the processor a session takes the cores of its threads for as long as it runs; a graphics card is shared by the
//! sessions that run on it at the same time ([`super::card`]).
//! What nothing runs on costs nobody here: the price of idle machines is the difference between the bill and this.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use host::config::Faults;
use serde::{Deserialize, Serialize};

use super::card::Card;
use super::device::Device;

/// Prices an hour, in whatever currency they are given, as typed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPrices {
    /// One core of the processor.
    pub cpu_core: Option<f64>,
    /// One graphics card.
    pub gpu: Option<f64>,
    /// Single cards that have another price, by their number.
    pub gpus: BTreeMap<String, f64>,
}

/// Prices a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prices {
    cpu_core: Option<f64>,
    gpu: Option<f64>,
    gpus: BTreeMap<i32, f64>,
    /// The accounts of the cards in use, one for all versions.
    cards: Cards,
}

type Cards = Arc<Mutex<BTreeMap<i32, Arc<Card>>>>;

/// What is on the accounts is no part of what was configured.
impl PartialEq for Prices {
    fn eq(&self, other: &Self) -> bool {
        (self.cpu_core, self.gpu, &self.gpus) == (other.cpu_core, other.gpu, &other.gpus)
    }
}

const SECONDS_AN_HOUR: f64 = 3_600.0;

impl RawPrices {
    /// What is meant; faults are pushed under dotted names that start with `key`.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Prices {
        let mut a_second = |price: f64, name: String| {
            faults.check(price.is_finite() && price >= 0.0, format!("{key}.{name}"), "must be at least 0, an hour");
            price / SECONDS_AN_HOUR
        };
        let cpu_core = self.cpu_core.map(|price| a_second(price, "cpu_core".to_owned()));
        let gpu = self.gpu.map(|price| a_second(price, "gpu".to_owned()));
        let gpus: Vec<(String, f64)> = self
            .gpus
            .into_iter()
            .map(|(card, price)| (card.clone(), a_second(price, format!("gpus.{card}"))))
            .collect();
        let number = |(card, price): (String, f64)| {
            let number = card.parse().ok().filter(|number| *number >= 0);
            faults.check(number.is_some(), format!("{key}.gpus.{card}"), "must be named by the card's number, as 0");
            Some((number?, price))
        };
        Prices { cpu_core, gpu, gpus: gpus.into_iter().filter_map(number).collect(), cards: Cards::default() }
    }
}

/// What a busy session costs.
#[derive(Clone, Debug)]
pub(crate) struct Price {
    /// The label of the device.
    pub(crate) device: String,
    /// A second.
    pub(crate) per_second: f64,
    /// The card that it shares with others; cores are its own.
    pub(crate) card: Option<Arc<Card>>,
}

impl Prices {
    /// The price of a session; `None` where there is none in the configuration.
    pub(crate) fn of(&self, device: Device, threads: usize) -> Option<Price> {
        let per_second = match device {
            Device::Cpu => self.cpu_core? * threads as f64,
            Device::Cuda(cuda) => *self.gpus.get(&cuda.card).or(self.gpu.as_ref())?,
        };
        let card = match device {
            Device::Cpu => None,
            Device::Cuda(cuda) => {
                let mut cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
                Some(Arc::clone(cards.entry(cuda.card).or_default()))
            }
        };
        Some(Price { device: device.to_string(), per_second, card })
    }
}

#[cfg(test)]
mod tests {
    use super::super::device::Cuda;
    use super::*;

    #[test]
    fn a_session_costs_its_cores_or_its_card() {
        let raw: RawPrices = toml::from_str("cpu_core = 0.036\ngpu = 3.6\ngpus = { 1 = 7.2 }").unwrap();
        let mut faults = Faults::default();
        let prices = raw.check("p", &mut faults);
        assert!(faults.is_empty(), "{faults}");
        let cuda = |card| Device::Cuda(Cuda { card, ..Cuda::default() });
        for (device, threads, label, expected) in
            [(Device::Cpu, 4, "cpu", 4e-5), (cuda(0), 4, "cuda:0", 1e-3), (cuda(1), 1, "cuda:1", 2e-3)]
        {
            let price = prices.of(device, threads).unwrap();
            assert_eq!(price.device, label);
            assert!((price.per_second - expected).abs() < 1e-12, "{price:?}");
        }
        let (one, other) = (prices.of(cuda(0), 1).unwrap().card.unwrap(), prices.clone().of(cuda(0), 2).unwrap().card);
        assert!(Arc::ptr_eq(&one, &other.unwrap()), "versions share their card");
        assert!(prices.of(Device::Cpu, 1).unwrap().card.is_none());
        assert!(Prices::default().of(Device::Cpu, 1).is_none(), "without a price there is no cost");
        let raw: RawPrices = toml::from_str("cpu_core = -1.0\ngpus = { first = 1.0 }").unwrap();
        let _prices = raw.check("p", &mut faults);
        assert_eq!(faults.len(), 2, "{faults}");
    }
}
