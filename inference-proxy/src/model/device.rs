//! Where sessions run: on the processor, or on a graphics card, with every option of that said.
//!
//! What cannot run where it was asked to is an error, unless the configuration says that the processor will do; then the
//! version says so itself (`provider` in its metadata and in `driftline_proxy_version_info`). Nothing falls back silently.

use std::fmt;

use host::config::{ByteSize, Faults};
use ort::ep::{self, ArenaExtendStrategy, ExecutionProvider as _, ExecutionProviderDispatch};
use serde::{Deserialize, Serialize};

/// Sessions on a graphics card (CUDA), as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawCuda {
    /// Number of the card.
    pub device: i32,
    /// Bytes that the arena of one session may hold; without it what the card has.
    pub max_memory: Option<ByteSize>,
    /// How the arena grows.
    pub arena: Arena,
    /// Whether products of 32-bit floats may be computed with 10 bits of mantissa (TensorFloat-32): faster, less exact.
    pub tf32: bool,
    /// What happens to a version that cannot run there.
    pub on_failure: OnFailure,
}

impl Default for RawCuda {
    fn default() -> Self {
        Self { device: 0, max_memory: None, arena: Arena::SameAsRequested, tf32: false, on_failure: OnFailure::Error }
    }
}

/// How the memory arena of a session grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arena {
    /// By what is asked for: least memory.
    #[default]
    SameAsRequested,
    /// By doubling: fewest allocations.
    NextPowerOfTwo,
}

/// What happens to a version that cannot run on its card.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It is refused, and what served before serves on.
    #[default]
    Error,
    /// It runs on the processor, with a warning in the log.
    Cpu,
}

/// A card, checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cuda {
    pub(crate) card: i32,
    pub(crate) max_memory: Option<usize>,
    pub(crate) arena: Arena,
    pub(crate) tf32: bool,
    pub(crate) on_failure: OnFailure,
}

/// Where a session runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Device {
    /// On the processor.
    #[default]
    Cpu,
    /// On a card.
    Cuda(Cuda),
}

/// Which device a model shall run on, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawDevice {
    /// The processor.
    Cpu,
    /// The card of `[proxy.models.cuda]`.
    Cuda,
}

impl RawCuda {
    /// What is meant; faults are pushed under dotted names that start with `key`.
    pub(crate) fn check(self, key: &str, faults: &mut Faults) -> Cuda {
        faults.check(self.device >= 0, format!("{key}.device"), "must be the number of a card, 0 for the first");
        let none = self.max_memory.is_some_and(|bytes| bytes.bytes() == 0);
        faults.check(!none, format!("{key}.max_memory"), "must be at least 1");
        Cuda {
            card: self.device,
            max_memory: self.max_memory.map(|bytes| bytes.bytes()),
            arena: self.arena,
            tf32: self.tf32,
            on_failure: self.on_failure,
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(cuda) => write!(f, "cuda:{}", cuda.card),
        }
    }
}

/// Everything that sessions may run on.
pub(crate) const PROVIDERS: [&str; 2] = [ep::CPU::NAME, ep::CUDA::NAME];

impl Device {
    /// ONNX Runtime's name of what runs there.
    pub(crate) const fn provider(self) -> &'static str {
        match self {
            Self::Cpu => ep::CPU::NAME,
            Self::Cuda(_) => ep::CUDA::NAME,
        }
    }

    /// Where a version goes that cannot run here.
    pub(crate) fn instead(self) -> Option<Self> {
        matches!(self, Self::Cuda(Cuda { on_failure: OnFailure::Cpu, .. })).then_some(Self::Cpu)
    }

    /// What was asked for, in words for the metadata.
    pub(crate) fn options(self) -> String {
        match self {
            Self::Cpu => "cpu".to_owned(),
            Self::Cuda(Cuda { card, max_memory, arena, tf32, .. }) => {
                let memory = max_memory.map_or_else(|| "no limit".to_owned(), |bytes| format!("{bytes} bytes"));
                let arena = match arena {
                    Arena::SameAsRequested => "same_as_requested",
                    Arena::NextPowerOfTwo => "next_power_of_two",
                };
                format!("cuda:{card}, max_memory {memory}, arena {arena}, tf32 {}", if tf32 { "on" } else { "off" })
            }
        }
    }

    /// What to register with a session; it fails where it cannot be had.
    pub(crate) fn register(self) -> Option<ExecutionProviderDispatch> {
        let Self::Cuda(Cuda { card, max_memory, arena, tf32, .. }) = self else { return None };
        let arena = match arena {
            Arena::SameAsRequested => ArenaExtendStrategy::SameAsRequested,
            Arena::NextPowerOfTwo => ArenaExtendStrategy::NextPowerOfTwo,
        };
        let cuda = ep::CUDA::default().with_device_id(card).with_arena_extend_strategy(arena).with_tf32(tf32);
        let cuda = match max_memory {
            Some(bytes) => cuda.with_memory_limit(bytes),
            None => cuda,
        };
        Some(cuda.build().error_on_failure())
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::RawBatching;
    use super::super::pairing::{Terms, examine};
    use super::super::runtime::Runtime;
    use super::super::testing::{fixtures, onnxruntime};
    use super::*;

    #[test]
    fn a_card_is_said_in_full() {
        let raw: RawCuda =
            toml::from_str("device = 1\nmax_memory = '2GiB'\narena = 'next_power_of_two'\non_failure = 'cpu'").unwrap();
        let mut faults = Faults::default();
        let device = Device::Cuda(raw.check("cuda", &mut faults));
        assert!(faults.is_empty(), "{faults}");
        assert_eq!(device.to_string(), "cuda:1");
        assert_eq!(device.options(), "cuda:1, max_memory 2147483648 bytes, arena next_power_of_two, tf32 off");
        assert_eq!((device.provider(), device.instead()), ("CUDAExecutionProvider", Some(Device::Cpu)));
        assert_eq!(
            Device::Cuda(Cuda::default()).instead(),
            None,
            "a failure is an error unless somebody said otherwise"
        );
        let _wrong = RawCuda { device: -1, ..RawCuda::default() }.check("cuda", &mut faults);
        assert!(faults.to_string().contains("cuda.device:"), "{faults}");
    }

    /// The real library: with a card the version runs there; without one it is refused with what to do, and never runs
    /// somewhere else in silence.
    #[test]
    fn what_cannot_run_on_a_card_is_refused() {
        let runtime = Runtime::load(&onnxruntime()).unwrap();
        let terms = Terms {
            max_chars: 100,
            intra_threads: None,
            device: Device::Cuda(Cuda::default()),
            batching: RawBatching::default().into(),
            thorough: false,
        };
        let (report, paired) = examine(&fixtures().join("router/1"), &runtime, terms);
        if let Some(paired) = paired {
            assert_eq!(paired.factory.options.device.provider(), "CUDAExecutionProvider");
            return;
        }
        let (check, why) = report.failure().unwrap();
        assert_eq!(check, "graph");
        for part in ["it shall run on cuda:0", "CUDA", "on_failure"] {
            assert!(why.contains(part), "{part} is not in: {why}");
        }
    }
}
