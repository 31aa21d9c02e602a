//! A body of messages that come one after another, and its status at the end: what a call that streams answers with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

/// Before each message: whether it is compressed, and its length
/// (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
pub const HEAD_BYTES: usize = 5;

/// Bytes of the message behind a head.
#[must_use]
pub fn length(head: &[u8]) -> usize {
    let length = head.get(1..HEAD_BYTES).and_then(|length| length.try_into().ok()).map_or(0, u32::from_be_bytes);
    usize::try_from(length).unwrap_or(usize::MAX)
}

/// A message in its frame, not compressed.
#[must_use]
pub fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0][..], &length, message].concat().into()
}

/// A body out of a channel.
pub struct Frames {
    coming: mpsc::Receiver<Result<Bytes, Status>>,
    /// Whether it ends with a status, and has not yet.
    owes_status: bool,
}

impl Frames {
    /// An answer's body and what fills it: frames, and at last a status. Where none is said the stream broke off.
    #[must_use]
    pub fn channel() -> (mpsc::Sender<Result<Bytes, Status>>, Self) {
        let (said, coming) = mpsc::channel(1);
        (said, Self { coming, owes_status: true })
    }

    /// A request's body: it ends with its last piece.
    #[must_use]
    pub const fn of(coming: mpsc::Receiver<Result<Bytes, Status>>) -> Self {
        Self { coming, owes_status: false }
    }
}

impl HttpBody for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let ended = match ready!(self.coming.poll_recv(cx)) {
            Some(Ok(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Some(Err(status)) => status,
            None => Status::internal("the stream broke off"),
        };
        if !std::mem::take(&mut self.owes_status) {
            return Poll::Ready(None);
        }
        self.coming.close();
        let mut trailers = HeaderMap::new();
        // a sentence that is no header is left out, and the code is said
        let _said = ended.add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }
}

/// An answer that streams.
#[must_use]
pub fn response(body: Frames) -> Response {
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}
