//! One ONNX Runtime session with the plan of its graph: works in, checked outputs out, one share a work.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use ort::ErrorCode;
use ort::session::{Session, SessionInputValue};

use crate::tensor::Tensor;

use super::plan::{Feed, Plan, Work};
use super::runtime::{Runtime, SessionOptions};
use super::stats::Compute;
use super::{rows, values};

/// A session that can run works of its plan.
#[derive(Debug)]
pub(crate) struct Engine {
    session: Session,
    plan: Arc<Plan>,
    took: Compute,
    blames_input: bool,
}

/// Each work's outputs, or what is wrong with them.
pub(crate) type Shares = Vec<Result<Vec<Tensor>, String>>;

/// Makes engines of one graph, tried before they are given out.
#[derive(Clone, Debug)]
pub(crate) struct EngineFactory {
    pub(crate) runtime: Runtime,
    pub(crate) model: PathBuf,
    pub(crate) options: SessionOptions,
    pub(crate) plan: Arc<Plan>,
    /// What a new session runs before it serves: a single item, and a full batch.
    pub(crate) warm_up: Vec<Vec<Work>>,
}

impl EngineFactory {
    /// A session that has run its warm-up.
    ///
    /// # Errors
    /// What ONNX Runtime said.
    pub(crate) fn make(&self) -> Result<Engine, String> {
        let session = self.runtime.session(&self.model, self.options)?;
        let mut engine = Engine::new(session, Arc::clone(&self.plan));
        self.try_out(&mut engine)?;
        Ok(engine)
    }

    /// Whether a session still runs its warm-up.
    ///
    /// # Errors
    /// What ONNX Runtime said. Outputs are not looked at: zeros need not have a finite answer.
    pub(crate) fn try_out(&self, engine: &mut Engine) -> Result<(), String> {
        for works in &self.warm_up {
            engine.run(&works.iter().collect::<Vec<_>>())?;
        }
        Ok(())
    }
}

impl Engine {
    pub(crate) fn new(session: Session, plan: Arc<Plan>) -> Self {
        Self { session, plan, took: Compute::default(), blames_input: false }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The parts of the last run that succeeded.
    pub(crate) fn took(&self) -> Compute {
        self.took
    }

    /// Whether ONNX Runtime says of the last run, which failed, that an argument was wrong: an index past its table, say.
    pub(crate) fn blames_input(&self) -> bool {
        self.blames_input
    }

    /// The session, for another plan.
    pub(crate) fn into_session(self) -> Session {
        self.session
    }

    /// Runs works together. The outer error is the session's and everybody's; an inner one is that of a single
    /// work's output.
    pub(crate) fn run(&mut self, works: &[&Work]) -> Result<Shares, String> {
        self.run_padded(works, 0)
    }

    /// The same with texts padded to `least` tokens, also where the longest has fewer.
    pub(crate) fn run_padded(&mut self, works: &[&Work], least: usize) -> Result<Shares, String> {
        self.blames_input = false;
        let started = Instant::now();
        let inputs = assemble(&self.plan.feed, works, least)?;
        let named: Result<Vec<(Cow<'_, str>, SessionInputValue<'_>)>, String> = inputs
            .into_iter()
            .map(|tensor| {
                let name = tensor.name().to_owned();
                Ok((Cow::Owned(name), values::to_value(tensor)?.into()))
            })
            .collect();
        let named = named?;
        let assembled = Instant::now();
        let found = self.session.run(named).map_err(|error| {
            self.blames_input = error.code() == ErrorCode::InvalidArgument;
            error.to_string()
        })?;
        let ran = Instant::now();
        let read = |name: &String| match found.get(name) {
            Some(value) => values::from_value(name, value),
            None => Err(format!("the session gave no output '{name}'")),
        };
        let outputs: Vec<Tensor> =
            self.plan.outputs.iter().map(|spec| read(&spec.name)).collect::<Result<_, String>>()?;
        let all: usize = works.iter().map(|work| work.rows()).sum();
        let mut start = 0;
        let share = |work: &&Work| {
            let share = self.plan.share(&outputs, start, work, all);
            start += work.rows();
            share
        };
        let shares = works.iter().map(share).collect();
        let (input, infer, output) = (assembled - started, ran - assembled, ran.elapsed());
        self.took = Compute { input, infer, output };
        Ok(shares)
    }
}

/// The graph's inputs for several works.
fn assemble(feed: &Feed, works: &[&Work], least: usize) -> Result<Vec<Tensor>, String> {
    match feed {
        Feed::Tokens(feed) => {
            let texts = works.iter().filter_map(|work| match work {
                Work::Tokens(encoded) => Some(encoded),
                Work::Tensors(_) => None,
            });
            Ok(feed.tensors(&texts.collect::<Vec<_>>(), least))
        }
        Feed::Tensors(specs) => {
            let column = |i: usize| {
                let parts: Vec<&Tensor> = works
                    .iter()
                    .filter_map(|work| match work {
                        Work::Tensors(tensors) => tensors.get(i),
                        Work::Tokens(_) => None,
                    })
                    .collect();
                match parts.as_slice() {
                    [only] => Ok((*only).clone()),
                    parts => {
                        rows::stack(parts).ok_or_else(|| format!("inputs '{}' cannot be put together", specs[i].name))
                    }
                }
            };
            (0..specs.len()).map(column).collect()
        }
    }
}
