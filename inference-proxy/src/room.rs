//! Room for request bodies: one account of the bytes of all that are open, whatever their number.
//!
//! A body takes its room as it comes: a length that is only said holds nothing back from the others. Where it says more than
//! is free it is refused at once; where the room runs out later, the body breaks off and the request is refused then. One
//! that is compressed takes as much as it may have once it is inflated, at once.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use http_body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A semaphore counts to 2^29 on small machines: bodies are counted in kibibytes.
pub const UNIT: usize = 1 << 10;

/// How many times its size a deflated body may be at most (<https://zlib.net/zlib_tech.html>).
const DEFLATE_MAX: usize = 1_032;

/// The room of all open bodies.
#[derive(Clone, Debug)]
pub struct Room {
    free: Arc<Semaphore>,
    /// Largest single body.
    largest: usize,
}

/// The part of it that one request has; given back when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Part(Arc<Taken>);

#[derive(Debug)]
struct Taken {
    free: Arc<Semaphore>,
    permit: Mutex<OwnedSemaphorePermit>,
    ran_out: AtomicBool,
}

/// There is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no room for the body")]
pub struct NoRoom;

impl Room {
    /// Room for `bytes` of bodies of at most `largest` each.
    #[must_use]
    pub fn new(bytes: usize, largest: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes.div_ceil(UNIT))), largest }
    }

    /// Bytes that are free, in units of [`UNIT`].
    #[must_use]
    pub fn free_units(&self) -> usize {
        self.free.available_permits()
    }

    /// The part that a request with this body takes, and the body that takes more as it comes.
    ///
    /// # Errors
    /// [`NoRoom`].
    pub fn admit(&self, headers: &HeaderMap, body: Body) -> Result<(Part, Body), NoRoom> {
        let packed = [header::CONTENT_ENCODING.as_str(), "grpc-encoding"]
            .iter()
            .any(|name| headers.get_all(*name).iter().any(|coding| !is_identity(coding)));
        let said = body.size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok());
        let first = match (packed, said) {
            (true, Some(said)) => said.saturating_mul(DEFLATE_MAX).saturating_add(UNIT).min(self.largest),
            (true, None) => self.largest,
            (false, _) => 0,
        };
        let announced = said.unwrap_or_default().min(self.largest);
        if !packed && announced.div_ceil(UNIT) > self.free_units() {
            return Err(NoRoom);
        }
        let permit = Arc::clone(&self.free).try_acquire_many_owned(units(first)).map_err(|_| NoRoom)?;
        let (free, ran_out) = (Arc::clone(&self.free), AtomicBool::new(false));
        let part = Part(Arc::new(Taken { free, permit: Mutex::new(permit), ran_out }));
        let body = if packed {
            body
        } else {
            Body::new(Growing { body, part: part.clone(), passed: 0, largest: self.largest })
        };
        Ok((part, body))
    }
}

/// Whether a coding is none.
fn is_identity(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity")
}

impl Part {
    /// Whether the room ran out while the body came.
    #[must_use]
    pub fn ran_out(&self) -> bool {
        self.0.ran_out.load(Ordering::Acquire)
    }

    /// Takes what is missing for a body of so many bytes.
    fn hold(&self, bytes: usize) -> Result<(), NoRoom> {
        let mut permit = self.0.permit.lock().unwrap_or_else(PoisonError::into_inner);
        let held = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
        let missing = units(bytes).saturating_sub(held);
        if missing == 0 {
            return Ok(());
        }
        let Ok(more) = Arc::clone(&self.0.free).try_acquire_many_owned(missing) else {
            self.0.ran_out.store(true, Ordering::Release);
            return Err(NoRoom);
        };
        permit.merge(more);
        Ok(())
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

/// A body that takes its room as it comes.
struct Growing {
    body: Body,
    part: Part,
    passed: usize,
    largest: usize,
}

impl HttpBody for Growing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            // what is larger than a body may be is refused when it is read
            self.passed = self.passed.saturating_add(data.len()).min(self.largest);
            if let Err(none) = self.part.hold(self.passed) {
                return Poll::Ready(Some(Err(axum::Error::new(none))));
            }
        }
        Poll::Ready(frame)
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
    use http_body_util::BodyExt;

    use super::*;

    /// A body of pieces, of no announced length.
    struct Pieces(Vec<usize>);

    impl HttpBody for Pieces {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Poll::Ready(self.0.pop().map(|kib| Ok(Frame::data(vec![0; kib << 10].into()))))
        }
    }

    fn pieces(kib: &[usize]) -> Body {
        Body::new(Pieces(kib.to_vec()))
    }

    #[tokio::test]
    async fn what_is_taken_is_given_back_and_no_more_is_given_out() {
        let room = Room::new(100 << 10, 64 << 10);
        let free = || room.free_units();
        let none = HeaderMap::new();
        let (said, body) = room.admit(&none, Body::from(vec![0; 40 << 10])).unwrap();
        assert_eq!(free(), 100, "what is only said keeps nobody out");
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 40 << 10);
        assert_eq!(free(), 60);
        let (grows, body) = room.admit(&none, pieces(&[10, 20])).unwrap();
        assert_eq!(free(), 60, "nothing has come yet");
        assert_eq!(body.collect().await.unwrap().to_bytes().len(), 30 << 10);
        assert_eq!((free(), grows.ran_out()), (30, false));
        assert_eq!(room.admit(&none, Body::from(vec![0; 31 << 10])).err(), Some(NoRoom));
        let mut packed = HeaderMap::new();
        packed.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(room.admit(&packed, Body::from(vec![0; 1 << 20])).is_err(), "it may become as large as any");
        let mut twice = HeaderMap::new();
        twice.append(header::CONTENT_ENCODING, "identity".parse().unwrap());
        twice.append(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(room.admit(&twice, Body::from(vec![0; 1 << 20])).is_err(), "the second counts as well");
        let (late, body) = room.admit(&none, pieces(&[20, 20])).unwrap();
        assert!(body.collect().await.is_err());
        assert!(late.ran_out());
        drop((said, grows, late));
        assert_eq!(free(), 100);
        let (_part, body) = room.admit(&none, Body::from(vec![0; 80 << 10])).unwrap();
        assert!(body.collect().await.is_ok());
        assert_eq!(free(), 36, "no more than a body may have: what is larger is refused when it is read");
    }
}
