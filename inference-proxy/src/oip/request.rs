//! A decoded inference request, whichever transport carried it: what is checked of every one, and what its parameters
//! ask for.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::handle::Deadline;
use crate::model::{TensorSpec, Urgency, Whose};
use crate::tensor::Tensor;

/// A decoded inference request.
#[derive(Clone, Debug, PartialEq)]
pub struct InferRequest {
    /// Echoed in the answer.
    pub id: Option<String>,
    /// The inputs; at least one, names unique, each with at least one value.
    pub inputs: Vec<Tensor>,
    /// The wanted outputs, each once; empty for all.
    pub outputs: Vec<Wanted>,
    /// Whether outputs are raw bytes where they do not say it themselves.
    pub binary_outputs: bool,
    /// 1 goes first; 0 is what was not said.
    pub priority: u64,
    /// How long the client waits for the model.
    pub timeout: Option<Duration>,
    /// The client's own parameters, kept with its content.
    pub parameters: Map<String, Value>,
}

/// An output that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Whether as raw bytes, where that was said.
    pub binary: Option<bool>,
}

/// Longest id that is echoed.
const MAX_ID_CHARS: usize = 256;
/// Most inputs and most outputs a request may name.
pub(crate) const MAX_TENSORS: usize = 256;

impl InferRequest {
    /// A request of these parts; parameters of the protocol are taken out of the client's.
    ///
    /// # Errors
    /// 400 with one sentence.
    pub fn new(
        id: Option<String>,
        inputs: Vec<Tensor>,
        outputs: Vec<Wanted>,
        mut parameters: Map<String, Value>,
    ) -> Result<Self, ApiError> {
        if id.as_ref().is_some_and(|id| id.chars().count() > MAX_ID_CHARS) {
            return Err(ApiError::invalid("bad_id", format!("`id` is longer than {MAX_ID_CHARS} characters")));
        }
        if inputs.is_empty() {
            return Err(ApiError::invalid("no_inputs", "`inputs` is empty; name at least one tensor"));
        }
        if let Some(twice) = repeated(inputs.iter().map(Tensor::name)) {
            return Err(ApiError::invalid("bad_tensor", format!("input '{twice}' is given twice")));
        }
        if let Some(twice) = repeated(outputs.iter().map(|output| output.name.as_str())) {
            return Err(ApiError::invalid("bad_output", format!("output '{twice}' is asked for twice")));
        }
        let binary_outputs = flag("the request", &mut parameters, "binary_data_output")?;
        let priority = whole(parameters.remove("priority"), "`priority` must be a whole number, 1 for the first")?;
        let micros = whole(parameters.remove("timeout"), "`timeout` must be a whole number of microseconds")?;
        Ok(Self {
            id,
            inputs,
            outputs,
            binary_outputs: binary_outputs.unwrap_or(false),
            priority,
            timeout: (micros > 0).then(|| Duration::from_micros(micros)),
            parameters,
        })
    }

    /// What it may take: the client's time-out shortens the server's and never lengthens it.
    #[must_use]
    pub fn urgency(&self, server: Deadline) -> Urgency {
        let own = self.timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        match own.filter(|own| *own < server.at) {
            Some(deadline) => Urgency { deadline, priority: self.priority, whose: Whose::Client },
            None => Urgency { priority: self.priority, ..server.into() },
        }
    }

    /// Whether an output goes out as raw bytes.
    #[must_use]
    pub fn is_binary(&self, output: &str) -> bool {
        let said = self.outputs.iter().find(|wanted| wanted.name == output).and_then(|wanted| wanted.binary);
        said.unwrap_or(self.binary_outputs)
    }

    /// Refuses outputs that a model does not have, before it is run for them.
    ///
    /// # Errors
    /// 400 with one sentence.
    pub fn check_outputs(&self, specs: &[TensorSpec]) -> Result<(), ApiError> {
        match self.outputs.iter().find(|wanted| specs.iter().all(|spec| spec.name != wanted.name)) {
            None => Ok(()),
            Some(Wanted { name, .. }) => {
                let names: Vec<_> = specs.iter().map(|spec| format!("'{}'", spec.name)).collect();
                let sentence = format!("there is no output '{name}'; the model gives {}", names.join(", "));
                Err(ApiError::invalid("unknown_output", sentence))
            }
        }
    }
}

fn repeated<'a>(mut names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut seen = HashSet::new();
    names.find(|name| !seen.insert(*name))
}

/// Takes out a parameter that is true or false.
pub(super) fn flag(whose: &str, parameters: &mut Map<String, Value>, key: &str) -> Result<Option<bool>, ApiError> {
    match parameters.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(_) => Err(ApiError::invalid("bad_parameter", format!("{whose} has a `{key}` that is not true or false"))),
    }
}

fn whole(value: Option<Value>, rule: &str) -> Result<u64, ApiError> {
    match value {
        None | Some(Value::Null) => Ok(0),
        Some(value) => {
            value.as_u64().ok_or_else(|| ApiError::invalid("bad_parameter", format!("the parameter {rule}")))
        }
    }
}

/// Parameters of extensions that change what an answer is and that are not served: passed over, a request would be
/// answered wrongly, so it is refused.
const EXTENSIONS: [(&str, &str, &str); 2] = [
    ("classification", "classification", "classification strings, which are not given; ask for the values"),
    ("shared_memory_region", "shared_memory", "shared memory, which is not used; send and ask for the data"),
];

/// Refuses what the parameters of an extension that is not served ask for.
///
/// # Errors
/// 400 with one sentence.
pub fn refuse_extensions(whose: &str, parameters: &Map<String, Value>) -> Result<(), ApiError> {
    let on = |key: &str| parameters.get(key).is_some_and(|v| *v != Value::Bool(false) && v.as_u64() != Some(0));
    match EXTENSIONS.into_iter().find(|(key, ..)| on(key)) {
        None => Ok(()),
        Some((_, reason, what)) => Err(ApiError::invalid(reason, format!("{whose} asks for {what}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;
    use crate::waiting::Waiting;

    #[test]
    fn a_clients_timeout_only_shortens() {
        let limit = Duration::from_secs(10);
        let server = Deadline { at: Instant::now() + limit, limit, own: false, body: Waiting::default() };
        let ask = |micros: u64| {
            let parameters = serde_json::json!({"timeout": micros, "priority": 3, "ticket": "T"});
            let x = Tensor::new("x", vec![1], Data::Bool(vec![true])).unwrap();
            InferRequest::new(None, vec![x], vec![], parameters.as_object().unwrap().clone()).unwrap()
        };
        let short = ask(1_000_000);
        assert_eq!((short.priority, short.parameters.len()), (3, 1));
        let urgency = short.urgency(server.clone());
        assert!(urgency.deadline < server.at && urgency.whose == Whose::Client);
        for micros in [0, 60_000_000, u64::MAX] {
            assert_eq!(
                ask(micros).urgency(server.clone()),
                Urgency { deadline: server.at, priority: 3, whose: Whose::Server },
                "{micros}"
            );
        }
    }
}
