//! Everything that alerts beside error budgets: `table.rs` says how loud and whose business, the others what and when.

mod judging;
mod model;
mod observing;
mod quality;
mod resources;
mod serving;
mod table;
mod trouble;

use contract::slo::SloFile;

use crate::alert::Alert;
use crate::promql::Scale;

pub use judging::{BEHIND, UNJUDGED};
pub use model::{CONFIDENCE, DRIFT, SHADOW_READY};
pub use observing::STALE;
pub use quality::SCHEMA;
pub use serving::DOWN;
pub use table::TABLE;
pub use trouble::{ERRORS, UNAVAILABLE};

/// Files of rules, each a name and its alerts: a subject is a file, so that its tests run no other subject's rules.
#[must_use]
pub fn files(file: &SloFile) -> [(&'static str, Vec<Alert>); 6] {
    let scale = Scale::of(file);
    [
        ("serving", serving::all(scale)),
        ("trouble", trouble::all(scale)),
        ("models", model::all(scale, &file.page_on_drift)),
        ("quality", quality::all(scale)),
        ("resources", resources::all(scale)),
        ("observing", [observing::all(scale), judging::all(scale)].concat()),
    ]
}

/// All of them.
#[must_use]
pub fn all(file: &SloFile) -> Vec<Alert> {
    files(file).into_iter().flat_map(|(_, alerts)| alerts).collect()
}
