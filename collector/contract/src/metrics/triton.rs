//! Aliases under Triton's names, for dashboards that exist; exported where the configuration says so. They are in no list
//! of ours: nothing of Driftline's reads them, and their names keep other rules.
//!
//! After `docs/user_guide/metrics.md` of triton-inference-server/server.

use super::Metric;

const OF: &[&str] = &["model", "version"];

/// Answered requests.
pub const REQUEST_SUCCESS: Metric =
    Metric::counter("nv_inference_request_success", "Number of successful inference requests, all batch sizes", OF);
/// Failed requests.
pub const REQUEST_FAILURE: Metric =
    Metric::counter("nv_inference_request_failure", "Number of failed inference requests, all batch sizes", OF);
/// Items.
pub const COUNT: Metric =
    Metric::counter("nv_inference_count", "Number of inferences performed (does not include cached requests)", OF);
/// Runs.
pub const EXEC_COUNT: Metric = Metric::counter(
    "nv_inference_exec_count",
    "Number of model executions performed (does not include cached requests)",
    OF,
);
/// Time of requests.
pub const REQUEST_DURATION: Metric = Metric::counter(
    "nv_inference_request_duration_us",
    "Cumulative inference request duration in microseconds (includes cached requests)",
    OF,
);
/// Time in queues.
pub const QUEUE_DURATION: Metric = Metric::counter(
    "nv_inference_queue_duration_us",
    "Cumulative inference queuing duration in microseconds (includes cached requests)",
    OF,
);
/// Time of putting inputs together.
pub const COMPUTE_INPUT_DURATION: Metric = Metric::counter(
    "nv_inference_compute_input_duration_us",
    "Cumulative compute input duration in microseconds (does not include cached requests)",
    OF,
);
/// Time of runs.
pub const COMPUTE_INFER_DURATION: Metric = Metric::counter(
    "nv_inference_compute_infer_duration_us",
    "Cumulative compute inference duration in microseconds (does not include cached requests)",
    OF,
);
/// Time of taking outputs apart.
pub const COMPUTE_OUTPUT_DURATION: Metric = Metric::counter(
    "nv_inference_compute_output_duration_us",
    "Cumulative inference compute output duration in microseconds (does not include cached requests)",
    OF,
);
/// Kept answers that were given.
pub const CACHE_HITS: Metric = Metric::counter("nv_cache_num_hits_per_model", "Number of cache hits per model", OF);
/// Kept answers that were not there.
pub const CACHE_MISSES: Metric =
    Metric::counter("nv_cache_num_misses_per_model", "Number of cache misses per model", OF);
/// Time of finding them.
pub const CACHE_HIT_DURATION: Metric =
    Metric::counter("nv_cache_hit_duration_per_model", "Total cache hit duration per model, in microseconds", OF);
/// Time of not finding them.
pub const CACHE_MISS_DURATION: Metric =
    Metric::counter("nv_cache_miss_duration_per_model", "Total cache miss duration per model, in microseconds", OF);
