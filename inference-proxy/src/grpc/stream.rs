//! `ModelStreamInfer`: many inferences over one call.
//!
//! The choice: a message of a stream is a call of its own. Its bytes are poured, as they come, into the body of a
//! `ModelInfer` that passes the same gate, layers and core as any other, so that each is an observation, every limit holds
//! for it, and a key that ran out is noticed in the middle. Answers come in the order of the questions; what is wrong with
//! one is said in its answer, and the stream goes on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use contract::headers::OBSERVATION_ID;
use http_body_util::BodyExt as _;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::SERVICE;
use super::codec::Plain;
use super::frames::{self, Frames, HEAD_BYTES};
use super::message::{Choice, ModelInferResponse, Parameter};

/// Answers of one stream that may be under way or wait for a client that does not read; then no more is read of it.
const OPEN_MAX: usize = 32;
/// Pieces of a message that are read ahead of who decodes it.
const PIECES_AHEAD: usize = 4;

/// What streams need.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where each message goes: all calls, behind their gate.
    pub calls: Router,
    /// Cancelled once the process was told to stop.
    pub stopping: CancellationToken,
    /// A stream on which nothing comes for so long is ended.
    pub idle_max: Duration,
}

/// The call.
pub fn router(streams: Streams) -> Router {
    Router::new().route(&format!("{SERVICE}ModelStreamInfer"), post(infer)).with_state(Arc::new(streams))
}

async fn infer(State(streams): State<Arc<Streams>>, request: Request) -> Response {
    let (waiting, answers) = mpsc::channel(OPEN_MAX);
    let (said, body) = Frames::channel();
    let (parts, asked) = request.into_parts();
    let asking = Asking { streams, headers: told_on(parts.headers), peer: parts.extensions.get().copied() };
    tokio::spawn(async move {
        let status = asking.read(Cutter { body: asked, rest: Bytes::new() }, &waiting).await;
        let _gone = waiting.send(Next::End(status)).await;
    });
    tokio::spawn(write(answers, said));
    frames::response(body)
}

/// The headers of a stream that each of its calls has too: who asks, in which trace, how messages are compressed. A time
/// limit is the stream's.
fn told_on(mut headers: HeaderMap) -> HeaderMap {
    for whole in [header::CONTENT_LENGTH.as_str(), header::TRANSFER_ENCODING.as_str(), "grpc-timeout"] {
        headers.remove(whole);
    }
    headers
}

/// What is to be said next.
enum Next {
    /// The answer of this call, once it is there; it ends with the stream.
    Answer(AbortOnDropHandle<Bytes>),
    /// How the stream ended.
    End(Status),
}

/// Says answers in the order of their questions, for as long as somebody listens.
async fn write(mut answers: mpsc::Receiver<Next>, said: mpsc::Sender<Result<Bytes, Status>>) {
    while let Some(next) = answers.recv().await {
        let next = match next {
            Next::Answer(answer) => tokio::select! {
                answer = answer => Ok(answer.unwrap_or_else(|_| lost())),
                // what was asked ends with this
                () = said.closed() => return,
            },
            Next::End(status) => Err(status),
        };
        if said.send(next).await.is_err() {
            return;
        }
    }
}

fn lost() -> Bytes {
    StreamAnswer { error_message: "this request was lost".to_owned(), infer_response: None }.framed()
}

/// One side of a stream.
struct Asking {
    streams: Arc<Streams>,
    headers: HeaderMap,
    peer: Option<ConnectInfo<SocketAddr>>,
}

impl Asking {
    /// Asks what comes, until nothing more does; gives the status of the stream.
    async fn read(&self, mut cutter: Cutter, answers: &mpsc::Sender<Next>) -> Status {
        let Streams { stopping, idle_max, calls } = &*self.streams;
        let gone = || Status::cancelled("nobody listens any more");
        loop {
            let Ok(place) = answers.reserve().await else { return gone() };
            let head = tokio::select! {
                head = tokio::time::timeout(*idle_max, cutter.head()) => head,
                () = stopping.cancelled() => return Status::unavailable("the server stops; open another stream"),
                () = answers.closed() => return gone(),
            };
            let head = match head {
                Ok(Ok(Some(head))) => head,
                Ok(Ok(None)) => return Status::ok(""),
                Ok(Err(status)) => return status,
                Err(_) => {
                    let limit = idle_max.as_secs_f64();
                    return Status::deadline_exceeded(format!("nothing came on this stream for {limit} s"));
                }
            };
            let length = frames::length(&head);
            let (into, pieces) = mpsc::channel(PIECES_AHEAD);
            // there is room: it is the first
            let _sent = into.try_send(Ok(head));
            let request = self.request(Body::new(Frames::of(pieces)));
            place.send(Next::Answer(AbortOnDropHandle::new(tokio::spawn(answer(calls.clone(), request)))));
            if let Err(status) = cutter.pour(length, into).await {
                return status;
            }
        }
    }

    fn request(&self, body: Body) -> Request {
        let mut request = Request::new(body);
        *request.method_mut() = axum::http::Method::POST;
        *request.uri_mut() = axum::http::Uri::from_static(super::MODEL_INFER);
        *request.version_mut() = axum::http::Version::HTTP_2;
        request.headers_mut().clone_from(&self.headers);
        request.extensions_mut().insert(Plain);
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(peer);
        }
        request
    }
}

/// A stream's messages, cut out of its body.
struct Cutter {
    body: Body,
    rest: Bytes,
}

impl Cutter {
    /// The head of the next message; `None` at the end.
    async fn head(&mut self) -> Result<Option<Bytes>, Status> {
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
    async fn pour(&mut self, mut left: usize, into: mpsc::Sender<Result<Bytes, Status>>) -> Result<(), Status> {
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

/// `inference.ModelStreamInferResponse`; the answer in it is bytes already.
#[derive(Clone, PartialEq, Message)]
struct StreamAnswer {
    #[prost(string, tag = "1")]
    error_message: String,
    #[prost(bytes = "bytes", optional, tag = "2")]
    infer_response: Option<Bytes>,
}

impl StreamAnswer {
    fn framed(&self) -> Bytes {
        frames::framed(&self.encode_to_vec())
    }
}

/// Asks one call and puts its answer into the stream's words.
async fn answer(calls: Router, request: Request) -> Bytes {
    let response = calls.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (parts, body) = response.into_parts();
    let said = said_of(parts.headers.get(OBSERVATION_ID));
    let Ok(body) = body.collect().await else { return lost() };
    let status = Status::from_header_map(&parts.headers)
        .or_else(|| Status::from_header_map(body.trailers()?))
        .unwrap_or_else(|| Status::internal("the call has no status"));
    let mut message = body.to_bytes();
    let (error_message, answer) = match status.code() {
        Code::Ok if message.len() >= HEAD_BYTES => (String::new(), message.split_off(HEAD_BYTES)),
        Code::Ok => return lost(),
        // an empty one would be no error
        _ if status.message().is_empty() => (status.code().description().to_owned(), Bytes::new()),
        _ => (status.message().to_owned(), Bytes::new()),
    };
    // two messages on end are one with the fields of both
    let infer_response = Some([answer.as_ref(), &said].concat().into());
    StreamAnswer { error_message, infer_response }.framed()
}

/// What is said beside each answer: under which id it is observed, which a call's headers would say, and that nothing more
/// of it comes, as Triton says it.
fn said_of(id: Option<&HeaderValue>) -> Vec<u8> {
    let id = id.and_then(|id| id.to_str().ok()).map(|id| Choice::String(id.to_owned()));
    let parameters: BTreeMap<_, _> = [(FINAL, Some(Choice::Bool(true))), (OBSERVATION_ID, id)]
        .into_iter()
        .filter_map(|(name, choice)| Some((name.to_owned(), Parameter { choice: Some(choice?) })))
        .collect();
    ModelInferResponse { parameters, ..ModelInferResponse::default() }.encode_to_vec()
}

const FINAL: &str = "triton_final_response";

#[cfg(test)]
mod tests {
    use super::*;

    fn cutter(pieces: &[&[u8]]) -> Cutter {
        let (send, pieces_in) = mpsc::channel(64);
        pieces.iter().for_each(|piece| send.try_send(Ok(Bytes::copy_from_slice(piece))).unwrap());
        Cutter { body: Body::new(Frames::of(pieces_in)), rest: Bytes::new() }
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
            let ended = cutter.pour(frames::length(&head), into).await;
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

    /// A call that refuses before it reads: the rest of its message is not the next one's.
    #[tokio::test]
    async fn what_nobody_wants_is_thrown_away() {
        let mut cutter = cutter(&[&[0, 0, 0, 0, 2, b'a', b'b'], &[0, 0, 0, 0, 1, b'c']]);
        let head = cutter.head().await.unwrap().unwrap();
        let (into, poured) = mpsc::channel(1);
        drop(poured);
        cutter.pour(frames::length(&head), into).await.unwrap();
        assert_eq!(cutter.head().await.unwrap().unwrap(), Bytes::from_static(&[0, 0, 0, 0, 1]));
    }
}
