//! What is done to a text: scan, fold, recognize, replace, until nothing more is found.
//!
//! Replacements are kept as pieces of the original, so that an operator always works on what was written, and the
//! offsets of what was found are those of the input, however many rounds it took.

use std::borrow::Cow;
use std::ops::Range;

use crate::entity::{Entity, Hits};
use crate::fold::{Changes, Folded, fold, may_reveal};
use crate::names::Names;
use crate::operator::{self, Keys, Operator};
use crate::recognize::{self, Context};
use crate::rule::Rule;
use crate::triggers::{self, Survey};

/// Replacing can join what stood apart, so a text is gone over again after a hit; more rounds than this mean a text
/// made to keep the masker busy, which is withheld.
const ROUNDS_MAX: usize = 16;

/// What stands for a text that could not be made safe.
pub(crate) const WITHHELD: &str = "[WITHHELD]";
/// The word in the token of a client.
pub(crate) const CLIENT: &str = "CLIENT";

/// What is looked for, and what is done with it.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub operators: [Operator; Entity::ALL.len()],
    pub keys: Keys,
    pub rules: Vec<Rule>,
    pub max_rule_matches: usize,
    pub max_rule_bytes: usize,
    pub names: Names,
}

/// What was found: the index of a rule of the configuration, or an entity. The order is that of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Rule(usize),
    Entity(Entity),
}

/// Part of the original and what stands in its place.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    pub range: Range<usize>,
    pub kind: Kind,
    /// The caller found it.
    pub given: bool,
    text: Cow<'static, str>,
}

/// A span that the caller found: bytes of the text, and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Bytes of the text.
    pub range: Range<usize>,
    /// What it is.
    pub entity: Entity,
}

/// Why a text could not be made safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsafe {
    /// It needs more rounds than any honest text.
    Rounds,
    /// A rule of the configuration passed its budget of bytes or matches.
    Rule,
}

/// A masked text, or that it could not be made safe.
pub(crate) enum Outcome {
    /// Nothing was found.
    Clean,
    /// What it became, and what was replaced, in order.
    Masked(String, Vec<Piece>),
    /// It must be withheld.
    Withheld(Unsafe),
}

/// Counts pieces.
pub(crate) fn count(pieces: &[Piece], hits: &mut Hits) {
    for piece in pieces {
        let entity = match piece.kind {
            Kind::Entity(entity) => entity,
            Kind::Rule(_) => Entity::Custom,
        };
        if piece.given {
            *hits.given.entry(entity).or_default() += 1;
        } else {
            hits.add(entity);
        }
    }
}

impl Rules {
    /// Goes over a text. `context` says what is known of the field it stands in.
    pub fn mask(&self, text: &str, context: Context, given: &[Given]) -> Outcome {
        let mut pieces: Vec<Piece> = Vec::new();
        match self.spans(text, context) {
            Ok(found) => {
                for (range, kind) in found {
                    self.replace(text, &mut pieces, range, kind, false);
                }
            }
            Err(why) => return Outcome::Withheld(why),
        }
        if !given.is_empty() {
            self.place(text, given, &mut pieces);
        }
        if pieces.is_empty() {
            return Outcome::Clean;
        }
        for _ in 1..ROUNDS_MAX {
            let (current, changes) = render(text, &pieces);
            match self.spans(&current, context) {
                Ok(found) if found.is_empty() => return Outcome::Masked(current, pieces),
                Ok(found) => found.into_iter().for_each(|(range, kind)| {
                    self.replace(text, &mut pieces, changes.original(&range), kind, false);
                }),
                Err(why) => return Outcome::Withheld(why),
            }
        }
        Outcome::Withheld(Unsafe::Rounds)
    }

    /// Places what the caller found beside what patterns find in the text as it was written. The patterns come first: a
    /// name may be the word that tells what a number is (`NHS`), or a part of an address.
    fn place(&self, text: &str, given: &[Given], pieces: &mut Vec<Piece>) {
        let mut taken = self.markers(text);
        taken.extend(pieces.iter().map(|piece| piece.range.clone()));
        taken.sort_unstable_by_key(|range| range.start);
        for span in given.iter().filter(|span| self.operators[span.entity as usize] != Operator::Allow) {
            for range in outside(text, whole_chars(text, &span.range), &taken) {
                self.replace(text, pieces, range, Kind::Entity(span.entity), true);
            }
        }
    }

    /// Goes over a name of a field, a model or a class: what was found clean once is remembered.
    pub fn mask_name(&self, name: &str, context: Context) -> Outcome {
        let survey = triggers::of(name);
        if self.rules.is_empty() && survey.triggers.none() && survey.ascii {
            return Outcome::Clean;
        }
        if self.names.is_clean(name, context) {
            return Outcome::Clean;
        }
        let outcome = self.mask(name, context, &[]);
        if matches!(outcome, Outcome::Clean) {
            self.names.note_clean(name, context);
        }
        outcome
    }

    /// What stands for a value of an entity.
    pub fn apply(&self, entity: Entity, value: &str) -> Cow<'static, str> {
        let name = entity.marker().trim_matches(['[', ']']);
        operator::apply(self.operators[entity as usize], &self.keys, name, entity, value)
    }

    /// What is found in one round: disjoint, in order.
    fn spans(&self, text: &str, context: Context) -> Result<Vec<(Range<usize>, Kind)>, Unsafe> {
        let Survey { mut triggers, ascii, plain } = triggers::of(text);
        if !self.rules.is_empty() && text.len() > self.max_rule_bytes {
            return Err(Unsafe::Rule);
        }
        let looked_at = !triggers.none() || !ascii && may_reveal(text);
        if !looked_at && self.rules.is_empty() {
            return Ok(Vec::new());
        }
        let (folded, changes) = if plain {
            (Cow::Borrowed(text), Changes::default())
        } else {
            let Folded { text, changes } = fold(text);
            (Cow::Owned(text), changes)
        };
        if !ascii {
            // another script's digits are digits only now
            triggers = triggers::of(&folded).triggers;
        }
        let mut spans: Vec<(Range<usize>, Kind)> = Vec::new();
        if !triggers.none() {
            let found = recognize::all(&folded, context, triggers).into_iter();
            let wanted = found.filter(|(_, entity)| self.operators[*entity as usize] != Operator::Allow);
            spans.extend(wanted.map(|(range, entity)| (range, Kind::Entity(entity))));
        }
        for (i, rule) in self.rules.iter().enumerate().filter(|(_, rule)| rule.operator != Operator::Allow) {
            let found = rule.find(&folded, self.max_rule_matches).ok_or(Unsafe::Rule)?;
            spans.extend(found.into_iter().map(|range| (range, Kind::Rule(i))));
        }
        spans.sort_unstable_by_key(|(range, kind)| (range.start, *kind));
        Ok(merge(spans).into_iter().map(|(range, kind)| (changes.original(&range), kind)).collect())
    }

    /// Puts a piece in the place of a range of the original, and of the pieces that it overlaps.
    fn replace(&self, text: &str, pieces: &mut Vec<Piece>, range: Range<usize>, kind: Kind, given: bool) {
        if range.is_empty() {
            return;
        }
        let first = pieces.partition_point(|piece| piece.range.end <= range.start);
        let past = first + pieces[first..].partition_point(|piece| piece.range.start < range.end);
        if let [within] = &mut pieces[first..past]
            && within.range.start <= range.start
            && range.end <= within.range.end
        {
            // what an operator left of it is found again: it gets the marker instead
            within.text = self.marker(within.kind);
            return;
        }
        let overlapped = &pieces[first..past];
        let start = overlapped.first().map_or(range.start, |piece| piece.range.start.min(range.start));
        let end = overlapped.last().map_or(range.end, |piece| piece.range.end.max(range.end));
        let kind = overlapped.iter().map(|piece| piece.kind).fold(kind, Kind::min);
        let text = self.standing_for(kind, &text[start..end]);
        pieces.splice(first..past, [Piece { range: start..end, kind, given, text }]);
    }

    fn standing_for(&self, kind: Kind, value: &str) -> Cow<'static, str> {
        match kind {
            Kind::Entity(entity) => self.apply(entity, value),
            Kind::Rule(i) => {
                let rule = &self.rules[i];
                operator::apply(rule.operator, &self.keys, &rule.marker, Entity::Custom, value)
            }
        }
    }

    fn marker(&self, kind: Kind) -> Cow<'static, str> {
        match kind {
            Kind::Entity(entity) => operator::plain("", entity),
            Kind::Rule(i) => operator::plain(&self.rules[i].marker, Entity::Custom),
        }
    }

    /// Where the markers and tokens stand that a masker wrote: what is found in them is no name.
    fn markers(&self, text: &str) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let ends = memchr::memchr_iter(b'[', bytes).filter_map(|at| Some(at..operator::marker_end(bytes, at)?));
        let ours = |range: &Range<usize>| {
            let word = text[range.start + 1..range.end - 1].split(':').next().unwrap_or_default();
            let entity = |entity: &Entity| entity.marker().trim_matches(['[', ']']) == word;
            let whole = ["FIELD", CLIENT, WITHHELD.trim_matches(['[', ']'])].contains(&word);
            whole || Entity::ALL.iter().any(entity) || self.rules.iter().any(|rule| rule.marker == word)
        };
        ends.filter(ours).collect()
    }

    /// What a kind is called.
    pub fn name(&self, kind: Kind) -> &str {
        match kind {
            Kind::Entity(entity) => entity.as_str(),
            Kind::Rule(i) => &self.rules[i].name,
        }
    }
}

/// The text with its pieces in place, and the way back.
fn render(text: &str, pieces: &[Piece]) -> (String, Changes) {
    let mut masked = String::with_capacity(text.len());
    let mut changes = Changes::default();
    let mut copied = 0;
    for piece in pieces {
        masked.push_str(&text[copied..piece.range.start]);
        let at = masked.len();
        masked.push_str(&piece.text);
        changes.push(at..masked.len(), piece.range.clone());
        copied = piece.range.end;
    }
    masked.push_str(&text[copied..]);
    (masked, changes)
}

/// A range widened to whole characters within a text.
fn whole_chars(text: &str, range: &Range<usize>) -> Range<usize> {
    let (mut start, mut end) = (range.start.min(text.len()), range.end.min(text.len()));
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end.max(start)
}

/// What of a range lies outside others, which are in order; blanks at the edges, and what has no letter or digit, aside.
fn outside(text: &str, range: Range<usize>, others: &[Range<usize>]) -> Vec<Range<usize>> {
    let (mut left, mut at) = (Vec::new(), range.start);
    let met = others.iter().filter(|other| other.start < range.end && range.start < other.end);
    for (start, end) in met.map(|other| (other.start, other.end)).chain([(range.end, range.end)]) {
        let part = text.get(at..start).unwrap_or_default();
        if part.chars().any(char::is_alphanumeric) {
            let first = at + part.len() - part.trim_start().len();
            left.push(first..first + part.trim().len());
        }
        at = at.max(end);
    }
    left
}

/// Joins overlapping spans: nothing of either is left over, and the more trusted kind gives its name.
fn merge(sorted: Vec<(Range<usize>, Kind)>) -> Vec<(Range<usize>, Kind)> {
    let mut merged: Vec<(Range<usize>, Kind)> = Vec::with_capacity(sorted.len());
    for (range, kind) in sorted {
        match merged.last_mut() {
            Some((last, named)) if range.start < last.end => {
                last.end = last.end.max(range.end);
                *named = (*named).min(kind);
            }
            _ => merged.push((range, kind)),
        }
    }
    merged
}
