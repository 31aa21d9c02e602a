//! Whether a version fits before it is loaded: what it will take, and what is free.
//!
//! A session keeps its own copy of the weights and an arena for what it computes. How much more than the weights that
//! is, is measured at every load (the growth of the resident set over the weights) and used for the next. What is free
//! is the least of the machine's available memory and what the control group leaves, less a reserve.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use host::config::{ByteSize, Faults};
use serde::{Deserialize, Serialize};

use super::folder::weights_beside;

/// Bounds of memory, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMemory {
    /// Left free for requests and everything else, whatever is loaded.
    pub reserve: ByteSize,
    /// What the process may take; default: what the machine and the control group leave.
    pub limit: Option<ByteSize>,
    /// What versions that stand by may hold together; the oldest leave first.
    pub standby: ByteSize,
}

impl Default for RawMemory {
    fn default() -> Self {
        Self { reserve: ByteSize::mib(256), limit: None, standby: ByteSize::mib(4_096) }
    }
}

/// Bounds of memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) reserve: u64,
    pub(crate) limit: Option<u64>,
    pub(crate) standby: u64,
}

impl RawMemory {
    /// What is meant.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Bounds {
        let bytes = |size: ByteSize| size.bytes() as u64;
        let none = self.limit.is_some_and(|limit| limit.bytes() == 0);
        faults.check(!none, format!("{key}.limit"), "must be at least 1");
        Bounds { reserve: bytes(self.reserve), limit: self.limit.map(bytes), standby: bytes(self.standby) }
    }
}

/// What a session takes beside weights and arena: threads, graph, tables.
const SESSION_BYTES: u64 = 4 << 20;
/// Memory over weights before anything has been measured: a copy while the file is read, and a small arena.
const FACTOR: f64 = 2.0;
/// Smaller weights say nothing about the factor.
const MEASURABLE_BYTES: u64 = 16 << 20;
/// A measurement below the weights, or far above them, was of something else that happened meanwhile.
const FACTORS: (f64, f64) = (1.0, 6.0);

/// The memory of the machine, as far as loads may take it.
#[derive(Debug)]
pub(crate) struct Memory {
    bounds: Bounds,
    factor: Mutex<f64>,
}

/// A load that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shortage {
    pub(crate) needed: u64,
    pub(crate) free: u64,
    pub(crate) reserve: u64,
}

/// What was free before versions left to make room, and what they gave back at least.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Evicted {
    before: u64,
    given_back: u64,
}

impl Evicted {
    /// Nobody has left yet.
    pub(crate) fn none(free: u64) -> Self {
        Self { before: free, given_back: 0 }
    }

    /// A version with these weights has left, and its memory is free. An estimate of more than its weights may be wrong.
    pub(crate) fn and(self, weights: u64, sessions: usize) -> Self {
        let given_back = self.given_back.saturating_add(weights.saturating_mul(sessions as u64));
        Self { given_back, ..self }
    }

    /// What a load may take, where the system says that so much is free now. An allocator may keep for the next load what it
    /// does not give back to the system; what it has given back is in the system's number already.
    fn left(self, free: u64) -> u64 {
        if self.given_back == 0 { free } else { free.max(self.before.saturating_add(self.given_back)) }
    }
}

impl std::fmt::Display for Shortage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let (needed, free, reserve) = (mib(self.needed), mib(self.free), mib(self.reserve));
        write!(
            f,
            "it needs about {needed} MiB of memory, and {free} MiB are free beside the reserve of {reserve} MiB: unload \
             another version, lower its instances, or lower proxy.models.memory.reserve"
        )
    }
}

impl Memory {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self { bounds, factor: Mutex::new(FACTOR) }
    }

    /// What versions that stand by may hold.
    pub(crate) fn standby(&self) -> u64 {
        self.bounds.standby
    }

    /// What a version with these weights will take.
    pub(crate) fn estimate(&self, weights: u64, sessions: usize) -> u64 {
        let factor = *self.factor.lock().unwrap_or_else(PoisonError::into_inner);
        needed(weights, sessions, factor)
    }

    /// Whether so much is free, beside the reserve, where these evictions went before.
    ///
    /// # Errors
    /// [`Shortage`].
    pub(crate) fn fits(&self, needed: u64, evicted: Evicted) -> Result<(), Shortage> {
        let free = evicted.left(self.free());
        if needed <= free { Ok(()) } else { Err(Shortage { needed, free, reserve: self.bounds.reserve }) }
    }

    /// What a load could take now.
    pub(crate) fn free(&self) -> u64 {
        let machine = machine_free().unwrap_or(u64::MAX);
        let group = group_free().unwrap_or(u64::MAX);
        let own = self.bounds.limit.map_or(u64::MAX, |limit| limit.saturating_sub(resident()));
        machine.min(group).min(own).saturating_sub(self.bounds.reserve)
    }

    /// A load let the resident set grow by so much.
    pub(crate) fn learn(&self, weights: u64, sessions: usize, grown: u64) {
        let all = weights.saturating_mul(sessions as u64);
        if weights < MEASURABLE_BYTES {
            return;
        }
        let found = grown as f64 / all as f64;
        if (FACTORS.0..=FACTORS.1).contains(&found) {
            let mut factor = self.factor.lock().unwrap_or_else(PoisonError::into_inner);
            // More at once, less slowly: a load that does not fit costs more than one that is refused.
            *factor = found.max(0.8 * *factor + 0.2 * found);
        }
    }
}

fn needed(weights: u64, sessions: usize, factor: f64) -> u64 {
    let all = weights.saturating_mul(sessions as u64) as f64 * factor;
    (all as u64).saturating_add(SESSION_BYTES.saturating_mul(sessions as u64))
}

/// Bytes of a version's graph and of the weights beside it; 0 where there is none, and the load will say so.
pub(crate) fn weights(dir: &Path) -> u64 {
    let graphs = ["model.onnx", "onnx/model.onnx"].into_iter().map(|name| dir.join(name));
    let Some(graph) = graphs.into_iter().find(|path| path.is_file()) else { return 0 };
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    bytes(&graph) + weights_beside(&graph).iter().map(|path| bytes(path)).sum::<u64>()
}

/// The resident set of this process.
pub(crate) fn resident() -> u64 {
    kib(&read("/proc/self/status"), "VmRSS:").unwrap_or(0)
}

fn machine_free() -> Option<u64> {
    kib(&read("/proc/meminfo"), "MemAvailable:")
}

/// What the control groups of this process leave, the tightest of them (version 2, or 1).
fn group_free() -> Option<u64> {
    let groups = read("/proc/self/cgroup");
    let two = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let one = groups.lines().find_map(|line| line.split_once(":memory:").map(|(_, path)| path));
    let two = two.and_then(|path| tightest(Path::new("/sys/fs/cgroup"), path, "memory.max", "memory.current"));
    let one = one.and_then(|path| {
        let root = Path::new("/sys/fs/cgroup/memory");
        tightest(root, path, "memory.limit_in_bytes", "memory.usage_in_bytes")
    });
    two.into_iter().chain(one).min()
}

/// The least that is left on the way from a group up to the root. In a container the path is the host's, so the root is
/// looked at too.
fn tightest(root: &Path, path: &str, max: &str, current: &str) -> Option<u64> {
    let group = root.join(path.trim_start_matches('/'));
    let up = group.ancestors().take_while(|dir| dir.starts_with(root)).map(PathBuf::from);
    up.filter_map(|dir| {
        let number = |name: &str| read(dir.join(name)).trim().parse::<u64>().ok();
        let statistics = read(dir.join("memory.stat"));
        Some(left(number(max)?, number(current)?, &statistics))
    })
    .min()
}

/// Pages of files that nobody uses are given back before anything fails.
fn left(max: u64, current: u64, statistics: &str) -> u64 {
    let inactive = statistics.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    max.saturating_sub(current.saturating_sub(inactive.unwrap_or(0)))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The number of kibibytes on a line of `/proc`, as bytes.
fn kib(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok().map(|kib| kib << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { reserve: 0, limit: None, standby: 0 };

    #[test]
    fn the_files_of_the_kernel_are_read() {
        let text = "MemTotal:       16384 kB\nMemAvailable:    1024 kB\n";
        assert_eq!(kib(text, "MemAvailable:"), Some(1 << 20));
        assert_eq!(kib("", "MemAvailable:"), None);
        assert_eq!(left(100, 60, "anon 20\ninactive_file 30\n"), 70);
        assert_eq!(left(100, 160, ""), 0, "above its limit, nothing is left");
        assert!(resident() > 1 << 20, "a test takes more than a mebibyte");
        assert!(machine_free().is_some_and(|free| free > 1 << 20));
    }

    #[test]
    fn the_tightest_group_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        let write = |dir: &Path, max: &str, current: &str| {
            std::fs::write(dir.join("memory.max"), max).unwrap();
            std::fs::write(dir.join("memory.current"), current).unwrap();
        };
        write(&inner, "max\n", "10\n");
        write(&root.path().join("a"), "100\n", "40\n");
        write(root.path(), "1000\n", "900\n");
        assert_eq!(tightest(root.path(), "/a/b", "memory.max", "memory.current"), Some(60));
        assert_eq!(tightest(root.path(), "/gone", "memory.max", "memory.current"), Some(100));
    }

    #[test]
    fn a_measured_load_changes_the_next_estimate() {
        let memory = Memory::new(BOUNDS);
        let weights = 100 << 20;
        assert_eq!(memory.estimate(weights, 2), 400 * (1 << 20) + 2 * SESSION_BYTES);
        memory.learn(weights, 2, 600 << 20);
        assert_eq!(memory.estimate(weights, 2), 600 * (1 << 20) + 2 * SESSION_BYTES, "a worse load counts at once");
        memory.learn(weights, 2, 200 << 20);
        assert_eq!(memory.estimate(weights, 1), 260 * (1 << 20) + SESSION_BYTES, "a better one slowly");
        memory.learn(weights, 1, 5_000 << 20);
        memory.learn(1 << 20, 1, 5 << 20);
        assert_eq!(
            memory.estimate(weights, 1),
            260 * (1 << 20) + SESSION_BYTES,
            "what is no measurement changes nothing"
        );
    }

    #[test]
    fn what_does_not_fit_is_told_with_needed_and_free() {
        let memory = Memory::new(Bounds { reserve: 1 << 20, limit: Some(resident() + (11 << 20)), standby: 0 });
        let short = memory.fits(1 << 40, Evicted::none(memory.free())).unwrap_err();
        assert!(short.free <= 10 << 20, "{short:?}");
        assert!(short.to_string().starts_with("it needs about 1048576 MiB of memory, and "), "{short}");
        let evicted = Evicted::none(memory.free()).and(1 << 39, 2);
        assert_eq!(memory.fits(1 << 40, evicted), Ok(()), "what an eviction gives back counts");
    }

    /// A version that left is not there twice: in what the system says is free, and once more in what it held.
    #[test]
    fn what_an_eviction_gives_back_counts_once() {
        let evicted = Evicted::none(100).and(20, 2).and(10, 1);
        assert_eq!(evicted.left(150), 150, "the system has all of it back");
        assert_eq!(evicted.left(100), 150, "the allocator keeps it for the next load");
        assert_eq!(evicted.left(170), 170, "it held more than its weights");
        assert_eq!(Evicted::none(100).left(90), 90, "nobody has left");
    }
}
