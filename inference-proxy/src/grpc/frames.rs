//! Bodies of messages that come one after another: cut out of what a call that streams is asked with, and put into what it
//! answers with, a status at the end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body::Frame;
use http_body_util::BodyExt as _;
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

/// A stream's messages, cut out of its body.
pub struct Cutter {
    body: Body,
    rest: Bytes,
    idle_max: Duration,
}

impl Cutter {
    /// Of a request's body, for which something else has a limit of time.
    #[must_use]
    pub const fn of(body: Body) -> Self {
        Self::of_stream(body, Duration::MAX)
    }

    /// Of a body on which something comes at least every `idle_max`, be it in the middle of a message.
    #[must_use]
    pub const fn of_stream(body: Body, idle_max: Duration) -> Self {
        Self { body, rest: Bytes::new(), idle_max }
    }

    /// The next message as a whole, not compressed; `None` at the end.
    ///
    /// # Errors
    /// The status for a stream that breaks off, or whose message is compressed or longer than `limit`.
    pub async fn message(&mut self, limit: usize) -> Result<Option<Bytes>, Status> {
        let Some(head) = self.head().await? else { return Ok(None) };
        if head.first() != Some(&0) {
            return Err(Status::unimplemented("the message is compressed; send it as it is"));
        }
        let length = length(&head);
        if length > limit {
            return Err(Status::resource_exhausted(format!("the message is larger than {limit} bytes")));
        }
        let mut message = BytesMut::with_capacity(length);
        while message.len() < length {
            if self.rest.is_empty() && !self.more().await? {
                return Err(broken());
            }
            let piece = self.rest.split_to((length - message.len()).min(self.rest.len()));
            message.extend_from_slice(&piece);
        }
        Ok(Some(message.freeze()))
    }

    /// The head of the next message; `None` at the end.
    ///
    /// # Errors
    /// The status for a stream that breaks off.
    pub async fn head(&mut self) -> Result<Option<Bytes>, Status> {
        let mut head = BytesMut::with_capacity(HEAD_BYTES);
        while head.len() < HEAD_BYTES {
            if self.rest.is_empty() && !self.more().await? {
                return if head.is_empty() { Ok(None) } else { Err(broken()) };
            }
            let piece = self.rest.split_to((HEAD_BYTES - head.len()).min(self.rest.len()));
            head.extend_from_slice(&piece);
        }
        Ok(Some(head.freeze()))
    }

    /// Passes so many bytes on; what is not wanted any more is thrown away, and the next message begins behind it.
    ///
    /// # Errors
    /// The status for a stream that breaks off.
    pub async fn pour(&mut self, mut left: usize, into: mpsc::Sender<Result<Bytes, Status>>) -> Result<(), Status> {
        let mut wanted = true;
        while left > 0 {
            if self.rest.is_empty() && !self.more().await? {
                return Err(broken());
            }
            let piece = self.rest.split_to(left.min(self.rest.len()));
            left -= piece.len();
            wanted = wanted && into.send(Ok(piece)).await.is_ok();
        }
        Ok(())
    }

    async fn more(&mut self) -> Result<bool, Status> {
        let idle_max = self.idle_max;
        tokio::time::timeout(idle_max, self.bytes()).await.unwrap_or_else(|_| {
            let limit = idle_max.as_secs_f64();
            Err(Status::deadline_exceeded(format!("nothing came on this stream for {limit} s")))
        })
    }

    async fn bytes(&mut self) -> Result<bool, Status> {
        loop {
            match self.body.frame().await {
                None => return Ok(false),
                Some(Err(_)) => return Err(broken()),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data()
                        && !data.is_empty()
                    {
                        self.rest = data;
                        return Ok(true);
                    }
                }
            }
        }
    }
}

fn broken() -> Status {
    Status::invalid_argument("the stream broke off inside a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cutter(pieces: &[&[u8]]) -> Cutter {
        let (send, pieces_in) = mpsc::channel(64);
        pieces.iter().for_each(|piece| send.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap());
        Cutter::of(Body::new(Frames::of(pieces_in)))
    }

    /// Every message that a body holds, and how it ended.
    async fn cut(pieces: &[&[u8]]) -> (Vec<Vec<u8>>, Result<(), String>) {
        let mut cutter = cutter(pieces);
        let mut all = Vec::new();
        loop {
            let head = match cutter.head().await {
                Ok(Some(head)) => head,
                Ok(None) => return (all, Ok(())),
                Err(status) => return (all, Err(status.message().to_owned())),
            };
            let (into, mut poured) = mpsc::channel(64);
            let ended = cutter.pour(length(&head), into).await;
            let mut message = Vec::new();
            while let Some(Ok(piece)) = poured.recv().await {
                message.extend_from_slice(&piece);
            }
            all.push(message);
            if let Err(status) = ended {
                return (all, Err(status.message().to_owned()));
            }
        }
    }

    #[tokio::test]
    async fn messages_are_found_however_the_network_cut_them() {
        let whole = [0, 0, 0, 0, 3, b'a', b'b', b'c', 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, b'z'];
        let expected = [b"abc".to_vec(), vec![], b"z".to_vec()];
        for size in 1..=whole.len() {
            let pieces: Vec<&[u8]> = whole.chunks(size).collect();
            assert_eq!(cut(&pieces).await, (expected.to_vec(), Ok(())), "pieces of {size}");
        }
        for end in [2, 6] {
            let (_, ended) = cut(&[&whole[..end]]).await;
            assert!(ended.unwrap_err().contains("broke off inside a message"), "{end}");
        }
    }

    #[tokio::test]
    async fn a_message_is_taken_whole_or_refused() {
        let mut two = cutter(&[&[0, 0, 0, 0, 2, b'a'], b"b", &[0, 0, 0, 0, 0]]);
        assert_eq!(two.message(2).await.unwrap().unwrap(), "ab");
        assert_eq!(two.message(2).await.unwrap().unwrap(), "");
        assert!(two.message(2).await.unwrap().is_none());
        for (bytes, part) in
            [(&[0, 0, 0, 0, 3][..], "larger than 2"), (&[1, 0, 0, 0, 0], "compressed"), (&[0, 0, 0, 0, 1], "broke off")]
        {
            assert!(cutter(&[bytes]).message(2).await.unwrap_err().message().contains(part), "{part}");
        }
    }

    /// A call that refuses before it reads: the rest of its message is not the next one's.
    #[tokio::test]
    async fn what_nobody_wants_is_thrown_away() {
        let mut cutter = cutter(&[&[0, 0, 0, 0, 2, b'a', b'b'], &[0, 0, 0, 0, 1, b'c']]);
        let head = cutter.head().await.unwrap().unwrap();
        let (into, poured) = mpsc::channel(1);
        drop(poured);
        cutter.pour(length(&head), into).await.unwrap();
        assert_eq!(cutter.head().await.unwrap().unwrap(), Bytes::from_static(&[0, 0, 0, 0, 1]));
    }
}
