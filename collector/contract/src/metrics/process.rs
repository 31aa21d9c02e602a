//! Metrics that every role exports about itself.

use super::Metric;

/// Build information.
pub const INFO: Metric =
    Metric::gauge("driftline_process_info", "1, with the version of Driftline that runs.", &["version"]);
/// Start time.
pub const START: Metric =
    Metric::gauge("driftline_process_start_timestamp_seconds", "Unix time at which this process started.", &[]);
/// Resident memory.
pub const RESIDENT: Metric = Metric::gauge("driftline_process_resident_bytes", "Resident memory of this process.", &[]);
/// CPU seconds.
pub const CPU_SECONDS: Metric =
    Metric::counter("driftline_process_cpu_seconds_total", "CPU time of this process, user and system.", &[]);
/// File descriptors.
pub const OPEN_FDS: Metric = Metric::gauge(
    "driftline_process_open_fds",
    "File descriptors that this process holds: files and connections.",
    &[],
);
/// Threads.
pub const THREADS: Metric = Metric::gauge("driftline_process_threads", "Threads of this process.", &[]);
/// Readiness.
pub const READY: Metric = Metric::gauge("driftline_process_ready", "1 while this process reports ready.", &[]);

/// All metrics of this subsystem.
pub const ALL: &[Metric] = &[INFO, START, RESIDENT, CPU_SECONDS, OPEN_FDS, THREADS, READY];
