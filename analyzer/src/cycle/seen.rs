//! Which models there are: those that were asked within a day, and what they did in the last minutes.
//!
//! The choice: the last minutes are looked at in every cycle, since a canary or a new model must be seen at once, and the day, which may
//! hold a hundred million rows, as often as it is worth (`paced.rs`). A model that was first asked in between is kept beside it, so
//! that it does not go when its first minutes are over.

use std::time::Instant;

use store::read::{ModelSeen, Reader};

use super::paced::Paced;

/// How far back models and sources are looked for, in milliseconds.
pub const LOOK_BACK_MS: i64 = 86_400_000;
/// Answers of so long say which version of a model answers.
const LATELY_MS: i64 = 300_000;
/// Later than any observation: none of the day is told apart as late.
const FAR_MS: i64 = u32::MAX as i64 * 1_000;

/// What was seen within a day, as last counted.
#[derive(Debug, Default)]
pub struct Seen {
    day: Paced<()>,
    models: Vec<ModelSeen>,
    unnamed: Paced<u64>,
}

impl Seen {
    /// Models asked within a day, busiest first, at most so many.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn models(&mut self, reader: &Reader, now_ms: i64, most: u64) -> Result<Vec<ModelSeen>, store::Error> {
        if self.day.fresh(now_ms).is_none() {
            let began = Instant::now();
            self.models = reader.models(now_ms - LOOK_BACK_MS, FAR_MS, most).await?;
            self.day.put((), now_ms, 0, began.elapsed());
        }
        let since_ms = now_ms - LATELY_MS;
        let lately = reader.models(since_ms, since_ms, most).await?;
        let room = most as usize - self.models.len().min(most as usize);
        let new = lately.iter().filter(|one| self.models.iter().all(|known| known.model != one.model));
        let new: Vec<ModelSeen> = new.take(room).cloned().collect();
        self.models.extend(new);
        Ok(self.models.iter().map(|known| together(known, &lately)).collect())
    }

    /// Requests within a day that named no model that exists.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn unnamed(&mut self, reader: &Reader, now_ms: i64) -> Result<u64, store::Error> {
        if let Some(counted) = self.unnamed.fresh(now_ms) {
            return Ok(*counted);
        }
        let began = Instant::now();
        let counted = reader.unnamed(now_ms - LOOK_BACK_MS).await?;
        Ok(*self.unnamed.put(counted, now_ms, 0, began.elapsed()))
    }
}

/// A model of the day with what it did in the last minutes. Where it gave no answer in them, the version is that of its last one.
fn together(known: &ModelSeen, lately: &[ModelSeen]) -> ModelSeen {
    let Some(now) = lately.iter().find(|one| one.model == known.model) else {
        return ModelSeen { answering: Vec::new(), ..known.clone() };
    };
    let version = if now.answering.is_empty() { &known.version } else { &now.version };
    ModelSeen {
        model: known.model.clone(),
        version: version.clone(),
        answering: now.answering.clone(),
        first_at_ms: known.first_at_ms.min(now.first_at_ms),
        last_at_ms: known.last_at_ms.max(now.last_at_ms),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(model: &str, version: &str, answering: &[&str], (first_at_ms, last_at_ms): (i64, i64)) -> ModelSeen {
        let answering = answering.iter().map(|one| (*one).to_owned()).collect();
        ModelSeen { model: model.into(), version: version.into(), answering, first_at_ms, last_at_ms }
    }

    #[test]
    fn the_last_minutes_say_which_version_answers() {
        let day = seen("m", "1", &[], (0, 900));
        assert_eq!(together(&day, &[seen("m", "2", &["1", "2"], (600, 950))]), seen("m", "2", &["1", "2"], (0, 950)));
        // a version that only fails answers nothing
        assert_eq!(together(&day, &[seen("m", "2", &[], (600, 950))]), seen("m", "1", &[], (0, 950)));
        assert_eq!(together(&day, &[seen("n", "2", &["2"], (600, 950))]), day);
    }
}
