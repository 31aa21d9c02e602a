//! Everything that alerts beside error budgets: the severity table.
//!
//! | what | loud | whose |
//! |---|---|---|
//! | an instance is away | page | platform |
//! | loss on the observation path, backlog, failing inserts, a stale analyzer, refusals by the queue | ticket | platform |
//! | callers that are refused for their credentials, on and on | ticket | platform |
//! | drift, collapsed confidence, refused models, failed conversion checks | ticket | model |
//! | a shadow's verdict is in | info | model |
//!
//! Nothing about a model's quality pages: it is not repaired at night. A shadow never pages.

mod model;
mod observing;
mod serving;

use crate::alert::Alert;
use crate::promql::Scale;

pub use model::{CONFIDENCE, DRIFT};
pub use observing::STALE;
pub use serving::DOWN;

/// All of them, the loudest part first.
#[must_use]
pub fn all(scale: Scale) -> Vec<Alert> {
    let parts = [serving::all(scale), model::all(scale), observing::all(scale)];
    parts.into_iter().flatten().collect()
}
