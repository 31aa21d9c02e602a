//! How long a request waited for its own body, which says whose doing a deadline is that passes.
//!
//! One clock runs from a request's arrival to its answer. A client that takes most of that time to send its body leaves too
//! little for any answer: what passes then is its own limit and not ours, and neither spends an error budget nor opens a
//! breaker. What counts is the time in which the next piece was asked for and had not come, not the time in which nobody
//! asked: a server behind us that is slow to take a body is not the client's doing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};

/// The wait for one request's body. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Waiting(Arc<Mutex<Clock>>);

#[derive(Debug, Default)]
struct Clock {
    /// Since when the next piece is waited for.
    since: Option<Instant>,
    /// Time spent so before.
    waited: Duration,
}

impl Clock {
    fn asked(&mut self, has_come: bool, now: Instant) {
        if has_come {
            self.waited = self.until(now);
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
    }

    fn until(&self, now: Instant) -> Duration {
        self.waited + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

impl Waiting {
    /// The body, whose pieces are waited for on this clock.
    pub fn watch(&self, body: Body) -> Body {
        // a body that is there already is waited for by nobody
        if body.is_end_stream() { body } else { Body::new(Awaited { body, waiting: self.clone() }) }
    }

    /// Whether a piece is waited for at this moment.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.lock().since.is_some()
    }

    /// Whether more than half of a time was spent waiting.
    #[must_use]
    pub fn took_most_of(&self, limit: Duration) -> bool {
        self.lock().until(Instant::now()) > limit / 2
    }

    fn lock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body that is waited for.
struct Awaited {
    body: Body,
    waiting: Waiting,
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.waiting.lock().asked(polled.is_ready(), Instant::now());
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_in_which_a_piece_was_missed_counts() {
        let began = Instant::now();
        let at = |seconds: u64| began + Duration::from_secs(seconds);
        let mut clock = Clock::default();
        clock.asked(true, at(3));
        assert_eq!(clock.until(at(5)), Duration::ZERO, "nobody asked meanwhile");
        clock.asked(false, at(5));
        clock.asked(false, at(6));
        assert_eq!(clock.until(at(7)), Duration::from_secs(2));
        clock.asked(true, at(8));
        assert_eq!(clock.until(at(20)), Duration::from_secs(3), "what came is waited for no more");
        clock.asked(false, at(20));
        assert_eq!(clock.until(at(21)), Duration::from_secs(4));
    }
}
