//! The mirror's own thread: from a record to a masked, packed observation.
//!
//! Masking and feature building are plain computing; they run here so that they can never delay an answer. Whatever
//! cannot be masked does not leave the process: a panic in here costs one observation, which is counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use contract::metrics::proxy as names;
use contract::wire::Payload;
use host::metrics::Registry;
use masking::{Entity, Masker};
use prometheus::IntCounterVec;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use super::Record;
use super::ledger::{Content, DropReason, Ledger, Stage, Ticket};

/// What the thread is given.
pub enum Work<R> {
    /// Mask this.
    Record(Ticket, R),
    /// Nothing comes after this.
    Close,
}

/// An observation as it travels: masked, MessagePack.
#[derive(Debug)]
pub struct Packed {
    /// Its right to be in flight.
    pub ticket: Ticket,
    /// What became of its content.
    pub content: Content,
    /// MessagePack with named fields, in exactly as much memory: what waits for a collector that is away is mostly this,
    /// and room to grow would double it.
    pub bytes: Box<[u8]>,
}

impl Packed {
    /// Bytes that one takes beside its MessagePack: itself, its place in a channel, and what the allocator adds.
    const BESIDE: usize = size_of::<Self>() + 32;
}

/// What the masking threads share.
pub struct Masking {
    masker: Masker,
    entities: IntCounterVec,
    ledger: Arc<Ledger>,
    abort: CancellationToken,
}

impl Masking {
    /// Registers the counter of masked entities, every kind born at 0.
    #[must_use]
    pub fn new(masker: Masker, registry: &Registry, ledger: Arc<Ledger>, abort: CancellationToken) -> Self {
        let entities = registry.counter(&names::MASKED_ENTITIES);
        for entity in Entity::ALL {
            let _ = entities.with_label_values(&[entity.as_str()]);
        }
        Self { masker, entities, ledger, abort }
    }

    /// Works until told that nothing more comes, or nobody is left to send anything. Several threads may take from the
    /// same work; whoever is waiting for it holds the lock, which is let go before the work is done.
    pub fn run<R: Record>(&self, work: &Mutex<UnboundedReceiver<Work<R>>>, packed: &UnboundedSender<Packed>) {
        let mut scratch = Vec::new();
        while let Some((ticket, record)) = take(work) {
            if self.abort.is_cancelled() {
                ticket.dropped(DropReason::Shutdown);
            } else {
                self.pass(ticket, record, &mut scratch, packed);
            }
        }
    }

    fn pass<R: Record>(&self, mut ticket: Ticket, record: R, scratch: &mut Vec<u8>, packed: &UnboundedSender<Packed>) {
        ticket.advance(Stage::Masking);
        match catch_unwind(AssertUnwindSafe(|| self.pack(record, scratch))) {
            Ok(Ok((content, bytes))) => match ticket.resize(bytes.len() + Packed::BESIDE) {
                Ok(mut ticket) => {
                    ticket.advance(Stage::Ready);
                    // a dead sender drops the packed observation, and its ticket counts that
                    let _ = packed.send(Packed { ticket, content, bytes });
                }
                // features can take more room than what they were made from
                Err(ticket) => ticket.dropped(DropReason::Full),
            },
            Ok(Err(reason)) => ticket.dropped(reason),
            Err(_) => {
                tracing::error!("an observation could not be masked and was dropped; the panic is above");
                ticket.dropped(DropReason::MaskingFailed);
            }
        }
    }

    fn pack<R: Record>(&self, record: R, scratch: &mut Vec<u8>) -> Result<(Content, Box<[u8]>), DropReason> {
        let limit = self.ledger.max_observation_bytes();
        let plain = record.observation(limit).map_err(|_| DropReason::Oversize)?;
        let masked = self.masker.mask(plain);
        scratch.clear();
        rmp_serde::encode::write_named(scratch, &masked.sample).map_err(|error| {
            tracing::error!(%error, "an observation could not be packed");
            DropReason::MaskingFailed
        })?;
        if scratch.len() > limit {
            return Err(DropReason::Oversize);
        }
        for (entity, n) in &masked.hits.by_entity {
            self.entities.with_label_values(&[entity.as_str()]).inc_by(*n);
        }
        Ok((content_of(&masked.sample.payload), scratch.as_slice().into()))
    }
}

/// The next record; `None` for every thread once one has seen the end.
fn take<R>(work: &Mutex<UnboundedReceiver<Work<R>>>) -> Option<(Ticket, R)> {
    let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
    match work.blocking_recv()? {
        Work::Record(ticket, record) => Some((ticket, record)),
        Work::Close => {
            work.close();
            None
        }
    }
}

fn content_of(payload: &Payload) -> Content {
    match payload {
        Payload::None => Content::None,
        Payload::SampledOut => Content::SampledOut,
        Payload::Withheld(reason) => Content::Withheld(reason.clone()),
        Payload::Kept(_) => Content::Kept,
    }
}
