//! One line a request, under the log target `access`: ids and how it ended, never content.

use contract::wire::Outcome;

use super::record::Ended;
use super::sampling::fraction;

/// Another seed than that of content: which requests are logged says nothing about which are kept.
const SEED: u64 = 0x6163_6365_7373;

/// Which requests leave a line.
#[derive(Clone, Copy, Debug)]
pub struct AccessLog {
    /// Share of the requests that ended well, 0 to 1; all others leave theirs.
    pub share: f64,
}

impl AccessLog {
    /// Whether a request leaves a line.
    fn keeps(self, ended: &Ended) -> bool {
        ended.outcome != Outcome::Ok || fraction(ended.id, SEED) < self.share
    }

    /// Writes the line, if it is to be written.
    pub fn write(self, ended: &Ended) {
        if !self.keeps(ended) {
            return;
        }
        let Ended { id, trace_id, outcome, code, facts, .. } = ended;
        let (model, version, route) = (&facts.model, &facts.version, ended.route.as_str());
        let (reason, subject) = (ended.reason.unwrap_or_default(), ended.client.as_deref().unwrap_or_default());
        let total_us = ended.timings.total_us;
        tracing::info!(
            target: "access",
            %id, trace_id, subject, model, version, route, %outcome, code, reason, total_us, "request"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::record::tests::ended;
    use uuid::Uuid;

    #[test]
    fn what_ended_badly_is_always_logged_and_of_the_rest_a_share() {
        let kept = |outcome, share| {
            let log = AccessLog { share };
            (0..1_000_u128).filter(|n| log.keeps(&Ended { id: Uuid::from_u128(*n), ..ended("m", outcome) })).count()
        };
        for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Ok) {
            assert_eq!(kept(outcome, 0.0), 1_000, "{outcome}");
        }
        assert_eq!((kept(Outcome::Ok, 0.0), kept(Outcome::Ok, 1.0)), (0, 1_000));
        let tenth = kept(Outcome::Ok, 0.1);
        assert!((70..130).contains(&tenth), "{tenth}");
    }
}
