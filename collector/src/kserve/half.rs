//! One half of an exchange: from a CloudEvent to an observation of which the other side is not known yet, and from two
//! such to a whole one.

use axum::http::HeaderMap;
use contract::wire::{Content, Feature, Observation, Outcome, Payload, Prediction, Timings};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::body::{self, Body};
use super::config::{KserveConfig, Model};
use super::features::{self, FEATURES_MAX};
use crate::check;
use crate::pipeline::Refusal;

/// Why an observation has no answer: KServe's logger sends answers of status 200 only, so the request failed, or what
/// was logged of its answer was lost on the way.
pub(crate) const NO_RESPONSE: &str = "no_response";
/// Why an observation has no answer beside it though one may have come: it had to make room before its time was over.
pub(crate) const SQUEEZED: &str = "squeezed";
/// Why an observation has no request.
pub(crate) const NO_REQUEST: &str = "no_request";
/// Why content is not kept.
const UNREADABLE: &str = "unreadable_body";
const NOT_KEPT: &str = "not_kept";

const REQUEST: &str = "org.kubeflow.serving.inference.request";
const RESPONSE: &str = "org.kubeflow.serving.inference.response";
const ID_BYTES_MAX: usize = 1024;

/// Which half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Side {
    Request,
    Response,
}

/// A half in the journal. `O` as in [`crate::record::Record`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Half<O> {
    /// The same for both halves of an exchange.
    pub key: Uuid,
    pub side: Side,
    pub received_at_ms: i64,
    /// What is known from this side.
    pub observation: O,
}

impl<O> Half<O> {
    /// Names this half for ever.
    pub fn id(&self) -> Uuid {
        half_id(self.key, self.side)
    }

    /// The same with another form of its observation.
    pub fn map<P>(self, of: impl FnOnce(O) -> P) -> Half<P> {
        let Self { key, side, received_at_ms, observation } = self;
        Half { key, side, received_at_ms, observation: of(observation) }
    }
}

/// What names one half of an exchange.
pub(crate) fn half_id(key: Uuid, side: Side) -> Uuid {
    let side: &[u8] = if side == Side::Request { b"request" } else { b"response" };
    crate::pipeline::id_of(Sha256::new().chain_update(key).chain_update(side))
}

/// How a response that stays alone names the exchange that it is of, where other observations name their trace.
pub(crate) fn of_whole(id: Uuid) -> String {
    id.simple().to_string()
}

/// What the headers of a CloudEvent in binary mode say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Head {
    side: Side,
    id: String,
    at_ms: Option<i64>,
    service: String,
    namespace: String,
    component: String,
    endpoint: String,
}

impl Head {
    /// Reads the headers.
    pub fn read(headers: &HeaderMap) -> Result<Self, Refusal> {
        let text = |name: &str| headers.get(name).map_or(Ok(""), |value| value.to_str()).map(str::trim);
        let text = |name: &str| text(name).map_err(|_| Refusal::Invalid(format!("{name} is no ASCII text")));
        let (version, kind, id) = (text("ce-specversion")?, text("ce-type")?, text("ce-id")?);
        if !version.starts_with("1.") {
            return Err(Refusal::Unsupported(
                "this is no CloudEvent 1.0 in binary mode (ce-specversion: 1.0), which KServe's logger sends"
                    .to_owned(),
            ));
        }
        let side = match kind {
            REQUEST => Side::Request,
            RESPONSE => Side::Response,
            other => {
                let sentence = format!("ce-type '{other}' is not read; {REQUEST} and {RESPONSE} are");
                return Err(Refusal::Invalid(sentence));
            }
        };
        if id.is_empty() || id.len() > ID_BYTES_MAX {
            return Err(Refusal::Invalid(format!(
                "ce-id is not 1 to {ID_BYTES_MAX} characters; halves are joined by it"
            )));
        }
        let service = text("ce-inferenceservicename")?;
        if service.is_empty() {
            return Err(Refusal::Invalid("ce-inferenceservicename is absent; it names the model".to_owned()));
        }
        Ok(Self {
            side,
            id: id.to_owned(),
            at_ms: time_ms(text("ce-time")?),
            service: service.to_owned(),
            namespace: text("ce-namespace")?.to_owned(),
            component: text("ce-component")?.to_owned(),
            endpoint: text("ce-endpoint")?.to_owned(),
        })
    }

    /// The half that this head and its body are. It is not masked yet.
    pub fn half(&self, bytes: &[u8], config: &KserveConfig, now_ms: i64) -> Result<Half<Observation>, Refusal> {
        let unknown = Model::default();
        let model = config.models.get(&self.service).unwrap_or(&unknown);
        let keys = if self.side == Side::Request { body::ASKED } else { body::GIVEN };
        let body = body::read(bytes, keys);
        let (features, predictions) = match (&body, self.side) {
            (None, _) => (vec![], vec![]),
            (Some(body), Side::Request) => (features::asked(body, model), vec![]),
            (Some(body), Side::Response) => features::given(body, model),
        };
        let values = body.as_ref().map_or(0, |body| body.tensors.len());
        if features.len().max(values) > FEATURES_MAX {
            let sentence = format!("the body makes more than {FEATURES_MAX} features; log fewer items in one");
            return Err(Refusal::TooLarge(sentence));
        }
        let key = self.key();
        let observation = self.observation(key, body, features, predictions, config, now_ms);
        check::name(&observation.model, "", "ce-inferenceservicename")?;
        check::name(&observation.version, "", "model_version")?;
        Ok(Half { key, side: self.side, received_at_ms: now_ms, observation })
    }

    fn observation(
        &self,
        key: Uuid,
        body: Option<Body>,
        features: Vec<Feature>,
        predictions: Vec<Prediction>,
        config: &KserveConfig,
        now_ms: i64,
    ) -> Observation {
        let Body { items, content, version, .. } = body.unwrap_or_default();
        let payload = match content {
            Value::Null => Payload::Withheld(UNREADABLE.to_owned()),
            _ if !config.payloads => Payload::Withheld(NOT_KEPT.to_owned()),
            content => {
                let (input, output) =
                    if self.side == Side::Request { (content, Value::Null) } else { (Value::Null, content) };
                Payload::Kept(Content { input, output, inclusion_probability: 1.0 })
            }
        };
        let whole = self.observation_id(key);
        let (id, trace_id, outcome, code, reason) = match self.side {
            Side::Request => (whole, None, Outcome::Error, 0, NO_RESPONSE),
            // another id than the whole exchange's, which may have been stored without it, and is found by it
            Side::Response => (half_id(key, Side::Response), Some(of_whole(whole)), Outcome::Ok, 200, NO_REQUEST),
        };
        let endpoint = if self.endpoint.is_empty() { "default" } else { &self.endpoint };
        Observation {
            id,
            trace_id,
            at_ms: self.at_ms.unwrap_or(now_ms),
            model: self.model(config.with_namespace),
            version: version.unwrap_or_else(|| endpoint.to_owned()),
            route: "kserve".to_owned(),
            outcome,
            code,
            reason: Some(reason.to_owned()),
            client: None,
            timings: Timings::default(),
            items: u32::try_from(items.max(1)).unwrap_or(u32::MAX),
            features,
            predictions,
            shadows: vec![],
            payload,
        }
    }

    /// A transformer's bodies are others than its predictor's, so it is a model of its own.
    fn model(&self, with_namespace: bool) -> String {
        let mut name = self.service.clone();
        if !self.is_predictor() {
            name = format!("{name}-{}", self.component);
        }
        if with_namespace { format!("{}/{name}", self.namespace) } else { name }
    }

    fn is_predictor(&self) -> bool {
        self.component.is_empty() || self.component == "predictor"
    }

    /// The client's own `Ce-Id` where that is a UUID: labels name it.
    fn observation_id(&self, key: Uuid) -> Uuid {
        Uuid::parse_str(&self.id).ok().filter(|_| self.is_predictor()).unwrap_or(key)
    }

    fn key(&self) -> Uuid {
        let mut hash = Sha256::new();
        for word in ["kserve", &self.namespace, &self.service, &self.component, &self.id] {
            hash.update((word.len() as u64).to_le_bytes());
            hash.update(word);
        }
        crate::pipeline::id_of(hash)
    }
}

/// Milliseconds since the Unix epoch of an RFC 3339 time; its offset, if any, is taken off.
fn time_ms(text: &str) -> Option<i64> {
    let (time, offset_minutes) = match text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)) {
        Some((time, offset)) if offset.starts_with(['+', '-']) => {
            let (hours, minutes) = offset[1..].split_once(':')?;
            let minutes = hours.parse::<i64>().ok()? * 60 + minutes.parse::<i64>().ok()?;
            (format!("{time}Z"), if offset.starts_with('-') { -minutes } else { minutes })
        }
        _ => (text.to_owned(), 0),
    };
    let time = humantime_serde::re::humantime::parse_rfc3339(&time).ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(i64::try_from(since.as_millis()).ok()? - offset_minutes * 60_000)
}

/// Both halves, as one observation.
pub(crate) fn whole(request: Observation, response: Observation) -> Observation {
    let payload = match (request.payload, response.payload) {
        (Payload::Kept(asked), Payload::Kept(given)) => Payload::Kept(Content { output: given.output, ..asked }),
        (Payload::Kept(_), other) | (other, _) => other,
    };
    let mut features = response.features;
    features.extend(request.features);
    Observation {
        outcome: response.outcome,
        code: response.code,
        reason: None,
        version: response.version,
        items: request.items.max(response.items),
        features,
        predictions: response.predictions,
        payload,
        ..request
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use host::config::Faults;

    const NOW: i64 = 1_767_225_600_000;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.insert(*name, value.parse().unwrap());
        }
        headers
    }

    /// As the logger of KServe 0.15 sends them (`pkg/logger/worker.go`).
    fn head(side: &'static str, more: &[(&'static str, &'static str)]) -> Head {
        let mut all = headers(&[
            ("ce-specversion", "1.0"),
            ("ce-type", if side == "request" { REQUEST } else { RESPONSE }),
            ("ce-id", "01890000-0000-7000-8000-000000000001"),
            ("ce-time", "2026-01-01T01:00:00.25+01:00"),
            ("ce-inferenceservicename", "iris"),
            ("ce-namespace", "shop"),
            ("ce-component", "predictor"),
            ("ce-endpoint", "default"),
        ]);
        all.extend(headers(more));
        Head::read(&all).unwrap()
    }

    fn half(head: &Head, body: &str) -> Half<Observation> {
        let config = super::super::config::RawKserve::default().check(&mut Faults::default());
        head.half(body.as_bytes(), &config, NOW).unwrap()
    }

    #[test]
    fn two_halves_are_one_observation() {
        let request = half(&head("request", &[]), r#"{"instances":[[6.8,2.8]]}"#);
        let response = half(&head("response", &[]), r#"{"model_version":"7","predictions":[1.5]}"#);
        assert_eq!(request.key, response.key);
        assert_ne!(request.id(), response.id());
        assert_ne!(request.observation.id, response.observation.id, "one that comes too late is a row of its own");
        assert_eq!((request.observation.outcome, request.observation.at_ms), (Outcome::Error, NOW + 250));
        assert_eq!(response.observation.trace_id.as_deref(), Some("01890000000070008000000000000001"));
        let whole = whole(request.observation, response.observation);
        assert_eq!(whole.trace_id, None);
        assert_eq!((whole.outcome, whole.version.as_str(), whole.reason), (Outcome::Ok, "7", None));
        assert_eq!(whole.id.to_string(), "01890000-0000-7000-8000-000000000001");
        let names: Vec<&str> = whole.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, ["output.predictions", "input.instances_0", "input.instances_1"]);
        let Payload::Kept(content) = whole.payload else { panic!("{:?}", whole.payload) };
        assert_eq!((&content.input["instances"][0][0], &content.output["predictions"][0]), (&6.8.into(), &1.5.into()));
    }

    #[test]
    fn what_is_not_understood_is_still_a_request_that_was_made() {
        let request = half(&head("request", &[("ce-id", "r-1")]), "\u{1}\u{2}");
        assert_eq!(request.observation.payload, Payload::Withheld(UNREADABLE.into()));
        assert_eq!(request.observation.id, request.key, "an id that is no UUID is hashed");
        let transformer = head("request", &[("ce-component", "transformer")]);
        assert_eq!(half(&transformer, "{}").observation.model, "iris-transformer");
        assert_ne!(half(&transformer, "{}").key, half(&head("request", &[]), "{}").key);
    }

    #[test]
    fn a_body_of_too_many_values_is_refused_and_one_of_a_long_name_is_a_request_that_was_made() {
        let config = super::super::config::RawKserve::default().check(&mut Faults::default());
        let items = r#"{"a":[]},"#.repeat(FEATURES_MAX + 1);
        let many = format!(r#"{{"instances":[{}]}}"#, items.trim_end_matches(','));
        let refused = head("request", &[]).half(many.as_bytes(), &config, NOW).unwrap_err();
        assert!(matches!(refused, Refusal::TooLarge(_)), "{refused}");
        let long = half(&head("request", &[]), &format!(r#"{{"instances":[{{"{}":1}}]}}"#, "n".repeat(250)));
        assert_eq!(long.observation.payload, Payload::Withheld(UNREADABLE.into()));
        let limits = crate::config::Config::try_from(crate::config::RawConfig::default()).unwrap().limits;
        check::observation(&long.observation, "", NOW, &limits).unwrap();
        let just = format!(r#"{{"instances":[{{"{}":{:?}}}]}}"#, "n".repeat(244), [1; 256]);
        check::observation(&half(&head("request", &[]), &just).observation, "", NOW, &limits).unwrap();
    }

    #[test]
    fn refusals_say_what_is_missing() {
        let good = [("ce-specversion", "1.0"), ("ce-type", REQUEST), ("ce-id", "1"), ("ce-inferenceservicename", "i")];
        assert!(Head::read(&headers(&good)).is_ok());
        for (at, wrong, expected) in
            [(0, "0.3", "binary mode"), (1, "other", "ce-type 'other'"), (2, "", "ce-id is not"), (3, "", "absent")]
        {
            let mut bad = good;
            bad[at].1 = wrong;
            let said = Head::read(&headers(&bad)).unwrap_err().to_string();
            assert!(said.contains(expected), "{said}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        assert_eq!(time_ms("2026-01-01T00:00:00Z"), Some(NOW));
        assert_eq!(time_ms("2025-12-31T19:30:00.123456789-04:30"), Some(NOW + 123));
        assert_eq!(time_ms(""), None);
        assert_eq!(time_ms("é1:00+01:00"), None);
    }
}
