//! Alerts about serving: processes that are away, a queue that refuses, callers that are not let in.

use contract::metrics::edge::AUTH_FAILURES;
use contract::metrics::proxy::REQUESTS;
use contract::wire::Outcome;

use super::table::listed;
use crate::alert::{Alert, Expected, Input, RATIO, Scenario, label};
use crate::promql::{Scale, select};

/// A scraped process does not answer.
pub const DOWN: &str = "DriftlineInstanceDown";

/// Prometheus' own series: 1 where the last scrape succeeded.
const UP: &str = "up";

/// Share of requests refused by the queue that is no hiccup any more.
const REFUSED_SHARE: f64 = 0.01;

/// Refused credentials in five minutes that are no typing mistake: one every ten seconds, and on.
const REFUSED_CREDENTIALS: u32 = 30;

pub fn all(scale: Scale) -> Vec<Alert> {
    vec![instance_down(scale), queue_refuses(scale), callers_refused(scale)]
}

fn instance_down(scale: Scale) -> Alert {
    let (job, instance) = (label("job"), label("instance"));
    let up = |values: &str| vec![Input::new(UP, &[("job", "driftline-proxy"), ("instance", "a:1")], values)];
    let down = Expected::new(&[("job", "driftline-proxy"), ("instance", "a:1")], 0.0);
    listed(DOWN, format!("max by (job, instance) ({UP}{{job=~\"driftline-.+\"}}) == 0"),
    )
    .timed(scale.interval(120), scale.interval(120))
    .says(
        format!("{job} on {instance} is away"),
        format!(
            "{instance} ({job}) has not answered a scrape for two minutes. A proxy that is away serves nobody; while a \
                 collector or an analyzer is away, serving goes on and the proxies keep observations in bounded space."
        ),
    )
    .proved_by(vec![
        Scenario::fires("a process that went away", up("1x5 0x10"), 12, down),
        Scenario::quiet("one missed scrape", up("1x5 0 1x10"), 7),
    ])
}

fn queue_refuses(scale: Scale) -> Alert {
    let window = scale.window(300);
    let count =
        |matchers: &[(&str, &str)]| format!("sum by (model) (increase({}[{window}]))", select(REQUESTS.name, matchers));
    let refused = ("outcome", Outcome::Rejected.as_str());
    let expr = format!("{}\n/ ({} > 0)\n> {REFUSED_SHARE}", count(&[refused]), count(&[]));
    let requests = |refused: &str| {
        let series = |outcome: Outcome, values: &str| {
            let labels = [("model", "m"), ("version", "1"), ("role", "primary"), ("outcome", outcome.as_str())];
            Input::new(REQUESTS.name, &labels, values)
        };
        vec![series(Outcome::Ok, "0+90x30"), series(Outcome::Rejected, refused)]
    };
    listed("DriftlineQueueRejections", expr)
        .of_a_model()
        .timed(scale.interval(300), scale.interval(600))
        .says(
            format!("{} refuses requests: its queue is full", label("model")),
            format!(
                "A share of {RATIO} of the requests to {} was answered 429 because the queue's bound was reached. Callers \
                 see it now; the availability objective counts it as bad.",
                label("model")
            ),
        )
        .proved_by(vec![
            Scenario::fires("a tenth is refused", requests("0+10x30"), 20, Expected::new(&[("model", "m")], 0.1)),
            Scenario::quiet("five of a thousand are refused", requests("0+0.45x30"), 20),
            Scenario::quiet("nothing is asked", vec![], 20),
        ])
}

fn callers_refused(scale: Scale) -> Alert {
    let window = scale.window(300);
    let expr = format!("sum by (job, reason) (increase({}[{window}])) > {REFUSED_CREDENTIALS}", AUTH_FAILURES.name);
    let labels = [("job", "driftline-proxy"), ("reason", "unknown_key")];
    let failures = |values: &str| vec![Input::new(AUTH_FAILURES.name, &labels, values)];
    listed("DriftlineAuthFailures", expr)
        .timed(scale.interval(600), scale.interval(600))
        .says(
            format!("{} keeps refusing credentials: {}", label("job"), label("reason")),
            format!(
                "{} refuses requests for their key or token ({}), for ten minutes now. A caller has lost its key, or \
                 somebody tries keys.",
                label("job"),
                label("reason")
            ),
        )
        .proved_by(vec![
            Scenario::fires("keys are tried", failures("0+60x40"), 30, Expected::new(&labels, 300.0)),
            Scenario::quiet("one every minute", failures("0+1x40"), 30),
            Scenario::quiet("a burst that ended", failures("0x5 500x35"), 30),
        ])
}
