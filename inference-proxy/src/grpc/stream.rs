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
use bytes::Bytes;
use contract::headers::OBSERVATION_ID;
use host::gate::Gate;
use http_body_util::BodyExt as _;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::codec::Plain;
use super::frames::{self, Cutter, Frames, HEAD_BYTES};
use super::message::{Choice, ModelInferResponse, Parameter};
use super::reflection;
use crate::observe::stream::Held;

/// The call.
const MODEL_STREAM_INFER: &str = "/inference.GRPCInferenceService/ModelStreamInfer";
/// Answers of one stream that may be under way or wait for a client that does not read; then no more is read of it.
const OPEN_MAX: usize = 32;
/// Pieces of a message that are read ahead of who decodes it.
const PIECES_AHEAD: usize = 4;
/// Share of the drain after which what has begun ends: before the connection is cut off, so that it is answered and observed.
const DRAIN_SHARE: f64 = 0.9;

/// What streams need.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Where each message goes: all calls, behind their gate.
    pub calls: Router,
    /// Cancelled once the process was told to stop.
    pub stopping: CancellationToken,
    /// A stream on which nothing comes for so long is closed, and one whose answers are not read for so long.
    pub idle_max: Duration,
    /// The rest of a message that has begun may take so long once the process was told to stop.
    pub drain: Duration,
    /// Counts the streams that are closed, and logs them.
    pub gate: Gate,
}

/// Reason of a stream on which nothing comes.
const IDLE: &str = "idle_stream";
/// Reason of a stream whose answers nobody reads.
const UNREAD: &str = "unread_stream";

impl Streams {
    /// Counts a stream that ended because nothing came on it.
    pub(super) fn ended(&self, status: &Status, about: &About) {
        if status.code() == Code::DeadlineExceeded {
            self.gate.count_closed(IDLE, about.path, about.peer());
        }
    }

    /// Counts a stream that ended because nobody read what it was told.
    pub(super) fn unread(&self, about: &About) {
        self.gate.count_closed(UNREAD, about.path, about.peer());
    }

    /// Comes when the process was told to stop and what had begun has had its time.
    async fn drained(&self) {
        self.stopping.cancelled().await;
        tokio::time::sleep(self.drain.mul_f64(DRAIN_SHARE)).await;
    }
}

/// What the log says of a stream: its call, and from where it came.
#[derive(Clone, Copy, Debug)]
pub(super) struct About {
    path: &'static str,
    peer: Option<ConnectInfo<SocketAddr>>,
}

impl About {
    pub(super) fn new(path: &'static str, request: &Request) -> Self {
        Self { path, peer: request.extensions().get().copied() }
    }

    fn peer(&self) -> Option<SocketAddr> {
        self.peer.map(|peer| peer.0)
    }
}

/// The calls that take a stream.
pub fn router(streams: Streams) -> Router {
    streams.gate.expect_refusals(&[IDLE, UNREAD]);
    Router::new().merge(reflection::router()).route(MODEL_STREAM_INFER, post(infer)).with_state(Arc::new(streams))
}

async fn infer(State(streams): State<Arc<Streams>>, request: Request) -> Response {
    let about = About::new(MODEL_STREAM_INFER, &request);
    let (waiting, answers) = mpsc::channel(OPEN_MAX);
    let (said, body) = Frames::channel();
    let (parts, asked) = request.into_parts();
    tokio::spawn(write(Arc::clone(&streams), about, answers, said));
    let asking = Asking { streams, headers: told_on(parts.headers), peer: about.peer };
    tokio::spawn(async move {
        let status = asking.read(Cutter::of_stream(asked, asking.streams.idle_max), &waiting).await;
        asking.streams.ended(&status, &about);
        let _gone = waiting.send(Next::End(status)).await;
    });
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
    Answer(AbortOnDropHandle<Answer>),
    /// How the stream ended.
    End(Status),
}

/// An answer in its frame.
struct Answer {
    message: Bytes,
    /// The call's place among the open ones: while its answer waits it is open.
    held: Option<Held>,
}

/// Says answers in the order of their questions, for as long as somebody listens.
async fn write(
    streams: Arc<Streams>,
    about: About,
    mut answers: mpsc::Receiver<Next>,
    said: mpsc::Sender<Result<Bytes, Status>>,
) {
    while let Some(next) = answers.recv().await {
        let (next, held) = match next {
            Next::Answer(answer) => tokio::select! {
                answer = answer => answer.map_or_else(|_| (Ok(lost()), None), |answer| (Ok(answer.message), answer.held)),
                // what was asked ends with this
                () = said.closed() => return,
            },
            Next::End(status) => (Err(status), None),
        };
        // who does not read for so long keeps nothing here any longer
        let place = match tokio::time::timeout(streams.idle_max, said.reserve()).await {
            Ok(Ok(place)) => place,
            Ok(Err(_gone)) => return,
            Err(_) => return streams.unread(&about),
        };
        // a client that has read it may ask again
        drop(held);
        place.send(next);
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
        let Streams { stopping, calls, .. } = &*self.streams;
        let gone = || Status::cancelled("nobody listens any more");
        let stops = || Status::unavailable("the server stops; open another stream");
        loop {
            let Ok(place) = answers.reserve().await else { return gone() };
            let head = tokio::select! {
                head = cutter.head() => head,
                () = stopping.cancelled() => return stops(),
                () = answers.closed() => return gone(),
            };
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            };
            let length = frames::length(&head);
            let (into, pieces) = mpsc::channel(PIECES_AHEAD);
            // there is room: it is the first
            let _sent = into.try_send(Ok(head));
            let request = self.request(Body::new(Frames::of(pieces)));
            place.send(Next::Answer(AbortOnDropHandle::new(tokio::spawn(answer(calls.clone(), request)))));
            // also while the server stops: what has begun is answered, if it ends in time
            let poured = tokio::select! {
                poured = cutter.pour(length, into) => poured,
                () = answers.closed() => return gone(),
                () = self.streams.drained() => return stops(),
            };
            if let Err(status) = poured {
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
async fn answer(calls: Router, request: Request) -> Answer {
    let response = calls.oneshot(request).await.unwrap_or_else(|never| match never {});
    let (mut parts, body) = response.into_parts();
    let held = parts.extensions.remove::<Held>();
    Answer { message: message(&parts.headers, body).await, held }
}

async fn message(headers: &HeaderMap, body: Body) -> Bytes {
    let said = said_of(headers.get(OBSERVATION_ID));
    let Ok(body) = body.collect().await else { return lost() };
    let status = Status::from_header_map(headers)
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
