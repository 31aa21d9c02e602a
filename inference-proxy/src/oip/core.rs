//! The way of an inference that every transport shares: a decoded request in, tensors out. HTTP (`super`) and gRPC
//! decode into an [`InferRequest`] and encode an [`InferAnswer`]; neither repeats what is here.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::binary::Given;
use super::encode;
use super::request::InferRequest;
use crate::error::ApiError;
use crate::handle::{self, Asked, Deadline, Edge};
use crate::model::{Input, Served, Version};
use crate::observe::Notes;

/// What a model answered, ready to be encoded.
#[derive(Debug)]
pub struct InferAnswer {
    /// Who answered, and what went wrong first where a fallback did.
    pub served: Served,
    /// The request's own id.
    pub id: Option<String>,
    /// The wanted outputs in the wanted order.
    pub outputs: Vec<Output>,
}

impl InferAnswer {
    /// What the answer's `parameters` say of who gave it, by name; nothing where the version that was asked ran.
    #[must_use]
    pub fn parameters(&self) -> Option<BTreeMap<&'static str, String>> {
        if self.served.from_cache {
            return Some(BTreeMap::from([("from_cache", "true".to_owned())]));
        }
        let fallen = self.served.fallen.as_ref()?;
        Some(BTreeMap::from([
            ("model_used", self.served.model_used()),
            ("fallback_from", fallen.version.clone()),
            ("fallback_reason", fallen.reason.to_owned()),
        ]))
    }
}

/// One output.
#[derive(Debug)]
pub struct Output {
    /// The tensor.
    pub given: Given,
    /// Whether it was asked for as raw bytes.
    pub binary: bool,
}

/// Runs a decoded request on a version; what was asked and answered is noted.
///
/// # Errors
/// The status and the sentence for the client.
pub async fn infer(
    edge: &Edge,
    notes: &Notes,
    version: Arc<Version>,
    deadline: Deadline,
    request: InferRequest,
) -> Result<InferAnswer, ApiError> {
    request.check_outputs(&encode::output_specs(&version.metadata()))?;
    let urgency = request.urgency(deadline);
    let InferRequest { id, inputs, outputs: wanted, binary_outputs, parameters, .. } = request;
    let asked = Asked { version: &version, input: Input::Tensors(inputs), parameters, urgency };
    let served = handle::run(edge, notes, asked).await?;
    let available = encode::outputs(&served.answer, &served.version.metadata())?;
    let outputs = if wanted.is_empty() {
        available.into_iter().map(|given| Output { given, binary: binary_outputs }).collect()
    } else {
        let find = |name: &str| available.iter().find(|given| given.tensor().name() == name).cloned();
        let lost = |name: &str| ApiError::bad_output(format!("the model did not give its output '{name}'"));
        let output = |wanted: super::request::Wanted| {
            let given = find(&wanted.name).ok_or_else(|| lost(&wanted.name))?;
            Ok::<_, ApiError>(Output { given, binary: wanted.binary.unwrap_or(binary_outputs) })
        };
        wanted.into_iter().map(output).collect::<Result<_, _>>()?
    };
    Ok(InferAnswer { served, id, outputs })
}
