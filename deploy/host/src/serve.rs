//! A listener and the loop that serves it until told to stop.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::middleware::map_request;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

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

/// Serves until `shutdown`, then stops accepting and waits up to `drain` for open requests.
///
/// # Errors
/// Where the listener fails.
pub async fn run(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
    drain: Duration,
) -> io::Result<()> {
    let stop_accepting = shutdown.clone();
    let router = router.layer(map_request(linger));
    let server = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
        .with_graceful_shutdown(async move { stop_accepting.cancelled().await });
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        done = server => done,
        () = overdue => {
            tracing::warn!(seconds = drain.as_secs_f64(), "requests were still open at the end of the drain limit");
            Ok(())
        }
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
