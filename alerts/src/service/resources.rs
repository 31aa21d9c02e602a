//! Alerts about what serving takes: slow cold starts, memory that grows, cost, a tokenizer that is the bottleneck.

use contract::metrics::process::{RESIDENT, START};
use contract::metrics::proxy::{BUSY_SECONDS, LOAD_SECONDS, REQUESTS, STAGE_SECONDS};
use contract::metrics::serving::{GPU_MEMORY_TOTAL, GPU_MEMORY_USED};
use contract::metrics::versions::LOADS;

use super::table::listed;
use crate::alert::{Alert, Expected, Input, RATIO, Scenario, VALUE, label};
use crate::promql::{Scale, Span, grown};

/// Seconds of a load that nobody wants to wait for.
const COLD_START_SECONDS_MAX: u32 = 30;
/// Growth in a day, as a share of what is resident, that is no cache filling.
const GROWTH_SHARE: f64 = 0.5;
/// Resident bytes below which growth is nobody's trouble: 512 MiB.
const GROWTH_BYTES_MIN: u64 = 536_870_912;
/// Requests in an hour without which the cost of one is not looked at.
const COST_REQUESTS_MIN: u32 = 100;
/// Times the day before.
const COST_TIMES: u32 = 2;
/// Share of a card's memory above which nothing more fits.
const GPU_SHARE: f64 = 0.95;
/// Share of the stages' time.
const TOKENIZE_SHARE: f64 = 0.5;

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![cold_start(scale), memory_growth(scale), gpu_memory(scale), cost(scale), tokenizer_bottleneck(scale)]
}

fn cold_start(scale: Scale) -> Alert {
    let loaded = grown(&LOADS, &[], &["model", "version"], scale.window(3_600), scale.window(3_600));
    let expr = format!(
        "max by (model, version) ({}) > {COLD_START_SECONDS_MAX}\nand on (model, version) ({loaded} > 0)",
        LOAD_SECONDS.name
    );
    let labels = [("model", "m"), ("version", "1")];
    let case = |seconds: &str, loads: &str| {
        vec![Input::new(LOAD_SECONDS.name, &labels, seconds), Input::new(LOADS.name, &labels, loads)]
    };
    listed("DriftlineSlowColdStart", expr)
        .of_a_model()
        .timed(Span::ZERO, scale.interval(600))
        .says(
            format!("{} {} took {VALUE} s to load", label("model"), label("version")),
            format!(
                "A load of {} {}, checks and warm-up included, took {VALUE} s. A new instance serves only after that, and a \
                 rollback to a version that has left the memory takes as long.",
                label("model"),
                label("version")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a minute", case("_x5 61x20", "_x5 1x20"), 10, Expected::new(&labels, 61.0)),
            Scenario::quiet("four seconds", case("_x5 4x20", "_x5 1x20"), 10),
            Scenario::quiet("a minute, yesterday", case("61x300", "1x300"), 280),
        ])
}

fn memory_growth(scale: Scale) -> Alert {
    let window = scale.window(6 * 3_600);
    let resident = format!("max by (job, instance) ({})", RESIDENT.name);
    let expr = format!(
        "max by (job, instance) (deriv({}[{window}])) * {day}\n> {GROWTH_SHARE} * {resident}\nand {resident} > \
         {GROWTH_BYTES_MIN}\nand time() - max by (job, instance) ({}) > {}",
        RESIDENT.name,
        START.name,
        window.times(2).whole_seconds(),
        day = scale.window(86_400).whole_seconds(),
    );
    let labels = [("job", "driftline-proxy"), ("instance", "a:1")];
    let step = scale.window(60).as_seconds();
    let case = |values: String, start: f64| {
        vec![Input::new(RESIDENT.name, &labels, values), Input::new(START.name, &labels, format!("{start}x900"))]
    };
    // a MiB and a half each minute, from 1 GiB on
    let (first, each) = (1_073_741_824.0, 1_572_864.0);
    let daily = each * scale.window(86_400).as_seconds().floor() / step;
    listed("DriftlineMemoryGrowth", expr)
        .timed(scale.interval(1_800), scale.interval(1_800))
        .says(
            format!("The memory of {} on {} keeps growing", label("job"), label("instance")),
            format!(
                "{} on {} grew for six hours at a pace that adds half of what it holds in a day, long after its start.",
                label("job"),
                label("instance")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a leak", case(format!("{first}+{each}x900"), 0.0), 850, Expected::new(&labels, daily)),
            Scenario::quiet("a level", case(format!("{first}x900"), 0.0), 850),
            Scenario::quiet("a process that is warming up", case(format!("{first}+{each}x900"), step * 600.0), 850),
        ])
}

fn gpu_memory(scale: Scale) -> Alert {
    let of = |name: &str| format!("max by (instance, device) ({name})");
    let expr = format!("{} / ({} > 0) > {GPU_SHARE}", of(GPU_MEMORY_USED.name), of(GPU_MEMORY_TOTAL.name));
    let labels = [("instance", "a:1"), ("device", "0")];
    let case = |used: &str| {
        vec![Input::new(GPU_MEMORY_USED.name, &labels, used), Input::new(GPU_MEMORY_TOTAL.name, &labels, "1000x60")]
    };
    listed("DriftlineGpuMemory", expr)
        .timed(scale.interval(600), scale.interval(600))
        .says(
            format!("The memory of card {} on {} is nearly full", label("device"), label("instance")),
            format!(
                "A share of {RATIO} of the memory of card {} on {} is taken, by whichever process. The next larger batch, or the \
                 next version, may not fit.",
                label("device"),
                label("instance")
            ),
        )
        .proved_by(vec![
            Scenario::fires("nearly full", case("500x5 980x50"), 30, Expected::new(&labels, 0.98)),
            Scenario::quiet("half full", case("500x60"), 30),
            Scenario::quiet("no card", vec![], 30),
        ])
}

fn cost(scale: Scale) -> Alert {
    let window = scale.window(3_600);
    let each = |offset: &str| {
        let sum = |name: &str| format!("sum by (model) (increase({name}[{window}]{offset}))");
        format!("{} / ({} > {COST_REQUESTS_MIN})", sum(BUSY_SECONDS.name), sum(REQUESTS.name))
    };
    let expr = format!("{}\n> {COST_TIMES} * ({})", each(""), each(&format!(" offset {}", scale.window(86_400))));
    let case = |busy: &str| {
        let labels = [("model", "m"), ("version", "1"), ("role", "primary")];
        let asked = [labels[0], labels[1], labels[2], ("outcome", "ok")];
        vec![Input::new(BUSY_SECONDS.name, &labels, busy), Input::new(REQUESTS.name, &asked, "0+100x1600")]
    };
    listed("DriftlineCostSpike", expr)
        .of_a_model()
        .timed(scale.interval(1_800), scale.interval(1_800))
        .says(
            format!("An answer of {} costs more than twice what it did", label("model")),
            format!(
                "Each request to {} keeps a session busy for {RATIO} s, more than twice as long as at this hour of the day \
                 before. What a session costs an hour is in the cost panels.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("three times", case("0+1x1440 1443+3x160"), 1_580, Expected::new(&[("model", "m")], 0.03)),
            Scenario::quiet("half as much again", case("0+1x1440 1441.5+1.5x160"), 1_580),
            Scenario::quiet("the first day", case("0+3x1600"), 1_000),
        ])
}

fn tokenizer_bottleneck(scale: Scale) -> Alert {
    let window = scale.window(900);
    let sum = |matcher: &str| {
        format!("sum by (model) (increase({}_sum{{role!=\"shadow\"{matcher}}}[{window}]))", STAGE_SECONDS.name)
    };
    let expr = format!("{}\n/ ({} > 0)\n> {TOKENIZE_SHARE}", sum(", stage=\"tokenize\""), sum(""));
    let case = |tokenize: &str, infer: &str| {
        let of = |stage, values: &str| {
            let labels = [("model", "m"), ("version", "1"), ("role", "primary"), ("stage", stage)];
            Input::new(&format!("{}_sum", STAGE_SECONDS.name), &labels, values)
        };
        vec![of("tokenize", tokenize), of("infer", infer)]
    };
    listed("DriftlineTokenizerBottleneck", expr)
        .of_a_model()
        .timed(scale.interval(900), scale.interval(1_800))
        .says(
            format!("{} spends its time on tokenizing", label("model")),
            format!(
                "A share of {RATIO} of the stages' time of {} goes into tokenizing. Sessions and devices wait for it.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("three quarters", case("0+3x60", "0+1x60"), 50, Expected::new(&[("model", "m")], 0.75)),
            Scenario::quiet("a tenth", case("0+1x60", "0+9x60"), 50),
            Scenario::quiet("nothing is asked", case("0x60", "0x60"), 50),
        ])
}
