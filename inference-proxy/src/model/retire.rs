//! How versions leave: first nobody is led to them any more, then what they had accepted is answered, then they go.
//!
//! A request holds its version from look-up to answer, so the count of holders says when the last one is done: a
//! switch fails no request.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::backend::Version;
use super::catalog::Inner;
use super::status::{Role, State};

/// Between two looks at a version that drains.
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// Longest wait for the holders of a version that was taken out; requests have deadlines well below.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// A version that was taken out: waits for its holders, then frees it.
pub(crate) async fn displaced(version: Arc<Version>) {
    let watched = Arc::downgrade(&version);
    // This task is one of the holders.
    until_unused(&watched, 1).await;
    finish(version).await;
}

/// Answers what is queued, refuses the rest, and joins the threads; begins at once, and the future is for whoever
/// waits. A thread of its own: the runtime waits for its blocking tasks for ever, and a session may hang.
pub(crate) fn finish(version: Arc<Version>) -> impl Future<Output = ()> {
    let (ended, wait) = tokio::sync::oneshot::channel::<()>();
    let name = "retire".to_owned();
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        version.finish();
        drop(ended);
    });
    if let Err(error) = thread {
        tracing::error!(%error, "no thread to join a version's sessions with");
    }
    async move {
        // Nothing is ever sent: the end of the sender is the message.
        let _closed = wait.await;
    }
}

/// A version that was primary: drains, stands by for a rollback, and goes when the time is over. This task holds it
/// weakly, so that it is no holder itself.
pub(crate) async fn demoted(inner: Arc<Inner>, version: Weak<Version>) {
    // The shelf keeps it for the rollback.
    until_unused(&version, 1).await;
    let Some(since) = stand_by(&inner, &version) else { return };
    bound_standby(&inner).await;
    tokio::time::sleep(inner.standby_for()).await;
    let _turn = inner.turn().await;
    let Some(version) = version.upgrade() else { return };
    // It may have been taken back, and demoted again, in the meantime.
    if version.state() == State::Standby && version.since_ms() == since {
        let (model, name) = (version.name().to_owned(), version.version().to_owned());
        drop(version);
        inner.unload_version(&model, &name, "its time to stand by is over").await;
    }
}

/// Lets the oldest versions that stand by leave, until the rest may.
async fn bound_standby(inner: &Inner) {
    let _turn = inner.turn().await;
    let standing_by = inner.shelf().standing_by();
    let mut held: u64 = standing_by.iter().map(|(_, _, bytes)| bytes).sum();
    for (model, version, bytes) in standing_by {
        if held <= inner.standby_bytes() {
            return;
        }
        inner.unload_version(&model, &version, "versions that stand by hold more memory than they may").await;
        held -= bytes;
    }
}

/// Marks a drained version as standing by; gives the time of that, unless it has been taken back.
fn stand_by(inner: &Inner, version: &Weak<Version>) -> Option<i64> {
    let version = version.upgrade()?;
    let shelf = inner.shelf();
    if version.state() != State::Draining {
        return None;
    }
    shelf.set(version.name(), version.version(), Role::Spare, State::Standby);
    Some(version.since_ms())
}

async fn until_unused(version: &Weak<Version>, own: usize) {
    let until = Instant::now() + DRAIN_MAX;
    let busy = || version.strong_count() > own || version.upgrade().is_some_and(|version| !version.is_idle());
    while busy() && Instant::now() < until {
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
