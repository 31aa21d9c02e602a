//! References: frozen from stored rows or from a file, written once, read back.
//!
//! A baseline is one reference a feature, under one fingerprint; the one promoted last is in force. Nothing slides: a new
//! baseline is an act ([`desk`]: a file named in the configuration, a command, a call of the API) or, where there is none, the first
//! good observations, marked provisional.

pub mod desk;
mod files;
mod names;
mod table;
pub mod told;

use contract::{api::BaselineInfo, feature};
use store::read::{Act, ActRow, BaselineRow, BaselineSummary, FeatureSeen, Reader, Window, bin};

use crate::{
    config::{Freezing, RawBaseline},
    judge::{
        gate::{self, Policy},
        reference::{self, Reference, ReferenceError},
    },
};

pub use files::FileError;
pub use table::from_table;

/// A baseline with its references, features in the order in which they are judged and shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Baseline {
    /// At a glance.
    pub info: BaselineInfo,
    /// One reference a feature.
    pub features: Vec<Frozen>,
}

/// The reference of one feature.
#[derive(Clone, Debug, PartialEq)]
pub struct Frozen {
    /// Its name.
    pub name: String,
    /// Its reference.
    pub reference: Reference,
    /// Whether the first traffic made it.
    pub provisional: bool,
}

/// Why no baseline could be had.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A file could not be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is stored is damaged.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is nothing to freeze.
    #[error(
        "no features of {model} are stored between {from_ms} and {to_ms} (milliseconds since 1970); choose a time range with traffic"
    )]
    Empty {
        /// Model name.
        model: String,
        /// Start of the range.
        from_ms: i64,
        /// End of the range.
        to_ms: i64,
    },
    /// None of this name.
    #[error("{model} has no baseline {fingerprint}; `driftline baseline list` says which there are")]
    Unknown {
        /// Model name.
        model: String,
        /// What was asked for.
        fingerprint: String,
    },
    /// A shortened fingerprint of several.
    #[error("{fingerprint} is the start of {found} fingerprints of {model}; write more of its digits, four at least")]
    Ambiguous {
        /// Model name.
        model: String,
        /// What was asked for.
        fingerprint: String,
        /// How many there are.
        found: usize,
    },
    /// The request is not one.
    #[error("{0}")]
    Asked(String),
    /// What was asked is so already, or cannot be now.
    #[error("{0}")]
    Conflict(String),
    /// Too little to see anything.
    #[error(
        "{rows} rows cannot show a shift below {visible:.3} in {features} features (2 sqrt(ln(2 features / delta) / (2 rows)) + delta_ignore, by \
         the inequality of Dvoretzky, Kiefer and Wolfowitz with Massart's constant), and the limit is {limit:.2} (min_detectable); freeze at \
         least {needed} rows"
    )]
    TooSmall {
        /// Rows there are.
        rows: u64,
        /// Features there are.
        features: usize,
        /// Smallest shift that they can show.
        visible: f64,
        /// Smallest shift that they must show.
        limit: f64,
        /// Rows that would do.
        needed: u64,
    },
}

impl Baseline {
    /// Puts references together; the order and the fingerprint follow from the contents.
    #[must_use]
    pub fn new(model: &str, version: &str, frozen_at_ms: i64, mut features: Vec<Frozen>) -> Self {
        features.sort_by(|a, b| {
            feature::priority(&a.name).cmp(&feature::priority(&b.name)).then_with(|| a.name.cmp(&b.name))
        });
        let chosen: Vec<&Frozen> = features.iter().filter(|f| !f.provisional).collect();
        let provisional = features.len() - chosen.len();
        let largest = |of: &[&Frozen]| of.iter().map(|f| f.reference.total()).max();
        let info = BaselineInfo {
            model: model.to_owned(),
            version: version.to_owned(),
            fingerprint: fingerprint(features.iter()),
            frozen_at_ms,
            features: features.len() as u64,
            observations: largest(&chosen).or_else(|| largest(&features.iter().collect::<Vec<_>>())).unwrap_or(0),
            provisional: provisional > 0,
            provisional_features: provisional as u64,
            completes: if provisional > 0 && !chosen.is_empty() { fingerprint(chosen) } else { String::new() },
        };
        Self { info, features }
    }

    /// Reads a stored baseline.
    ///
    /// # Errors
    /// [`BaselineError`] when the database does not answer or a row is damaged.
    pub async fn load(reader: &Reader, summary: &BaselineSummary) -> Result<Self, BaselineError> {
        let rows = reader.baseline(&summary.model, &summary.fingerprint).await?;
        let features: Result<Vec<Frozen>, ReferenceError> = rows
            .into_iter()
            .map(|row| {
                let reference = Reference::parse(&row.feature, &row.bins)?;
                Ok(Frozen { name: row.feature, reference, provisional: row.provisional })
            })
            .collect();
        let loaded = Self::new(&summary.model, &summary.version, summary.frozen_at_ms, features?);
        // The stored fingerprint names the rows; it stays what they were written under.
        let completes = loaded.info.completes;
        Ok(Self { info: BaselineInfo { completes, ..info(summary) }, features: loaded.features })
    }

    /// Writes it down, which puts it in force; a candidate is said to be one before it is there to be judged against.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn save(&self, reader: &Reader, act: Act, who: &str) -> Result<(), store::Error> {
        let info = &self.info;
        let done = ActRow {
            model: info.model.clone(),
            fingerprint: info.fingerprint.clone(),
            at: info.frozen_at_ms,
            act: act.as_str().to_owned(),
            who: who.to_owned(),
        };
        if act != Act::Promoted {
            reader.insert_act(&done).await?;
        }
        reader.insert_baseline(&self.rows()).await?;
        if act == Act::Promoted {
            reader.insert_act(&done).await?;
        }
        Ok(())
    }

    fn rows(&self) -> Vec<BaselineRow> {
        let info = &self.info;
        let row = |frozen: &Frozen| BaselineRow {
            model: info.model.clone(),
            version: info.version.clone(),
            feature: frozen.name.clone(),
            fingerprint: info.fingerprint.clone(),
            frozen_at_ms: info.frozen_at_ms,
            provisional: frozen.provisional,
            m: frozen.reference.total(),
            bins: frozen.reference.to_json(),
        };
        self.features.iter().map(row).collect()
    }

    /// The reference of a feature.
    #[must_use]
    pub fn reference(&self, feature: &str) -> Option<&Reference> {
        self.features.iter().find(|frozen| frozen.name == feature).map(|frozen| &frozen.reference)
    }

    /// Observations that would let the features that were counted in `taken` of them show what the policy asks, `taken` at least. A
    /// feature that would need more than `most` is a rare one: nobody waits for it, and it stays unjudged.
    #[must_use]
    pub fn observations_needed(&self, counted: fn(&Frozen) -> bool, taken: u64, most: u64, policy: &Policy) -> u64 {
        let delta = policy.delta / self.features.len().max(1) as f64;
        let room = (policy.detectable_min - policy.delta_ignore) / 2.0;
        let needed = |frozen: &Frozen| {
            // margins fall with the root of the size
            let margin = gate::margin(&frozen.reference, frozen.reference.total(), delta);
            (taken as f64 * (margin / room).powi(2)).ceil()
        };
        let features = self.features.iter().filter(|frozen| counted(frozen));
        features.map(needed).filter(|n| *n <= most as f64).fold(taken as f64, f64::max) as u64
    }

    /// Refuses a baseline whose largest feature cannot show what the policy asks.
    ///
    /// # Errors
    /// [`BaselineError::TooSmall`].
    pub fn check_size(&self, policy: &Policy) -> Result<(), BaselineError> {
        let features = self.features.len();
        let rows = self.info.observations;
        let visible = visible(rows, features as u64, policy);
        if visible <= policy.detectable_min {
            return Ok(());
        }
        let spread = spread(features as u64, policy);
        let needed = (2.0 * spread / (policy.detectable_min - policy.delta_ignore).powi(2)).ceil() as u64;
        Err(BaselineError::TooSmall { rows, features, visible, limit: policy.detectable_min, needed })
    }
}

fn fingerprint<'a>(features: impl IntoIterator<Item = &'a Frozen>) -> String {
    reference::fingerprint(features.into_iter().map(|f| (f.name.as_str(), &f.reference)))
}

/// Smallest shift that `rows` can show in each of so many features: twice the margin of Dvoretzky, Kiefer and Wolfowitz with Massart's
/// constant, `sqrt(ln(2 features / delta) / (2 rows))`, above what the user ignores.
#[must_use]
pub fn visible(rows: u64, features: u64, policy: &Policy) -> f64 {
    2.0 * (spread(features, policy) / (2.0 * rows.max(1) as f64)).sqrt() + policy.delta_ignore
}

fn spread(features: u64, policy: &Policy) -> f64 {
    (2.0 * features.max(1) as f64 / policy.delta).ln()
}

/// A stored summary as the API gives it.
#[must_use]
pub fn info(summary: &BaselineSummary) -> BaselineInfo {
    BaselineInfo {
        model: summary.model.clone(),
        version: summary.version.clone(),
        fingerprint: summary.fingerprint.clone(),
        frozen_at_ms: summary.frozen_at_ms,
        features: summary.features,
        observations: summary.observations,
        provisional: summary.provisional,
        provisional_features: summary.provisional_features,
        completes: String::new(),
    }
}

/// Freezes the features of a model's rows in a span, except those that `keep` already holds, which stay as they are.
///
/// # Errors
/// [`BaselineError`].
pub async fn from_rows(
    reader: &Reader,
    model: &str,
    span: Window,
    provisional: bool,
    keep: Vec<Frozen>,
    limits: &Freezing,
    now_ms: i64,
) -> Result<Baseline, BaselineError> {
    let mut seen = reader.features_seen(model, span).await?;
    seen.retain(|feature| keep.iter().all(|kept| kept.name != feature.feature));
    if seen.is_empty() && keep.is_empty() {
        return Err(BaselineError::Empty { model: model.to_owned(), from_ms: span.start_ms, to_ms: span.end_ms });
    }
    seen.sort_by_key(|feature| (feature::priority(&feature.feature), feature.feature.clone()));
    let mut features = keep;
    for feature in seen.iter().take(limits.features_max.saturating_sub(features.len())) {
        let reference = freeze(reader, model, feature, span, limits).await?;
        if reference.total() > 0 {
            features.push(Frozen { name: feature.feature.clone(), reference, provisional });
        }
    }
    let whole = Window { start_ms: span.start_ms, end_ms: span.end_ms };
    let version =
        reader.windows(model, whole, i64::MAX, 1).await?.pop().map(|window| window.version).unwrap_or_default();
    Ok(Baseline::new(model, &version, now_ms, features))
}

/// A feature is what most of its rows are: numbers or categories. Values of the other kind, and names beyond the limit, are
/// counted too: a column that mixes them does not drift by going on as it was.
async fn freeze(
    reader: &Reader,
    model: &str,
    feature: &FeatureSeen,
    span: Window,
    limits: &Freezing,
) -> Result<Reference, store::Error> {
    let name = &feature.feature;
    if feature.categories > feature.numbers {
        let counted = reader.category_counts(model, name, span, limits.bins as u64).await?;
        let named = Reference::categories(counted.named, feature.missing, limits.bins);
        return Ok(named.plus(bin::NEVER_SEEN, counted.rest).plus(bin::OTHER, feature.numbers));
    }
    let sample = reader.numbers(model, name, span, limits.rows_max).await?;
    // Where the numbers are a sample, the others count in proportion.
    let (taken, all) = (sample.values.len() as u64 + sample.missing, feature.numbers + feature.missing);
    let share = if taken < all { taken as f64 / all as f64 } else { 1.0 };
    let other = (feature.categories as f64 * share).round() as u64;
    Ok(Reference::numbers(&sample.values, sample.missing, limits.bins).plus(bin::OTHER, other))
}

/// Freezes a file's columns, on a thread that may wait for it.
///
/// # Errors
/// [`BaselineError::File`].
pub async fn from_file(
    model: &str,
    file: &RawBaseline,
    limits: &Freezing,
    now_ms: i64,
) -> Result<Baseline, BaselineError> {
    let (model, file, limits, path) = (model.to_owned(), file.clone(), *limits, file.file.clone());
    let read = tokio::task::spawn_blocking(move || of_file(&model, &file, &limits, now_ms)).await;
    read.map_err(|error| FileError::Read { path, source: std::io::Error::other(error) })?
}

fn of_file(model: &str, file: &RawBaseline, limits: &Freezing, now_ms: i64) -> Result<Baseline, BaselineError> {
    let columns = files::read(file, limits)?;
    let features = columns
        .into_iter()
        .map(|(name, column)| Frozen { name, reference: column.freeze(limits.bins), provisional: false })
        .collect();
    Ok(Baseline::new(model, "", now_ms, features))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::gate::TEST_POLICY as POLICY;

    fn frozen(name: &str, reference: Reference, provisional: bool) -> Frozen {
        Frozen { name: name.to_owned(), reference, provisional }
    }

    /// What a model of 69 columns and ten labels has after 1,000 requests; one column comes with every fiftieth.
    fn wide(provisional: bool) -> Baseline {
        let numbers = |n: u32| Reference::numbers(&(0..n).map(f64::from).collect::<Vec<_>>(), 0, 1_024);
        let labels = Reference::categories((0..10).map(|i| (i.to_string(), 100)).collect(), 0, 1_024);
        let mut features: Vec<Frozen> = (0..69)
            .map(|i| frozen(&format!("input.{i}"), numbers(if i == 0 { 20 } else { 1_000 }), provisional))
            .collect();
        features.push(frozen("output.label", labels, provisional));
        Baseline::new("m", "1", 0, features)
    }

    #[test]
    fn a_reference_is_as_large_as_its_features_need() {
        // python3 -c "from math import *; print(ceil(2 * log(2 * 13 * 70 / .01) / .15 ** 2))", ten labels and three other cells
        assert_eq!(wide(true).observations_needed(|_| true, 1_000, 10_000, &POLICY), 1_077);
        assert_eq!(wide(true).observations_needed(|f| f.name == "input.1", 1_000, 10_000, &POLICY), 1_000, "they do");
        assert!(wide(true).observations_needed(|_| true, 1_000, 100_000, &POLICY) > 40_000, "the rare column");
    }

    #[test]
    fn what_somebody_chose_is_named_by_what_completes_it() {
        let chosen = wide(false);
        let mut features = chosen.features.clone();
        features.push(frozen("output.margin", Reference::numbers(&[0.5; 3_000], 0, 16), true));
        let whole = Baseline::new("m", "1", 0, features).info;
        assert_eq!((whole.provisional, whole.provisional_features, whole.features), (true, 1, 71));
        assert_eq!((whole.completes, whole.observations), (chosen.info.fingerprint.clone(), 1_000));
        assert_ne!(whole.fingerprint, chosen.info.fingerprint);
        assert_eq!((chosen.info.completes.as_str(), wide(true).info.completes.as_str()), ("", ""));
        assert_eq!(wide(true).info.provisional_features, 70);
    }
}
