//! The first good observations of a model, as many as a provisional reference needs.
//!
//! `provisional_after` of them are enough for a few features. What a reference can show falls with the number of its features and of
//! their names, so they are looked at once they are there, and more are waited for where they cannot show `min_detectable`.

use store::read::Window;

use super::{hours, round::Round};
use crate::{
    baseline::{self, Baseline, BaselineError, Frozen},
    judge::waiting::Lack,
};

/// At most so many times `provisional_after` are waited for; a feature that needs more is left unjudged, and says so.
pub(crate) const GROWN_MAX: u64 = 10;

/// What became of them.
pub(super) enum First {
    /// There is no reference yet.
    Lack(Lack),
    /// The reference, the span that it was made of, and the observations in it.
    Frozen(Box<Baseline>, Window, u64),
}

/// Freezes what `keep` does not hold from the first good observations since a time; `wanted` remembers how many were found to be needed.
pub(super) async fn freeze(
    round: &Round<'_>,
    since_ms: i64,
    keep: &[Frozen],
    wanted: &mut u64,
) -> Result<First, BaselineError> {
    let settings = round.settings();
    let least = settings.provisional_after;
    if least == 0 {
        return Ok(First::Lack(Lack::Never));
    }
    let policy = hours::split(&settings.policy, settings.hours);
    *wanted = least.max(*wanted);
    loop {
        let times = round.reader.first_observations(round.model(), since_ms, *wanted).await?;
        let (seen, needed) = (times.len() as u64, *wanted);
        let complete = seen == needed && times.last().is_some_and(|last| *last < round.watermark_ms);
        let (true, Some(first), Some(last)) = (complete, times.first(), times.last()) else {
            return Ok(First::Lack(Lack::Gathering { seen, needed }));
        };
        let span = Window { start_ms: *first, end_ms: *last + 1 };
        let limits = &round.config.freezing;
        let model = round.model();
        let frozen = baseline::from_rows(round.reader, model, span, true, keep.to_vec(), limits, round.now_ms).await;
        let frozen = match frozen {
            Err(BaselineError::Empty { .. }) => return Ok(First::Lack(Lack::Featureless)),
            frozen => frozen?,
        };
        let enough = frozen.observations_needed(|one| one.provisional, needed, least * GROWN_MAX, &policy);
        if enough <= needed {
            return Ok(First::Frozen(Box::new(frozen), span, needed));
        }
        // in steps, since with more observations more names are seen
        *wanted = enough.next_multiple_of((least / 10).max(1));
    }
}
