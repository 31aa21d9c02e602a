//! A database in memory that does to inserts what ClickHouse does: it takes a block, refuses it, or lets nobody know.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use store::Error;
use store::write::{Block, Table, Tables};
use uuid::Uuid;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is done.
    Done,
    /// It is refused and not done.
    Refused,
    /// It is done, and the answer is lost.
    Unheard,
    /// It never arrived.
    Lost,
    /// Something else said yes to it; not more often than twice running.
    Lied,
    /// It is done later, and whoever asked has gone.
    Late,
    /// It is done, and whoever asked comes to grief over the answer.
    Broken,
}

/// The database. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Database(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    parts: Vec<Part>,
    tokens: Vec<(Table, String)>,
    late: Vec<(Part, String)>,
    fates: VecDeque<Fate>,
    poison: HashSet<(Table, Uuid)>,
    lies: u32,
}

struct Part {
    table: Table,
    segment: Uuid,
    ids: Vec<Uuid>,
    rows: u64,
    /// Somebody was told that it is there.
    told: bool,
}

impl State {
    fn commit(&mut self, part: Part, token: String) {
        let token = (part.table, token);
        if !self.tokens.contains(&token) {
            self.tokens.push(token);
            self.parts.push(part);
        }
    }
}

impl Database {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn script(&self, fates: &[Fate]) {
        self.state().fates = fates.iter().copied().collect();
    }

    /// An observation that the table of observations never takes.
    pub fn refuse(&self, id: Uuid) {
        self.refuse_in(Table::Observations, id);
    }

    /// The same of any table.
    pub fn refuse_in(&self, table: Table, id: Uuid) {
        self.state().poison.insert((table, id));
    }

    /// What was under way arrives.
    pub fn settle(&self) {
        let mut state = self.state();
        for (part, token) in std::mem::take(&mut state.late) {
            state.commit(part, token);
        }
    }

    /// A kill: what is under way is gone, the newest tokens are forgotten, and rows that nobody was told of may be gone
    /// although their tokens are remembered.
    pub fn kill(&self, forgotten: usize, vanish: bool) {
        let mut state = self.state();
        state.late.clear();
        if vanish {
            state.parts.retain(|part| part.told);
        } else {
            let kept = state.tokens.len().saturating_sub(forgotten);
            state.tokens.truncate(kept);
        }
    }

    /// How often each observation is in a table.
    pub fn times(&self, table: Table) -> HashMap<Uuid, usize> {
        let state = self.state();
        let mut times = HashMap::new();
        for id in state.parts.iter().filter(|part| part.table == table).flat_map(|part| &part.ids) {
            *times.entry(*id).or_default() += 1;
        }
        times
    }

    pub fn heartbeats(&self) -> u64 {
        self.state().parts.iter().filter(|part| part.table == Table::Heartbeats).map(|part| part.rows).sum()
    }
}

fn unavailable(reason: &str) -> Error {
    Error::Unavailable { url: "memory".to_owned(), reason: reason.to_owned() }
}

impl Tables for Database {
    async fn prepare(&self) -> Result<(), Error> {
        Ok(())
    }

    async fn count(&self, block: &Block) -> Result<u64, Error> {
        let mut state = self.state();
        if matches!(state.fates.front(), Some(Fate::Lost)) {
            state.fates.pop_front();
            return Err(unavailable("the count was lost"));
        }
        let mut rows = 0;
        let those = |part: &&mut Part| part.table == block.table() && part.segment == block.segment();
        for part in state.parts.iter_mut().filter(those) {
            part.told = true;
            rows += part.rows;
        }
        Ok(rows)
    }

    async fn put(&self, block: &Block, token: &str) -> Result<(), Error> {
        let mut state = self.state();
        let ids: Vec<Uuid> = block.ids().collect();
        if ids.iter().any(|id| state.poison.contains(&(block.table(), *id))) {
            return Err(Error::Refused { code: Some(469), message: "a constraint".to_owned() });
        }
        let part = Part { table: block.table(), segment: block.segment(), ids, rows: block.rows(), told: false };
        let token = token.to_owned();
        let fate = match state.fates.pop_front().unwrap_or(Fate::Done) {
            Fate::Lied if state.lies == 2 => Fate::Done,
            fate => fate,
        };
        state.lies = if fate == Fate::Lied { state.lies + 1 } else { 0 };
        match fate {
            Fate::Done => {
                state.commit(Part { told: true, ..part }, token);
                Ok(())
            }
            Fate::Refused => Err(Error::Refused { code: Some(241), message: "no memory".to_owned() }),
            Fate::Unheard => {
                state.commit(part, token);
                Err(unavailable("the answer was lost"))
            }
            Fate::Lost => Err(unavailable("the request was lost")),
            Fate::Lied => Ok(()),
            Fate::Broken => {
                state.commit(part, token);
                drop(state);
                panic!("an answer that nobody thought of")
            }
            Fate::Late => {
                state.late.push((part, token));
                Err(unavailable("the time limit passed"))
            }
        }
    }
}
