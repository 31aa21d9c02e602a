//! What counts as bad, from the proxy's side: the one place where a status or a run's end becomes an [`Outcome`].
//!
//! Which outcomes spend error budget is said by [`Outcome::is_bad`], and whether a refusal (429) does by the SLO itself
//! ([`contract::slo::Slo::is_bad`]); nobody else decides. So, for every SLO:
//!
//! | how it ended | outcome | |
//! |---|---|---|
//! | 2xx with outputs that are outputs | ok | good, if it was in time |
//! | 2xx with outputs that are not finite or of a wrong shape | error | bad |
//! | 5xx | error | bad |
//! | 504 | timeout | bad |
//! | 429 | rejected | bad, unless the SLO leaves refusals out |
//! | any other 4xx, a client's own time-out and a body that came late (408) among them | invalid | left out |
//! | the client went away | cancelled | left out |

use axum::http::StatusCode;
use contract::wire::Outcome;

use crate::model::RunError;

/// How a request ended whose answer is none, whatever its status said.
#[must_use]
pub fn flawed(told: Outcome) -> Outcome {
    if told == Outcome::Ok { Outcome::Error } else { told }
}

/// How a request ended, told by its status.
#[must_use]
pub fn of_status(status: StatusCode) -> Outcome {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Outcome::Rejected,
        StatusCode::GATEWAY_TIMEOUT => Outcome::Timeout,
        s if s.is_success() => Outcome::Ok,
        s if s.is_client_error() => Outcome::Invalid,
        _ => Outcome::Error,
    }
}

/// How a run ended.
#[must_use]
pub fn of_run(error: &RunError) -> Outcome {
    match error {
        RunError::Invalid(_) | RunError::Impatient | RunError::LateBody => Outcome::Invalid,
        RunError::QueueFull { .. } => Outcome::Rejected,
        RunError::Deadline => Outcome::Timeout,
        RunError::Unavailable(_) | RunError::BreakerOpen { .. } | RunError::Failed(_) | RunError::BadOutput(_) => {
            Outcome::Error
        }
    }
}

#[cfg(test)]
mod tests {
    use contract::slo::{Event, Sli, Slo};

    use super::*;

    /// The table of this file, as an SLO counts it: `None` is left out.
    #[test]
    fn what_counts_as_bad() {
        let slo = |count_refusals| Slo { count_refusals, ..Slo::new("up", "m", 99.0, Sli::Availability) };
        let bad = |status: u16, is_flawed: bool, count_refusals: bool| {
            let told = of_status(StatusCode::from_u16(status).unwrap());
            let outcome = if is_flawed { flawed(told) } else { told };
            slo(count_refusals).is_bad(Event { outcome, total_seconds: 0.1 })
        };
        for (status, is_flawed, expected) in [
            (200, false, Some(false)),
            (200, true, Some(true)),
            (500, false, Some(true)),
            (503, false, Some(true)),
            (504, false, Some(true)),
            (429, false, Some(true)),
            (400, false, None),
            (400, true, None),
            (404, false, None),
            (408, false, None),
            (413, false, None),
        ] {
            assert_eq!(bad(status, is_flawed, true), expected, "{status}, flawed: {is_flawed}");
        }
        assert_eq!(bad(429, false, false), None, "an SLO may leave refusals out");
        assert_eq!(bad(503, false, false), Some(true));
    }
}
