//! Where an identifier can stand in what is posted, and how it is disguised there.

use bench::load::{self, Random};
use contract::wire::{
    Content, Event, Events, Feature, FeatureValue, Feedback, FeedbackValue, Label, Labels, Observation, Outcome,
    Outcomes, Payload, Prediction, ShadowAnswer, Timings,
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// The field, tensor and feature that the configuration allows.
pub(super) const ALLOWED: &str = "allowed";
/// The status of observations that the database is told to refuse.
pub(super) const REFUSED: u16 = 599;

/// An identifier in its context, disguised.
#[derive(Clone, Debug)]
pub(super) struct Plant {
    pub entity: String,
    pub identifier: String,
    pub text: String,
    pub disguise: &'static str,
    pub place: Place,
    /// What the configuration says must stay.
    pub control: bool,
}

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Value,
    Key,
    Answer,
    Tensor,
    Number,
    Category,
    FeatureName,
    FeatureNumber,
    OutputNumber,
    Prediction,
    ShadowPrediction,
    Client,
    Reason,
    Label,
    OutcomeName,
    EventDetail,
    EventKind,
    KserveTensor,
    KserveInstance,
    KserveAnswer,
}

/// Places in turn.
pub(super) const PLACES: [Place; 20] = [
    Place::Value,
    Place::Key,
    Place::Answer,
    Place::Tensor,
    Place::Number,
    Place::Category,
    Place::FeatureName,
    Place::FeatureNumber,
    Place::OutputNumber,
    Place::Prediction,
    Place::ShadowPrediction,
    Place::Client,
    Place::Reason,
    Place::Label,
    Place::OutcomeName,
    Place::EventDetail,
    Place::EventKind,
    Place::KserveTensor,
    Place::KserveInstance,
    Place::KserveAnswer,
];

/// Where a configuration can allow something.
pub(super) const CONTROL_PLACES: [Place; 4] = [Place::Value, Place::Tensor, Place::Category, Place::KserveTensor];

impl Place {
    /// Whether it is a name: four dotted numbers are a version there (docs/masking), and 256 bytes are the most.
    pub const fn is_name(self) -> bool {
        matches!(
            self,
            Self::FeatureName
                | Self::Prediction
                | Self::ShadowPrediction
                | Self::Label
                | Self::OutcomeName
                | Self::EventKind
        )
    }

    /// Whether it is a number, which only digits can be.
    pub const fn is_number(self) -> bool {
        matches!(self, Self::Number | Self::FeatureNumber | Self::OutputNumber)
    }

    /// Whether it comes as a CloudEvent.
    pub const fn is_kserve(self) -> bool {
        matches!(self, Self::KserveTensor | Self::KserveInstance | Self::KserveAnswer)
    }

    /// Whether it is in an observation that comes whole.
    pub fn is_observation(self) -> bool {
        self < Self::Label
    }
}

/// The disguises in turn. A line break stands where a blank stood: elsewhere it ends a word for every reader.
pub(super) const DISGUISES: [&str; 5] = ["none", "full-width digits", "zero-width", "line break", "Arabic digits"];

/// An identifier in a disguise.
pub(super) fn disguised(identifier: &str, disguise: &str) -> String {
    let digits = |zero: u32| {
        let one = |c: char| c.to_digit(10).and_then(|d| char::from_u32(zero + d)).unwrap_or(c);
        identifier.chars().map(one).collect()
    };
    match disguise {
        "full-width digits" => digits(0xFF10),
        "Arabic digits" => digits(0x660),
        "zero-width" => {
            let mut text = String::new();
            for (i, c) in identifier.chars().enumerate() {
                if i % 3 == 2 {
                    text.push('\u{200B}');
                }
                text.push(c);
            }
            text
        }
        "line break" => identifier.replacen(' ', "\n", 1),
        _ => identifier.to_owned(),
    }
}

/// An observation with one plant in it.
pub(super) fn observation(random: &mut Random, plant: &Plant, refused: bool) -> Observation {
    let mut plain = load::observation(random, "m", 40);
    plain.trace_id = None;
    let text = plant.text.clone();
    let number = plant.identifier.parse::<u64>().unwrap_or_default();
    let (field, feature) = if plant.control { (ALLOWED, ALLOWED) } else { ("note", "input.note") };
    let category = |name: &str, value| Feature { name: name.to_owned(), item: 0, value };
    let prediction = |label| Prediction { label, confidence: 0.5, margin: 0.5, entropy: 0.5 };
    plain.features = vec![];
    plain.predictions = vec![prediction("billing".to_owned())];
    let (mut input, mut output) = (json!({"note": "nothing"}), json!({"label": "billing"}));
    match plant.place {
        Place::Value => input = json!({ field: text }),
        Place::Key => input = Value::Object(Map::from_iter([(text, json!("nothing"))])),
        Place::Answer => output = json!({"choices": [{"message": [text, 1]}]}),
        Place::Tensor => {
            let tensor = json!({"name": field, "datatype": "BYTES", "shape": [2], "data": ["nothing", text]});
            input = json!({ "inputs": [tensor] });
        }
        Place::Number => input = json!({"rows": [[1, number]]}),
        Place::Category => plain.features.push(category(feature, FeatureValue::Category(text))),
        Place::FeatureName => plain.features.push(category(&text, FeatureValue::Number(1.0))),
        Place::FeatureNumber => plain.features.push(category("input.x", FeatureValue::Number(number as f64))),
        Place::OutputNumber => plain.features.push(category("output.y", FeatureValue::Number(number as f64))),
        Place::Prediction => plain.predictions = vec![prediction(text)],
        Place::ShadowPrediction => plain.shadows.push(ShadowAnswer {
            version: "2".to_owned(),
            outcome: Outcome::Ok,
            reason: None,
            timings: Timings::default(),
            predictions: vec![prediction(text)],
            gaps: Vec::new(),
        }),
        Place::Client => plain.client = Some(text),
        _ => plain.reason = Some(text),
    }
    if refused {
        (plain.code, plain.outcome) = (REFUSED, Outcome::Error);
    }
    Observation { payload: Payload::Kept(Content { input, output, inclusion_probability: 1.0 }), ..plain }
}

/// What is posted beside observations: the path and the body.
pub(super) fn beside(plant: &Plant) -> anyhow::Result<(&'static str, String)> {
    let (id, text, at_ms) = (Uuid::now_v7(), plant.text.clone(), load::now_ms());
    Ok(match plant.place {
        Place::Label => {
            let labels = vec![Label { id, item: 0, label: text, at_ms: Some(at_ms) }];
            (contract::wire::LABELS_PATH, serde_json::to_string(&Labels { labels })?)
        }
        Place::OutcomeName => {
            let value = FeedbackValue::Boolean(true);
            let outcomes = vec![Feedback { id, item: 0, name: text, value, at_ms: Some(at_ms) }];
            (contract::wire::OUTCOMES_PATH, serde_json::to_string(&Outcomes { outcomes })?)
        }
        place => {
            let (kind, detail) = match place {
                Place::EventKind => (text, String::new()),
                _ => ("deploy".to_owned(), text),
            };
            let event = Event { at_ms, kind, model: "m".to_owned(), version: "1".to_owned(), detail };
            let events = Events { source: "ci".to_owned(), events: vec![event] };
            (contract::wire::EVENTS_PATH, serde_json::to_string(&events)?)
        }
    })
}

/// The request and the response of an exchange that KServe's logger saw.
pub(super) fn exchange(plant: &Plant) -> [String; 2] {
    let tensor =
        |name: &str, text: &str| json!({"name": name, "datatype": "BYTES", "shape": [2], "data": ["nothing", text]});
    let name = if plant.control { ALLOWED } else { "note" };
    let (asked, given) = match plant.place {
        Place::KserveInstance => (json!({"instances": [{"note": plant.text}]}), json!({"predictions": ["billing"]})),
        Place::KserveAnswer => {
            (json!({"inputs": [tensor("x", "nothing")]}), json!({"outputs": [tensor("answer", &plant.text)]}))
        }
        _ => (json!({"inputs": [tensor(name, &plant.text)]}), json!({"outputs": [tensor("answer", "billing")]})),
    };
    [asked.to_string(), given.to_string()]
}
