//! The way of a request, one layer a line, one reason a layer. Read this file first.
//!
//! Outside in: watched, unpanicked, timed, admitted, handled. The order is the point: whatever an inner layer does
//! with a request (refuse it, time it out, die on it) the outermost sees it and makes it an observation.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use host::auth::Scope;
use host::edge::{self, Readiness};
use host::gate::Need;
use host::metrics::Registry;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use crate::error::ApiError;
use crate::grpc::status::patience;
use crate::handle::{self, Deadline, Edge, Named};
use crate::model::Whose;
use crate::observe::stream::Held;
use crate::observe::{Arrived, Notes, Route, watch};
use crate::waiting::Waiting;
use crate::{admin, offload, oip, openapi, overview, page, predict};

/// All routes of the proxy.
pub fn router(edge: Arc<Edge>, registry: &Registry, readiness: &Readiness) -> Router {
    let observed = Router::new()
        .merge(inference(&edge, Route::Predict, "/v1/models/{model}/predict", post(predict::predict)))
        .merge(inference(&edge, Route::Infer, "/v2/models/{model}/infer", post(oip::infer)))
        .merge(inference(&edge, Route::Infer, "/v2/models/{model}/versions/{version}/infer", post(oip::infer)));
    let unobserved = Router::new()
        .route("/openapi.json", get(async || openapi::DOCUMENT.serve()))
        .route("/v1/models", get(overview::models))
        .route("/v2", get(oip::info::server))
        .route("/v2/health/live", get(oip::info::live))
        .route("/v2/health/ready", get(oip::info::ready))
        .route("/v2/models/{model}", get(oip::info::model))
        .route("/v2/models/{model}/versions/{version}", get(oip::info::model))
        .route("/v2/models/{model}/config", get(oip::settings::config))
        .route("/v2/models/{model}/versions/{version}/config", get(oip::settings::config))
        .route("/v2/models/stats", get(oip::statistics::all))
        .route("/v2/models/{model}/stats", get(oip::statistics::model))
        .route("/v2/models/{model}/versions/{version}/stats", get(oip::statistics::model))
        .route("/v2/models/{model}/ready", get(oip::info::model_ready))
        .route("/v2/models/{model}/versions/{version}/ready", get(oip::info::model_ready))
        .route("/v2/repository/index", post(oip::repository::index));
    // whatever changes what is served
    let operators = admin::router();
    let scrape = from_fn_with_state(Scrape::new(&edge), settle_accounts);
    observed
        .merge(unobserved)
        .merge(operators)
        .merge(page::router())
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::no_method(request.method().as_str(), request.uri().path())
        })
        .fallback(async |request: Request| ApiError::no_path(request.uri().path()))
        .with_state(edge)
        .layer(CatchPanicLayer::custom(ApiError::panicked))
        .merge(edge::operations(registry, readiness).layer(scrape))
}

/// What a request needs. Whatever is not named here is read with GET and changed with anything else, so that a new route
/// is closed to those who may only infer, and a new way to change something to those who may only read.
pub fn need(method: &Method, path: &str) -> Need {
    let last = path.rsplit('/').next().unwrap_or_default();
    if let Some(need) = Need::of_operations(path) {
        return need;
    }
    match path {
        "/v2/health/live" | "/v2/health/ready" | "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => {
            Need::Nothing
        }
        "/v2/repository/index" => Need::Scope(Scope::Read),
        _ if path.starts_with("/grpc.reflection.") => Need::Scope(Scope::Read),
        _ if path.starts_with("/inference.GRPCInferenceService/") => match last {
            "ServerLive" | "ServerReady" => Need::Nothing,
            "ModelInfer" | "ModelStreamInfer" => Need::Scope(Scope::Infer),
            "RepositoryModelLoad" | "RepositoryModelUnload" => Need::Scope(Scope::Admin),
            _ => Need::Scope(Scope::Read),
        },
        _ if method.is_safe() => Need::Scope(Scope::Read),
        _ if path.contains("/models/") && matches!(last, "infer" | "predict") && !path.contains("/repository/") => {
            Need::Scope(Scope::Infer)
        }
        _ => Need::Scope(Scope::Admin),
    }
}

/// A route whose every request ends as one observation.
pub(crate) fn inference(
    edge: &Arc<Edge>,
    route: Route,
    path: &str,
    handler: MethodRouter<Arc<Edge>>,
) -> Router<Arc<Edge>> {
    let layers = ServiceBuilder::new()
        // an observation for every request that got this far, however it ends, also if the client goes away
        .layer(from_fn_with_state((Arc::clone(&edge.observer), route), watch))
        // a panic below is an answer (500) with an observation, not a dropped connection
        .layer(CatchPanicLayer::custom(ApiError::panicked))
        // one clock for reading, queueing and running: a slow body cannot hold a place for ever
        .layer(from_fn_with_state(Arc::clone(edge), in_time))
        // a bound on open requests and on the bytes of their bodies together; beyond either 429 at once
        .layer(from_fn_with_state(Arc::clone(edge), admit));
    Router::new().route(path, handler.layer(layers))
}

async fn in_time(State(edge): State<Arc<Edge>>, mut request: Request, next: Next) -> Response {
    let arrived = request.extensions().get::<Arrived>().map_or_else(std::time::Instant::now, |arrived| arrived.0);
    // a client's own limit shortens ours and never lengthens it
    let own = patience(request.headers()).filter(|own| *own < edge.request_timeout);
    let limit = own.unwrap_or(edge.request_timeout);
    let body = Waiting::default();
    let deadline = Deadline { at: arrived + limit, limit, own: own.is_some(), body: body.clone() };
    request.extensions_mut().insert(deadline.clone());
    let request = request.map(|awaited| body.watch(awaited));
    match tokio::time::timeout_at(deadline.at.into(), next.run(request)).await {
        Ok(response) => response,
        Err(_) if body.goes_on() => ApiError::slow_body(limit).into_response(),
        Err(_) => match deadline.whose() {
            Whose::Server => ApiError::timeout(limit).into_response(),
            whose => ApiError::from(whose.passed()).into_response(),
        },
    }
}

async fn admit(
    State(edge): State<Arc<Edge>>,
    named: Result<Named, ApiError>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(place) = Arc::clone(&edge.admission).try_acquire_owned() else {
        // when the model's queue will have drained, by what its runs cost
        // (gRPC names the model in a body that is not read yet)
        let version = named.ok().and_then(|named| handle::lookup(&edge.catalog, &named).ok());
        let wait = version.map_or(std::time::Duration::from_secs(1), |version| version.time_to_drain());
        return ApiError::overloaded(edge.max_concurrent_requests, wait).into_response();
    };
    if let Some(notes) = request.extensions().get::<Notes>() {
        notes.admitted();
    }
    let (parts, body) = request.into_parts();
    let Ok((room, body)) = edge.room.admit(&parts.headers, body) else {
        return ApiError::bodies_open(edge.max_open_body_bytes).into_response();
    };
    let held = Held(Arc::new((place, room.clone())));
    // work on other threads keeps the place too, which a client that leaves cannot stop
    let answering = next.run(Request::from_parts(parts, body));
    let mut response = offload::within(held.clone(), &edge.turns, answering).await;
    if room.ran_out() {
        // whatever the reader made of a body that broke off
        response = ApiError::bodies_open(edge.max_open_body_bytes).into_response();
    }
    // an answer keeps the place until it is taken
    response.extensions_mut().insert(held);
    response
}

/// A scrape's view of the mirror.
#[derive(Clone)]
struct Scrape {
    edge: Arc<Edge>,
    one_at_a_time: Arc<tokio::sync::Mutex<()>>,
}

impl Scrape {
    fn new(edge: &Arc<Edge>) -> Self {
        Self { edge: Arc::clone(edge), one_at_a_time: Arc::default() }
    }
}

/// Brings the mirror's families up to one snapshot of its account and keeps them there until they are rendered, so
/// that the ledger balances to the last observation in every scrape. What else is cheap to look at is looked at then.
async fn settle_accounts(State(scrape): State<Scrape>, request: Request, next: Next) -> Response {
    let _held = scrape.one_at_a_time.lock().await;
    if let Some(mirror) = &scrape.edge.observer.mirror {
        mirror.publish();
    }
    if let Some(cache) = &scrape.edge.cache {
        cache.publish();
    }
    next.run(request).await
}

#[cfg(test)]
pub(crate) mod tests;
