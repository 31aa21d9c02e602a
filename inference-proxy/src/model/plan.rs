//! How a loaded graph is fed and read: which input takes what, which output holds the classes, what a good answer is.

use std::sync::Arc;

use crate::tensor::{Data, Tensor};

use super::answer::Classes;
use super::metadata::TensorSpec;
use super::rows;
use super::text::Encoded;

/// What a session is asked to run.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// One text.
    Tokens(Encoded),
    /// Tensors in the order of the graph's inputs.
    Tensors(Vec<Tensor>),
}

/// How a graph is fed and read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) feed: Feed,
    /// The outputs that are read.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Whether the first axis of every input and output is the item, so that requests can run together.
    pub(crate) splits: bool,
    pub(crate) classes: Option<ClassOutput>,
    pub(crate) allow_non_finite: bool,
}

/// What the graph's inputs take.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    Tokens(TokenFeed),
    Tensors(Vec<TensorSpec>),
}

/// The inputs of a graph that takes tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenFeed {
    pub(crate) mask: bool,
    pub(crate) types: bool,
    /// Whether they are 32-bit integers; 64 bits otherwise.
    pub(crate) narrow: bool,
    /// The id that fills up a batch.
    pub(crate) padding: u32,
}

/// The output that holds one number a class.
#[derive(Clone, Debug)]
pub(crate) struct ClassOutput {
    /// Position in [`Plan::outputs`].
    pub(crate) index: usize,
    pub(crate) kind: Scores,
    pub(crate) labels: Arc<[String]>,
}

/// What the numbers of a class output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scores {
    Logits,
    Probabilities,
}

/// Names of the inputs that a tokenizer can fill.
pub(crate) const IDS: &str = "input_ids";
pub(crate) const MASK: &str = "attention_mask";
pub(crate) const TYPES: &str = "token_type_ids";

impl Work {
    /// Items it adds to a batch.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Tokens(_) => 1,
            Self::Tensors(tensors) => tensors.iter().find_map(|t| t.shape().first().copied()).unwrap_or(1),
        }
    }
}

impl TokenFeed {
    /// The graph's inputs for these texts, padded to the longest, or to `least`.
    pub(crate) fn tensors(&self, texts: &[&Encoded], least: usize) -> Vec<Tensor> {
        let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or_default().max(least);
        let padded = |name: &str, values: &dyn Fn(&Encoded, usize) -> u32| {
            let cells = texts.iter().flat_map(|text| (0..longest).map(move |i| values(text, i)));
            let data = if self.narrow {
                Data::Int32(cells.map(u32::cast_signed).collect())
            } else {
                Data::Int64(cells.map(i64::from).collect())
            };
            Tensor::new(name, vec![texts.len(), longest], data).ok()
        };
        let ids = padded(IDS, &|text, i| text.ids.get(i).copied().unwrap_or(self.padding));
        let mask = || padded(MASK, &|text, i| u32::from(i < text.ids.len()));
        let types = || padded(TYPES, &|text, i| text.type_ids.get(i).copied().unwrap_or_default());
        [ids, self.mask.then(mask).flatten(), self.types.then(types).flatten()].into_iter().flatten().collect()
    }
}

impl Plan {
    /// One item's (or one request's) share of the outputs: rows `start..start + rows`, checked.
    ///
    /// # Errors
    /// A sentence naming the output that is of the wrong shape or not finite.
    pub(crate) fn share(
        &self,
        outputs: &[Tensor],
        start: usize,
        rows: usize,
        all: usize,
    ) -> Result<Vec<Tensor>, String> {
        let cut = |(spec, output): (&TensorSpec, &Tensor)| {
            let name = &spec.name;
            let wrong =
                || format!("output '{name}' has shape {:?} for {all} items, expected {:?}", output.shape(), spec.shape);
            let share = if self.splits {
                if output.shape().first() != Some(&all) {
                    return Err(wrong());
                }
                rows::slice(output, start..start + rows).ok_or_else(wrong)?
            } else {
                output.clone()
            };
            let fits = |(&found, &expected): (&usize, &i64)| expected < 0 || i64::try_from(found) == Ok(expected);
            if share.shape().len() != spec.shape.len()
                || !share.shape().iter().zip(&spec.shape).skip(usize::from(self.splits)).all(fits)
            {
                return Err(wrong());
            }
            match rows::first_non_finite(share.data()) {
                Some((at, value)) if !self.allow_non_finite => {
                    Err(format!("output '{name}' holds {value} at index {at}"))
                }
                _ => Ok(share),
            }
        };
        self.outputs.iter().zip(outputs).map(cut).collect()
    }

    /// The class probabilities of each item; empty if the task is not a classification.
    ///
    /// # Errors
    /// A sentence, where the output is not one number a class or claims probabilities that are none.
    pub(crate) fn classes(&self, outputs: &[Tensor]) -> Result<Vec<Classes>, String> {
        let Some(classes) = &self.classes else { return Ok(Vec::new()) };
        let Some(output) = outputs.get(classes.index) else { return Err("there is no class output".to_owned()) };
        let width = classes.labels.len();
        if output.shape().len() != 2 || output.shape()[1] != width {
            return Err(format!(
                "output '{}' has shape {:?}, and {width} labels need [items, {width}]",
                output.name(),
                output.shape()
            ));
        }
        let values: Vec<f32> = match output.data() {
            Data::Fp32(values) => values.clone(),
            Data::Fp64(values) => values.iter().map(|&x| x as f32).collect(),
            Data::Fp16(values) => values.iter().map(|x| x.to_f32()).collect(),
            Data::Bf16(values) => values.iter().map(|x| x.to_f32()).collect(),
            other => {
                return Err(format!("output '{}' is {}, and scores are floats", output.name(), other.datatype()));
            }
        };
        values.chunks_exact(width.max(1)).map(|row| classes.scores(output.name(), row)).collect()
    }
}

impl ClassOutput {
    fn scores(&self, name: &str, row: &[f32]) -> Result<Classes, String> {
        let scores = match self.kind {
            Scores::Logits => softmax(row),
            Scores::Probabilities => row.to_vec(),
        };
        let sum: f32 = scores.iter().sum();
        // An export in 32-bit floats sums to 1 within 1e-6 a class; 1e-3 leaves room for hundreds of classes.
        if scores.iter().all(|p| (-1e-3..=1.001).contains(p)) && (sum - 1.0).abs() <= 1e-3 {
            Ok(Classes { labels: Arc::clone(&self.labels), scores })
        } else {
            Err(format!("output '{name}' is said to hold probabilities, and a row sums to {sum}"))
        }
    }
}

/// exp(x - max) / sum, in 64 bits: the largest exponent is 0, so nothing overflows.
fn softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = row.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|x| (x / sum) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::super::answer::TextStats;
    use super::*;

    fn encoded(ids: &[u32]) -> Encoded {
        let stats = TextStats { tokens: 0, unknown_rate: 0.0, truncated: false };
        Encoded { ids: ids.to_vec(), type_ids: vec![0; ids.len()], stats }
    }

    #[test]
    fn texts_are_padded_to_the_longest() {
        let feed = TokenFeed { mask: true, types: true, narrow: false, padding: 9 };
        let tensors = feed.tensors(&[&encoded(&[1, 2, 3]), &encoded(&[4])], 0);
        let names: Vec<_> = tensors.iter().map(Tensor::name).collect();
        assert_eq!(names, [IDS, MASK, TYPES]);
        assert_eq!(tensors[0].data(), &Data::Int64(vec![1, 2, 3, 4, 9, 9]));
        assert_eq!(tensors[1].data(), &Data::Int64(vec![1, 1, 1, 1, 0, 0]));
        assert_eq!(tensors[2].data(), &Data::Int64(vec![0; 6]));
        let narrow = TokenFeed { mask: false, types: false, narrow: true, padding: 0 };
        assert_eq!(narrow.tensors(&[&encoded(&[5])], 2)[0].data(), &Data::Int32(vec![5, 0]));
    }

    #[test]
    fn softmax_does_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[3.0e38, -3.0e38]), [1.0, 0.0]);
    }

    fn plan(kind: Scores) -> Plan {
        let spec = TensorSpec { name: "y".into(), datatype: "FP32", shape: vec![-1, 2], columns: vec![] };
        let labels = ["a", "b"].map(str::to_owned).into();
        let classes = Some(ClassOutput { index: 0, kind, labels });
        Plan { feed: Feed::Tensors(vec![]), outputs: vec![spec], splits: true, classes, allow_non_finite: false }
    }

    fn output(shape: &[usize], values: &[f32]) -> Vec<Tensor> {
        vec![Tensor::new("y", shape.to_vec(), Data::Fp32(values.to_vec())).unwrap()]
    }

    #[test]
    fn one_bad_row_spoils_only_its_own_item() {
        let outputs = output(&[2, 2], &[1.0, 2.0, f32::NAN, 0.0]);
        let plan = plan(Scores::Logits);
        assert!(plan.share(&outputs, 0, 1, 2).is_ok());
        assert_eq!(plan.share(&outputs, 1, 1, 2).unwrap_err(), "output 'y' holds NaN at index 0");
    }

    #[test]
    fn wrong_shapes_are_no_answers() {
        let plan = plan(Scores::Logits);
        for (shape, values) in [(vec![2, 3], vec![0.0; 6]), (vec![1, 2], vec![0.0; 2]), (vec![2], vec![0.0; 2])] {
            assert!(plan.share(&output(&shape, &values), 0, 1, 2).unwrap_err().contains("has shape"), "{shape:?}");
        }
    }

    #[test]
    fn probabilities_must_sum_to_one() {
        let plan = plan(Scores::Probabilities);
        assert_eq!(plan.classes(&output(&[1, 2], &[0.25, 0.75])).unwrap()[0].scores, [0.25, 0.75]);
        assert!(plan.classes(&output(&[1, 2], &[2.0, -1.0])).unwrap_err().contains("said to hold probabilities"));
        assert!(plan.classes(&output(&[1, 2], &[0.5, 0.6])).is_err());
    }
}
