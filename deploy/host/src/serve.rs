//! A listener and the loop that serves it until told to stop.
//!
//! The loop is our own rather than axum's, for what axum leaves out: a bound on connections, a time for the request
//! head, TLS with certificates that change, HTTP/2 beside HTTP/1.1, and an end to connections that outlive the drain.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_request;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection::{self, Connection};
use crate::gate::Gate;
use crate::linger::linger;

/// Binds an address; port 0 takes a free one, which `local_addr()` of the listener tells.
///
/// # Errors
/// With the address in the sentence.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}; is the port in use?"))
    })
}

/// Serves behind an open gate, as [`serve`].
///
/// # Errors
/// Where the listener fails.
pub async fn run(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    serve(listener, router, &Gate::open(), shutdown, drain).await
}

/// Serves until `shutdown`, then stops accepting and waits up to `drain` for open requests; what is open after that is
/// cut off. The router has been guarded by the same gate, whose TLS and limits of connections hold here.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    gate: &Gate,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let open = TaskTracker::new();
    let cut_off = CancellationToken::new();
    let _cut_off_when_dropped = cut_off.clone().drop_guard();
    let connection = Connection {
        gate: gate.clone(),
        router: router.layer(map_request(linger)),
        stop: shutdown.clone(),
        cut_off: cut_off.clone(),
    };
    tokio::select! {
        () = accept(&listener, connection, &open) => {}
        () = gate.keep_up() => {}
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(drain, open.wait()).await.is_err() {
        tracing::warn!(seconds = drain.as_secs_f64(), "requests were still open at the end of the drain limit");
        cut_off.cancel();
        open.wait().await;
    }
    Ok(())
}

/// Takes connections for ever.
async fn accept(listener: &TcpListener, connection: Connection, open: &TaskTracker) {
    let places = Arc::new(Semaphore::new(connection.gate.config().max_connections));
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                wait_after(&error).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            turn_away(&stream, &connection.gate);
            continue;
        };
        let connection = connection.clone();
        open.spawn(async move {
            connection::run(connection, stream, peer).await;
            drop(place);
        });
    }
}

/// A client that went away is nothing; a process without file descriptors must not spin.
async fn wait_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset) {
        tracing::error!(%error, "no connection can be taken");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Says why to whoever speaks plain HTTP, as far as that goes without waiting.
fn turn_away(stream: &TcpStream, gate: &Gate) {
    gate.counted().connections_refused.with_label_values(&[connection::TOO_MANY]).inc();
    if gate.tls().is_none() {
        let body = r#"{"error":"too many connections are open; try again in a second"}"#;
        let head = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close";
        let answer =
            format!("{head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let _ = stream.try_write(answer.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;

    async fn start(
        router: Router,
        drain: Duration,
    ) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<io::Result<()>>) {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, shutdown) = (listener.local_addr().unwrap(), CancellationToken::new());
        let server = tokio::spawn(run(listener, router, shutdown.clone(), drain));
        (address, shutdown, server)
    }

    #[tokio::test]
    async fn an_open_request_is_answered_during_the_drain() {
        let slow = Router::new().route(
            "/",
            get(|| async {
                tokio::time::sleep(Duration::from_millis(200)).await;
                "done"
            }),
        );
        let (address, shutdown, server) = start(slow, Duration::from_secs(10)).await;
        let answer = tokio::spawn(reqwest::get(format!("http://{address}/")));
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.cancel();
        assert_eq!(answer.await.unwrap().unwrap().text().await.unwrap(), "done");
        server.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_request_that_never_ends_does_not_stop_the_stop() {
        let stuck = Router::new().route("/", get(std::future::pending::<&str>));
        let (address, shutdown, server) = start(stuck, Duration::from_millis(50)).await;
        let _answer = tokio::spawn(reqwest::get(format!("http://{address}/")));
        tokio::time::sleep(Duration::from_millis(50)).await;
        shutdown.cancel();
        tokio::time::timeout(Duration::from_secs(5), server).await.unwrap().unwrap().unwrap();
    }
}
