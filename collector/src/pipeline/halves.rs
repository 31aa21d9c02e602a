//! The same five steps for one half of an exchange: it goes into a log of its own, where it waits for the other.

use super::{Found, Made, Post, Refusal, Shared, made};
use crate::check;
use crate::kserve::half::Head;
use crate::metrics::SOURCE_KSERVE;
use crate::record::Record;

impl Shared {
    /// decode -> check -> mask -> pack
    pub(super) fn half(&self, head: &Head, post: &mut Post, now_ms: i64) -> Result<Made, Refusal> {
        let half = self.plain(post, |body| head.half(body, &self.kserve, now_ms))?;
        check::observation(&half.observation, "", now_ms, &self.limits)?;
        let names = self.names(SOURCE_KSERVE, &[&half.observation]);
        let mut found = Found::default();
        let half = half.map(|plain| self.masked(plain, names.as_ref(), &mut found));
        let made = Made { stored: 1, ..made(&Record::Half(half), found, SOURCE_KSERVE)? };
        // one that could never be taken must not be sent again and again
        if made.entry.payload.len() as u64 > self.kserve.max_bytes / 2 {
            let sentence = "the event would fill half of collector.kserve.max_bytes; nothing was stored";
            return Err(Refusal::TooLarge(sentence.to_owned()));
        }
        Ok(made)
    }
}
