//! Golden samples: inputs whose token ids and scores are known from where the model was made.
//!
//! They are what catches a conversion that changed the model, and a tokenizer that fits the vocabulary's size but not its order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tensor::{Data, Tensor};

use super::device::Device;
use super::plan::{Feed, Plan, Work};
use super::session::Engine;
use super::text::{EncodeError, Encoded, Passage, TextEncoder};
use super::validate;

/// Largest difference of a score, where nothing else is said: what sums in another order, or on another device, may change.
///
/// 32-bit floats stay below 1e-4. Halves have 11 bits of mantissa and TensorFloat-32 as many, bfloat16 has 8 (rounding to
/// 2^-11 = 4.9e-4 and 2^-8 = 3.9e-3): ten roundings are allowed for.
pub(crate) fn tolerance(precision: Option<&str>, device: Device) -> f64 {
    let tf32 = matches!(device, Device::Cuda(cuda) if cuda.tf32);
    match precision {
        Some("bf16") => 4e-2,
        Some("fp16") => 5e-3,
        _ if tf32 => 5e-3,
        _ => 1e-4,
    }
}

/// One golden sample; its form is described in `docs/model-folder.md`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoldenSample {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_pair: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tensors: Option<Vec<GoldenTensor>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_ids: Option<Vec<u32>>,
    #[serde(default)]
    expected_scores: Vec<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerance: Option<f64>,
}

/// A tensor in JSON, as the protocol writes it, with flat data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldenTensor {
    name: String,
    datatype: String,
    shape: Vec<usize>,
    data: Vec<Value>,
}

/// Makes every sample's run and compares it; gives the largest difference of a score, where a sample expects scores.
///
/// # Errors
/// One sentence naming the sample, what was expected and what was found.
pub(crate) fn check(
    samples: &[GoldenSample],
    engine: &mut Engine,
    encoder: Option<&TextEncoder>,
    tolerance: f64,
) -> Result<Option<f64>, String> {
    let mut largest: Option<f64> = None;
    for (i, sample) in samples.iter().enumerate() {
        let name = sample.name.clone().unwrap_or_else(|| i.to_string());
        let found = sample.check(engine, encoder, tolerance).map_err(|why| format!("golden sample '{name}' {why}"))?;
        largest = largest.into_iter().chain(found).reduce(f64::max);
    }
    Ok(largest)
}

/// Texts with what the model says of them at this moment.
///
/// # Errors
/// One sentence naming the text.
pub(crate) fn of_texts(
    texts: &[String],
    engine: &mut Engine,
    encoder: &TextEncoder,
    tolerance: Option<f64>,
) -> Result<Vec<GoldenSample>, String> {
    let sample = |text: &String| GoldenSample { text: Some(text.clone()), ..GoldenSample::named(text, tolerance) };
    texts.iter().map(|text| sample(text).recorded(engine, Some(encoder))).collect()
}

/// Rows of seeded numbers with what the model says of them; none where it takes texts as categories, of which no
/// number can be made up.
///
/// # Errors
/// One sentence naming the row.
pub(crate) fn of_rows(engine: &mut Engine, tolerance: Option<f64>) -> Result<Vec<GoldenSample>, String> {
    let Feed::Tensors(specs) = &engine.plan().feed else { return Ok(Vec::new()) };
    let shape = |spec: &super::metadata::TensorSpec| -> Vec<usize> {
        // an axis of any size is one here: the first is the item, and others work with one as a rule
        spec.shape.iter().map(|&size| usize::try_from(size).unwrap_or(1)).collect()
    };
    let inputs: Vec<(String, String, Vec<usize>)> =
        specs.iter().map(|spec| (spec.name.clone(), spec.datatype.to_owned(), shape(spec))).collect();
    let mut samples = Vec::new();
    for row in 0..ROWS {
        let tensors: Option<Vec<GoldenTensor>> =
            inputs.iter().map(|(name, datatype, shape)| GoldenTensor::seeded(name, datatype, shape, row)).collect();
        let Some(tensors) = tensors else { return Ok(Vec::new()) };
        let sample = GoldenSample { tensors: Some(tensors), ..GoldenSample::named(&format!("row {row}"), tolerance) };
        // an input that the model cannot take says nothing about the model
        if let Ok(sample) = sample.recorded(engine, None) {
            samples.push(sample);
        }
    }
    Ok(samples)
}

/// Rows that are made up.
const ROWS: u64 = 3;

impl GoldenSample {
    fn named(name: &str, tolerance: Option<f64>) -> Self {
        Self { name: Some(name.chars().take(NAME_CHARS_MAX).collect()), tolerance, ..Self::default() }
    }

    /// The same with what the model answers as what is expected.
    fn recorded(mut self, engine: &mut Engine, encoder: Option<&TextEncoder>) -> Result<Self, String> {
        let name = self.name.clone().unwrap_or_default();
        let told = |why: String| format!("golden sample '{name}' {why}");
        let work = self.work(engine.plan(), encoder).map_err(told)?;
        if let Work::Tokens(encoded) = &work {
            self.expected_ids = Some(encoded.ids.clone());
        }
        let outputs = engine.run(&[&work]).and_then(|mut all| all.pop().unwrap_or(Err("gave nothing".to_owned())));
        let outputs = outputs.map_err(|why| told(format!("cannot be run: {why}")))?;
        self.expected_scores = scores(engine.plan(), &outputs).map_err(told)?.0;
        Ok(self)
    }

    /// The work of the sample.
    ///
    /// # Errors
    /// The end of a sentence that begins with the sample's name.
    pub(crate) fn work(&self, plan: &Plan, encoder: Option<&TextEncoder>) -> Result<Work, String> {
        match (&self.text, &self.tensors, encoder, &plan.feed) {
            (Some(text), None, Some(encoder), Feed::Tokens(_)) => {
                let passage = Passage { text, pair: self.text_pair.as_deref() };
                let encoded = encoder.encode(0, passage).map_err(|error| match error {
                    EncodeError::Invalid(why) | EncodeError::Failed(why) => format!("cannot be encoded: {why}"),
                })?;
                Ok(Work::Tokens(encoded))
            }
            (None, Some(tensors), None, Feed::Tensors(specs)) => {
                let tensors: Result<Vec<Tensor>, String> = tensors.iter().map(GoldenTensor::read).collect();
                let tensors = validate::tensors(specs, tensors?, plan.splits, plan.allow_non_finite);
                Ok(Work::Tensors(tensors.map_err(|why| format!("is not what the model takes: {why}"))?))
            }
            (Some(_), Some(_), ..) | (None, None, ..) => Err("must have either a text or tensors".to_owned()),
            (Some(_), ..) => Err("is a text, and the model takes tensors".to_owned()),
            (None, ..) => Err("has tensors, and the model takes text".to_owned()),
        }
    }

    fn check(&self, engine: &mut Engine, encoder: Option<&TextEncoder>, tolerance: f64) -> Result<Option<f64>, String> {
        let work = self.work(engine.plan(), encoder)?;
        if let (Work::Tokens(encoded), Some(expected)) = (&work, &self.expected_ids) {
            check_ids(expected, encoded)?;
        }
        let outputs = engine.run(&[&work]).and_then(|mut all| all.pop().unwrap_or(Err("gave nothing".to_owned())));
        let outputs = outputs.map_err(|why| format!("cannot be run: {why}"))?;
        let (found, labels) = scores(engine.plan(), &outputs)?;
        self.check_scores(&found, &labels, self.tolerance.unwrap_or(tolerance))
    }

    fn check_scores(&self, found: &[f64], labels: &[String], tolerance: f64) -> Result<Option<f64>, String> {
        let expected = &self.expected_scores;
        if expected.is_empty() {
            return Ok(None);
        }
        if expected.len() != found.len() {
            return Err(format!("expects {} scores, and the model gives {}", expected.len(), found.len()));
        }
        let far = |(expected, found): (&f64, &f64)| {
            (expected - found).abs().partial_cmp(&tolerance).is_none_or(|o| o.is_gt())
        };
        match expected.iter().zip(found).position(far) {
            None => Ok(expected.iter().zip(found).map(|(expected, found)| (expected - found).abs()).reduce(f64::max)),
            Some(at) => {
                let label = labels.get(at).map_or_else(|| format!("score {at}"), |label| format!("'{label}'"));
                let (expected, found) = (expected[at], found[at]);
                Err(format!("expects {expected} for {label}, and the model gives {found:.6} (tolerance {tolerance})"))
            }
        }
    }
}

fn check_ids(expected: &[u32], encoded: &Encoded) -> Result<(), String> {
    let found = &encoded.ids;
    if let Some(at) = expected.iter().zip(found).position(|(a, b)| a != b) {
        let (expected, found) = (expected[at], found[at]);
        return Err(format!("expects token {expected} at position {at}, and tokenizer.json gives {found}"));
    }
    if expected.len() == found.len() {
        return Ok(());
    }
    Err(format!("expects {} tokens, and tokenizer.json gives {}", expected.len(), found.len()))
}

/// The class probabilities of a classifier (of every token, where it classifies those), or the first float output of any
/// other model, pooled where it is pooled.
pub(crate) fn scores(plan: &Plan, outputs: &[Tensor]) -> Result<(Vec<f64>, Vec<String>), String> {
    if let Some(classes) = plan.head.classes(outputs)?.first() {
        let scores = classes.scores.iter().map(|&p| f64::from(p)).collect();
        return Ok((scores, classes.labels.to_vec()));
    }
    let tokens = plan.head.token_classes(outputs)?;
    if !tokens.is_empty() {
        let scores = tokens.iter().flat_map(|classes| classes.scores.iter().map(|&p| f64::from(p))).collect();
        return Ok((scores, Vec::new()));
    }
    let floats = outputs.iter().find_map(|output| match output.data() {
        Data::Fp32(values) => Some(values.iter().map(|&x| f64::from(x)).collect()),
        Data::Fp64(values) => Some(values.clone()),
        Data::Fp16(values) => Some(values.iter().map(|&x| x.into()).collect()),
        Data::Bf16(values) => Some(values.iter().map(|&x| x.into()).collect()),
        _ => None,
    });
    Ok((floats.unwrap_or_default(), Vec::new()))
}

/// Characters of a text that name its sample.
const NAME_CHARS_MAX: usize = 40;

impl GoldenTensor {
    /// The same numbers for the same row at every place; `None` for what no number stands for.
    fn seeded(name: &str, datatype: &str, shape: &[usize], row: u64) -> Option<Self> {
        let whole = match datatype {
            "FP16" | "BF16" | "FP32" | "FP64" => false,
            "UINT8" | "UINT16" | "UINT32" | "UINT64" | "INT8" | "INT16" | "INT32" | "INT64" => true,
            _ => return None,
        };
        let number = |i: u64| {
            let hash = xxhash_rust::xxh3::xxh3_64_with_seed(name.as_bytes(), (row << 32) | i);
            // small whole numbers are categories as well as amounts
            if whole { Value::from(hash % 2) } else { Value::from((hash % 1_000) as f64 / 250.0 - 1.0) }
        };
        let data = (0..shape.iter().product::<usize>() as u64).map(number).collect();
        Some(Self { name: name.to_owned(), datatype: datatype.to_owned(), shape: shape.to_vec(), data })
    }

    fn read(&self) -> Result<Tensor, String> {
        let name = &self.name;
        let unfit = |value: &Value| format!("has {value} in '{name}', which is no {}", self.datatype);
        macro_rules! numbers {
            ($variant:ident, $as:ident, $kind:ty) => {{
                let read = |v: &Value| v.$as().and_then(|x| <$kind>::try_from(x).ok()).ok_or_else(|| unfit(v));
                Data::$variant(self.data.iter().map(read).collect::<Result<_, String>>()?)
            }};
        }
        let float = |v: &Value| v.as_f64().ok_or_else(|| unfit(v));
        let data = match self.datatype.as_str() {
            "BOOL" => numbers!(Bool, as_bool, bool),
            "UINT8" => numbers!(Uint8, as_u64, u8),
            "UINT16" => numbers!(Uint16, as_u64, u16),
            "UINT32" => numbers!(Uint32, as_u64, u32),
            "UINT64" => numbers!(Uint64, as_u64, u64),
            "INT8" => numbers!(Int8, as_i64, i8),
            "INT16" => numbers!(Int16, as_i64, i16),
            "INT32" => numbers!(Int32, as_i64, i32),
            "INT64" => numbers!(Int64, as_i64, i64),
            "FP32" => Data::Fp32(self.data.iter().map(|v| float(v).map(|x| x as f32)).collect::<Result<_, _>>()?),
            "FP16" => {
                Data::Fp16(self.data.iter().map(|v| float(v).map(half::f16::from_f64)).collect::<Result<_, _>>()?)
            }
            "BF16" => {
                Data::Bf16(self.data.iter().map(|v| float(v).map(half::bf16::from_f64)).collect::<Result<_, _>>()?)
            }
            "FP64" => Data::Fp64(self.data.iter().map(float).collect::<Result<_, _>>()?),
            "BYTES" => numbers!(Bytes, as_str, String),
            other => return Err(format!("has the datatype {other} in '{name}', which is not served")),
        };
        Tensor::new(name, self.shape.clone(), data).map_err(|error| format!("is wrong: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::TextStats;
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        let stats = TextStats { tokens: 3, unknown_rate: 0.0, truncated: false };
        let encoded = Encoded { ids: vec![1, 2, 3], type_ids: vec![0; 3], spans: vec![], stats };
        assert_eq!(check_ids(&[1, 2, 3], &encoded), Ok(()));
        let error = check_ids(&[1, 5, 3], &encoded).unwrap_err();
        assert_eq!(error, "expects token 5 at position 1, and tokenizer.json gives 2");
        assert_eq!(check_ids(&[1, 2], &encoded).unwrap_err(), "expects 2 tokens, and tokenizer.json gives 3");
    }

    #[test]
    fn scores_may_differ_by_the_tolerance_and_no_more() {
        let sample: GoldenSample = serde_json::from_str(r#"{"text": "x", "expected_scores": [0.5, 0.5]}"#).unwrap();
        let labels = ["a".to_owned(), "b".to_owned()];
        let difference = sample.check_scores(&[0.5001, 0.4998], &labels, 0.001).unwrap().unwrap();
        assert!((difference - 0.0002).abs() < 1e-12, "{difference}");
        let error = sample.check_scores(&[0.5, 0.49], &labels, 0.001).unwrap_err();
        assert_eq!(error, "expects 0.5 for 'b', and the model gives 0.490000 (tolerance 0.001)");
        assert!(sample.check_scores(&[0.5, f64::NAN], &labels, 0.001).is_err(), "NaN is never near");
        assert!(sample.check_scores(&[0.5], &labels, 0.001).unwrap_err().contains("expects 2 scores"));
    }

    #[test]
    fn a_tensor_must_be_what_it_says() {
        let read = |json: &str| serde_json::from_str::<GoldenTensor>(json).unwrap().read();
        let good = read(r#"{"name": "x", "datatype": "UINT8", "shape": [2], "data": [0, 255]}"#).unwrap();
        assert_eq!(good.data(), &Data::Uint8(vec![0, 255]));
        let error = read(r#"{"name": "x", "datatype": "UINT8", "shape": [1], "data": [256]}"#).unwrap_err();
        assert_eq!(error, "has 256 in 'x', which is no UINT8");
        let half = read(r#"{"name": "x", "datatype": "FP16", "shape": [1], "data": [1.5]}"#).unwrap();
        assert_eq!(half.data(), &Data::Fp16(vec![half::f16::from_f32(1.5)]));
        assert!(read(r#"{"name": "x", "datatype": "FP8", "shape": [1], "data": [1]}"#).is_err());
    }
}
