//! Events of versions on their way to the collector: best effort, bounded, and counted.
//!
//! They travel beside the observations and share no number with them: an event that is lost is a mark that a dashboard
//! lacks, and nothing waits for it.

use std::time::Duration;

use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use contract::wire::{EVENTS_PATH, Event, Events};
use host::client::{ClientSettings, Neighbour};
use prometheus::IntCounterVec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Config, StartError};

/// Events that may wait.
pub const WAITING_MAX: usize = 256;
/// Events in one post.
const BATCH_MAX: usize = 64;
/// Posts of one batch before it is given up.
const ATTEMPTS: u32 = 5;

/// What became of events, beside the queue's `full`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Delivered,
    /// The collector will not have them (4xx).
    Refused,
    /// The collector was away for all attempts.
    Unreachable,
}

impl Fate {
    const ALL: [Self; 3] = [Self::Delivered, Self::Refused, Self::Unreachable];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The task that posts events.
#[derive(Debug)]
pub struct Poster {
    client: Neighbour,
    url: String,
    source: String,
    retry_min: Duration,
    retry_max: Duration,
    counts: IntCounterVec,
    waiting: mpsc::Receiver<Event>,
}

impl Poster {
    /// A poster with a client of its own: a slow post of events must not hold up an observation's connection.
    ///
    /// # Errors
    /// Where the HTTP client cannot be made.
    pub fn new(config: &Config, counts: IntCounterVec, waiting: mpsc::Receiver<Event>) -> Result<Self, StartError> {
        let settings = ClientSettings { timeout: config.post_timeout, ..config.collector.clone() };
        let client = Neighbour::new(settings).map_err(StartError::Client)?;
        for fate in Fate::ALL {
            let _ = counts.with_label_values(&[fate.as_str()]);
        }
        let (url, source) = (format!("{}{EVENTS_PATH}", config.collector_url), config.source.clone());
        let (retry_min, retry_max) = (config.retry_min, config.retry_max);
        Ok(Self { client, url, source, retry_min, retry_max, counts, waiting })
    }

    /// Posts what comes until told to stop; then what waits gets one more attempt.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let received = tokio::select! {
                received = self.waiting.recv_many(&mut batch, BATCH_MAX) => received,
                () = stop.cancelled() => break,
            };
            if received == 0 {
                return;
            }
            self.deliver(std::mem::take(&mut batch), &stop).await;
        }
        while let Ok(event) = self.waiting.try_recv() {
            batch.push(event);
        }
        if !batch.is_empty() {
            self.deliver(batch, &stop).await;
        }
    }

    async fn deliver(&self, events: Vec<Event>, stop: &CancellationToken) {
        let count = events.len() as u64;
        let body = Events { source: self.source.clone(), events };
        let mut pause = self.retry_min;
        let mut fate = Fate::Unreachable;
        for attempt in 1..=ATTEMPTS {
            match self.post(&body).await {
                Some(known) => {
                    fate = known;
                    break;
                }
                None if attempt == ATTEMPTS || stop.is_cancelled() => break,
                None => {
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.cancelled() => {}
                    }
                    pause = (pause * 2).min(self.retry_max);
                }
            }
        }
        if fate != Fate::Delivered {
            tracing::warn!(count, fate = fate.as_str(), url = self.url, "events did not reach the collector");
        }
        self.counts.with_label_values(&[fate.as_str()]).inc_by(count);
    }

    /// What became of a post; `None` where another may go better.
    async fn post(&self, body: &Events) -> Option<Fate> {
        // texts and numbers always serialise
        let body = serde_json::to_vec(body).unwrap_or_default().into();
        let answer = self.client.post(&self.url, &[(CONTENT_TYPE, "application/json")], body).await.ok()?;
        match answer.status {
            s if s.is_success() => Some(Fate::Delivered),
            // a key that is not taken is mended in a file
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => None,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => None,
            s if s.is_server_error() => None,
            _ => Some(Fate::Refused),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::extract::State;
    use axum::routing::post;
    use axum::{Json, Router};
    use contract::metrics::versions::EVENT_POSTS;
    use host::metrics::Registry;

    use super::*;

    type Seen = Arc<Mutex<(Vec<StatusCode>, Vec<Event>)>>;

    /// A collector that answers with these statuses, the last one for ever.
    async fn collector(statuses: &[u16]) -> (String, Seen) {
        async fn take(State(seen): State<Seen>, Json(body): Json<Events>) -> StatusCode {
            let mut seen = seen.lock().unwrap();
            let status = if seen.0.len() > 1 { seen.0.remove(0) } else { seen.0[0] };
            if status.is_success() {
                seen.1.extend(body.events);
            }
            status
        }
        let statuses = statuses.iter().map(|&status| StatusCode::from_u16(status).unwrap()).collect();
        let seen: Seen = Arc::new(Mutex::new((statuses, Vec::new())));
        let router = Router::new().route(EVENTS_PATH, post(take)).with_state(Arc::clone(&seen));
        let listener = host::serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(host::serve::run(listener, router, CancellationToken::new(), Duration::ZERO));
        (url, seen)
    }

    async fn post_one(url: String) -> String {
        let mut raw = crate::RawConfig::default();
        raw.mirror.collector_url = Some(url);
        raw.mirror.retry_min = Duration::from_millis(1);
        raw.mirror.retry_max = Duration::from_millis(2);
        let config = raw.check().unwrap().mirror.unwrap();
        let registry = Registry::new();
        let (way, waiting) = mpsc::channel(WAITING_MAX);
        let poster = Poster::new(&config, registry.counter(&EVENT_POSTS), waiting).unwrap();
        let event = Event { at_ms: 1, kind: "ready".into(), model: "m".into(), version: "1".into(), detail: "".into() };
        way.send(event).await.unwrap();
        drop(way);
        poster.run(CancellationToken::new()).await;
        registry.render()
    }

    #[tokio::test]
    async fn an_event_is_posted_again_until_it_is_taken() {
        let (url, seen) = collector(&[503, 429, 200]).await;
        let metrics = post_one(url).await;
        assert_eq!(seen.lock().unwrap().1.len(), 1);
        assert!(metrics.contains("driftline_mirror_events_total{outcome=\"delivered\"} 1"), "{metrics}");
    }

    #[tokio::test]
    async fn an_event_that_is_lost_is_counted() {
        let (url, _seen) = collector(&[404]).await;
        let metrics = post_one(url).await;
        assert!(metrics.contains("driftline_mirror_events_total{outcome=\"refused\"} 1"), "{metrics}");
        let (url, _seen) = collector(&[500]).await;
        let metrics = post_one(url).await;
        assert!(metrics.contains("driftline_mirror_events_total{outcome=\"unreachable\"} 1"), "{metrics}");
    }
}
