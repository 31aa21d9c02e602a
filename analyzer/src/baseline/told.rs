//! What is judged against is told: the event of a promotion, written later where it could not be written at once.

use store::read::{BaselineSummary, EventRow, Reader};

use super::desk::{KIND, short};

/// An act and its event are two rows of two tables: where the second could not be written, what is judged against would have changed
/// without a word. Writes the event of the promotion that holds, if there is none.
///
/// # Errors
/// When the database does not answer.
pub async fn mend(reader: &Reader, held: &BaselineSummary) -> Result<(), store::Error> {
    if reader.has_event(&held.model, KIND, held.since_ms).await? {
        return Ok(());
    }
    let text = format!("Reference {} is judged against from now on.", short(&held.fingerprint));
    let (model, version, kind) = (held.model.clone(), held.version.clone(), KIND.to_owned());
    reader.insert_events(&[EventRow { at: held.since_ms, kind, model, version, text }]).await
}
