//! The law of the log as a model: whatever fails when, what was acknowledged is stored once, and nothing is stored twice.
//!
//! The real writer, recovery and inserter run over a file system that forgets what was not synced and a database that
//! loses answers, forgets tokens and does things late. Senders behave as the contract says: what was not answered
//! definitely is posted again under the same number. One machine-made life after another is lived, and then looked at.

mod broken;
mod database;
mod events;
mod large;
mod memory;
mod refused;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use contract::wire::{Ledger, Observation};
use host::metrics::Registry;
use masking::Masker;
use proptest::prelude::*;
use store::write::{EncodedSegment, Table};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::database::{Database, Fate};
use self::events::{Event, Kind, SOURCES, event};
use self::memory::Memory;
use crate::config::{Config, LogConfig, RawConfig};
use crate::insert::{self, Inserter};
use crate::log::{self, AppendError, Appended, Command, Counts, Disk, Entry, Parts, Sealed};
use crate::metrics::Metrics;
use crate::record::{self, Batch, Packed, Record, Single};

/// Every so manieth observation is one that the database never takes.
const POISON: u64 = 17;

/// What one process holds.
struct Process {
    writer: log::Writer,
    commands: SyncSender<Command>,
    received: Receiver<Command>,
    sealed: tokio::sync::mpsc::UnboundedReceiver<Sealed>,
    inserter: Inserter<Database>,
}

/// A post as its sender keeps it.
#[derive(Clone)]
struct Post {
    record: Arc<Packed>,
    /// Its rows, where the pipeline has made them.
    made: Option<EncodedSegment>,
    guard: log::Guard,
    ids: Vec<Uuid>,
    heartbeat: bool,
}

struct World {
    config: LogConfig,
    disk: Memory,
    database: Database,
    masker: Masker,
    process: Option<Process>,
    seqs: [u64; SOURCES],
    made: u64,
    poison: HashSet<Uuid>,
    waiting: Vec<Post>,
    acked: Vec<Post>,
    seed: u64,
}

impl World {
    fn new() -> Self {
        let mut raw = RawConfig::default();
        raw.log.dir = "/log".into();
        raw.log.segment_max_age = Duration::from_secs(3600);
        raw.log.segment_max_bytes = host::config::ByteSize::new(4096);
        // room for some of the segments: the others are read back
        raw.insert.ready_max_bytes = host::config::ByteSize::new(8192);
        let config = Config::try_from(raw).unwrap().log;
        let masker = Masker::new(&masking::RawConfig::default()).unwrap();
        let mut world = Self {
            config,
            disk: Memory::default(),
            database: Database::default(),
            masker,
            process: None,
            seqs: [0; SOURCES],
            made: 0,
            poison: HashSet::new(),
            waiting: Vec::new(),
            acked: Vec::new(),
            seed: 1,
        };
        world.start();
        world
    }

    /// Starts a process; the disk may not let it come up.
    fn start(&mut self) {
        let metrics = Arc::new(Metrics::new(&Registry::new()));
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let Ok(Parts { writer, sealed, shared }) = log::parts(&self.config, &disk, metrics.clone()) else { return };
        let (commands, received) = sync_channel(64);
        let inserter = Inserter {
            tables: self.database.clone(),
            disk,
            masker: Arc::new(self.masker.clone()),
            shared,
            metrics,
            segments: 3,
            quarantine: "/log/quarantine".into(),
            quarantine_max_bytes: 1 << 30,
            give_up: CancellationToken::new(),
            _lock: None,
        };
        self.process = Some(Process { writer, commands, received, sealed, inserter });
    }

    fn crash(&mut self, seed: u64) {
        self.process = None;
        self.disk = self.disk.after_crash(seed);
        self.start();
    }

    fn observation(&mut self) -> Observation {
        self.made += 1;
        let id = Uuid::from_u128(u128::from(self.made) << 64 | 7);
        if self.made.is_multiple_of(POISON) {
            self.poison.insert(id);
            self.database.refuse(id);
        }
        let text = "x".repeat(self.made as usize * 37 % 200);
        let line = serde_json::json!({
            "id": id, "at_ms": 1_767_225_600_000_i64, "model": "m", "version": "1", "outcome": "ok", "reason": text,
            "features": [{"name": "input.x", "value": 1.5}],
        });
        serde_json::from_value(line).unwrap()
    }

    fn post(&mut self, kind: Kind) -> Post {
        let count = match kind {
            Kind::Batch(_, count) => count,
            Kind::Single => 1,
        };
        let plain: Vec<Observation> = (0..count).map(|_| self.observation()).collect();
        let ids: Vec<Uuid> = plain.iter().map(|o| o.id).collect();
        let (source, seq, single) = match kind {
            Kind::Batch(source, _) => {
                self.seqs[source] += 1;
                (format!("s{source}"), self.seqs[source], None)
            }
            Kind::Single => ("http".to_owned(), self.made, Some(Single::Id(ids[0]))),
        };
        let record = Record::Batch(Batch {
            source,
            epoch: 1,
            seq,
            sent_at_ms: 1,
            received_at_ms: 2,
            ledger: Ledger::default(),
            single,
            heartbeat: true,
            observations: plain.into_iter().map(|plain| self.masker.mask(plain).sample).collect(),
        });
        let made = (!self.made.is_multiple_of(11)).then(|| insert::rows(&record));
        Post { guard: record.guard(), record: Arc::new(record::write(&record).unwrap()), made, ids, heartbeat: true }
    }

    /// Posts in one round; what is not answered waits.
    fn round(&mut self, posts: Vec<Post>) {
        let Some(process) = &mut self.process else { return self.waiting.extend(posts) };
        let mut answers = Vec::new();
        let mut entries = Vec::new();
        for post in &posts {
            let (reply, answer) = oneshot::channel::<Result<Appended, AppendError>>();
            let Packed { payload, plain } = &*post.record;
            let entry = Entry {
                guard: post.guard.clone(),
                payload: payload.clone(),
                counts: Counts { observations: post.ids.len() as u64, ..Counts::default() },
                rows: post.ids.len() as u64,
                plain: *plain,
                made: post.made.clone(),
                urgent: false,
            };
            entries.push((entry, reply));
            answers.push(answer);
        }
        let mut entries = entries.into_iter();
        let Some((first, reply)) = entries.next() else { return };
        entries.for_each(|(entry, reply)| process.commands.send(Command::Append(entry, reply)).unwrap());
        process.writer.commit(first, reply, &process.received);
        while let Ok(Command::Append(entry, reply)) = process.received.try_recv() {
            process.writer.commit(entry, reply, &process.received);
        }
        process.writer.rotate(false);
        for (post, mut answer) in posts.into_iter().zip(answers) {
            match answer.try_recv() {
                Ok(Ok(_)) => self.acked.push(post),
                Ok(Err(AppendError::TooOld { .. } | AppendError::TooLarge)) => {
                    panic!("an honest sender is refused for good")
                }
                _ => self.waiting.push(post),
            }
        }
    }

    fn insert(&mut self, count: usize, fates: &[Fate]) {
        let Some(process) = &mut self.process else { return };
        self.database.script(fates);
        let segments: Vec<Sealed> = (0..count).map_while(|_| process.sealed.try_recv().ok()).collect();
        let inserter = &process.inserter;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let work = async {
            let mut under_way: Vec<_> =
                segments.iter().map(|segment| Box::pin(inserter.deliver(segment.clone()))).collect();
            let mut delivered = Vec::new();
            for task in &mut under_way {
                delivered.push(task.await.unwrap());
            }
            for (segment, delivered) in segments.iter().zip(delivered) {
                inserter.finish(segment, delivered).await.unwrap();
            }
        };
        // whoever waits this long waits for a machine that is off
        let done = runtime.block_on(async { tokio::time::timeout(Duration::from_secs(3600), work).await });
        runtime.shutdown_background();
        if done.is_err() {
            // the rest of this life's segments is met again by the next
            self.crash_seeded();
        }
    }

    fn crash_seeded(&mut self) {
        self.seed += 1;
        self.crash(self.seed);
    }

    fn live(&mut self, event: &Event) {
        match event {
            Event::Posts(kinds) => {
                let posts = kinds.iter().map(|kind| self.post(*kind)).collect();
                self.round(posts);
            }
            Event::Twice(kind) => {
                let post = self.post(*kind);
                self.round(vec![post.clone(), post]);
            }
            Event::Again => {
                let posts = std::mem::take(&mut self.waiting);
                self.round(posts);
            }
            Event::Repeat(which) => {
                if !self.acked.is_empty() {
                    let post = self.acked[which % self.acked.len()].clone();
                    // its acknowledgement was lost, so it is acknowledged once more
                    self.acked.retain(|acked| acked.guard != post.guard);
                    self.round(vec![post]);
                }
            }
            Event::Seal => self.process.iter_mut().for_each(|process| process.writer.rotate(true)),
            Event::Insert(count, fates) => self.insert(*count, fates),
            Event::Settle => self.database.settle(),
            Event::KillEngine(forgotten, vanish) => self.database.kill(*forgotten, *vanish),
            Event::Crash(seed) => self.crash(*seed),
            Event::CrashIn(steps) => self.disk.crash_in(*steps),
            Event::Fail(steps) => self.disk.fail(*steps),
            Event::Full(more) => self.disk.limit(Some(*more)),
            Event::Room => self.disk.limit(None),
        }
        if self.disk.crashed() || self.process.is_none() {
            self.crash_seeded();
        }
        self.nothing_is_doubled();
    }

    fn nothing_is_doubled(&self) {
        for table in [Table::Observations, Table::Features] {
            for (id, times) in self.database.times(table) {
                assert!(times == 1, "{id} is {times} times in {}", table.name());
            }
        }
    }

    /// Everything works again, and everybody tries until it is done.
    fn end(&mut self) {
        self.disk.limit(None);
        self.disk.fail(0);
        self.crash_seeded();
        let posts = std::mem::take(&mut self.waiting);
        posts.into_iter().for_each(|post| self.round(vec![post]));
        self.database.settle();
        assert!(self.waiting.is_empty(), "a healthy log refuses {} posts", self.waiting.len());
        self.process.as_mut().unwrap().writer.rotate(true);
        self.insert(usize::MAX, &[]);
    }

    /// Observations in the quarantine that belong to the table that refused them.
    fn quarantined(&self) -> HashMap<Uuid, usize> {
        let mut times = HashMap::new();
        for path in self.disk.list(Path::new("/log/quarantine")).unwrap() {
            if path.extension().is_none_or(|e| e != "segment") {
                continue;
            }
            let reason = self.disk.read(&path.with_extension("reason")).expect("a reason lies beside it");
            assert!(reason.starts_with(b"table observations"), "{}", String::from_utf8_lossy(&reason));
            let bytes = self.disk.read(&path).unwrap();
            let mut seen = HashSet::new();
            for met in log::frames(&bytes) {
                let log::frame::Met::Frame(payload) = met else { panic!("{met:?} in the quarantine") };
                if let Record::Batch(batch) = record::read(payload).unwrap() {
                    seen.extend(batch.observations.iter().map(|o| o.id));
                }
            }
            seen.into_iter().for_each(|id| *times.entry(id).or_default() += 1);
        }
        times
    }

    fn judge(&self) {
        self.nothing_is_doubled();
        let (stored, features) = (self.database.times(Table::Observations), self.database.times(Table::Features));
        let quarantined = self.quarantined();
        let mut beats = BTreeMap::new();
        for post in &self.acked {
            beats.insert(format!("{:?}", post.guard), u64::from(post.heartbeat));
            for id in &post.ids {
                assert!(features.contains_key(id), "{id} was acknowledged, and its features are lost");
                let poison = self.poison.contains(id);
                assert_eq!(stored.contains_key(id), !poison, "{id} was acknowledged (poison: {poison})");
                assert_eq!(quarantined.contains_key(id), poison, "{id} was put aside (poison: {poison})");
            }
        }
        assert_eq!(self.database.heartbeats(), beats.values().sum::<u64>());
        let left = self.disk.list(Path::new("/log")).unwrap();
        let left: Vec<_> = left.iter().filter(|path| path.extension().is_some_and(|e| e == "segment")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn live(events: &[Event]) {
    let mut world = World::new();
    events.iter().for_each(|event| world.live(event));
    world.end();
    world.judge();
}

/// The marks of what an earlier process had left were not written before its segments went, so that the start after that
/// took a repeat for news.
#[test]
fn a_repeat_after_two_restarts_is_still_one() {
    live(&[
        Event::Posts(vec![Kind::Batch(0, 2)]),
        Event::Crash(0),
        Event::Insert(1, vec![]),
        Event::Crash(0),
        Event::Repeat(0),
    ]);
}

/// A stop may come while a segment is being delivered, and its task may hear of it before the inserter does.
#[test]
fn a_stop_while_the_database_is_away_leaves_the_segments_in_the_log() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    for _ in 0..50 {
        let mut world = World::new();
        let posts = (0..3).map(|_| world.post(Kind::Single)).collect();
        world.round(posts);
        world.database.script(&[Fate::Lost; 100]);
        let Process { mut writer, inserter, sealed, .. } = world.process.take().unwrap();
        writer.rotate(true);
        let give_up = inserter.give_up.clone();
        runtime.block_on(async {
            let stop = async {
                tokio::time::sleep(Duration::from_millis(5)).await;
                give_up.cancel();
            };
            let work = tokio::spawn(inserter.run(sealed));
            stop.await;
            work.await.expect("it ends without a panic");
        });
        drop(writer);
        assert!(world.database.times(Table::Observations).is_empty());
        world.end();
        world.judge();
    }
}

proptest! {
    #[test]
    fn what_is_acknowledged_is_stored_once(events in prop::collection::vec(event(), 1..40)) {
        live(&events);
    }
}
