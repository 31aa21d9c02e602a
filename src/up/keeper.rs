//! Keeps one part running: starts it, waits for its end, starts it again with back-off on the same address.

use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::part::{Addresses, HTTP, Part, Running};

/// Time between a death and the first restart; doubles with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// The longest time between restarts.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A part that lived this long starts again without delay.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// A part that is kept running until [`Keeper::stop`].
#[derive(Debug)]
pub struct Keeper {
    /// Where the part listens; the same over restarts.
    pub addresses: Addresses,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Starts the part and keeps it running.
    ///
    /// # Errors
    /// Where the first start fails: then nobody waits for a back-off to find out.
    pub async fn start(part: Part) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let (first, started) = oneshot::channel();
        let task = tokio::spawn(keep(part, first, stop.clone()));
        let addresses = started.await??;
        Ok(Self { addresses, stop, task })
    }

    /// `host:port` of its HTTP listener.
    pub fn address(&self) -> String {
        self.addresses.get(HTTP).cloned().unwrap_or_default()
    }

    /// Stops the part in order and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        // a keeper that panicked has dropped, and so killed, its part
        let _ = self.task.await;
    }
}

async fn keep(part: Part, first: oneshot::Sender<anyhow::Result<Addresses>>, stop: CancellationToken) {
    let mut running = match part.start(&Addresses::new()).await {
        Ok(running) => running,
        Err(error) => return drop(first.send(Err(error))),
    };
    let addresses = running.addresses();
    if first.send(Ok(addresses.clone())).is_err() {
        return;
    }
    let mut backoff = BACKOFF_MIN;
    loop {
        let born = Instant::now();
        tokio::select! {
            () = stop.cancelled() => return running.stop().await,
            how = running.wait() => tracing::error!(role = part.name(), %how, "died; starting it again"),
        }
        if born.elapsed() > HEALTHY_AFTER {
            backoff = BACKOFF_MIN;
        }
        match restart(&part, &addresses, &mut backoff, &stop).await {
            Some(again) => running = again,
            None => return,
        }
    }
}

/// Tries until it runs or `stop` is cancelled.
async fn restart(
    part: &Part,
    addresses: &Addresses,
    backoff: &mut Duration,
    stop: &CancellationToken,
) -> Option<Running> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(*backoff) => {}
        }
        *backoff = (*backoff * 2).min(BACKOFF_MAX);
        match part.start(addresses).await {
            Ok(running) => {
                tracing::info!(role = part.name(), ?addresses, "runs again");
                return Some(running);
            }
            Err(error) => tracing::error!(role = part.name(), error = format!("{error:#}"), "cannot be started again"),
        }
    }
}
