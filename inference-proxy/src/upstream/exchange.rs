//! A forwarded request and its answer, as far as copies of them were kept, and what the observation learns from them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde_json::{Map, Value};

use super::tee::Copy;
use super::tensors::{self, Head, Unread};
use super::{Fault, Upstream};
use crate::model::{Answer, Input};

/// Both sides of a forwarded request.
#[derive(Debug)]
pub struct Exchange {
    upstream: Arc<Upstream>,
    began: Instant,
    asked: (Head, Arc<Copy>),
    given: Mutex<Option<(Head, Arc<Copy>)>>,
}

/// What an observation learns from the copies.
#[derive(Debug, Default)]
pub struct Read {
    /// What was asked, or what of it was kept.
    pub input: Option<Input>,
    /// What the client said about it.
    pub parameters: Map<String, Value>,
    /// What was answered.
    pub answer: Option<Answer>,
    /// The version that answered.
    pub version: String,
    /// Why an answer with a good status is bad all the same.
    pub bad: Option<&'static str>,
    /// Why the content cannot be kept.
    pub withheld: Option<&'static str>,
}

/// A body is longer than what is kept of one.
const TOO_LARGE: &str = "too_large";
/// A body that the other server understood is not understood here.
const UNREADABLE: &str = "unreadable";
/// An answer of status 2xx is none: not the protocol's JSON, contradicts itself, or is not finite.
const BAD_OUTPUT: &str = "bad_output";

impl Exchange {
    pub(super) fn new(upstream: Arc<Upstream>, head: Head, asked: Arc<Copy>) -> Self {
        Self { upstream, began: Instant::now(), asked: (head, asked), given: Mutex::default() }
    }

    pub(super) fn answering(&self, head: Head, copy: Arc<Copy>) {
        *self.given.lock().unwrap_or_else(PoisonError::into_inner) = Some((head, copy));
    }

    /// What went wrong while the answer streamed.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.given().and_then(|(_, copy)| copy.fault())
    }

    /// Bytes that reading takes to look at.
    #[must_use]
    pub fn copied_bytes(&self) -> usize {
        self.asked.1.len() + self.given().map_or(0, |(_, copy)| copy.len())
    }

    /// Reads the copies; of the answer only where its status was good (`answered`). Takes time that grows with them.
    #[must_use]
    pub fn read(&self, answered: bool) -> Read {
        let mut read = Read { version: self.upstream.named(None), ..Read::default() };
        self.read_asked(&mut read);
        if let (true, Some((head, copy))) = (answered, self.given()) {
            self.read_given(&head, &copy, &mut read);
        }
        read
    }

    fn read_asked(&self, read: &mut Read) {
        let (head, copy) = &self.asked;
        let (bytes, whole) = copy.take();
        match tensors::asked(head, &bytes, whole, self.limit()) {
            Ok(asked) => {
                read.input = (!asked.inputs.is_empty()).then_some(Input::Tensors(asked.inputs));
                read.parameters = asked.parameters;
                read.withheld = (!whole).then_some(TOO_LARGE);
            }
            Err(_) if bytes.is_empty() => {}
            Err(Unread::Wrong(_)) if whole => read.withheld = Some(UNREADABLE),
            Err(Unread::Foreign(_)) if whole => read.withheld = Some(UNREADABLE),
            Err(_) => read.withheld = Some(TOO_LARGE),
        }
    }

    fn read_given(&self, head: &Head, copy: &Copy, read: &mut Read) {
        let (bytes, whole) = copy.take();
        if !whole {
            read.withheld = read.withheld.or(Some(TOO_LARGE));
            return;
        }
        let given = match tensors::given(head, &bytes, self.limit()) {
            Ok(given) => given,
            Err(Unread::Foreign(_)) => {
                read.withheld = read.withheld.or(Some(UNREADABLE));
                return;
            }
            Err(Unread::Wrong(why)) => return self.bad(&why, read),
        };
        read.version = self.upstream.named(given.version.as_deref());
        let took = copy.ended_at().unwrap_or(self.began).saturating_duration_since(self.began);
        match self.upstream.answer(given.outputs, took) {
            Ok(answer) => read.answer = Some(answer),
            Err(why) => self.bad(&why, read),
        }
    }

    fn bad(&self, why: &str, read: &mut Read) {
        let (model, version) = (self.upstream.name(), &read.version);
        tracing::warn!(model, version, why, "the server behind a model gave an answer that is none");
        read.bad = Some(BAD_OUTPUT);
    }

    fn limit(&self) -> usize {
        // compressed text shrinks to a fifth and less; what is read of one is bounded all the same
        self.upstream.config.max_copy_bytes.saturating_mul(8)
    }

    fn given(&self) -> Option<(Head, Arc<Copy>)> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
