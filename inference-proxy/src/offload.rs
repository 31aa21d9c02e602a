//! Work of a request that a client's leaving cannot stop: inflating, decoding, tokenizing on a thread for blocking work.
//!
//! A request ends with its client, and such a thread does not. So the thread keeps the request's place and its body's room
//! until it is through, may ask whether anybody still waits, and as many of them run as there are processors: the runtime
//! itself would begin five hundred. Whose work it is goes along with the request's task, so that nobody between has to pass
//! it on; work of no request (a shadow, a copy that is read) has limits of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;
use tokio::task::JoinError;

use crate::observe::stream::Held;

tokio::task_local! {
    static OWNER: Owner;
}

/// The request that work is done for.
#[derive(Clone, Debug)]
struct Owner {
    held: Held,
    turns: Arc<Semaphore>,
}

/// As many threads of such work as run at once.
#[must_use]
pub fn turns() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from).max(2)))
}

/// Runs a request that has this place; its work takes these turns.
pub async fn within<T>(held: Held, turns: &Arc<Semaphore>, request: impl Future<Output = T>) -> T {
    OWNER.scope(Owner { held, turns: Arc::clone(turns) }, request).await
}

/// Whether nobody waits for some work any more.
#[derive(Clone, Debug, Default)]
pub struct Gone(Arc<AtomicBool>);

impl Gone {
    /// Whether that is so.
    #[must_use]
    pub fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Says so when it is dropped: with the future that waits.
struct Waits(Gone);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

/// Runs work on a thread for blocking work, in its turn.
///
/// # Errors
/// Where the work panicked, or the runtime ends.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce(&Gone) -> T + Send + 'static) -> Result<T, JoinError> {
    let owner = OWNER.try_with(Clone::clone).ok();
    let turn = match &owner {
        // the semaphore is never closed
        Some(owner) => Arc::clone(&owner.turns).acquire_owned().await.ok(),
        None => None,
    };
    let waits = Waits(Gone::default());
    let gone = waits.0.clone();
    tokio::task::spawn_blocking(move || {
        let _kept = (owner.map(|owner| owner.held), turn);
        work(&gone)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use axum::body::Body;
    use axum::http::HeaderMap;

    use super::*;
    use crate::room::Room;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn held(places: &Arc<Semaphore>) -> Held {
        let place = Arc::clone(places).try_acquire_owned().unwrap();
        let (part, _) = Room::new(1 << 20, 1 << 20).admit(&HeaderMap::new(), Body::empty()).unwrap();
        Held(Arc::new((place, part)))
    }

    async fn until(what: impl Fn() -> bool) {
        let come = async {
            while !what() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(PATIENCE, come).await.unwrap();
    }

    /// Work that says it has begun, is told when nobody waits, and ends when it is let.
    fn work(began: &Arc<AtomicBool>) -> (mpsc::Sender<()>, impl FnOnce(&Gone) -> bool + Send + 'static) {
        let (let_go, end) = mpsc::channel();
        let began = Arc::clone(began);
        let work = move |gone: &Gone| {
            began.store(true, Ordering::Release);
            end.recv_timeout(PATIENCE).unwrap();
            gone.is_so()
        };
        (let_go, work)
    }

    /// Otherwise whoever asks, leaves and asks again has any number of threads at work, outside every limit.
    #[tokio::test]
    async fn work_keeps_its_place_when_its_client_has_left() {
        let (places, turns) = (Arc::new(Semaphore::new(1)), turns());
        let (began, told) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (let_go, work) = work(&began);
        let telling = Arc::clone(&told);
        let request = within(held(&places), &turns, blocking(move |gone| telling.store(work(gone), Ordering::Release)));
        let all = turns.available_permits();
        {
            let mut request = std::pin::pin!(request);
            tokio::select! {
                _ = &mut request => panic!("it waits to be let go"),
                () = until(|| began.load(Ordering::Acquire)) => {}
            }
        }
        assert_eq!((places.available_permits(), turns.available_permits()), (0, all - 1), "the client has left");
        let_go.send(()).unwrap();
        until(|| places.available_permits() == 1 && turns.available_permits() == all).await;
        assert!(told.load(Ordering::Acquire), "it could have stopped by itself");
    }

    #[tokio::test]
    async fn no_more_threads_run_than_there_are_turns() {
        let (places, turns) = (Arc::new(Semaphore::new(2)), Arc::new(Semaphore::new(1)));
        let began = [Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false))];
        let (let_first, first) = work(&began[0]);
        let (let_second, second) = work(&began[1]);
        let first = tokio::spawn({
            let (held, turns) = (held(&places), Arc::clone(&turns));
            async move { within(held, &turns, blocking(first)).await }
        });
        until(|| began[0].load(Ordering::Acquire)).await;
        let mut second = std::pin::pin!(within(held(&places), &turns, blocking(second)));
        assert!(is_pending(second.as_mut()).await, "it waits for its turn");
        assert!(!began[1].load(Ordering::Acquire));
        let_first.send(()).unwrap();
        let_second.send(()).unwrap();
        assert!(!first.await.unwrap().unwrap() && !second.await.unwrap(), "both were waited for");
    }

    /// Looks at a future once; gives whether it is not done.
    async fn is_pending(mut future: std::pin::Pin<&mut impl Future>) -> bool {
        std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_pending())).await
    }
}
