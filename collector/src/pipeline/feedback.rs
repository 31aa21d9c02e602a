//! The same five steps for what comes beside observations: labels, feedback, events.

use std::collections::HashMap;

use contract::wire::{Event, EventKind, Events, Feedback, FeedbackValue, Label};
use masking::Entity;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::{Found, Made, Post, Refusal, Shared, made};
use crate::check;
use crate::decode;
use crate::metrics::SOURCE_HTTP;
use crate::record::Record;

impl Shared {
    /// decode -> check -> mask -> pack
    pub(super) fn labels(&self, post: &mut Post, now_ms: i64) -> Result<Made, Refusal> {
        let form = post.form;
        let mut labels = self.plain(post, |body| decode::labels(body, form))?;
        check::count(labels.len(), "labels", &self.limits)?;
        let key = key(&labels, |hash, Label { id, item, label, at_ms }| {
            hash.update(id);
            hash.update(item.to_le_bytes());
            words(hash, &[label]);
            *at_ms
        });
        let alone = labels.len() == 1;
        for (i, label) in labels.iter().enumerate() {
            let at = if alone { String::new() } else { format!("labels[{i}].") };
            check::label(label, &at, now_ms, &self.limits)?;
        }
        let names = self.names_in(labels.iter().map(|label| label.label.as_str()));
        let mut found = Found::default();
        for label in &mut labels {
            self.name(&mut label.label, names.as_ref(), &mut found.hits)?;
            label.at_ms.get_or_insert(now_ms);
        }
        last_only(&mut labels, |label| (label.id, label.item, label.at_ms));
        made(&Record::Labels { received_at_ms: now_ms, labels, key }, found, SOURCE_HTTP)
    }

    /// decode -> check -> mask -> pack
    pub(super) fn outcomes(&self, post: &mut Post, now_ms: i64) -> Result<Made, Refusal> {
        let form = post.form;
        let mut outcomes = self.plain(post, |body| decode::outcomes(body, form))?;
        check::count(outcomes.len(), "outcomes", &self.limits)?;
        let key = key(&outcomes, |hash, Feedback { id, item, name, value, at_ms }| {
            hash.update(id);
            hash.update(item.to_le_bytes());
            words(hash, &[name]);
            hash.update([u8::from(matches!(value, FeedbackValue::Boolean(_)))]);
            hash.update(value.number().to_le_bytes());
            *at_ms
        });
        let alone = outcomes.len() == 1;
        for (i, feedback) in outcomes.iter().enumerate() {
            let at = if alone { String::new() } else { format!("outcomes[{i}].") };
            check::feedback(feedback, &at, now_ms, &self.limits)?;
        }
        let names = self.names_in(outcomes.iter().map(|feedback| feedback.name.as_str()));
        let mut found = Found::default();
        for feedback in &mut outcomes {
            self.name(&mut feedback.name, names.as_ref(), &mut found.hits)?;
            feedback.at_ms.get_or_insert(now_ms);
        }
        last_only(&mut outcomes, |feedback| (feedback.id, feedback.item, feedback.name.clone(), feedback.at_ms));
        made(&Record::Outcomes { received_at_ms: now_ms, outcomes, key }, found, SOURCE_HTTP)
    }

    /// decode -> check -> mask -> pack
    pub(super) fn events(&self, post: &mut Post, now_ms: i64) -> Result<Made, Refusal> {
        let form = post.form;
        let Events { source, events } = self.plain(post, |body| decode::events(body, form))?;
        check::count(events.len(), "events", &self.limits)?;
        check::source(&source)?;
        let mut hash = Sha256::new();
        words(&mut hash, &[&source]);
        let ids: Vec<Uuid> = events.iter().map(|event| event_id(&mut hash, event)).collect();
        let (key, mut found) = (id_of(hash), Found::default());
        for (i, event) in events.iter().enumerate() {
            check::event(event, format_args!("events[{i}]."), now_ms, &self.limits)?;
        }
        let words = |event: &Event| [&event.kind, &event.model, &event.version, &event.detail].map(String::clone);
        let words: Vec<String> = events.iter().flat_map(words).collect();
        // a proxy's own words of its versions are no client's, and they must be there when the model that finds names is not
        let ours = self.proxies.know(&source) && events.iter().all(|event| is_told_by_proxies(&event.kind));
        let names = if ours { None } else { self.names_in(words.iter().map(String::as_str)) };
        let mut masked = Vec::with_capacity(events.len());
        for (id, mut event) in ids.into_iter().zip(events) {
            for name in [&mut event.kind, &mut event.model, &mut event.version] {
                self.name(name, names.as_ref(), &mut found.hits)?;
            }
            self.text(&mut event.detail, names.as_ref(), &mut found.hits)?;
            masked.push((id, event));
        }
        let source = self.source(source)?;
        let record = Record::Events { received_at_ms: now_ms, source, events: masked, key: Some(key) };
        made(&record, found, SOURCE_HTTP)
    }

    /// A source's name is in every row and in metrics: it is refused rather than masked. A host may go by its address.
    pub(super) fn source(&self, source: String) -> Result<String, Refusal> {
        if self.masker.mask_name(&source).1.by_entity.keys().any(|entity| *entity != Entity::Ipv6) {
            return Err(Refusal::Invalid("source holds personal data; give a host or pod name".to_owned()));
        }
        Ok(source)
    }
}

fn is_told_by_proxies(kind: &str) -> bool {
    EventKind::ALL.iter().any(|ours| ours.as_str() == kind)
}

/// What tells a post from its repeat: all that it says, where every part says when it was so. Without a time the same
/// words may come again and mean something new (a correction that is taken back), and a repeat is harmless.
fn key<T>(all: &[T], add: impl Fn(&mut Sha256, &T) -> Option<i64>) -> Option<Uuid> {
    let mut hash = Sha256::new();
    for one in all {
        let at_ms = add(&mut hash, one)?;
        hash.update(at_ms.to_le_bytes());
    }
    (!all.is_empty()).then(|| id_of(hash))
}

/// An event's id: it follows from the source and from all that was posted up to it.
fn event_id(hash: &mut Sha256, Event { at_ms, kind, model, version, detail }: &Event) -> Uuid {
    hash.update(at_ms.to_le_bytes());
    words(hash, &[kind, model, version, detail]);
    id_of(hash.clone())
}

fn words(hash: &mut Sha256, words: &[&str]) {
    for word in words {
        hash.update((word.len() as u64).to_le_bytes());
        hash.update(word);
    }
}

/// The first half of a hash, as an id.
pub(crate) fn id_of(hash: Sha256) -> Uuid {
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Of what says something about the same moment twice in one post the last holds: in a table they would be equals.
fn last_only<T, K: std::hash::Hash + Eq>(all: &mut Vec<T>, about: impl Fn(&T) -> K) {
    let last: HashMap<K, usize> = all.iter().enumerate().map(|(i, one)| (about(one), i)).collect();
    let mut at = 0;
    all.retain(|one| {
        let keep = last.get(&about(one)) == Some(&at);
        at += 1;
        keep
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_of_a_post_holds() {
        let mut said = vec![(1, "a"), (2, "b"), (1, "c")];
        last_only(&mut said, |(about, _)| *about);
        assert_eq!(said, [(2, "b"), (1, "c")]);
    }

    #[test]
    fn a_post_without_times_is_news_each_time() {
        let label = |at_ms| Label { id: Uuid::from_u128(1), item: 0, label: "a".into(), at_ms };
        let of = |labels: &[Label]| {
            key(labels, |hash, l| {
                words(hash, &[&l.label]);
                l.at_ms
            })
        };
        assert_eq!(of(&[label(Some(1))]), of(&[label(Some(1))]));
        assert_ne!(of(&[label(Some(1))]), of(&[label(Some(2))]));
        assert_eq!(of(&[label(Some(1)), label(None)]), None);
    }
}
