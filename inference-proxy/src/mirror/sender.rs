//! Gathers observations into batches and keeps a bounded number of them on their way to the collector.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::Config;
use super::post::Poster;
use super::queue::Packed;

/// The task that sends.
pub struct Sender {
    config: Config,
    poster: Arc<Poster>,
    ready: UnboundedReceiver<Packed>,
    carried: Option<Packed>,
    open: JoinSet<()>,
    beat: JoinSet<()>,
    replay: JoinSet<()>,
    closing: CancellationToken,
    abort: CancellationToken,
}

/// What came of waiting for a batch.
enum Gathered {
    Batch(Vec<Packed>),
    Idle,
    Closed,
}

/// The last heartbeat says that nothing is in flight; a collector that does not hear it within this time is not there.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

impl Sender {
    /// A sender of what comes masked and packed.
    pub fn new(
        config: Config,
        poster: Arc<Poster>,
        ready: UnboundedReceiver<Packed>,
        abort: CancellationToken,
    ) -> Self {
        let (open, beat, replay) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        Self { config, poster, ready, carried: None, open, beat, replay, closing: CancellationToken::new(), abort }
    }

    /// Sends until the mirror is closed and empty, or is told to stop at once.
    pub async fn run(mut self) {
        loop {
            self.replay();
            match self.gather().await {
                Gathered::Batch(batch) => self.send(batch).await,
                Gathered::Idle => self.heartbeat(),
                Gathered::Closed => break,
            }
        }
        self.closing.cancel();
        while self.open.join_next().await.is_some() {}
        self.replay();
        while self.replay.join_next().await.is_some() {}
        self.save_the_rest().await;
        let (beat, poster, abort) = (&mut self.beat, &self.poster, &self.abort);
        let last_word = async {
            while beat.join_next().await.is_some() {}
            poster.deliver(poster.close(vec![]), abort).await;
        };
        let _heard = timeout(LAST_WORD_MAX, last_word).await;
    }

    /// Waits for a first observation, at most until the next heartbeat is due, then a little for company.
    async fn gather(&mut self) -> Gathered {
        let first = match self.carried.take() {
            Some(carried) => carried,
            None => {
                let heartbeat = self.config.heartbeat;
                tokio::select! {
                    received = timeout(heartbeat, self.ready.recv()) => match received {
                        Ok(Some(packed)) => packed,
                        Ok(None) => return Gathered::Closed,
                        Err(_) => return Gathered::Idle,
                    },
                    () = self.abort.cancelled() => return Gathered::Closed,
                }
            }
        };
        let closes = Instant::now() + self.config.batch_max_delay;
        let mut bytes = first.bytes.len();
        let mut batch = vec![first];
        loop {
            while batch.len() < self.config.batch_max_observations
                && let Ok(packed) = self.ready.try_recv()
            {
                if bytes + packed.bytes.len() > self.config.batch_max_bytes {
                    self.carried = Some(packed);
                    return Gathered::Batch(batch);
                }
                bytes += packed.bytes.len();
                batch.push(packed);
            }
            let (full, now) = (batch.len() >= self.config.batch_max_observations, Instant::now());
            if full || now >= closes || self.ready.is_closed() {
                return Gathered::Batch(batch);
            }
            // who sleeps is not woken for every single one
            sleep_until(closes.min(now + self.config.gather())).await;
        }
    }

    /// Lets a batch go as soon as there is room among those on their way; to disk, where others wait there already.
    async fn send(&mut self, batch: Vec<Packed>) {
        let mut batch = self.poster.close(batch);
        if self.poster.has_spilled() {
            match self.poster.queue_on_disk(batch).await {
                None => return,
                Some(back) => batch = back,
            }
        }
        while self.open.len() >= self.config.max_posts {
            self.open.join_next().await;
        }
        let (poster, abort) = (Arc::clone(&self.poster), self.abort.clone());
        self.open.spawn(async move { poster.deliver(batch, &abort).await });
        // what has ended is collected, so that the set stays as small as it is open
        while self.open.try_join_next().is_some() {}
    }

    /// Replays what is on disk, if there is anything and nobody does.
    fn replay(&mut self) {
        while self.replay.try_join_next().is_some() {}
        if self.replay.is_empty() && self.poster.has_spilled() {
            let (poster, abort, closing) = (Arc::clone(&self.poster), self.abort.clone(), self.closing.clone());
            self.replay.spawn(async move { poster.replay(&abort, &closing).await });
        }
    }

    /// What is masked and was not sent in time goes to disk, where there is one.
    async fn save_the_rest(&mut self) {
        let mut rest: Vec<_> = self.carried.take().into_iter().collect();
        while let Ok(packed) = self.ready.try_recv() {
            rest.push(packed);
        }
        while !rest.is_empty() {
            let behind = rest.split_off(rest.len().min(self.config.batch_max_observations));
            self.poster.set_aside(self.poster.close(rest)).await;
            rest = behind;
        }
    }

    /// Says that there is nothing to say; once, as long as it has not been heard.
    fn heartbeat(&mut self) {
        while self.beat.try_join_next().is_some() {}
        if self.beat.is_empty() {
            let (poster, abort, empty) = (Arc::clone(&self.poster), self.abort.clone(), self.poster.close(vec![]));
            self.beat.spawn(async move { poster.deliver(empty, &abort).await });
        }
    }
}
