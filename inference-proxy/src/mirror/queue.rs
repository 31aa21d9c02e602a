//! The mirror's own thread: from a record to a masked, packed observation.
//!
//! Masking and feature building are plain computing; they run here so that they can never delay an answer. What waits for
//! a model waits elsewhere and comes back. Whatever cannot be masked does not leave the process: a panic in here costs one
//! observation, which is counted.
//!
//! A thread that had to wait for work sleeps a little longer before it takes it ([`Masking::run`]): woken for every
//! request it would push a session off its core each time, and find the caches cold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use contract::metrics::proxy as names;
use contract::wire::{Observation, Payload, weight};
use host::metrics::Registry;
use masking::{Entity, Known, Masker};
use prometheus::IntCounterVec;
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, WeakUnboundedSender};
use tokio_util::sync::CancellationToken;

use super::Record;
use super::ledger::{Content, DropReason, Ledger, Stage, Ticket};
use super::naming::{Inquiring, Namer, Needed};

/// What the thread is given.
pub enum Work<R> {
    /// Mask this.
    Record(Ticket, R),
    /// Mask this, in whose texts a model found names.
    Named(Ticket, Box<Observation>, Known),
    /// Nothing comes after this.
    Close,
}

/// Where a thread's work goes.
pub struct Way<R> {
    /// On, masked and packed.
    pub packed: UnboundedSender<Packed>,
    /// Back to the threads, once the names are known.
    pub back: WeakUnboundedSender<Work<R>>,
    /// Where those wait meanwhile.
    pub runtime: Handle,
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
    namer: Option<Arc<Namer>>,
    entities: IntCounterVec,
    ledger: Arc<Ledger>,
    gather: Duration,
    abort: CancellationToken,
}

impl Masking {
    /// Registers the counter of masked entities, every kind born at 0. Work gathers for `gather` before a thread that
    /// waited for it begins.
    #[must_use]
    pub fn new(
        masker: Masker,
        namer: Option<Namer>,
        registry: &Registry,
        ledger: Arc<Ledger>,
        gather: Duration,
        abort: CancellationToken,
    ) -> Self {
        let entities = registry.counter(&names::MASKED_ENTITIES);
        for entity in Entity::ALL {
            let _ = entities.with_label_values(&[entity.as_str()]);
        }
        Self { masker, namer: namer.map(Arc::new), entities, ledger, gather, abort }
    }

    /// Works until told that nothing more comes, or nobody is left to send anything. Several threads may take from the
    /// same work; whoever is waiting for it holds the lock, which is let go before the work is done.
    pub fn run<R: Record>(&self, work: &Mutex<UnboundedReceiver<Work<R>>>, way: &Way<R>) {
        let mut scratch = Vec::new();
        while let Some(next) = self.take(work) {
            match next {
                Work::Record(ticket, _) | Work::Named(ticket, ..) if self.abort.is_cancelled() => {
                    ticket.dropped(DropReason::Shutdown);
                }
                Work::Record(ticket, record) => self.pass(ticket, record, &mut scratch, way),
                Work::Named(ticket, plain, known) => self.finish(ticket, *plain, Some(&known), &mut scratch, way),
                Work::Close => break,
            }
        }
    }

    /// The next work; `None` for every thread once one has seen the end.
    fn take<R>(&self, work: &Mutex<UnboundedReceiver<Work<R>>>) -> Option<Work<R>> {
        let mut work = work.lock().unwrap_or_else(PoisonError::into_inner);
        let next = match work.try_recv() {
            Ok(next) => next,
            Err(TryRecvError::Disconnected) => return None,
            Err(TryRecvError::Empty) => {
                let next = work.blocking_recv()?;
                // nothing comes after the end, and what is to be counted as dropped need not wait
                if !matches!(next, Work::Close) && !self.abort.is_cancelled() {
                    std::thread::sleep(self.gather);
                }
                next
            }
        };
        if matches!(next, Work::Close) {
            work.close();
            return None;
        }
        Some(next)
    }

    fn pass<R: Record>(&self, mut ticket: Ticket, record: R, scratch: &mut Vec<u8>, way: &Way<R>) {
        ticket.advance(Stage::Masking);
        let limit = self.ledger.max_observation_bytes();
        let built = || {
            let plain = record.observation(limit).map_err(|_| DropReason::Oversize)?;
            let needed = self.namer.as_ref().map(|namer| (Arc::clone(namer), namer.begin(&plain)));
            Ok((plain, needed))
        };
        let Some((ticket, (plain, needed))) = guarded(ticket, built) else { return };
        match needed {
            None => self.finish(ticket, plain, None, scratch, way),
            Some((_, Needed::Known(known))) => self.finish(ticket, plain, Some(&known), scratch, way),
            Some((namer, Needed::Answer(inquiring))) => self.wait(ticket, plain, namer, inquiring, way),
        }
    }

    /// Lets an observation wait for the model that finds names, and come back. What waits is the built one: it holds more
    /// than the record did, and its content twice, whose texts are asked about.
    fn wait<R: Record>(
        &self,
        ticket: Ticket,
        plain: Observation,
        namer: Arc<Namer>,
        inquiring: Inquiring,
        way: &Way<R>,
    ) {
        let held = weight::of(&plain) + weight::content(&plain);
        let mut ticket = match ticket.resize(held) {
            Ok(ticket) => ticket,
            Err(ticket) => return ticket.dropped(DropReason::Full),
        };
        ticket.advance(Stage::Naming);
        let (abort, back, plain) = (self.abort.clone(), way.back.clone(), Box::new(plain));
        way.runtime.spawn(async move {
            tokio::select! {
                known = namer.ask(inquiring) => {
                    ticket.advance(Stage::Queued);
                    // without a mirror there is nobody to mask it: its ticket counts that
                    if let Some(back) = back.upgrade() {
                        let _ = back.send(Work::Named(ticket, plain, known));
                    }
                }
                () = abort.cancelled() => ticket.dropped(DropReason::Shutdown),
            }
        });
    }

    fn finish<R: Record>(
        &self,
        mut ticket: Ticket,
        plain: Observation,
        known: Option<&Known>,
        scratch: &mut Vec<u8>,
        way: &Way<R>,
    ) {
        ticket.advance(Stage::Masking);
        let Some((ticket, (content, bytes))) = guarded(ticket, || self.pack(plain, known, scratch)) else { return };
        match ticket.resize(bytes.len() + Packed::BESIDE) {
            Ok(mut ticket) => {
                ticket.advance(Stage::Ready);
                // a dead sender drops the packed observation, and its ticket counts that
                let _ = way.packed.send(Packed { ticket, content, bytes });
            }
            // features can take more room than what they were made from
            Err(ticket) => ticket.dropped(DropReason::Full),
        }
    }

    fn pack(
        &self,
        plain: Observation,
        known: Option<&Known>,
        scratch: &mut Vec<u8>,
    ) -> Result<(Content, Box<[u8]>), DropReason> {
        let masked = match known {
            Some(known) => self.masker.mask_named(plain, known),
            None => self.masker.mask(plain),
        };
        scratch.clear();
        rmp_serde::encode::write_named(scratch, &masked.sample).map_err(|error| {
            tracing::error!(%error, "an observation could not be packed");
            DropReason::MaskingFailed
        })?;
        if scratch.len() > self.ledger.max_observation_bytes() {
            return Err(DropReason::Oversize);
        }
        for (entity, n) in masked.hits.by_entity.iter().chain(&masked.hits.given) {
            self.entities.with_label_values(&[entity.as_str()]).inc_by(*n);
        }
        Ok((content_of(&masked.sample.payload), scratch.as_slice().into()))
    }
}

/// Does what a thread does for one observation: where it fails, that one is dropped.
fn guarded<T>(ticket: Ticket, work: impl FnOnce() -> Result<T, DropReason>) -> Option<(Ticket, T)> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(done)) => return Some((ticket, done)),
        Ok(Err(reason)) => ticket.dropped(reason),
        Err(_) => {
            tracing::error!("an observation could not be masked and was dropped; the panic is above");
            ticket.dropped(DropReason::MaskingFailed);
        }
    }
    None
}

fn content_of(payload: &Payload) -> Content {
    match payload {
        Payload::None => Content::None,
        Payload::SampledOut => Content::SampledOut,
        Payload::Withheld(reason) => Content::Withheld(reason.clone()),
        Payload::Kept(_) => Content::Kept,
    }
}
