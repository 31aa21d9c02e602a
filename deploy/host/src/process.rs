//! What a process exports about itself: version, start, memory, CPU, readiness.
//!
//! Read from `/proc/self` at each scrape; on systems without it the two readings are left out.

use contract::metrics::process as names;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

use crate::edge::Readiness;
use crate::metrics::Registry;

/// Registers the process metrics.
pub fn export(registry: &Registry, readiness: &Readiness) {
    registry.gauge(&names::INFO).with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1.0);
    #[expect(clippy::cast_precision_loss, reason = "a time in seconds")]
    let now = crate::clock::now_ms() as f64 / 1e3;
    registry.gauge(&names::START).with_label_values(&[] as &[&str]).set(now);
    registry.attach(Box::new(SelfReading::new(readiness.clone())));
}

/// Gauges that are read when Prometheus asks.
struct SelfReading {
    readiness: Readiness,
    resident: Gauge,
    cpu: Counter,
    ready: Gauge,
}

impl SelfReading {
    fn new(readiness: Readiness) -> Self {
        let defined = "the definitions in contract are well-formed";
        Self {
            readiness,
            resident: Gauge::new(names::RESIDENT.name, names::RESIDENT.help).expect(defined),
            cpu: Counter::new(names::CPU_SECONDS.name, names::CPU_SECONDS.help).expect(defined),
            ready: Gauge::new(names::READY.name, names::READY.help).expect(defined),
        }
    }
}

impl Collector for SelfReading {
    fn desc(&self) -> Vec<&Desc> {
        [self.resident.desc(), self.cpu.desc(), self.ready.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        self.ready.set(if self.readiness.get() { 1.0 } else { 0.0 });
        [self.resident.collect(), self.cpu.collect(), self.ready.collect()].concat()
    }
}

/// `VmRSS` of `/proc/self/status`, in bytes.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0)
}

/// User and system time of `/proc/self/stat` (fields 14 and 15, in ticks of 1/100 s on Linux).
fn cpu_seconds() -> Option<f64> {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_its_size_and_age() {
        let registry = Registry::new();
        let readiness = Readiness::default();
        export(&registry, &readiness);
        assert!(registry.render().contains("driftline_process_ready 0"));
        readiness.set(true);
        let text = registry.render();
        assert!(text.contains("driftline_process_ready 1"), "{text}");
        assert!(resident_bytes().unwrap() > 1e6);
        assert!(cpu_seconds().unwrap() >= 0.0);
    }
}
