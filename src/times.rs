//! Times as people type and read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::exit::Usage;

/// A moment: RFC 3339 (`2026-11-21T18:00:00Z`, or shorter), milliseconds since 1970, or an age (`2h`, `3days`) before `now_ms`.
///
/// # Errors
/// [`Usage`] where it is none of these.
pub fn parse(flag: &str, text: &str, now_ms: i64) -> Result<i64, Usage> {
    if text == "now" {
        return Ok(now_ms);
    }
    if let Ok(at_ms) = text.parse::<i64>() {
        return Ok(at_ms);
    }
    if let Ok(age) = humantime::parse_duration(text) {
        return Ok(now_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)));
    }
    // a day is its beginning
    let day = format!("{text}T00:00:00Z");
    let at = [text, &day].into_iter().find_map(|text| humantime::parse_rfc3339_weak(text).ok());
    let since =
        at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).and_then(|since| i64::try_from(since.as_millis()).ok());
    since.ok_or_else(|| {
        Usage(format!(
            "{flag} {text} is no time; write it as in 2026-11-21T18:00:00Z (UTC), as milliseconds since 1970, or as an age as in 2h"
        ))
    })
}

/// A moment in UTC, to the second.
#[must_use]
pub fn shown(at_ms: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(u64::try_from(at_ms).unwrap_or(0));
    // a year past 9999 cannot be written
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(at.min(latest)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now_ms = 1_800_000_000_000;
        for (text, at_ms) in [
            ("2h", now_ms - 7_200_000),
            ("now", now_ms),
            ("1700000000000", 1_700_000_000_000),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14 22:13:20", 1_700_000_000_000),
            ("2023-11-14", 1_699_920_000_000),
        ] {
            assert_eq!(parse("--from", text, now_ms).map_err(|e| e.to_string()), Ok(at_ms), "{text}");
        }
        assert!(parse("--from", "yesterday", now_ms).is_err());
        assert_eq!(shown(1_700_000_000_999), "2023-11-14T22:13:20Z");
    }
}
