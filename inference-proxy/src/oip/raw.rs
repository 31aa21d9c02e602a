//! A tensor as bodies write it: JSON, and behind the JSON its bytes where it says so. One reader for bodies that are run and
//! for bodies that passed and are looked at; they differ in what they forgive.

use serde::Deserialize;
use serde_json::Value;

use super::binary;
use super::flat::Flat;
use super::parameters::TensorParameters;
use crate::tensor::{Data, Tensor};

/// A tensor of a request or an answer, its values not yet read.
#[derive(Deserialize)]
pub struct RawTensor {
    /// Its name.
    pub name: String,
    shape: Vec<usize>,
    datatype: String,
    /// What is said about it.
    #[serde(default)]
    pub parameters: TensorParameters,
    #[serde(default)]
    data: Option<Flat>,
}

/// What a tensor is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To be run: what is not as the protocol has it is refused.
    Run,
    /// To be observed, after a server has made of it what it could: 16-bit floats in JSON are read as FP32, bytes that are
    /// no UTF-8 are replaced, and it may hold no values.
    Observe,
}

impl RawTensor {
    /// Reads its values; `rest` is what of the bytes behind the JSON is not yet taken.
    ///
    /// # Errors
    /// A sentence: which tensor, and what is wrong with it.
    pub fn read(self, rest: &mut &[u8], purpose: Purpose) -> Result<Tensor, String> {
        let Self { name, shape, datatype, parameters, data } = self;
        let lenient = purpose == Purpose::Observe;
        let read = || {
            if shape.contains(&0) && !lenient {
                return Err(format!("has shape {shape:?}, which holds no values"));
            }
            // a server that answered has seen no size in what is none
            let size = parameters.0.get("binary_data_size").filter(|size| !lenient || size.is_u64());
            match (size, data) {
                (Some(size), None) => {
                    let own = take(size, rest)?;
                    if lenient {
                        binary::read_leniently(&datatype, &shape, own)
                    } else {
                        binary::read(&datatype, &shape, own)
                    }
                }
                (Some(_), Some(_)) => Err("has both `data` and a `binary_data_size`; send one".to_owned()),
                (None, None) => Err("has no `data`".to_owned()),
                (None, Some(flat)) if lenient && matches!(datatype.as_str(), "FP16" | "BF16") => {
                    from_json(flat, &shape, "FP32")
                }
                (None, Some(flat)) => from_json(flat, &shape, &datatype),
            }
        };
        let whose = if lenient { "tensor" } else { "input" };
        let data = read().map_err(|what| format!("{whose} '{name}' {what}"))?;
        Tensor::new(name, shape, data)
            .map_err(|error| if lenient { error.to_string() } else { format!("input {error}") })
    }
}

/// The next tensor's share of the bytes behind the JSON.
fn take<'a>(size: &Value, rest: &mut &'a [u8]) -> Result<&'a [u8], String> {
    let wrong = || format!("has a `binary_data_size` of {size}, which is no number of bytes");
    let bytes = size.as_u64().and_then(|size| usize::try_from(size).ok()).ok_or_else(wrong)?;
    let left = rest.len();
    let (own, behind) = rest.split_at_checked(bytes).ok_or_else(|| {
        format!(
            "has a `binary_data_size` of {bytes}, and {left} bytes are left behind the JSON \
             (inference-header-content-length says where it ends)"
        )
    })?;
    *rest = behind;
    Ok(own)
}

fn from_json(flat: Flat, shape: &[usize], datatype: &str) -> Result<Data, String> {
    if let Some(nesting) = flat.nesting().filter(|nesting| *nesting != shape) {
        return Err(format!("has shape {shape:?} but its data is nested as {nesting:?}"));
    }
    flat.into_data(datatype)
}
