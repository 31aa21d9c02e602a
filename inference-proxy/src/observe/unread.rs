//! The body of an answer keeps its request's place until the client has taken it, and no longer than a client may take
//! nothing.
//!
//! It is handed out in small pieces: HTTP/2 takes a frame as soon as the client has room for a single byte, so that an
//! answer of one frame would count as taken while all of it waits in memory. Over HTTP/2 somebody has to watch, too:
//! a connection does not ask for what it cannot send, and what the operating system sees of it is other streams that go
//! well. Over HTTP/1.1 the connection itself is cut off where it stands still.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use contract::metrics::proxy as names;
use host::metrics::Registry;
use http_body::{Frame, SizeHint};
use prometheus::IntCounter;
use tokio_util::task::AbortOnDropHandle;

use super::stream::Held;

/// Bytes that are handed out at once: what a client with the narrowest window has taken beyond it.
const PIECE: usize = 16 << 10;

/// Who does not read, and what became of it.
#[derive(Clone, Debug)]
pub struct Unread {
    idle_max: Duration,
    dropped: IntCounter,
}

impl Unread {
    /// An answer of which nothing is taken for `idle_max` is dropped, and counted.
    #[must_use]
    pub fn new(idle_max: Duration, registry: &Registry) -> Self {
        let dropped = registry.counter(&names::UNREAD_ANSWERS).with_label_values(&[] as &[&str]);
        Self { idle_max, dropped }
    }
}

/// An answer's body with the place that it keeps.
struct Kept {
    answer: Shared,
    _watch: Option<AbortOnDropHandle<()>>,
}

type Shared = Arc<Mutex<State>>;

enum State {
    Open(Open),
    /// Everything was taken.
    Taken,
    /// The client took nothing for too long.
    Dropped,
}

struct Open {
    body: Body,
    /// What came of the body and was not handed out.
    rest: Bytes,
    /// When the client last asked for more; `None` while it is waited for what is to come.
    asked: Option<Instant>,
    _held: Held,
}

/// The client took nothing for so long that the rest of the answer is gone.
#[derive(Debug, thiserror::Error)]
#[error("the answer was not read for so long that it was dropped")]
struct Late;

/// Lets an answer keep its place until it is taken.
pub(super) fn kept(response: Response, held: Held, watched: Option<Unread>) -> Response {
    response.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        let open = Open { body, rest: Bytes::new(), asked: Some(Instant::now()), _held: held };
        let answer = Arc::new(Mutex::new(State::Open(open)));
        let watch = watched.map(|unread| tokio::spawn(watch(Arc::clone(&answer), unread)));
        Body::new(Kept { answer, _watch: watch.map(AbortOnDropHandle::new) })
    })
}

/// Drops an answer of which nothing is taken.
async fn watch(answer: Shared, unread: Unread) {
    loop {
        let until = {
            let mut state = lock(&answer);
            let State::Open(open) = &*state else { return };
            let now = Instant::now();
            let until = open.asked.unwrap_or(now) + unread.idle_max;
            if now >= until {
                unread.dropped.inc();
                let dropped = std::mem::replace(&mut *state, State::Dropped);
                drop(state);
                return drop(dropped);
            }
            until
        };
        tokio::time::sleep_until(until.into()).await;
    }
}

fn lock(answer: &Shared) -> MutexGuard<'_, State> {
    answer.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Open {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                ended => return Poll::Ready(ended),
            };
            match frame.into_data() {
                Ok(data) => self.rest = data,
                Err(other) => return Poll::Ready(Some(Ok(other))),
            }
        }
        let piece = self.rest.split_to(self.rest.len().min(PIECE));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }
}

impl Drop for Kept {
    /// Who leaves gives the place back at once, and not when the watch comes to be dropped as well.
    fn drop(&mut self) {
        let left = std::mem::replace(&mut *lock(&self.answer), State::Taken);
        drop(left);
    }
}

impl HttpBody for Kept {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let mut state = lock(&self.answer);
        let open = match &mut *state {
            State::Open(open) => open,
            State::Taken => return Poll::Ready(None),
            State::Dropped => return Poll::Ready(Some(Err(axum::Error::new(Late)))),
        };
        let polled = open.poll_piece(cx);
        open.asked = polled.is_ready().then(Instant::now);
        let ended = matches!(polled, Poll::Ready(None | Some(Err(_))));
        if ended || polled.is_ready() && open.is_end_stream() {
            let taken = std::mem::replace(&mut *state, State::Taken);
            drop(state);
            drop(taken);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &*lock(&self.answer) {
            State::Open(open) => open.is_end_stream(),
            State::Taken => true,
            State::Dropped => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.answer);
        let State::Open(open) = &*state else { return SizeHint::default() };
        let (mut hint, rest) = (open.body.size_hint(), open.rest.len() as u64);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
