//! How requests are put together, and how the cost of runs is measured: as typed, and as meant.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How requests are put together, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawBatching {
    /// Tokens a batch, padding included. 512 in length-sorted batches measured best on CPUs.
    pub max_batch_tokens: usize,
    /// Elements a batch of tensors.
    pub max_batch_elements: usize,
    /// Items a batch.
    pub max_batch_items: usize,
    /// Share of a batch that may be padding, 0 to 1.
    pub max_padding: f64,
    /// How long a free session waits for company; with none it takes what is there.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// Which requests run together: those that save time by the measured cost, or plainly those that came first.
    pub order: Order,
    /// How much later the requests of the next priority have their turn: the longest time by which one overtakes.
    #[serde(with = "humantime_serde")]
    pub priority_step: Duration,
    /// Largest difference that company may make to an answer (of a probability, or relative to the largest output);
    /// past it requests run alone.
    pub max_difference: f64,
    /// Run requests together although company changes their answers.
    pub allow_variant: bool,
}

/// Which requests run together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    /// Neighbours in length, where the version's cost table says that it saves time.
    Cost,
    /// In order of arrival, up to the budget: what other servers do.
    Fifo,
}

impl Default for RawBatching {
    fn default() -> Self {
        Self {
            max_batch_tokens: 512,
            max_batch_elements: 1 << 20,
            max_batch_items: 64,
            max_padding: 0.2,
            max_delay: Duration::ZERO,
            order: Order::Cost,
            priority_step: Duration::from_millis(100),
            // sums of 32-bit floats in another order stay a hundred times below it
            max_difference: 1e-3,
            allow_variant: false,
        }
    }
}

/// How the cost of runs is measured, as typed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawTuning {
    /// Longest time that a load may spend on measuring; 0 for never.
    #[serde(with = "humantime_serde")]
    pub max_time: Duration,
    /// Threads that the sessions of one version share; default: one a core.
    pub threads: Option<usize>,
    /// Most sessions that are chosen: each holds the weights.
    pub max_sessions: usize,
    /// Folder where measurements are kept from start to start; without it every load measures anew.
    pub dir: Option<PathBuf>,
}

impl Default for RawTuning {
    fn default() -> Self {
        Self { max_time: Duration::from_secs(3), threads: None, max_sessions: 4, dir: None }
    }
}

/// How requests are put together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Batching {
    pub(crate) max_batch_tokens: usize,
    pub(crate) max_batch_elements: usize,
    pub(crate) max_batch_items: usize,
    pub(crate) max_padding: f64,
    pub(crate) max_delay: Duration,
    pub(crate) order: Order,
    pub(crate) priority_step: Duration,
    pub(crate) max_difference: f64,
    pub(crate) allow_variant: bool,
}

/// How the cost of runs is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tuning {
    pub(crate) max_time: Duration,
    /// At least 1.
    pub(crate) threads: usize,
    /// At least 1.
    pub(crate) max_sessions: usize,
    pub(crate) dir: Option<PathBuf>,
}

impl From<RawBatching> for Batching {
    fn from(raw: RawBatching) -> Self {
        Self {
            max_batch_tokens: raw.max_batch_tokens,
            max_batch_elements: raw.max_batch_elements,
            max_batch_items: raw.max_batch_items,
            max_padding: raw.max_padding,
            max_delay: raw.max_delay,
            order: raw.order,
            priority_step: raw.priority_step,
            max_difference: raw.max_difference,
            allow_variant: raw.allow_variant,
        }
    }
}

impl From<RawTuning> for Tuning {
    fn from(raw: RawTuning) -> Self {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = raw.threads.unwrap_or_else(cores).max(1);
        Self { max_time: raw.max_time, threads, max_sessions: raw.max_sessions.max(1), dir: raw.dir }
    }
}
