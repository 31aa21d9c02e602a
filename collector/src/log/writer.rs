//! The thread that owns the open segment: group commit, rotation, and the one place that decides what is a repeat.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use store::write::EncodedSegment;
use tokio::sync::{mpsc, oneshot};

use super::disk::Disk;
use super::frame;
use super::level::Shared;
use super::marks::{Guard, Marks, Seen};
use super::ready::{Held, Room};
use super::segment::Open;
use super::slots::Slots;
use super::{AppendError, Appended, Command, Counts, Entry, Sealed, until};
use crate::config::LogConfig;
use crate::metrics::Metrics;

/// Bytes that are written before one fsync at most.
const COMMIT_BYTES_MAX: usize = 32 << 20;
/// How often marks that could not be written are tried again.
const RETRY: Duration = Duration::from_millis(200);
/// A wait that is always cut short by an entry.
const IDLE: Duration = Duration::from_secs(3600);

pub(crate) type Reply = oneshot::Sender<Result<Appended, AppendError>>;

/// The log's thread.
pub(crate) struct Writer {
    config: LogConfig,
    disk: Arc<dyn Disk>,
    marks: Marks,
    slots: Slots,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    open: Option<Open>,
    /// Where the rows of its entries wait.
    room: Room,
    /// Sealed segments whose marks are not on disk yet: they may not be deleted, so they are not handed on.
    held_back: Vec<Sealed>,
    sealed: mpsc::UnboundedSender<Sealed>,
}

/// What is written with one fsync.
#[derive(Default)]
struct Round {
    frames: Vec<u8>,
    fresh: Vec<(Guard, Reply)>,
    guards: HashSet<Guard>,
    repeats: Vec<Reply>,
    counts: Counts,
    rows: u64,
    plain: u64,
    /// The rows of each entry, in their order.
    made: Vec<Option<EncodedSegment>>,
}

impl Writer {
    pub fn new(
        config: LogConfig,
        disk: Arc<dyn Disk>,
        marks: Marks,
        slots: Slots,
        shared: Arc<Shared>,
        sealed: mpsc::UnboundedSender<Sealed>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let room = Room::new(config.ready_max_bytes);
        Self { config, disk, marks, slots, shared, metrics, open: None, room, held_back: Vec::new(), sealed }
    }

    /// Takes on what an earlier process left. Its marks were recalled from the segments themselves, so they have to be
    /// written before a segment may go.
    pub fn go_on_with(mut self, found: Vec<Sealed>) -> Self {
        self.held_back = found;
        self.rotate(false);
        self
    }

    /// Runs until told to close, or until nobody can append any more.
    pub fn run(mut self, commands: &Receiver<Command>) {
        loop {
            match commands.recv_timeout(self.patience()) {
                Ok(Command::Append(entry, reply)) => {
                    let closed = self.commit(entry, reply, commands);
                    self.rotate(closed);
                    if closed {
                        break;
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.rotate(false),
                Ok(Command::Close) | Err(RecvTimeoutError::Disconnected) => {
                    self.rotate(true);
                    break;
                }
            }
        }
    }

    /// How long to wait for an entry before there is something else to do.
    fn patience(&self) -> Duration {
        let age = self.open.as_ref().map_or(IDLE, |open| until(open.begun + self.config.segment_max_age));
        // overdue: the disk would not let it be sealed
        let age = if age.is_zero() { RETRY } else { age };
        if self.held_back.is_empty() { age } else { age.min(RETRY) }
    }

    /// Takes this entry and all that wait, writes them, syncs once, answers all; whether a close was among them.
    pub(crate) fn commit(&mut self, entry: Entry, reply: Reply, commands: &Receiver<Command>) -> bool {
        let now_ms = host::clock::now_ms();
        let mut round = Round::default();
        self.admit(entry, reply, now_ms, &mut round);
        let mut closed = false;
        while round.frames.len() < COMMIT_BYTES_MAX
            && round.rows < self.config.segment_max_rows
            && round.plain < self.config.segment_max_bytes
        {
            match commands.try_recv() {
                // what is larger than a segment is read back in one piece: it gets one of its own
                Ok(Command::Append(entry, reply)) if round.plain + entry.plain > self.config.segment_max_bytes => {
                    self.write(std::mem::take(&mut round), now_ms);
                    self.admit(entry, reply, now_ms, &mut round);
                    break;
                }
                Ok(Command::Append(entry, reply)) => self.admit(entry, reply, now_ms, &mut round),
                Ok(Command::Close) => {
                    closed = true;
                    break;
                }
                Err(_) => break,
            }
        }
        self.write(round, now_ms);
        closed
    }

    /// Decides what an entry is: news joins the round, a repeat of something in the round waits for it.
    fn admit(&mut self, entry: Entry, reply: Reply, now_ms: i64, round: &mut Round) {
        let refuse = |reply: Reply, error| drop(reply.send(Err(error)));
        self.marks.meet(&entry.guard, now_ms);
        let seen =
            if round.guards.contains(&entry.guard) { Seen::Before } else { self.marks.look(&entry.guard, now_ms) };
        match (seen, &entry.guard) {
            (Seen::Before, _) => round.repeats.push(reply),
            (Seen::TooManySources, _) => refuse(reply, AppendError::TooManySources),
            (Seen::TooOld, Guard::Numbered { epoch, seq, .. }) => {
                refuse(reply, AppendError::TooOld { epoch: *epoch, seq: *seq });
            }
            (Seen::TooOld | Seen::New, _) => {
                let room = (round.frames.len() + frame::HEADER_BYTES + entry.payload.len()) as u64;
                let spared = if entry.urgent { 0 } else { self.config.spare_bytes };
                if !self.shared.fits(room.saturating_add(spared)) {
                    self.shared.refused();
                    return refuse(reply, AppendError::Full(self.config.kept));
                }
                if !frame::write(&entry.payload, &mut round.frames) {
                    return refuse(reply, AppendError::TooLarge);
                }
                round.counts += entry.counts;
                round.rows += entry.rows;
                round.plain += entry.plain;
                if entry.guard != Guard::None {
                    round.guards.insert(entry.guard.clone());
                }
                round.made.push(entry.made);
                round.fresh.push((entry.guard, reply));
            }
        }
    }

    fn write(&mut self, mut round: Round, now_ms: i64) {
        if let Err(error) = self.write_frames(&mut round) {
            tracing::error!(%error, "the log cannot be written; posts are refused");
            self.shared.disk_refuses();
            let error = AppendError::Disk(error.to_string());
            let replies = round.fresh.into_iter().map(|(_, reply)| reply).chain(round.repeats);
            return replies.for_each(|reply| drop(reply.send(Err(error.clone()))));
        }
        self.metrics.logged(round.counts);
        for (guard, reply) in round.fresh {
            let gaps = self.marks.note(&guard, now_ms);
            if let (1.., Guard::Numbered { source, .. }) = (gaps, &guard) {
                self.metrics.gaps(source, gaps);
            }
            // whoever asked may be gone; what is stored stays stored
            let _ = reply.send(Ok(Appended::Stored));
        }
        round.repeats.into_iter().for_each(|reply| drop(reply.send(Ok(Appended::Repeated))));
    }

    fn write_frames(&mut self, round: &mut Round) -> std::io::Result<()> {
        if round.frames.is_empty() {
            return Ok(());
        }
        let over = |open: &Open| {
            open.plain + round.plain > self.config.segment_max_bytes
                || open.rows + round.rows > self.config.segment_max_rows
        };
        if self.open.as_ref().is_some_and(|open| open.plain > 0 && over(open)) {
            self.rotate(true);
        }
        if self.open.is_none() {
            let open = Open::create(&self.disk, &self.config.dir, Held::new(self.room.clone()))?;
            self.shared.appended(open.bytes(), 0);
            self.open = Some(open);
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        open.commit(&round.frames)?;
        open.observations += round.counts.observations;
        open.rows += round.rows;
        open.plain += round.plain;
        let made = std::mem::take(&mut round.made).into_iter().collect::<Option<Vec<_>>>();
        open.ready = open.ready.take().zip(made).and_then(|(ready, made)| ready.with(made));
        self.shared.appended(round.frames.len() as u64, round.counts.observations);
        Ok(())
    }

    /// Seals the open segment where it is due (or `now`), and hands on what may be handed on.
    pub(crate) fn rotate(&mut self, now: bool) {
        let due = |open: &Open| {
            // by what it grows to when it is read: its file may be a hundredth of that
            now || open.plain.max(open.bytes()) >= self.config.segment_max_bytes
                || open.rows >= self.config.segment_max_rows
                || until(open.begun + self.config.segment_max_age).is_zero()
        };
        if self.open.as_ref().is_some_and(due)
            && let Some(mut open) = self.open.take()
        {
            match open.restore() {
                Ok(()) => self.held_back.push(open.seal()),
                Err(error) => {
                    // a frame that was not acknowledged may be in it; it must not be read before that is certain
                    tracing::error!(%error, "a segment cannot be sealed yet");
                    self.open = Some(open);
                }
            }
        }
        if self.held_back.is_empty() {
            return;
        }
        match self.slots.write(&self.marks) {
            Ok(()) => self.held_back.drain(..).for_each(|sealed| drop(self.sealed.send(sealed))),
            Err(error) => tracing::error!(%error, "the log's marks cannot be written; segments wait"),
        }
    }
}
