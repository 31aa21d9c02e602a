//! What a table was measured on, and when: a figure without that says nothing.

use std::fs;
use std::thread;
use std::time::SystemTime;

/// One sentence: the day, the processor, its cores, the memory, the system.
#[must_use]
pub fn told() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let day = now.split('T').next().unwrap_or_default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = value("/proc/meminfo", "MemTotal").and_then(|kb| kb.trim_end_matches(" kB").parse::<f64>().ok());
    let memory = memory.map_or_else(String::new, |kb| format!(" with {:.0} GiB", kb / 1_048_576.0));
    let processor = value("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("Measured on {day}: {processor}, {cores} cores{memory}, Linux {}, release build.", release.trim())
}

/// What stands behind a name and a colon.
fn value(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_day_and_the_machine_are_named() {
        let told = told();
        assert!(told.starts_with("Measured on 20") && told.contains(" cores with ") && told.contains("GiB"), "{told}");
    }
}
