//! Bodies that come too slowly: a client that trickles bytes must not hold a place for as long as it likes.
//!
//! Only the time that we wait for the client counts, so that a handler which reads slowly is nobody's fault.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// How slow a body may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Longest time without a byte, and time before the rate counts.
    pub(crate) silence: Duration,
    /// Bytes a second over all the time waited.
    pub(crate) bytes_per_second: u64,
}

/// Whether a body was given up; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct TooSlow(Arc<AtomicBool>);

impl TooSlow {
    pub(crate) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// A body that must keep a pace.
pub(crate) struct Paced {
    body: Body,
    pace: Pace,
    too_slow: TooSlow,
    bytes: u64,
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// The error of a body that was given up.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct GivenUp;

impl Paced {
    pub(crate) fn new(body: Body, pace: Pace, too_slow: TooSlow) -> Self {
        Self { body, pace, too_slow, bytes: 0, waited: Duration::ZERO, waiting: None }
    }

    /// How long the next byte may take.
    fn patience(&self) -> Duration {
        let Pace { silence, bytes_per_second } = self.pace;
        let earned = Duration::from_millis(self.bytes.saturating_mul(1_000) / bytes_per_second.max(1));
        silence.min((silence + earned).saturating_sub(self.waited))
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            let came = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            self.bytes += came as u64;
            return Poll::Ready(frame);
        }
        let patience = self.patience();
        let (_, limit) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(patience))));
        if limit.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.too_slow.0.store(true, Ordering::Release);
        Poll::Ready(Some(Err(axum::Error::new(GivenUp))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use tokio::sync::mpsc::{Receiver, channel};

    /// A body whose chunks come through a channel.
    struct Chunks(Receiver<usize>);

    impl HttpBody for Chunks {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            self.0.poll_recv(context).map(|chunk| Some(Ok(Frame::data(Bytes::from(vec![0; chunk?])))))
        }
    }

    /// Sends a chunk of `bytes` every `millis`, `n` times; how many bytes arrive, or that the body was given up.
    async fn send(bytes: usize, millis: u64, n: usize) -> Result<usize, Duration> {
        let (sender, chunks) = channel(1);
        let pace = Pace { silence: Duration::from_secs(10), bytes_per_second: 100 };
        let too_slow = TooSlow::default();
        let body = Paced::new(Body::new(Chunks(chunks)), pace, too_slow.clone());
        tokio::spawn(async move {
            for _ in 0..n {
                tokio::time::sleep(Duration::from_millis(millis)).await;
                if sender.send(bytes).await.is_err() {
                    return;
                }
            }
        });
        let began = Instant::now();
        let collected = body.collect().await;
        assert_eq!(collected.is_err(), too_slow.is_so());
        collected.map(|body| body.to_bytes().len()).map_err(|_| began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_keeps_coming_is_read_to_its_end() {
        assert_eq!(send(200, 1_000, 300).await, Ok(60_000));
        assert_eq!(send(1, 9_000, 1).await, Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_trickling_are_given_up() {
        let silent = send(1_000_000, 11_000, 2).await.unwrap_err();
        assert_eq!(silent.as_secs(), 10);
        // a byte a second is no silence: the rate ends it soon after the first ten seconds
        let trickling = send(1, 1_000, 100_000).await.unwrap_err();
        assert!((10..=12).contains(&trickling.as_secs()), "{trickling:?}");
    }
}
