//! From masked samples, labels, feedback, events and heartbeats to the rows of each table.

use contract::wire::{
    Event, Feature, FeatureValue, Feedback, FeedbackValue, Label, Ledger, Outcome, Payload, Prediction, ShadowAnswer,
};
use masking::MaskedSample;
use uuid::Uuid;

use super::block::{Block, Rows, Table};

/// One batch of a source, as it arrived.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// Who sent it.
    pub source: String,
    /// The sender's start.
    pub epoch: u64,
    /// Its number.
    pub seq: u64,
    /// When it was closed, milliseconds since the Unix epoch.
    pub sent_at_ms: i64,
    /// When we made it durable, milliseconds since the Unix epoch.
    pub received_at_ms: i64,
    /// The sender's account.
    pub ledger: Ledger,
}

/// A segment's blocks, at most one a table.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodedSegment {
    blocks: Vec<Block>,
}

impl EncodedSegment {
    /// The rows of several, in their order, as one segment's: the same bytes as if one builder had made them all.
    #[must_use]
    pub fn join(segment: Uuid, parts: &[Self]) -> Self {
        let of = |table| -> Vec<&Block> {
            parts.iter().flat_map(|part| &part.blocks).filter(|block| block.table() == table).collect()
        };
        Self { blocks: Table::ALL.into_iter().filter_map(|table| Block::join(segment, &of(table))).collect() }
    }

    /// Bytes of memory that it takes: of a single label most are not its row's.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let blocks = self.blocks.capacity() * size_of::<Block>();
        // it lies in a list, which has room for as many again when it grows
        2 * size_of::<Self>() + blocks + self.blocks.iter().map(Block::held_bytes).sum::<usize>()
    }

    /// The blocks in the order in which they are inserted.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Without the blocks of all tables but one, by its name.
    #[must_use]
    pub fn only(mut self, table: &str) -> Self {
        self.blocks.retain(|block| block.table().name() == table);
        self
    }
}

/// What a row of observations takes, as a rule.
const OBSERVATION_BYTES: usize = 224;
/// The same of features, and of categories.
const FEATURE_BYTES: usize = 96;
/// The same of payloads: a ticket and its class.
const PAYLOAD_BYTES: usize = 512;

/// Collects a segment's rows.
pub struct SegmentBuilder {
    observations: Rows,
    features: Rows,
    categories: Rows,
    payloads: Rows,
    comparisons: Rows,
    labels: Rows,
    outcomes: Rows,
    events: Rows,
    heartbeats: Rows,
}

/// Of answers that are compared by their classes, or not at all.
const NOT_COMPARED: (&str, f64, f64) = ("", 0.0, 0.0);

impl SegmentBuilder {
    /// An empty segment; its id is never used again.
    #[must_use]
    pub const fn new(segment: Uuid) -> Self {
        Self {
            observations: Rows::new(Table::Observations, segment),
            features: Rows::new(Table::Features, segment),
            categories: Rows::new(Table::Categories, segment),
            payloads: Rows::new(Table::Payloads, segment),
            comparisons: Rows::new(Table::Comparisons, segment),
            labels: Rows::new(Table::Labels, segment),
            outcomes: Rows::new(Table::Outcomes, segment),
            events: Rows::new(Table::Events, segment),
            heartbeats: Rows::new(Table::Heartbeats, segment),
        }
    }

    /// Room for observations that are about to be added: without it the rows are copied as they grow.
    pub fn expect(&mut self, samples: &[MaskedSample]) {
        let is_number = |feature: &&Feature| !matches!(feature.value, FeatureValue::Category(_));
        let all: usize = samples.iter().map(|sample| sample.features.len()).sum();
        let features = samples.iter().map(|sample| sample.features.iter().filter(is_number).count()).sum();
        let kept = samples.iter().filter(|sample| matches!(sample.payload, Payload::Kept(_))).count();
        self.observations.reserve(samples.len(), samples.len() * OBSERVATION_BYTES);
        self.features.reserve(features, features * FEATURE_BYTES);
        self.categories.reserve(all - features, (all - features) * FEATURE_BYTES);
        self.payloads.reserve(kept, kept * PAYLOAD_BYTES);
    }

    /// Adds an observation with its features, comparisons and payload.
    pub fn observation(&mut self, sample: &MaskedSample, source: &str, received_at_ms: i64) {
        self.request(sample, source, received_at_ms);
        self.features(sample, received_at_ms);
        for shadow in &sample.shadows {
            self.comparison(sample, shadow, received_at_ms);
        }
        if let Payload::Kept(content) = &sample.payload {
            let rows = self.payloads.row();
            rows.uuid(sample.id).millis(received_at_ms).millis(sample.at_ms).str(&sample.model).str(&sample.version);
            rows.json(&content.input).json(&content.output).f64(content.inclusion_probability);
        }
    }

    /// Adds a label. Whoever calls has masked its class.
    pub fn label(&mut self, label: &Label, received_at_ms: i64) {
        let rows = self.labels.row();
        rows.uuid(label.id).u32(label.item).millis(received_at_ms);
        rows.millis(label.at_ms.unwrap_or(received_at_ms)).str(&label.label);
    }

    /// Adds feedback. Whoever calls has masked its name.
    pub fn outcome(&mut self, feedback: &Feedback, received_at_ms: i64) {
        let rows = self.outcomes.row();
        rows.uuid(feedback.id).u32(feedback.item).millis(received_at_ms);
        rows.millis(feedback.at_ms.unwrap_or(received_at_ms)).str(&feedback.name).f64(feedback.value.number());
        rows.bool(matches!(feedback.value, FeedbackValue::Boolean(_)));
    }

    /// Adds an event under an id of its own. Whoever calls has masked its texts.
    pub fn event(&mut self, id: Uuid, event: &Event, source: &str, received_at_ms: i64) {
        let rows = self.events.row();
        rows.uuid(id).millis(received_at_ms).millis(event.at_ms).str(source);
        rows.str(&event.kind).str(&event.model).str(&event.version).str(&event.detail);
    }

    /// Adds a batch's clock and ledger.
    pub fn heartbeat(&mut self, beat: &Heartbeat) {
        let rows = self.heartbeats.row();
        rows.str(&beat.source).millis(beat.received_at_ms).u64(beat.epoch).u64(beat.seq).millis(beat.sent_at_ms);
        let Ledger { observed, delivered, dropped, in_flight } = beat.ledger;
        rows.u64(observed).u64(delivered).u64(dropped).u64(in_flight);
    }

    /// The blocks of all tables that got a row.
    #[must_use]
    pub fn finish(self) -> EncodedSegment {
        let tables = [
            self.features,
            self.categories,
            self.payloads,
            self.comparisons,
            self.labels,
            self.outcomes,
            self.events,
            self.observations,
            self.heartbeats,
        ];
        let mut blocks: Vec<Block> = tables.into_iter().filter_map(Rows::finish).collect();
        blocks.sort_by_key(|block| Table::ALL.iter().position(|table| *table == block.table()));
        EncodedSegment { blocks }
    }

    fn request(&mut self, sample: &MaskedSample, source: &str, received_at_ms: i64) {
        let rows = self.observations.row();
        rows.uuid(sample.id).millis(received_at_ms).millis(sample.at_ms).str(source);
        rows.str(sample.trace_id.as_deref().unwrap_or_default()).str(&sample.model).str(&sample.version);
        rows.str(&sample.route).str(sample.outcome.as_str()).u16(sample.code);
        rows.str(sample.reason.as_deref().unwrap_or_default()).str(sample.client.as_deref().unwrap_or_default());
        let t = sample.timings;
        rows.u64(t.total_us).u64(t.tokenize_us).u64(t.queue_us).u64(t.infer_us).u32(t.batch_size).u32(sample.items);
        let first = sample.predictions.first();
        rows.str(first.map_or("", |p| &p.label));
        rows.f64_or_null(first.map(|p| p.confidence));
        rows.f64_or_null(first.map(|p| p.margin)).f64_or_null(first.map(|p| p.entropy));
        rows.bool(t.batch_variant).bool(t.from_cache).f64(t.padding).str(t.provider.as_str());
    }

    fn features(&mut self, sample: &MaskedSample, received_at_ms: i64) {
        for feature in &sample.features {
            let rows = match &feature.value {
                FeatureValue::Category(_) => self.categories.row(),
                FeatureValue::Number(_) | FeatureValue::Missing => self.features.row(),
            };
            rows.uuid(sample.id).u32(feature.item).millis(received_at_ms).millis(sample.at_ms);
            rows.str(&sample.model).str(&sample.version).str(&feature.name);
            match &feature.value {
                FeatureValue::Category(value) => rows.str(value),
                FeatureValue::Number(x) => rows.f64(*x).bool(false),
                FeatureValue::Missing => rows.f64(0.0).bool(true),
            };
        }
    }

    /// One row an item that both answered, by classes or by how far apart they are; one row with item 0 and without labels where
    /// the shadow failed, and where there is nothing to compare because the primary or the task gives neither: its failures are a
    /// share of all that it was asked.
    fn comparison(&mut self, sample: &MaskedSample, shadow: &ShadowAnswer, received_at_ms: i64) {
        let none = Prediction { label: String::new(), confidence: 0.0, margin: 0.0, entropy: 0.0 };
        let answered = shadow.outcome == Outcome::Ok;
        let pairs = sample.predictions.iter().zip(&shadow.predictions).map(|(a, b)| (a, b, NOT_COMPARED));
        let gaps = shadow.gaps.iter().map(|gap| (&none, &none, gap.stored()));
        let mut compared: Vec<(&Prediction, &Prediction, (&str, f64, f64))> = match answered {
            true if !shadow.gaps.is_empty() => gaps.collect(),
            true => pairs.collect(),
            false => Vec::new(),
        };
        if compared.is_empty() {
            compared.push((&none, &none, NOT_COMPARED));
        }
        for (item, (primary, second, (what, absolute, relative))) in (0_u32..).zip(compared) {
            let rows = self.comparisons.row();
            rows.uuid(sample.id).u32(item).millis(received_at_ms).millis(sample.at_ms);
            rows.str(&sample.model).str(&sample.version).str(&shadow.version);
            rows.bool(answered).str(shadow.outcome.as_str()).str(shadow.reason.as_deref().unwrap_or_default());
            rows.str(&primary.label).str(&second.label).f64(primary.confidence).f64(second.confidence);
            rows.u64(sample.timings.infer_us).u64(shadow.timings.infer_us);
            rows.str(what).f64(absolute).f64(relative);
        }
    }
}
