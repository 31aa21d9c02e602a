//! What goes into a model and what comes out of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::wire::{Prediction, Timings};

use crate::tensor::Tensor;

use super::entities::Entity;

/// What a request asks about: texts for a model with a tokenizer, named tensors for any other.
///
/// A text model also takes its texts as one `BYTES` tensor of shape `[n]` or `[n, 1]` under the input's name, and pairs
/// as one of shape `[n, 2]` or as two tensors, `text` and `text_pair`.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// One item a text.
    Texts(Vec<String>),
    /// One item a pair: what a cross-encoder compares.
    Pairs(Vec<(String, String)>),
    /// Tensors by name; items along the first axis where the model has a dynamic one.
    Tensors(Vec<Tensor>),
}

/// How soon a request must be answered, and before whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Urgency {
    /// When nobody waits for the answer any more.
    pub deadline: Instant,
    /// As the protocol orders them: 1 goes first, larger numbers later; 0 is what was not said.
    pub priority: u64,
    /// Whose doing it is if the deadline passes.
    pub whose: Whose,
}

/// Whose limit a deadline is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// The server's.
    Server,
    /// The client's own, shorter than the server's.
    Client,
    /// The server's, most of which went by before the client's body was there.
    LateBody,
}

impl From<Instant> for Urgency {
    fn from(deadline: Instant) -> Self {
        Self { deadline, priority: 0, whose: Whose::Server }
    }
}

impl Urgency {
    /// A deadline that the client set itself and that passed is its own: it stopped waiting, or came too late.
    #[must_use]
    pub fn blame(self, error: RunError) -> RunError {
        if error == RunError::Deadline { self.whose.passed() } else { error }
    }
}

impl Whose {
    /// What it means that the deadline passed.
    #[must_use]
    pub const fn passed(self) -> RunError {
        match self {
            Self::Server => RunError::Deadline,
            Self::Client => RunError::Impatient,
            Self::LateBody => RunError::LateBody,
        }
    }
}

/// What a model answered to one request.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The outputs, in the order of [`super::Metadata::outputs`], checked for shape and finiteness. Of a feature
    /// extraction the pooled vectors; of a token classification the logits, 0 past an item's last token.
    pub outputs: Vec<Tensor>,
    /// One an item; empty if the task is not a classification of items.
    pub classes: Vec<Classes>,
    /// One list an item; empty if the task is not a token classification.
    pub entities: Vec<Vec<Entity>>,
    /// One a text; empty for tensors.
    pub texts: Vec<TextStats>,
    /// Where the time went; `total_us` is left 0, the edge knows it. Of a request whose items ran in several
    /// batches, the longest wait, the longest run and the largest batch.
    pub timings: Timings,
}

/// The class probabilities of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    /// All labels of the model, shared by its answers.
    pub labels: Arc<[String]>,
    /// Probabilities in the order of the labels; they sum to 1 if the classes exclude each other.
    pub scores: Vec<f32>,
    /// From which probability on several classes hold at once; `None` where they exclude each other.
    pub threshold: Option<f32>,
}

impl Classes {
    /// The winning class with its probability, its lead over the runner-up, and the entropy in nats.
    ///
    /// Of equal scores the first wins. Where several classes may hold at once the entropy is the sum of the
    /// classes' own; the margin of a single
    /// class is how far it is from being as likely as not.
    #[must_use]
    pub fn prediction(&self) -> Prediction {
        let mut best = (0, f32::NEG_INFINITY);
        let mut second = f32::NEG_INFINITY;
        for (i, &score) in self.scores.iter().enumerate() {
            if score > best.1 {
                second = best.1;
                best = (i, score);
            } else if score > second {
                second = score;
            }
        }
        let alone = if self.threshold.is_some() { 1.0 - f64::from(best.1) } else { 0.0 };
        let runner_up = if second.is_finite() { f64::from(second) } else { alone };
        let nats = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
        let each = |&p: &f32| {
            let p = f64::from(p);
            nats(p) + if self.threshold.is_some() { nats(1.0 - p) } else { 0.0 }
        };
        let entropy: f64 = self.scores.iter().map(each).sum();
        Prediction {
            label: self.labels.get(best.0).cloned().unwrap_or_default(),
            confidence: f64::from(best.1),
            margin: (f64::from(best.1) - runner_up).abs(),
            entropy: entropy.max(0.0),
        }
    }

    /// The classes that hold, best first: the winner, or where several may hold all from the threshold on, be it none.
    #[must_use]
    pub fn holding(&self) -> Vec<&str> {
        let Some(threshold) = self.threshold else { return self.ranked().take(1).map(|(label, _)| label).collect() };
        self.ranked().take_while(|&(_, score)| score >= threshold).map(|(label, _)| label).collect()
    }

    /// All classes with their probabilities, best first; of equal ones the first named comes first.
    pub fn ranked(&self) -> impl Iterator<Item = (&str, f32)> {
        let mut ranked: Vec<(&str, f32)> =
            self.labels.iter().map(String::as_str).zip(self.scores.iter().copied()).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked.into_iter()
    }
}

/// What the tokenizer saw of one text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextStats {
    /// Tokens after truncation, special tokens included.
    pub tokens: u32,
    /// Share of those tokens, special ones aside, that the vocabulary does not know, 0 to 1.
    pub unknown_rate: f64,
    /// Whether the text was cut to the model's length.
    pub truncated: bool,
}

/// Why a request got no answer; a variant for each thing a caller can do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The request is wrong: correct it (400).
    #[error("{0}")]
    Invalid(String),
    /// The queue is at its bound: come again later (429).
    #[error("the queue of this model is full; try again in {} ms", .retry_after.as_millis())]
    QueueFull {
        /// Estimated time until the queue has drained.
        retry_after: Duration,
    },
    /// The deadline passed before there was an answer (504).
    #[error("the deadline passed before the model answered")]
    Deadline,
    /// The time-out that the client set itself passed before there was an answer (408).
    #[error("the request's own timeout passed before the model answered")]
    Impatient,
    /// The body came so late that too little of the time was left for an answer (408).
    #[error("the body took most of the time that a request may take, and the rest was too short for an answer")]
    LateBody,
    /// The version is not serving (503).
    #[error("{0}")]
    Unavailable(String),
    /// The version failed too often and is left alone for a while (503).
    #[error("this version failed too often and is left alone; try again in {} ms", .retry_after.as_millis())]
    BreakerOpen {
        /// Time until it is tried again.
        retry_after: Duration,
    },
    /// The session failed on this request (500); it is tried, and restarted if it is broken.
    #[error("{0}")]
    Failed(String),
    /// The model answered what cannot be an answer: not finite or of the wrong shape (500).
    #[error("{0}")]
    BadOutput(String),
}

impl RunError {
    /// A word for metrics and observations.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid_input",
            Self::QueueFull { .. } => "queue_full",
            Self::Deadline => "deadline",
            Self::Impatient => "client_timeout",
            Self::LateBody => "late_body",
            Self::Unavailable(_) => "unavailable",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Failed(_) => "session_failed",
            Self::BadOutput(_) => "bad_output",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scores: &[f32], label: &str, confidence: f64, margin: f64, entropy: f64) {
        let labels = ["a", "b", "c"].iter().take(scores.len()).map(|&s| s.to_owned()).collect();
        let prediction = Classes { labels, scores: scores.to_vec(), threshold: None }.prediction();
        assert_eq!(prediction.label, label);
        for (found, expected) in
            [(prediction.confidence, confidence), (prediction.margin, margin), (prediction.entropy, entropy)]
        {
            assert!((found - expected).abs() < 1e-6, "{prediction:?}");
        }
    }

    #[test]
    fn the_winner_its_lead_and_the_entropy() {
        check(&[0.25, 0.5, 0.25], "b", 0.5, 0.25, 1.5 * std::f64::consts::LN_2);
        check(&[0.5, 0.5], "a", 0.5, 0.0, std::f64::consts::LN_2);
        check(&[0.0, 0.0, 1.0], "c", 1.0, 1.0, 0.0);
        check(&[1.0], "a", 1.0, 1.0, 0.0);
    }

    #[test]
    fn classes_that_do_not_exclude_each_other_each_have_their_own_entropy() {
        let of = |scores: &[f32]| {
            let labels = ["a", "b", "c"].iter().take(scores.len()).map(|&s| s.to_owned()).collect();
            Classes { labels, scores: scores.to_vec(), threshold: Some(0.5) }
        };
        let both = of(&[0.5, 0.25, 0.75]);
        assert_eq!(both.holding(), ["c", "a"]);
        // scipy.stats.entropy([p, 1 - p]) of .5, .25 and .75: 0.6931471805599453, 0.5623351446188083 twice
        assert!((both.prediction().entropy - 1.817_817_469_797_562).abs() < 1e-9, "{:?}", both.prediction());
        assert!(of(&[0.25, 0.125]).holding().is_empty());
        let single = of(&[0.25]).prediction();
        assert!((single.margin - 0.5).abs() < 1e-9, "{single:?}");
    }
}
