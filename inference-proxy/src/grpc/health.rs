//! `grpc.health.v1.Health`: what `/health/ready` says, asked once or watched
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use host::edge::Readiness;
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::codec;
use super::frames::{self, Cutter, Frames};
use super::{MAX_QUESTION_BYTES, SERVICE, ask};
use crate::error::ApiError;

/// What is told.
#[derive(Clone, Debug)]
pub struct Health {
    /// As `/health/ready`: not while models load.
    pub readiness: Readiness,
    /// Cancelled once the process was told to stop.
    pub stopping: CancellationToken,
}

/// Both calls.
pub fn router<S: Clone + Send + Sync + 'static>(health: &Health) -> Router<S> {
    let (asked, watched) = (health.clone(), health.clone());
    Router::new()
        .route("/grpc.health.v1.Health/Check", post(move |request| check(asked, request)))
        .route("/grpc.health.v1.Health/Watch", post(move |request| watch(watched, request)))
}

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

const SERVING: HealthResponse = HealthResponse { status: 1 };
const NOT_SERVING: HealthResponse = HealthResponse { status: 2 };
const SERVICE_UNKNOWN: HealthResponse = HealthResponse { status: 3 };

impl Health {
    fn now(&self) -> HealthResponse {
        if self.readiness.get() && !self.stopping.is_cancelled() { SERVING } else { NOT_SERVING }
    }
}

/// Whether a name is ours; the empty one is the server.
fn is_ours(service: &str) -> bool {
    service.is_empty() || service == SERVICE.trim_matches('/')
}

async fn check(health: Health, request: Request) -> Result<Response, ApiError> {
    ask(
        request,
        async |HealthRequest { service }| {
            if is_ours(&service) { Ok(health.now()) } else { Err(ApiError::no_path(&service)) }
        },
    )
    .await
}

/// Says it at once and whenever it changes, until the client has heard enough or the server stops. Of a service that is
/// not here it says that, and goes on in case it comes, as the protocol has it.
async fn watch(health: Health, request: Request) -> Result<Response, ApiError> {
    let unread = |what: String| ApiError::invalid("bad_message", format!("the message cannot be read: {what}"));
    let message = Cutter::of(request.into_body()).message(MAX_QUESTION_BYTES).await;
    let message = message.map_err(|status| unread(status.message().to_owned()))?;
    let message = message.ok_or_else(|| unread("there is none".to_owned()))?;
    let HealthRequest { service } = codec::decode(message).map_err(unread)?;
    let (said, frames) = Frames::channel();
    tokio::spawn(tell(health, is_ours(&service), said));
    Ok(frames::response(frames).map(Body::new))
}

async fn tell(health: Health, ours: bool, said: mpsc::Sender<Result<Bytes, Status>>) {
    let mut turns = health.readiness.turns();
    let mut last = None;
    loop {
        turns.mark_unchanged();
        let status = if ours { health.now() } else { SERVICE_UNKNOWN };
        let news = last.replace(status) != Some(status);
        if news && said.send(Ok(frames::framed(&status.encode_to_vec()))).await.is_err() {
            return;
        }
        if health.stopping.is_cancelled() {
            let _heard = said.send(Err(Status::unavailable("the server stops"))).await;
            return;
        }
        tokio::select! {
            turned = turns.changed() => if turned.is_err() { return },
            () = health.stopping.cancelled() => {}
            () = said.closed() => return,
        }
    }
}
