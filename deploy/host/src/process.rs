//! What a process exports about itself: version, start, memory, CPU, descriptors, threads, readiness.
//!
//! Read from `/proc/self` at each scrape; on systems without it these readings are left out.

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
    fds: Gauge,
    threads: Gauge,
    ready: Gauge,
}

impl SelfReading {
    fn new(readiness: Readiness) -> Self {
        let defined = "the definitions in contract are well-formed";
        Self {
            readiness,
            resident: Gauge::new(names::RESIDENT.name, names::RESIDENT.help).expect(defined),
            cpu: Counter::new(names::CPU_SECONDS.name, names::CPU_SECONDS.help).expect(defined),
            fds: Gauge::new(names::OPEN_FDS.name, names::OPEN_FDS.help).expect(defined),
            threads: Gauge::new(names::THREADS.name, names::THREADS.help).expect(defined),
            ready: Gauge::new(names::READY.name, names::READY.help).expect(defined),
        }
    }
}

impl Collector for SelfReading {
    fn desc(&self) -> Vec<&Desc> {
        [self.resident.desc(), self.cpu.desc(), self.fds.desc(), self.threads.desc(), self.ready.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if let Some(bytes) = resident_bytes() {
            self.resident.set(bytes);
        }
        if let Some(seconds) = cpu_seconds() {
            self.cpu.inc_by((seconds - self.cpu.get()).max(0.0));
        }
        let read = [(&self.fds, open_fds()), (&self.threads, status("Threads:"))];
        let read = read.into_iter().filter_map(|(gauge, value)| Some((gauge, value?)));
        let read: Vec<_> =
            read.inspect(|(gauge, value)| gauge.set(*value)).flat_map(|(gauge, _)| gauge.collect()).collect();
        self.ready.set(if self.readiness.get() { 1.0 } else { 0.0 });
        [self.resident.collect(), self.cpu.collect(), read, self.ready.collect()].concat()
    }
}

/// `VmRSS` of `/proc/self/status`, in bytes.
fn resident_bytes() -> Option<f64> {
    Some(status("VmRSS:")? * 1024.0)
}

/// A number in `/proc/self/status`, its unit left out.
fn status(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Open descriptors, less the one that counting them takes.
fn open_fds() -> Option<f64> {
    let count = std::fs::read_dir("/proc/self/fd").ok()?.count();
    u32::try_from(count.saturating_sub(1)).ok().map(f64::from)
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
        assert!(status("Threads:").unwrap() >= 1.0);
        let value = |text: &str, name: &str| -> f64 {
            text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap()
        };
        let many: Vec<_> = (0..500).map(|_| std::fs::File::open("/dev/null").unwrap()).collect();
        let held = value(&registry.render(), "driftline_process_open_fds ");
        assert!(held >= 500.0, "{held} with {} files open", many.len());
    }
}
