//! A batch's observations added up: what the account needs to know of them once they are on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ledger::{Content, Ticket};

/// What a batch on disk holds, added up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Observations.
    pub observations: u64,
    /// Those of them that had content when they were offered.
    pub had_content: u64,
    /// Contents that go along.
    pub kept: u64,
    /// Contents left out by sampling.
    pub sampled_out: u64,
    /// Contents left out for another reason.
    pub withheld: BTreeMap<String, u64>,
}

impl Tally {
    /// Of observations with their contents.
    pub fn of<'a>(observations: impl Iterator<Item = (&'a Ticket, &'a Content)>) -> Self {
        let mut tally = Self::default();
        for (ticket, content) in observations {
            tally.observations += 1;
            tally.had_content += u64::from(ticket.had_content());
            match content {
                Content::None => {}
                Content::Kept => tally.kept += 1,
                Content::SampledOut => tally.sampled_out += 1,
                Content::Withheld(reason) => *tally.withheld.entry(reason.clone()).or_default() += 1,
            }
        }
        tally
    }
}
