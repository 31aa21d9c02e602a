//! Bodies that pass while a bounded copy of them is kept.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;

use super::client::Due;
use super::{Fault, Upstream};

/// What is kept of a body.
#[derive(Debug)]
pub struct Copy {
    limit: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    passed: usize,
    ended: Option<Instant>,
    /// The next piece was asked for and had not come.
    awaited: bool,
    fault: Option<Fault>,
}

impl Copy {
    /// Keeps at most so many bytes, the first ones.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, kept: Mutex::default() })
    }

    /// Whether the body has passed to its end.
    pub(super) fn ended(&self) -> bool {
        self.ended_at().is_some()
    }

    /// Whether what is missing is the sender's to send, rather than the receiver's to take.
    pub(super) fn awaits_client(&self) -> bool {
        let kept = self.lock();
        kept.awaited && kept.ended.is_none()
    }

    /// When it did.
    pub(super) fn ended_at(&self) -> Option<Instant> {
        self.lock().ended
    }

    /// What went wrong on the way.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.lock().fault
    }

    /// Bytes that are kept.
    pub(super) fn len(&self) -> usize {
        self.lock().bytes.len()
    }

    /// What was kept, and whether that is the whole body.
    pub(super) fn take(&self) -> (Vec<u8>, bool) {
        let mut kept = self.lock();
        let whole = kept.ended.is_some() && kept.passed == kept.bytes.len();
        (std::mem::take(&mut kept.bytes), whole)
    }

    /// Counts and keeps what passes; gives how much has passed.
    fn pass(&self, data: &[u8]) -> usize {
        let mut kept = self.lock();
        let room = self.limit.saturating_sub(kept.bytes.len());
        // what follows a gap is not kept
        if kept.passed == kept.bytes.len() {
            kept.bytes.extend_from_slice(&data[..data.len().min(room)]);
        }
        kept.passed += data.len();
        kept.passed
    }

    fn end(&self, fault: Option<Fault>) {
        let mut kept = self.lock();
        match fault {
            Some(_) => kept.fault = kept.fault.or(fault),
            None => kept.ended = kept.ended.or_else(|| Some(Instant::now())),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a body is left that was not read to its end, because there was nobody to pass it to.
pub(super) type Rest = Arc<Mutex<Option<Body>>>;

/// A client's body on its way to the other server.
pub(super) struct Asking {
    pub(super) body: Body,
    pub(super) copy: Arc<Copy>,
    pub(super) rest: Rest,
    pub(super) max_bytes: usize,
}

impl HttpBody for Asking {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.copy.lock().awaited = polled.is_pending();
        let passed = match std::task::ready!(polled) {
            Some(Ok(frame)) => match frame.data_ref().map(|data| self.copy.pass(data)) {
                Some(passed) if passed > self.max_bytes => Some(Err(Fault::TooLarge(self.max_bytes))),
                _ => Some(Ok(frame)),
            },
            Some(Err(_)) => Some(Err(Fault::BrokenBody)),
            None => None,
        };
        match &passed {
            Some(Err(fault)) => self.copy.end(Some(*fault)),
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            _ => self.copy.end(None),
        }
        Poll::Ready(passed)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if !self.copy.ended() && self.copy.fault().is_none() {
            let rest = std::mem::take(&mut self.body);
            *self.rest.lock().unwrap_or_else(PoisonError::into_inner) = Some(rest);
        }
    }
}

/// Reads what was left of a client's body, so that the observation of a request that could not be passed on has what
/// was asked; as far as a copy goes, and no longer than the client may take.
pub(super) async fn read_rest(rest: &Rest, copy: &Copy, deadline: Instant) {
    let body = rest.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut body) = body else { return };
    let reading = async {
        while copy.len() < copy.limit {
            match body.frame().await {
                Some(Ok(frame)) => {
                    let _passed = frame.data_ref().map(|data| copy.pass(data));
                }
                Some(Err(_)) => return,
                None => return copy.end(None),
            }
        }
    };
    // a client that is too slow has an observation without content
    let _in_time = tokio::time::timeout_at(deadline.into(), reading).await;
}

/// The other server's answer on its way to the client.
pub(super) struct Answering {
    pub(super) body: Incoming,
    pub(super) copy: Arc<Copy>,
    pub(super) upstream: Arc<Upstream>,
    pub(super) sent: Instant,
    pub(super) overdue: Pin<Box<Sleep>>,
    pub(super) due: Due,
    pub(super) place: Option<OwnedSemaphorePermit>,
}

impl Answering {
    pub(super) fn settle(&mut self, fault: Option<Fault>) {
        if self.place.take().is_some() {
            self.copy.end(fault);
            self.upstream.series.answered(fault.as_ref(), self.sent.elapsed());
        }
    }
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let passed = match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let _passed = frame.data_ref().map(|data| self.copy.pass(data));
                Some(Ok(frame))
            }
            Poll::Ready(Some(Err(_))) => Some(Err(Fault::Cut)),
            Poll::Ready(None) => None,
            Poll::Pending => {
                std::task::ready!(self.overdue.as_mut().poll(cx));
                Some(Err(self.due.passed()))
            }
        };
        match &passed {
            Some(Err(fault)) => self.settle(Some(*fault)),
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            _ => self.settle(None),
        }
        Poll::Ready(passed)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
