//! Requests that are answered before they are read.
//!
//! A refusal (413, 429, 503) often comes while the client is still sending. A server that then closes the connection
//! makes the kernel send a reset, and the reset can overtake the answer: the client sees "connection reset" and never
//! learns why. So what is left of a body is read and thrown away for a while after the answer, as nginx does with
//! `lingering_close` (<https://nginx.org/en/docs/http/ngx_http_core_module.html#lingering_close>).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;

/// How long the rest of a body is thrown away before the connection is closed after all.
const LINGER: Duration = Duration::from_secs(5);

/// Gives the request a body whose unread rest is thrown away when a handler drops it.
pub(crate) async fn linger(request: Request) -> Request {
    // who asks before sending (RFC 9110, 10.1.1) has not sent: reading would ask for what nobody wants
    let sends_when_asked = request.headers().contains_key(header::EXPECT);
    request.map(|body| {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Lingering { body, coming: !sends_when_asked })
    })
}

struct Lingering {
    body: Body,
    /// Whether bytes of it may be on their way to us.
    coming: bool,
}

impl HttpBody for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.coming = !matches!(polled, Poll::Ready(None | Some(Err(_))));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lingering {
    fn drop(&mut self) {
        if !self.coming || self.body.is_end_stream() {
            return;
        }
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let mut rest = std::mem::take(&mut self.body);
        runtime.spawn(tokio::time::timeout(LINGER, async move { while let Some(Ok(_)) = rest.frame().await {} }));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{SocketAddr, TcpStream};

    use axum::Router;
    use axum::http::StatusCode;
    use axum::routing::post;
    use tokio_util::sync::CancellationToken;

    use super::*;

    async fn refuses_everything() -> SocketAddr {
        let router = Router::new().route("/", post(async || (StatusCode::PAYLOAD_TOO_LARGE, "too large")));
        let listener = crate::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(crate::serve::run(listener, router, CancellationToken::new(), Duration::ZERO));
        address
    }

    /// Sends all of it before it reads a byte, as many clients do; what it then reads.
    fn send_then_read(address: SocketAddr, head: &str, body: &[u8]) -> std::io::Result<String> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(20)))?;
        write!(connection, "POST / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n{head}\r\n")?;
        connection.write_all(body)?;
        let mut answer = String::new();
        connection.read_to_string(&mut answer)?;
        Ok(answer)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_is_refused_while_it_sends_reads_the_refusal() {
        let address = refuses_everything().await;
        let body = vec![b'x'; 64 << 20];
        for _ in 0..5 {
            let body = body.clone();
            let sent = tokio::task::spawn_blocking(move || {
                send_then_read(address, &format!("content-length: {}\r\n", body.len()), &body)
            });
            let answer = sent.await.unwrap().expect("no reset before the answer");
            assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_asks_first_is_not_told_to_go_on() {
        let address = refuses_everything().await;
        let head = "content-length: 1000000\r\nexpect: 100-continue\r\n";
        let answer = tokio::task::spawn_blocking(move || send_then_read(address, head, b"")).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}
