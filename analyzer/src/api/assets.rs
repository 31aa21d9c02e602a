//! Static files that somebody else made: served by path, with an entity tag, without knowing what they are.

use std::{collections::HashMap, convert::Infallible, sync::Arc};

use axum::{
    body::Body,
    extract::Request,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use sha2::{Digest, Sha256};
use tower::Service;

/// A file of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Its path; the file `index.html` is also found at `/`.
    pub path: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Its contents.
    pub bytes: &'static [u8],
    /// Its own `Content-Security-Policy`; without one the API's holds.
    pub policy: Option<&'static str>,
}

struct Tagged {
    asset: Asset,
    etag: HeaderValue,
}

/// Answers every path that no route takes.
pub(super) fn service(
    files: Vec<Asset>,
) -> impl Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + Sync + 'static {
    let files: Arc<HashMap<String, Tagged>> = Arc::new(files.into_iter().map(tagged).collect());
    tower::service_fn(move |request: Request| {
        let answer = answer(&files, &request);
        std::future::ready(Ok(answer))
    })
}

fn tagged(asset: Asset) -> (String, Tagged) {
    // Weak, since the compression layer may change the bytes.
    let tag = format!("W/\"{}\"", &hex::encode(Sha256::digest(asset.bytes))[..32]);
    let etag = HeaderValue::from_str(&tag).unwrap_or_else(|_| HeaderValue::from_static("W/\"\""));
    (asset.path.trim_start_matches('/').to_owned(), Tagged { asset, etag })
}

fn answer(files: &HashMap<String, Tagged>, request: &Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    let file = if path.is_empty() { files.get("index.html").or_else(|| files.get("")) } else { files.get(path) };
    let Some(Tagged { asset, etag }) = file else {
        let what = format!("there is nothing at /{path}");
        return (StatusCode::NOT_FOUND, axum::Json(serde_json::json!({ "error": what }))).into_response();
    };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")]).into_response();
    }
    let fixed = [(header::ETAG, etag.clone()), (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))];
    let mut headers = HeaderMap::from_iter(fixed);
    // With a 304 too: a browser takes its headers over those that it kept.
    let policy = asset.policy.map(HeaderValue::from_static);
    headers.extend(policy.map(|policy| (header::CONTENT_SECURITY_POLICY, policy)));
    if known(request, etag) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    let body = if request.method() == Method::HEAD { Body::empty() } else { Body::from(asset.bytes) };
    (headers, [(header::CONTENT_TYPE, asset.content_type)], body).into_response()
}

fn known(request: &Request, etag: &HeaderValue) -> bool {
    let given = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mine = etag.to_str().unwrap_or_default();
    given.split(',').map(str::trim).any(|tag| tag == mine || tag == "*")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Asset = Asset {
        path: "/index.html",
        content_type: "text/html; charset=utf-8",
        bytes: b"<p>hello</p>",
        policy: Some("default-src 'none'"),
    };

    async fn ask(method: Method, path: &str, etag: Option<&str>) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(etag) = etag {
            request = request.header(header::IF_NONE_MATCH, etag);
        }
        service(vec![PAGE]).call(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn a_file_is_sent_once() {
        let first = ask(Method::GET, "/", None).await;
        assert_eq!(first.status(), StatusCode::OK);
        assert_eq!(first.headers()[header::CONTENT_TYPE], PAGE.content_type);
        assert_eq!(first.headers()[header::CONTENT_SECURITY_POLICY], "default-src 'none'");
        let etag = first.headers()[header::ETAG].to_str().unwrap().to_owned();
        let again = ask(Method::GET, "/index.html", Some(&etag)).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        // without it the policy of the API would be put in, and the page would not run when it is loaded again
        assert_eq!(again.headers()[header::CONTENT_SECURITY_POLICY], "default-src 'none'");
        assert_eq!(ask(Method::GET, "/", Some("\"other\"")).await.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn what_is_not_there_is_not_found() {
        assert_eq!(ask(Method::GET, "/../etc/passwd", None).await.status(), StatusCode::NOT_FOUND);
        assert_eq!(ask(Method::POST, "/", None).await.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
