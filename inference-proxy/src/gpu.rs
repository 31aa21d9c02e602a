//! The machine's NVIDIA cards, read through their own management library (NVML) when somebody asks for the metrics.
//!
//! Without the library, or without a card, there is nothing to say and nothing is said. A card goes by CUDA's number of
//! it, as in the configuration, where that is known ([`numbering`]).

pub mod numbering;

use std::sync::Arc;

use contract::metrics::{Metric, serving as names};
use host::metrics::Registry;
use numbering::Numbering;
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts};

/// What one card says of itself; what it does not say is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct Card {
    /// CUDA's number of it in this process; `None` where CUDA does not see it, or it cannot be known.
    pub number: Option<u32>,
    /// NVML's number of it among the machine's cards.
    pub of_all: u32,
    /// What tells it from every other card.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Share of the last sample period in which it computed, 0 to 1.
    pub utilization: Option<f64>,
    /// Bytes of its memory in use, by whomever.
    pub memory_used: Option<u64>,
    /// Bytes of its memory.
    pub memory_total: Option<u64>,
    /// Degrees Celsius.
    pub temperature: Option<f64>,
    /// Watts.
    pub power: Option<f64>,
}

/// The machine's cards.
///
/// # Errors
/// A sentence: why they cannot be asked, as a rule because there is none.
pub fn cards() -> Result<Vec<Card>, String> {
    let nvml = Nvml::init().map_err(|error| format!("NVIDIA's management library cannot be used: {error}"))?;
    read(&nvml).map_err(|error| format!("NVIDIA's management library does not answer: {error}"))
}

/// Bytes that are free on a card; `None` where nobody can tell.
pub(crate) fn free(card: i32) -> Option<u64> {
    let card = cards().ok()?.into_iter().find(|found| found.number == u32::try_from(card).ok())?;
    Some(card.memory_total?.saturating_sub(card.memory_used?))
}

fn read(nvml: &Nvml) -> Result<Vec<Card>, NvmlError> {
    let one = |of_all| -> Result<Card, NvmlError> {
        let device = nvml.device_by_index(of_all)?;
        let memory = device.memory_info().ok();
        Ok(Card {
            number: None,
            of_all,
            uuid: device.uuid().unwrap_or_default(),
            name: device.name().unwrap_or_default(),
            utilization: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
            memory_used: memory.as_ref().map(|memory| memory.used),
            memory_total: memory.as_ref().map(|memory| memory.total),
            temperature: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
            power: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
        })
    };
    // a card that has fallen off its bus must not hide the others
    let mut cards: Vec<Card> = (0..nvml.device_count()?).filter_map(|number| one(number).ok()).collect();
    number(&mut cards, &Numbering::of_environment());
    Ok(cards)
}

/// Gives cards the numbers that CUDA has for them.
fn number(cards: &mut [Card], numbering: &Numbering) {
    let all: Vec<(&str, &str)> = cards.iter().map(|card| (card.uuid.as_str(), card.name.as_str())).collect();
    let seen = numbering.cards(&all).unwrap_or_default();
    cards.iter_mut().for_each(|card| card.number = None);
    for (number, card) in (0..).zip(seen) {
        cards[card].number = Some(number);
    }
}

/// Exports the cards, if there are any.
pub(crate) fn export(registry: &Registry) {
    match Nvml::init() {
        Ok(nvml) if nvml.device_count().is_ok_and(|cards| cards > 0) => {
            registry.attach(Box::new(Cards { nvml: Arc::new(nvml), gauges: Gauges::new() }));
        }
        Ok(_) => tracing::debug!("there is no NVIDIA card"),
        Err(error) => tracing::debug!(%error, "there is no NVIDIA card, or no library that knows of one"),
    }
}

struct Cards {
    nvml: Arc<Nvml>,
    gauges: Gauges,
}

/// One family each, in the order of [`Gauges::show`].
struct Gauges([GaugeVec; 5]);

impl Gauges {
    fn new() -> Self {
        let gauge = |metric: &Metric| {
            let family = GaugeVec::new(Opts::new(metric.name, metric.help), metric.labels);
            family.expect("the definitions in contract are well-formed")
        };
        Self(
            [
                names::GPU_UTILIZATION,
                names::GPU_MEMORY_USED,
                names::GPU_MEMORY_TOTAL,
                names::GPU_TEMPERATURE,
                names::GPU_POWER,
            ]
            .each_ref()
            .map(gauge),
        )
    }

    /// What a card does not say, or says no more, is no series.
    fn show(&self, cards: &[Card]) {
        self.0.iter().for_each(GaugeVec::reset);
        for card in cards {
            let device = match card.number {
                Some(number) => format!("cuda:{number}"),
                None => format!("nvml:{}", card.of_all),
            };
            let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
            let said =
                [card.utilization, bytes(card.memory_used), bytes(card.memory_total), card.temperature, card.power];
            for (family, value) in self.0.iter().zip(said) {
                if let Some(value) = value {
                    family.with_label_values(&[&device]).set(value);
                }
            }
        }
    }
}

impl Collector for Cards {
    fn desc(&self) -> Vec<&Desc> {
        self.gauges.0.iter().flat_map(|family| family.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauges.show(&read(&self.nvml).unwrap_or_default());
        self.gauges.0.iter().flat_map(|family| family.collect()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_card_does_not_say_is_no_series() {
        let gauges = Gauges::new();
        let card = Card {
            number: Some(1),
            of_all: 3,
            uuid: "GPU-1".to_owned(),
            name: "a card".to_owned(),
            utilization: Some(0.25),
            memory_used: Some(1 << 30),
            memory_total: Some(4 << 30),
            temperature: None,
            power: Some(61.5),
        };
        gauges.show(std::slice::from_ref(&card));
        let series = || -> Vec<(String, f64)> {
            let families = gauges.0.iter().flat_map(|family| family.collect());
            let of = |family: MetricFamily| {
                let name = family.name().to_owned();
                family.get_metric().iter().map(|m| (name.clone(), m.get_gauge().get_value())).collect::<Vec<_>>()
            };
            families.flat_map(of).collect()
        };
        let found = series();
        assert_eq!(found.len(), 4, "{found:?}");
        assert!(found.contains(&("driftline_gpu_memory_used_bytes".to_owned(), 1_073_741_824.0)), "{found:?}");
        gauges.show(&[]);
        assert_eq!(series(), [], "a card that is gone leaves nothing behind");
        let mut both = [card.clone(), Card { of_all: 4, uuid: "GPU-2".to_owned(), ..card }];
        number(&mut both, &Numbering::visible("GPU-2"));
        assert_eq!(both.map(|card| card.number), [None, Some(0)], "CUDA's number is that of the configuration");
    }

    /// On a machine with cards they are exported; on one without, nothing is, and whoever asks is told why in a sentence.
    #[test]
    fn cards_are_exported_if_and_only_if_there_are_some() {
        let registry = Registry::new();
        export(&registry);
        let there = registry.render().contains("driftline_gpu_");
        match cards() {
            Ok(cards) => assert_eq!(there, !cards.is_empty()),
            Err(why) => assert!(!there && why.starts_with("NVIDIA's management library"), "{why}"),
        }
    }
}
