//! One connection, from the handshake to its last answer.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use std::io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

use crate::gate::Gate;

/// More connections than there may be.
pub(crate) const TOO_MANY: &str = "too_many";
/// The TLS handshake failed or took too long.
pub(crate) const HANDSHAKE: &str = "handshake";
/// The request head took too long.
pub(crate) const SLOW_HEAD: &str = "slow_head";
/// The request head is too large, or is none.
pub(crate) const BAD_HEAD: &str = "bad_head";

/// What the connections of a listener share.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) gate: Gate,
    pub(crate) router: Router,
    /// Cancelled when open requests may finish and no new one begins.
    pub(crate) stop: CancellationToken,
    /// Cancelled when nothing may go on.
    pub(crate) cut_off: CancellationToken,
}

impl Connection {
    fn refuse(&self, reason: &str) {
        self.gate.counted().connections_refused.with_label_values(&[reason]).inc();
    }
}

/// Serves a connection until it ends or is cut off.
pub(crate) async fn run(connection: Connection, stream: TcpStream, peer: SocketAddr) {
    let open = connection.gate.counted().connections.with_label_values(&[] as &[&str]);
    open.inc();
    // small answers leave at once
    let _ = stream.set_nodelay(true);
    let served = async {
        let Some(tls) = connection.gate.tls() else {
            return http(&connection, stream, peer).await;
        };
        let limit = connection.gate.config().header_timeout;
        match tokio::time::timeout(limit, TlsAcceptor::from(tls).accept(stream)).await {
            Ok(Ok(stream)) => http(&connection, stream, peer).await,
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "the TLS handshake failed");
                connection.refuse(HANDSHAKE);
            }
            Err(_) => connection.refuse(HANDSHAKE),
        }
    };
    tokio::select! {
        () = served => {}
        () = connection.cut_off.cancelled() => {}
    }
    open.dec();
}

async fn http<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static>(connection: &Connection, io: Io, peer: SocketAddr) {
    let head = Head::default();
    let io = Watched::new(io, head.clone(), connection.gate.config().header_timeout);
    let router = connection.router.clone();
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().call(request)
    });
    let builder = builder(&connection.gate);
    let mut served = pin!(builder.serve_connection(TokioIo::new(io), TowerToHyperService::new(service)));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = connection.stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Some(reason) = ended.err().and_then(|error| head.reason(error.as_ref())) {
        connection.refuse(reason);
    }
}

fn builder(gate: &Gate) -> Builder<TokioExecutor> {
    let config = gate.config();
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_headers(config.max_headers)
        .max_buf_size(config.max_header_bytes);
    let header_list = u32::try_from(config.max_header_bytes).unwrap_or(u32::MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        // a silent HTTP/2 connection is asked whether it lives, as HTTP/1.1's is closed
        .keep_alive_interval(config.header_timeout)
        .max_header_list_size(header_list);
    builder
}

/// What is known of the head that a client sends.
#[derive(Clone, Debug, Default)]
struct Head(Arc<HeadState>);

#[derive(Debug, Default)]
struct HeadState {
    /// Bytes came and nothing was answered since.
    begun: AtomicBool,
    /// The first bytes took too long.
    late: AtomicBool,
}

impl Head {
    /// Why a connection ended badly, where that was the client's head. An idle connection that is closed is nothing.
    fn reason(&self, error: &(dyn std::error::Error + 'static)) -> Option<&'static str> {
        if self.0.late.load(Ordering::Relaxed) {
            return Some(SLOW_HEAD);
        }
        let begun = self.0.begun.load(Ordering::Relaxed);
        let error = error.downcast_ref::<hyper::Error>()?;
        match error {
            error if error.is_timeout() => begun.then_some(SLOW_HEAD),
            error if error.is_parse() => Some(BAD_HEAD),
            _ => None,
        }
    }
}

/// Every HTTP/2 connection begins so.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose first bytes must tell HTTP/1.1 from HTTP/2 in time: hyper's own clock for the head starts after that.
struct Watched<Io> {
    io: Io,
    head: Head,
    /// Bytes so far that might begin HTTP/2's preface, and the time for them; none once it is clear.
    first: Option<(usize, Pin<Box<Sleep>>)>,
    /// The time for the next bytes to go out, while the client takes none.
    stalled: Option<Pin<Box<Sleep>>>,
    limit: Duration,
}

impl<Io> Watched<Io> {
    fn new(io: Io, head: Head, limit: Duration) -> Self {
        Self { io, head, first: Some((0, Box::pin(tokio::time::sleep(limit)))), stalled: None, limit }
    }

    /// A client that asks and does not read holds its connection, and its answers, no longer than one that does not ask.
    fn in_time<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn came(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.head.0.begun.store(true, Ordering::Relaxed);
        if let Some((seen, _)) = &mut self.first {
            let expected = &PREFACE[*seen..];
            let n = bytes.len().min(expected.len());
            *seen += n;
            if bytes[..n] != expected[..n] || *seen == PREFACE.len() {
                self.first = None;
            }
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Watched<Io> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(context, into);
        if polled.is_ready() {
            self.came(&into.filled()[before..]);
            return polled;
        }
        if let Some((_, limit)) = &mut self.first
            && limit.as_mut().poll(context).is_ready()
        {
            self.head.0.late.store(true, Ordering::Relaxed);
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Watched<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.head.0.begun.store(false, Ordering::Relaxed);
        let polled = Pin::new(&mut self.io).poll_write(context, bytes);
        self.in_time(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.head.0.begun.store(false, Ordering::Relaxed);
        let polled = Pin::new(&mut self.io).poll_write_vectored(context, parts);
        self.in_time(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(context);
        self.in_time(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
