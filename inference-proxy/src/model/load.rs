//! From a folder to a version that serves: the pairing checks, then the sessions one at a time.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use super::batch::Policy;
use super::config::ModelsConfig;
use super::device::Device;
use super::folder::{self, Folder};
use super::invariance;
use super::manifest;
use super::memory::{self, Memory};
use super::metadata::Metadata;
use super::metrics::{Metrics, VersionMetrics};
use super::onnx;
use super::pairing::{self, Paired, Report, Terms};
use super::plan::Feed;
use super::pool::Pool;
use super::queue::Queue;
use super::runtime::Runtime;
use super::session::{Engine, EngineFactory};
use super::status::Status;
use super::text::TextEncoder;
use super::tune::{self, Subject, Tuned};
use super::version::{Local, Parts};
use crate::gpu;

/// What to load, and how.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) model: Arc<str>,
    pub(crate) version: Arc<str>,
    pub(crate) dir: PathBuf,
    pub(crate) status: Arc<Status>,
    /// Sessions, where the server's configuration says it.
    pub(crate) instances: Option<usize>,
    pub(crate) intra_threads: Option<usize>,
    /// Where its sessions shall run.
    pub(crate) device: Device,
    pub(crate) config: Arc<ModelsConfig>,
    pub(crate) runtime: Runtime,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) memory: Arc<Memory>,
}

impl Order {
    /// Memory that the version will take, by the size of its weights and the number of its sessions.
    pub(crate) fn needed_bytes(&self) -> u64 {
        let (sessions, intra_threads) = folder::wishes(&self.dir);
        let (sessions, intra_threads) = (self.instances.or(sessions), self.intra_threads.or(intra_threads));
        let sessions = tune::most_sessions(&self.config.tuning, sessions, intra_threads);
        self.memory.estimate(memory::weights(&self.dir), sessions)
    }

    /// Whether so many more of its sessions fit at this moment, beside what it has.
    fn fit(&self, device: Device, sessions: usize) -> bool {
        let needed = self.memory.estimate(memory::weights(&self.dir), sessions);
        let free = match device {
            Device::Cuda(cuda) => gpu::free(cuda.card),
            Device::Cpu => None,
        };
        free.is_none_or(|free| needed <= free) && needed <= self.memory.free()
    }
}

/// Why a version does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Name of the check, or `sessions`.
    pub(crate) reason: &'static str,
    /// One sentence.
    pub(crate) why: String,
}

/// Checks, opens and warms up; blocks for as long as that takes.
///
/// # Errors
/// [`Refusal`].
pub(crate) fn load(order: &Order) -> Result<Local, Refusal> {
    let started = Instant::now();
    let resident = memory::resident();
    let Order { model, version, metrics, config, .. } = order;
    manifest::check_signature(&order.dir, &config.trusted_keys).map_err(|why| Refusal { reason: "signature", why })?;
    let (report, paired) = examine(order)?;
    metrics.checks(model, version, &report);
    let Some(paired) = paired else {
        let (reason, why) = report.failure().unwrap_or(("files", "it cannot be read"));
        return Err(Refusal { reason, why: why.to_owned() });
    };
    let checks_passed = report.count_passed();
    let made = serve(order, paired, started, checks_passed);
    let version = made.map_err(|why| Refusal { reason: "sessions", why })?;
    let grown = memory::resident().saturating_sub(resident);
    order.memory.learn(memory::weights(&order.dir), version.metadata().instances, grown);
    Ok(version)
}

/// The checks, on the device that was asked for, or on what may step in for it.
fn examine(order: &Order) -> Result<(Report, Option<Paired>), Refusal> {
    let on = |device| {
        let (max_chars, intra_threads) = (order.config.max_chars, order.intra_threads);
        let terms = Terms { max_chars, intra_threads, device, batching: order.config.batching, thorough: false };
        pairing::examine(&order.dir, &order.runtime, terms)
    };
    let Order { model, version, device, .. } = order;
    let why = match room_on_card(order) {
        Ok(()) => {
            let (report, paired) = on(*device);
            if paired.is_some() || device.instead().is_none() {
                return Ok((report, paired));
            }
            report.failure().map_or_else(String::new, |(_, why)| why.to_owned())
        }
        Err(why) if device.instead().is_none() => return Err(Refusal { reason: "memory", why }),
        Err(why) => why,
    };
    let instead = device.instead().unwrap_or_default();
    tracing::warn!(%model, %version, why, "a version cannot run on {device} and is tried on {instead}");
    Ok(on(instead))
}

/// Whether a card has the memory that the version will take; where nobody can tell, the load will.
fn room_on_card(order: &Order) -> Result<(), String> {
    let Device::Cuda(cuda) = order.device else { return Ok(()) };
    let Some(free) = gpu::free(cuda.card) else { return Ok(()) };
    let needed = order.needed_bytes();
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let (mib_needed, mib_free) = (mib(needed), mib(free));
    let say = || format!("it needs about {mib_needed} MiB of {}'s memory, and {mib_free} MiB are free", order.device);
    if needed <= free { Ok(()) } else { Err(say()) }
}

fn serve(order: &Order, paired: Paired, started: Instant, checks_passed: usize) -> Result<Local, String> {
    let Paired { folder, graph, encoder, factory, mut engine, golden_difference } = paired;
    let company = company(order, &folder, &factory, encoder.as_deref(), &mut engine);
    let together = company.together;
    let probe = factory.warm_up.first().and_then(|works| works.first()).cloned();
    let subject = Subject {
        factory: &factory,
        probe: probe.as_ref(),
        sha256: folder.model_sha256(),
        provider: factory.options.device.provider(),
        sessions: order.instances.or(folder.settings.instances),
        intra_threads: order.intra_threads.or(folder.settings.intra_threads),
        together,
        max_tokens: encoder.as_ref().map(|encoder| encoder.max_tokens()),
    };
    let fit = |sessions| order.fit(factory.options.device, sessions);
    let tuned = tune::tune(&subject, engine, &order.config.tuning, &order.config.batching, &fit)?;
    let Tuned { engines, factory, cost, missing, why, keeper } = tuned;
    let batches_why = match missing {
        0 => company.why,
        missing => format!("{}; the measured costs are incomplete, {missing} are left to the next load", company.why),
    };
    let instances = engines.len();
    let metadata = Metadata {
        task: graph.task,
        inputs: graph.client_inputs(),
        schema: graph.schema.clone(),
        outputs: graph.client_outputs(),
        labels: Arc::clone(&graph.labels),
        max_tokens: encoder.as_ref().map(|encoder| encoder.max_tokens()),
        takes_text: graph.task.takes_text(),
        provider: factory.options.device.provider(),
        provider_options: factory.options.device.options(),
        // a file that cannot be read was refused before
        precision: onnx::precision(&folder.model).ok().flatten(),
        instances,
        intra_threads: factory.options.intra_threads,
        bytes: folder.bytes,
        memory_bytes: order.memory.estimate(memory::weights(&order.dir), instances),
        files: folder.hashes,
        load_seconds: started.elapsed().as_secs_f64(),
        checks_passed,
        sessions_why: why,
        batches: together,
        batches_why,
        batch_difference: company.difference,
        batch_variant: company.variant,
    };
    order.metrics.company(&order.model, &order.version, company.difference, company.variant);
    order.metrics.golden(&order.model, &order.version, golden_difference);
    let metrics = VersionMetrics {
        families: Arc::clone(&order.metrics),
        model: Arc::clone(&order.model),
        version: Arc::clone(&order.version),
        status: Arc::clone(&order.status),
        price: order.config.prices.of(factory.options.device, factory.options.intra_threads),
    };
    let policy = policy(&order.config, &factory.plan.feed, together);
    let queue = Queue::new(policy, order.config.queue, cost, instances, metrics);
    let factory = Arc::new(factory);
    let pool = Pool::start(engines, &factory, &queue).map_err(|error| format!("cannot start a thread: {error}"))?;
    order.status.runs_on(metadata.provider);
    order.metrics.loaded(&order.model, &order.version, &metadata);
    let plan = Arc::clone(&factory.plan);
    let metadata = Arc::new(metadata);
    Ok(Local::new(Parts { status: Arc::clone(&order.status), metadata, encoder, plan, queue, pool, keeper }))
}

/// Whether requests run together, and what that does to their answers.
struct Company {
    together: bool,
    why: String,
    difference: Option<f64>,
    variant: bool,
}

fn company(
    order: &Order,
    folder: &Folder,
    factory: &EngineFactory,
    encoder: Option<&TextEncoder>,
    engine: &mut Engine,
) -> Company {
    let alone = |why: &str| Company { together: false, why: why.to_owned(), difference: None, variant: false };
    if !factory.plan.splits {
        return alone("requests run alone: the first axis of its inputs and outputs is not the item");
    }
    let golden = folder.golden.iter().filter_map(|sample| sample.work(&factory.plan, encoder).ok()).collect();
    let probe = factory.warm_up.first().and_then(|works| works.first());
    let samples = invariance::samples(golden, probe, encoder);
    let difference = invariance::difference(engine, &samples);
    let batching = &order.config.batching;
    let most = batching.max_difference;
    let variant = difference.is_some_and(|difference| difference > most);
    let found = match difference {
        Some(difference) => {
            format!("padding and company change answers by up to {difference:.1e} (at most {most:.1e})")
        }
        None => "what company does to answers could not be measured".to_owned(),
    };
    let (together, why) = match (folder.settings.batch, variant) {
        (Some(false), _) => (false, format!("requests run alone: the folder's driftline.toml says so; {found}")),
        (_, true) if !batching.allow_variant => (false, format!("requests run alone: {found}")),
        (_, true) => (true, format!("requests run together because batching.allow_variant is set: {found}")),
        (_, false) => (true, format!("requests run together where that saves time: {found}")),
    };
    Company { together, why, difference, variant }
}

fn policy(config: &ModelsConfig, feed: &Feed, together: bool) -> Policy {
    let batching = &config.batching;
    let (budget, max_padding) = match feed {
        // Without a mask the graph cannot tell padding from text.
        Feed::Tokens(feed) if !feed.mask => (batching.max_batch_tokens, 0.0),
        Feed::Tokens(_) => (batching.max_batch_tokens, batching.max_padding),
        Feed::Tensors(_) => (batching.max_batch_elements, batching.max_padding),
    };
    Policy {
        budget,
        max_padding,
        max_rows: batching.max_batch_items,
        max_delay: batching.max_delay,
        together,
        order: batching.order,
        priority_step: batching.priority_step,
    }
}
