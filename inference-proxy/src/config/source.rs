//! Under which name a proxy sends its observations.

/// The rule of [`is_source`], as a sentence.
pub(super) const SOURCE_RULE: &str =
    "must be 1 to 128 letters, digits and . _ : - /, and not 'http', or the collector refuses it";

/// Whether the collector takes batches under this name.
pub(super) fn is_source(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-' | b'/');
    (1..=128).contains(&name.len()) && name.bytes().all(plain) && name != "http"
}

/// This host's name, or `proxy` where the system does not tell.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "proxy".into() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::RawConfig;
    use super::*;

    #[test]
    fn a_source_that_the_collector_would_refuse_is_a_fault() {
        for (source, good) in [("pod-7.eu:8/a_b", true), ("", false), ("a@b", false), ("http", false)] {
            let mut raw = RawConfig::default();
            raw.mirror.source = Some(source.into());
            assert_eq!(raw.check().is_ok(), good, "{source}");
        }
        assert!(!is_source(&"a".repeat(129)));
    }
}
