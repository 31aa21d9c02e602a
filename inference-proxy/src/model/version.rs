//! A loaded version of our own: what passed its checks and runs in this process.

use std::sync::Arc;
use std::time::{Duration, Instant};

use contract::wire::Timings;
use uuid::Uuid;

use super::answer::{Answer, Input, RunError, TextStats, Urgency};
use super::batch::Job;
use super::head::Head;
use super::metadata::Metadata;
use super::passages::Passages;
use super::plan::{Feed, Plan, Work};
use super::pool::Pool;
use super::queue::{Done, Queue};
use super::stats::{Compute, Served, Statistics};
use super::status::{Role, State, Status};
use super::text::{EncodeError, Encoded, Span, TextEncoder};
use super::tune::Keeper;
use super::{rows, validate};
use crate::offload::{self, Gone};
use crate::tensor::Tensor;

/// A loaded version. It can be run as long as it is held and not unloaded, also while it drains.
#[derive(Debug)]
pub(crate) struct Local {
    /// Boxed: an enum of back ends holds it beside something small.
    parts: Box<Parts>,
    /// Of this load and no other.
    load: Uuid,
}

/// What a version is made of; only `load` makes it, from a folder that passed its checks.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) status: Arc<Status>,
    pub(crate) metadata: Arc<Metadata>,
    pub(crate) encoder: Option<Arc<TextEncoder>>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) pool: Pool,
    /// Where what was measured is kept.
    pub(crate) keeper: Option<Keeper>,
}

/// A request that is ready to queue.
struct Prepared {
    works: Vec<Job<Work>>,
    texts: Vec<TextStats>,
    /// What finding entities needs again: each text, and where its tokens stand.
    read: Vec<(String, Vec<Option<Span>>)>,
    tokenize: Duration,
}

impl Local {
    /// Characters past which a request is tokenized on a thread of its own, so that it holds up no other.
    const INLINE_BYTES_MAX: usize = 4_096;

    pub(crate) fn new(parts: Parts) -> Self {
        for (column, breach) in parts.metadata.schema.breaches() {
            parts.queue.metrics.violations(column, breach, 0);
        }
        Self { parts: Box::new(parts), load: Uuid::now_v7() }
    }

    /// What tells this load from every other, of the same files too.
    pub(crate) fn load(&self) -> Uuid {
        self.load
    }

    /// The model's name.
    pub(crate) fn name(&self) -> &str {
        &self.parts.queue.metrics.model
    }

    /// The version, as its folder is called.
    pub(crate) fn version(&self) -> &str {
        &self.parts.queue.metrics.version
    }

    /// What it is for at this moment.
    pub(crate) fn role(&self) -> Role {
        self.parts.status.role()
    }

    /// Whether it serves at this moment.
    pub(crate) fn state(&self) -> State {
        self.parts.status.get().state
    }

    /// What it says of itself.
    pub(crate) fn metadata(&self) -> &Arc<Metadata> {
        &self.parts.metadata
    }

    /// Runs one request and waits for its answer, at the latest until its deadline. Dropping the future cancels what
    /// is still queued.
    ///
    /// # Errors
    /// [`RunError`], with a sentence for the client.
    pub(crate) async fn run(&self, input: Input, urgency: impl Into<Urgency>) -> Result<Answer, RunError> {
        let counted = self.parts.queue.stats.begin();
        counted.end(self.attempt(input, urgency.into()).await)
    }

    async fn attempt(&self, input: Input, urgency: Urgency) -> Result<(Answer, Served), RunError> {
        let Urgency { deadline, priority, .. } = urgency;
        if Instant::now() >= deadline {
            return Err(RunError::Deadline);
        }
        let Prepared { mut works, texts, read, tokenize } = self.prepare(input, deadline).await?;
        works.iter_mut().for_each(|job| job.priority = level(priority));
        let items = works.iter().map(|job| job.rows).sum();
        let done = self.parts.queue.run(works, deadline).await?;
        let answer = self.answer(&done, texts, &read, tokenize)?;
        Ok((answer, served(items, &done)))
    }

    /// A request was answered without it.
    pub(crate) fn answered_from_cache(&self, took: Duration) {
        self.parts.queue.stats.cache_hit(took);
    }

    /// An answer was looked for and was not there.
    pub(crate) fn missed_in_cache(&self, took: Duration) {
        self.parts.queue.stats.cache_miss(took);
    }

    /// Most items that run together; 0 where requests run one by one.
    #[must_use]
    pub fn max_batch_items(&self) -> usize {
        let policy = self.parts.queue.policy();
        if policy.together { policy.max_rows } else { 0 }
    }

    /// How long a request waits for company.
    #[must_use]
    pub fn max_batch_delay(&self) -> Duration {
        self.parts.queue.policy().max_delay
    }

    /// What it has done since it was loaded.
    pub(crate) fn statistics(&self) -> Statistics {
        self.parts.queue.stats.snapshot()
    }

    /// Counts what of a request breaks the schema of its inputs. Called beside the serving path.
    pub(crate) fn count_violations(&self, input: &Input) {
        let Input::Tensors(tensors) = input else { return };
        let schema = &self.parts.metadata.schema;
        for violation in tensors.iter().flat_map(|tensor| schema.violations(tensor)) {
            self.parts.queue.metrics.violations(violation.column, violation.breach, 1);
        }
    }

    /// When its state last changed, milliseconds since the Unix epoch.
    pub(crate) fn since_ms(&self) -> i64 {
        self.parts.status.get().since_ms
    }

    /// Takes no more work, finishes what is queued, and ends its threads; blocks.
    pub(crate) fn finish(&self) {
        self.parts.pool.finish();
        if let (Some(keeper), Some(cost)) = (&self.parts.keeper, self.parts.queue.cost()) {
            keeper.keep(cost);
        }
    }

    /// What runs of it cost at this moment: (rows, length, seconds) each; `None` where nothing was measured.
    pub(crate) fn cost(&self) -> Option<Vec<(usize, usize, f64)>> {
        let cost = self.parts.queue.cost()?;
        Some(cost.cells().map(|point| (point.rows, point.length, point.seconds)).collect())
    }

    /// How long a request that comes now would wait for those before it.
    pub(crate) fn time_to_drain(&self) -> Duration {
        self.parts.queue.time_to_drain()
    }

    /// Whether nothing waits and nothing runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.parts.queue.is_idle()
    }

    async fn prepare(&self, input: Input, deadline: Instant) -> Result<Prepared, RunError> {
        match (input, &self.parts.encoder, &self.parts.plan.feed) {
            (Input::Texts(texts), Some(encoder), _) => {
                self.prepare_texts(Passages::Single(texts), encoder, deadline).await
            }
            (Input::Pairs(pairs), Some(encoder), _) => {
                self.prepare_texts(Passages::Pairs(pairs), encoder, deadline).await
            }
            (Input::Tensors(tensors), Some(encoder), _) => {
                let texts = Passages::read(tensors).map_err(RunError::Invalid)?;
                self.prepare_texts(texts, encoder, deadline).await
            }
            (Input::Tensors(tensors), None, Feed::Tensors(specs)) => {
                let plan = &self.parts.plan;
                let tensors = validate::tensors(specs, tensors, plan.splits, plan.allow_non_finite);
                let works = vec![tensor_job(tensors.map_err(RunError::Invalid)?, plan.splits, deadline)];
                Ok(Prepared { works, texts: Vec::new(), read: Vec::new(), tokenize: Duration::ZERO })
            }
            (Input::Texts(_) | Input::Pairs(_), None, _) | (_, None, Feed::Tokens(_)) => {
                Err(RunError::Invalid(format!("model '{}' takes tensors, not text", self.name())))
            }
        }
    }

    async fn prepare_texts(
        &self,
        passages: Passages,
        encoder: &Arc<TextEncoder>,
        deadline: Instant,
    ) -> Result<Prepared, RunError> {
        if passages.len() == 0 {
            return Err(RunError::Invalid("there is no text".to_owned()));
        }
        self.parts.queue.check_items(passages.len())?;
        let started = Instant::now();
        let (encoded, passages) = if passages.bytes() <= Self::INLINE_BYTES_MAX {
            (encode_all(encoder, &passages, deadline, &Gone::default()), passages)
        } else {
            let encoder = Arc::clone(encoder);
            let task = offload::blocking(move |gone| (encode_all(&encoder, &passages, deadline, gone), passages));
            let lost = || Err(EncodeError::Failed("the tokenizer was interrupted".to_owned()));
            task.await.unwrap_or_else(|_| (lost(), Passages::Single(Vec::new())))
        };
        let tokenize = started.elapsed();
        let metrics = &self.parts.queue.metrics;
        metrics.stage("tokenize", tokenize.as_secs_f64());
        let encoded = encoded.map_err(|error| match error {
            EncodeError::Invalid(why) => RunError::Invalid(why),
            EncodeError::Failed(why) => {
                metrics.tokenize_error();
                RunError::Failed(why)
            }
        })?;
        let mut encoded = encoded.ok_or(RunError::Deadline)?;
        let texts: Vec<TextStats> = encoded.iter().map(|text| text.stats).collect();
        metrics.truncated(texts.iter().filter(|text| text.truncated).count());
        let read = match (&self.parts.plan.head, passages) {
            (Head::Entities(_), Passages::Single(texts)) => {
                texts.into_iter().zip(encoded.iter_mut().map(|text| std::mem::take(&mut text.spans))).collect()
            }
            _ => Vec::new(),
        };
        let works = encoded.into_iter().map(|text| text_job(text, deadline)).collect();
        Ok(Prepared { works, texts, read, tokenize })
    }

    fn answer(
        &self,
        done: &[Done],
        texts: Vec<TextStats>,
        read: &[(String, Vec<Option<Span>>)],
        tokenize: Duration,
    ) -> Result<Answer, RunError> {
        let started = Instant::now();
        let longest = |of: fn(&Done) -> Duration| done.iter().map(of).max().unwrap_or_default();
        let (queue, infer) = (longest(|d| d.queue), longest(|d| d.infer));
        let plan = &self.parts.plan;
        let outputs = plan.outputs.iter().enumerate().map(|(i, spec)| {
            let parts: Vec<&Tensor> = done.iter().filter_map(|d| d.outputs.get(i)).collect();
            match parts.as_slice() {
                [only] => Ok((*only).clone()),
                parts => plan.head.join(parts).ok_or_else(|| {
                    RunError::BadOutput(format!("output '{}' differs in shape from item to item", spec.name))
                }),
            }
        });
        let outputs: Vec<Tensor> = outputs.collect::<Result<_, _>>()?;
        let classes = plan.head.classes(&outputs).map_err(RunError::BadOutput)?;
        let found = done.iter().zip(read).map(|(item, (text, spans))| plan.head.entities(&item.outputs, spans, text));
        let entities = found.collect::<Result<_, _>>().map_err(RunError::BadOutput)?;
        let metrics = &self.parts.queue.metrics;
        for (stage, took) in [("queue", queue), ("infer", infer), ("postprocess", started.elapsed())] {
            metrics.stage(stage, took.as_secs_f64());
        }
        let batch = done.iter().map(|d| d.batch).max().unwrap_or_default();
        let timings = Timings {
            total_us: 0,
            tokenize_us: micros(tokenize),
            queue_us: micros(queue),
            infer_us: micros(infer),
            batch_size: u32::try_from(batch).unwrap_or(u32::MAX),
            batch_variant: batch > 1 && self.parts.metadata.batch_variant,
            from_cache: false,
            padding: done.iter().map(|d| d.padding).fold(0.0, f64::max),
            provider: self.parts.metadata.ran_by(),
        };
        Ok(Answer { outputs, classes, entities, texts, timings })
    }
}

/// Of a request whose items ran in several batches, the longest of each.
fn served(items: usize, done: &[Done]) -> Served {
    let longest = |of: fn(&Done) -> Duration| done.iter().map(of).max().unwrap_or_default();
    let compute = Compute {
        input: longest(|d| d.compute.input),
        infer: longest(|d| d.compute.infer),
        output: longest(|d| d.compute.output),
    };
    Served { items, queue: longest(|d| d.queue), compute }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The protocol's priority as a level: what says nothing is ordinary, as 2 is; 1 goes before it, larger ones after it.
fn level(priority: u64) -> u8 {
    let said = if priority == 0 { 2 } else { priority };
    u8::try_from(said - 1).unwrap_or(LEVELS_MAX).min(LEVELS_MAX)
}

/// Priorities past this are one: it bounds how long the last of them can be overtaken.
const LEVELS_MAX: u8 = 7;

/// `None` where the deadline comes first or the client has left: nobody waits any more, and a thread cannot be cancelled.
fn encode_all(
    encoder: &TextEncoder,
    passages: &Passages,
    deadline: Instant,
    gone: &Gone,
) -> Result<Option<Vec<Encoded>>, EncodeError> {
    let mut all = Vec::with_capacity(passages.len());
    for (i, passage) in passages.iter().enumerate() {
        if gone.is_so() || Instant::now() >= deadline {
            return Ok(None);
        }
        all.push(encoder.encode(i, passage)?);
    }
    Ok(Some(all))
}

fn text_job(text: Encoded, deadline: Instant) -> Job<Work> {
    let length = text.ids.len();
    Job {
        length,
        rows: 1,
        bytes: 2 * length * size_of::<u32>(),
        kind: 0,
        priority: 0,
        deadline,
        load: Work::Tokens(text),
    }
}

/// Where the first axis is not the item, the request is one item however long that axis is.
fn tensor_job(tensors: Vec<Tensor>, splits: bool, deadline: Instant) -> Job<Work> {
    let kind = validate::kind(&tensors);
    let bytes = tensors.iter().map(|tensor| rows::bytes(tensor.data())).sum();
    let elements: usize = tensors.iter().map(|tensor| tensor.data().len()).sum();
    let work = Work::Tensors(tensors);
    let rows = if splits { work.rows().max(1) } else { 1 };
    Job { length: elements.div_ceil(rows).max(1), rows, bytes, kind, priority: 0, deadline, load: work }
}
