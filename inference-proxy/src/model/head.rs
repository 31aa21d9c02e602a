//! What is read from a graph's outputs: class probabilities, entities, vectors, or the tensors as they are.
//!
//! [`Head::share`] runs where the session runs, so that what a text does not need (its padding, its tokens' vectors once
//! they are pooled) is never copied; the rest runs when all items of a request are back.

use std::sync::Arc;

use crate::tensor::{Data, Tensor};

use super::answer::Classes;
use super::entities::{Entity, Tagged, group};
use super::pooling::{Pooling, normalize};
use super::rows;
use super::task::SENTENCE;
use super::text::Span;

/// What is read.
#[derive(Clone, Debug)]
pub(crate) enum Head {
    /// The tensors as they are.
    Tensors,
    /// One number a class of each item.
    Classes(ClassOutput),
    /// One number a class of each token.
    Entities(ClassOutput),
    /// One vector an item.
    Embedding(EmbeddingOutput),
}

/// The output that holds one number a class.
#[derive(Clone, Debug)]
pub(crate) struct ClassOutput {
    /// Position in [`super::plan::Plan::outputs`].
    pub(crate) index: usize,
    pub(crate) kind: Scores,
    /// From which probability on classes hold, where several may hold at once.
    pub(crate) threshold: Option<f32>,
    pub(crate) labels: Arc<[String]>,
}

/// What the numbers of a class output are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scores {
    Logits,
    Probabilities,
}

/// How the only output becomes one vector an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EmbeddingOutput {
    pub(crate) pooling: Pooling,
    pub(crate) normalize: bool,
}

impl Head {
    /// Whether the answer is probabilities.
    pub(crate) fn is_classes(&self) -> bool {
        matches!(self, Self::Classes(_) | Self::Entities(_))
    }

    /// Whether a text's own share of an output is less than its row.
    pub(crate) fn is_of_texts(&self) -> bool {
        matches!(self, Self::Entities(_) | Self::Embedding(_))
    }

    /// The share of one item of `tokens` tokens: rows `start..start + rows` of an output, without padding, pooled.
    /// `None` where the output does not have that many.
    pub(crate) fn share(&self, output: &Tensor, start: usize, rows: usize, tokens: Option<usize>) -> Option<Tensor> {
        match (self, tokens) {
            (Self::Entities(_), Some(tokens)) => {
                let item = rows::slice(output, start..start + 1)?;
                let (name, shape, data) = item.into_parts();
                let [_, padded, width] = shape[..] else { return None };
                let flat = Tensor::new(name, vec![padded, width], data).ok()?;
                let (name, _, data) = rows::slice(&flat, 0..tokens)?.into_parts();
                Tensor::new(name, vec![1, tokens, width], data).ok()
            }
            (Self::Embedding(embedding), Some(tokens)) => embedding.share(output, start, tokens),
            _ => rows::slice(output, start..start + rows),
        }
    }

    /// The shape of a share, where the graph's output has this one.
    pub(crate) fn share_shape(&self, shape: &[i64]) -> Vec<i64> {
        match (self, shape) {
            (Self::Embedding(_), [items, _, width]) => vec![*items, *width],
            _ => shape.to_vec(),
        }
    }

    /// Shares of several items as one tensor; `None` where they do not fit together. Texts differ in length, so the
    /// classes of their tokens are filled up with 0.
    pub(crate) fn join(&self, parts: &[&Tensor]) -> Option<Tensor> {
        match self {
            Self::Entities(_) => rows::stack(&level(parts)?.iter().collect::<Vec<_>>()),
            _ => rows::stack(parts),
        }
    }

    /// The class probabilities of each item; empty if the task is not a classification of items.
    ///
    /// # Errors
    /// A sentence, where the output is not one number a class or claims probabilities that are none.
    pub(crate) fn classes(&self, outputs: &[Tensor]) -> Result<Vec<Classes>, String> {
        let Self::Classes(classes) = self else { return Ok(Vec::new()) };
        let output = outputs.get(classes.index).ok_or("there is no class output")?;
        classes.check(output, 2)?;
        classes.rows(output)
    }

    /// The class probabilities of each token of each item, one after the other; empty for other tasks.
    ///
    /// # Errors
    /// Like [`Self::classes`].
    pub(crate) fn token_classes(&self, outputs: &[Tensor]) -> Result<Vec<Classes>, String> {
        let Self::Entities(classes) = self else { return Ok(Vec::new()) };
        let output = outputs.get(classes.index).ok_or("there is no class output")?;
        classes.check(output, 3)?;
        classes.rows(output)
    }

    /// The entities of one item of a token classification.
    ///
    /// # Errors
    /// Like [`Self::classes`].
    pub(crate) fn entities(&self, share: &[Tensor], spans: &[Option<Span>], text: &str) -> Result<Vec<Entity>, String> {
        let tokens = self.token_classes(share)?;
        let winners: Vec<_> = tokens.iter().map(|classes| classes.ranked().next()).collect();
        let tagged = winners.into_iter().zip(spans).filter_map(|(winner, span)| {
            let ((label, score), (start, end)) = (winner?, (*span)?);
            Some(Tagged { label, score, start, end })
        });
        Ok(group(&tagged.collect::<Vec<_>>(), text))
    }
}

/// Items of token classes, each filled up to the longest.
fn level(parts: &[&Tensor]) -> Option<Vec<Tensor>> {
    let longest = parts.iter().map(|part| part.shape().get(1).copied()).max()??;
    let fill = |part: &&Tensor| {
        let [items, tokens, width] = part.shape()[..] else { return None };
        let rows = Tensor::new(part.name(), vec![items * tokens, width], part.data().clone()).ok()?;
        let missing = items * (longest - tokens);
        let zeros = rows::zeros(part.data().datatype(), missing * width)?;
        let zeros = Tensor::new(part.name(), vec![missing, width], zeros).ok()?;
        let (name, _, data) = rows::stack(&[&rows, &zeros])?.into_parts();
        Tensor::new(name, vec![items, longest, width], data).ok()
    };
    parts.iter().map(fill).collect()
}

impl EmbeddingOutput {
    fn share(self, output: &Tensor, start: usize, tokens: usize) -> Option<Tensor> {
        let (name, range, width) = match output.shape()[..] {
            [_, padded, width] if tokens <= padded => {
                let first = start * padded * width;
                (SENTENCE, first..first + tokens * width, width)
            }
            [_, width] => (output.name(), start * width..(start + 1) * width, width),
            _ => return None,
        };
        let mut vector = self.pooling.pool(&rows::floats(output.data(), range)?, width);
        if self.normalize {
            normalize(&mut vector);
        }
        Tensor::new(name, vec![1, width], Data::Fp32(vector)).ok()
    }
}

impl ClassOutput {
    fn check(&self, output: &Tensor, rank: usize) -> Result<(), String> {
        let (name, shape, width) = (output.name(), output.shape(), self.labels.len());
        if shape.len() == rank && shape.last() == Some(&width) {
            return Ok(());
        }
        let wanted = if rank == 3 { format!("[items, tokens, {width}]") } else { format!("[items, {width}]") };
        Err(format!("output '{name}' has shape {shape:?}, and {width} labels need {wanted}"))
    }

    fn rows(&self, output: &Tensor) -> Result<Vec<Classes>, String> {
        let datatype = output.data().datatype();
        let values = rows::floats(output.data(), 0..output.data().len())
            .ok_or_else(|| format!("output '{}' is {datatype}, and scores are floats", output.name()))?;
        let room = rounding(datatype);
        values.chunks_exact(self.labels.len().max(1)).map(|row| self.scores(output.name(), row, room)).collect()
    }

    fn scores(&self, name: &str, row: &[f32], room: f32) -> Result<Classes, String> {
        let scores = match (self.kind, self.threshold) {
            (Scores::Logits, None) => softmax(row),
            (Scores::Logits, Some(_)) => row.iter().map(|&x| sigmoid(x)).collect(),
            (Scores::Probabilities, _) => row.to_vec(),
        };
        let sum: f32 = scores.iter().sum();
        let sums = self.threshold.is_some() || (sum - 1.0).abs() <= room;
        if sums && scores.iter().all(|p| (-room..=1.0 + room).contains(p)) {
            Ok(Classes { labels: Arc::clone(&self.labels), scores, threshold: self.threshold })
        } else {
            Err(format!("output '{name}' is said to hold probabilities, and a row sums to {sum}"))
        }
    }
}

/// How far from 1 probabilities of this datatype may sum. An export in 32-bit floats sums to 1 within 1e-6 a class: 1e-3
/// leaves room for hundreds of classes. Halves are rounded to 2^-11 and bfloat16 to 2^-8 of their size: ten roundings, as
/// for golden samples.
fn rounding(datatype: &str) -> f32 {
    match datatype {
        "BF16" => 4e-2,
        "FP16" => 5e-3,
        _ => 1e-3,
    }
}

/// exp(x - max) / sum, in 64 bits: the largest exponent is 0, so nothing overflows.
fn softmax(row: &[f32]) -> Vec<f32> {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f64> = row.iter().map(|&x| (f64::from(x) - f64::from(max)).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|x| (x / sum) as f32).collect()
}

/// 1 / (1 + exp(-x)), in 64 bits: an overflow of the exponential is the limit 0.
fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(x)).exp())) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_does_not_overflow() {
        assert_eq!(softmax(&[1000.0, 1000.0]), [0.5, 0.5]);
        assert_eq!(softmax(&[3.0e38, -3.0e38]), [1.0, 0.0]);
    }

    #[test]
    fn sigmoid_does_not_overflow() {
        assert_eq!([sigmoid(0.0), sigmoid(1000.0), sigmoid(-1000.0)], [0.5, 1.0, 0.0]);
    }

    fn classes(kind: Scores, threshold: Option<f32>) -> ClassOutput {
        ClassOutput { index: 0, kind, threshold, labels: ["a", "b"].map(str::to_owned).into() }
    }

    fn output(shape: &[usize], values: &[f32]) -> Tensor {
        Tensor::new("y", shape.to_vec(), Data::Fp32(values.to_vec())).unwrap()
    }

    #[test]
    fn probabilities_must_sum_to_one_unless_several_may_hold() {
        let of = |threshold, row: &[f32]| {
            Head::Classes(classes(Scores::Probabilities, threshold)).classes(&[output(&[1, 2], row)])
        };
        assert_eq!(of(None, &[0.25, 0.75]).unwrap()[0].scores, [0.25, 0.75]);
        assert!(of(None, &[2.0, -1.0]).unwrap_err().contains("said to hold probabilities"));
        assert!(of(None, &[0.5, 0.6]).is_err());
        assert!(of(Some(0.5), &[0.5, 0.6]).is_ok());
        assert!(of(Some(0.5), &[0.5, 1.6]).is_err());
    }

    #[test]
    fn tokens_of_texts_of_different_length_are_one_tensor_filled_up_with_zeros() {
        let head = Head::Entities(classes(Scores::Logits, None));
        let run = output(&[2, 2, 2], &[1.0, 2.0, 9.0, 9.0, 3.0, 4.0, 5.0, 6.0]);
        let (short, long) = (head.share(&run, 0, 1, Some(1)).unwrap(), head.share(&run, 1, 1, Some(2)).unwrap());
        assert_eq!(short, output(&[1, 1, 2], &[1.0, 2.0]));
        let joined = head.join(&[&short, &long]).unwrap();
        assert_eq!(joined, output(&[2, 2, 2], &[1.0, 2.0, 0.0, 0.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(head.share(&run, 1, 1, Some(3)), None, "there are no three tokens");
    }

    #[test]
    fn padding_is_not_pooled() {
        let head = |pooling, normalize| Head::Embedding(EmbeddingOutput { pooling, normalize });
        let run = output(&[2, 2, 2], &[9.0; 8].map(|x: f32| x));
        assert_eq!(head(Pooling::Last, false).share(&run, 2, 1, Some(1)), None, "there is no third item");
        let run = output(&[2, 2, 2], &[3.0, 4.0, 100.0, 100.0, 1.0, 0.0, 3.0, 0.0]);
        let vector = |head: Head, start, tokens| head.share(&run, start, 1, Some(tokens)).unwrap().into_parts();
        let of = |values: &[f32]| (SENTENCE.to_owned(), vec![1, 2], Data::Fp32(values.to_vec()));
        assert_eq!(vector(head(Pooling::Mean, false), 0, 1), of(&[3.0, 4.0]));
        assert_eq!(vector(head(Pooling::Mean, true), 0, 1), of(&[0.6, 0.8]));
        assert_eq!(vector(head(Pooling::Mean, false), 1, 2), of(&[2.0, 0.0]));
        assert_eq!(vector(head(Pooling::Last, false), 1, 2), of(&[3.0, 0.0]));
        assert_eq!(vector(head(Pooling::Cls, false), 1, 2), of(&[1.0, 0.0]));
    }
}
