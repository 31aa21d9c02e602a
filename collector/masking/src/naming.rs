//! Names of people, places and organisations: no pattern finds them, so a model does, and what it found is masked here.
//!
//! The choice: this crate stays pure. It says which texts of an observation are to be asked about (`texts.rs`), cuts
//! them into what a model can read ([`Inquiry`]), and masks what was found ([`Known`]); whoever has a model carries
//! lists of texts to it and lists of findings back. A text that was to be asked about and has no answer is withheld:
//! a model that is away, slow or wrong lets nothing pass.

mod inquiry;
mod memo;
mod texts;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use aho_corasick::{AhoCorasick, MatchKind};
use contract::faults::Faults;
use contract::wire::Observation;
use serde::Deserialize;
use serde_json::Value;

use crate::entity::Entity;
use crate::json::Withhold;
use crate::recognize::{word_at, word_before};
use crate::text::Given;
use crate::{WITHHELD_NAMES, WITHHELD_NAMES_LIMIT};

pub use inquiry::{Answered, Finding, Inquiry};
pub use memo::Memo;
pub(crate) use texts::{Scope, bare, is_open};
use texts::{is_identifier, may_name};

/// The `[masking.names]` section, as typed: what is done with what a model finds. Where the model is, the proxy's and
/// the collector's own sections say.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNames {
    /// What the model's labels mean, without their `B-` or `I-`, where they are others than those of CoNLL or OntoNotes.
    pub labels: BTreeMap<String, RawNamed>,
    /// What the model is less sure of is not masked, 0 to 1.
    pub min_score: f64,
    /// An observation with more text than this, in bytes, is not asked about: its texts are withheld.
    pub max_bytes: usize,
    /// The same for its number of different texts.
    pub max_texts: usize,
}

/// What a label means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RawNamed {
    /// A person's name.
    Person,
    /// A place.
    Place,
    /// An organisation.
    Organisation,
    /// Nothing that is masked.
    Nothing,
}

impl Default for RawNames {
    fn default() -> Self {
        Self { labels: BTreeMap::new(), min_score: 0.5, max_bytes: 64 << 10, max_texts: 1_000 }
    }
}

/// Labels of the usual training sets: CoNLL-2003 (Tjong Kim Sang and De Meulder 2003) and OntoNotes 5.0 (Weischedel et
/// al. 2013), and how people spell them.
const LABELS: [(&str, Entity); 11] = [
    ("PER", Entity::Person),
    ("PERS", Entity::Person),
    ("PERSON", Entity::Person),
    ("LOC", Entity::Place),
    ("LOCATION", Entity::Place),
    ("PLACE", Entity::Place),
    ("GPE", Entity::Place),
    ("FAC", Entity::Place),
    ("ORG", Entity::Organisation),
    ("ORGANISATION", Entity::Organisation),
    ("ORGANIZATION", Entity::Organisation),
];

/// The section, checked.
#[derive(Clone, Debug)]
pub(crate) struct Naming {
    labels: HashMap<String, Option<Entity>>,
    pub min_score: f64,
    pub max_bytes: usize,
    pub max_texts: usize,
}

impl RawNames {
    pub(crate) fn check(&self, faults: &mut Faults) -> Arc<Naming> {
        let score = (0.0..=1.0).contains(&self.min_score);
        faults.check(score, "masking.names.min_score", "is not between 0 and 1");
        let nothing = "is 0, which would withhold every text";
        faults.check(self.max_bytes > 0, "masking.names.max_bytes", nothing);
        faults.check(self.max_texts > 0, "masking.names.max_texts", nothing);
        let known = LABELS.iter().map(|(label, entity)| ((*label).to_owned(), Some(*entity)));
        let own = self.labels.iter().map(|(label, named)| {
            let entity = match named {
                RawNamed::Person => Some(Entity::Person),
                RawNamed::Place => Some(Entity::Place),
                RawNamed::Organisation => Some(Entity::Organisation),
                RawNamed::Nothing => None,
            };
            (unscheme(label), entity)
        });
        let (min_score, max_bytes, max_texts) = (self.min_score, self.max_bytes, self.max_texts);
        Arc::new(Naming { labels: known.chain(own).collect(), min_score, max_bytes, max_texts })
    }
}

impl Naming {
    /// What a model's label means.
    pub fn entity(&self, label: &str) -> Option<Entity> {
        self.labels.get(&unscheme(label)).copied().flatten()
    }
}

/// A label without the letter that says where in a name a token stands (IOB2, BIOES, BILOU), in capitals.
fn unscheme(label: &str) -> String {
    let scheme = |before: &str| matches!(before, "B" | "I" | "E" | "S" | "L" | "U");
    let bare = label.split_once('-').filter(|(before, _)| scheme(before)).map_or(label, |(_, bare)| bare);
    bare.to_ascii_uppercase()
}

/// What a model said of texts. What it was not asked, or did not answer, is withheld.
#[derive(Clone, Debug, Default)]
pub struct Known {
    pub(crate) texts: HashMap<String, Arc<[Given]>>,
    /// Whether somebody else's program wrote what was asked about.
    pub(crate) strangers: bool,
}

impl Known {
    /// As one observation needs it.
    pub(crate) fn view(&self, scope: &Scope<'_>, naming: &Naming, plain: &Observation) -> View<'_> {
        self.view_of_all(&scope.texts(plain), naming)
    }

    /// As the input of a payload needs it.
    pub(crate) fn view_of_input(&self, scope: &Scope<'_>, naming: &Naming, input: &Value) -> View<'_> {
        self.view_of_all(&scope.texts_of_input(input), naming)
    }

    fn view_of_all(&self, asked: &BTreeSet<&str>, naming: &Naming) -> View<'_> {
        let fits = texts::fits(asked, naming);
        let missing = if fits { WITHHELD_NAMES } else { WITHHELD_NAMES_LIMIT };
        View { known: self, echo: Echo::of(self, asked), missing }
    }

    /// As a text that stands alone needs it.
    pub(crate) fn view_of(&self, text: &str, naming: &Naming) -> View<'_> {
        let missing = if text.len() <= naming.max_bytes { WITHHELD_NAMES } else { WITHHELD_NAMES_LIMIT };
        View { known: self, echo: None, missing }
    }
}

/// What is known for one observation.
pub(crate) struct View<'a> {
    known: &'a Known,
    echo: Option<Echo>,
    missing: &'static str,
}

impl View<'_> {
    /// Whether somebody else's program wrote it.
    pub const fn strangers(&self) -> bool {
        self.known.strangers
    }

    /// The names in a text.
    ///
    /// # Errors
    /// Where there was something to ask and no answer.
    pub fn of_text(&self, text: &str) -> Result<Vec<Given>, Withhold> {
        let mut given = match self.known.texts.get(text) {
            Some(found) => found.to_vec(),
            None if may_name(text) => return Err(Withhold::Names(self.missing)),
            None => vec![],
        };
        self.echo.iter().for_each(|echo| echo.find(text, &mut given));
        Ok(given)
    }

    /// The names in a key, or in a word that stands where a program wrote it.
    ///
    /// # Errors
    /// As [`Self::of_text`].
    pub fn of_key(&self, key: &str) -> Result<Vec<Given>, Withhold> {
        if !is_identifier(key) {
            return self.of_text(key);
        }
        let mut given = vec![];
        self.echo.iter().for_each(|echo| echo.find(key, &mut given));
        Ok(given)
    }
}

/// A name that was found in one text of an observation is masked in all of them: a model that reads a name alone, or in
/// a list, often does not know it for one.
struct Echo {
    names: AhoCorasick,
    entities: Vec<Entity>,
}

/// Shorter names are words of some language.
const ECHO_CHARS_MIN: usize = 3;

impl Echo {
    fn of(known: &Known, texts: &BTreeSet<&str>) -> Option<Self> {
        let mut names: BTreeMap<&str, Entity> = BTreeMap::new();
        for text in texts {
            let found = known.texts.get(*text).into_iter().flat_map(|found| found.iter());
            for given in found {
                let name = text.get(given.range.clone()).unwrap_or_default().trim();
                if name.chars().count() >= ECHO_CHARS_MIN && name.chars().any(|c| c.is_uppercase() || !c.is_ascii()) {
                    names.entry(name).or_insert(given.entity);
                }
            }
        }
        if names.is_empty() {
            return None;
        }
        let (names, entities): (Vec<&str>, Vec<Entity>) = names.into_iter().unzip();
        let names = AhoCorasick::builder().match_kind(MatchKind::Standard).build(names).ok()?;
        Some(Self { names, entities })
    }

    /// Adds the names that stand whole in a text, where nothing that is given covers them: of those that begin at one
    /// place the longest, since a shorter one within it adds nothing.
    fn find(&self, text: &str, given: &mut Vec<Given>) {
        let mut longest: BTreeMap<usize, Given> = BTreeMap::new();
        for hit in self.names.find_overlapping_iter(text) {
            if !word_before(text, hit.start()) && !word_at(text, hit.end()) {
                // hits come by their ends, so a later one from here is longer
                let entity = self.entities[hit.pattern().as_usize()];
                longest.insert(hit.start(), Given { range: hit.range(), entity });
            }
        }
        let (mut known, mut reach) = (std::mem::take(given).into_iter().peekable(), 0);
        for (start, hit) in longest {
            while let Some(before) = known.next_if(|before| before.range.start <= start) {
                reach = reach.max(before.range.end);
                given.push(before);
            }
            if hit.range.end > reach {
                reach = hit.range.end;
                given.push(hit);
            }
        }
        given.extend(known);
    }
}
