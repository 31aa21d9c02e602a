//! Features of answers: classes, entities, numbers, and what an embedding looks like from a few fixed directions.

use contract::feature as names;

use super::{Sink, columns, row, rows};
use crate::model::{Answer, Classes, Entity};
use crate::tensor::Tensor;

/// A row with at least as many numbers is a vector in a space, and is projected.
pub(super) const EMBEDDING_WIDTH: usize = 16;
/// Directions from which a vector is looked at.
const PROJECTIONS: u64 = 8;
/// Entities of one item that are named; all are counted.
const MAX_ENTITIES: usize = 32;

/// The features of all items.
pub(super) fn of(answer: &Answer, out: &mut Sink) {
    for (item, classes) in answer.classes.iter().enumerate() {
        of_classes(item, classes, out);
    }
    for (item, entities) in answer.entities.iter().enumerate() {
        of_entities(item, entities, out);
    }
    if answer.classes.is_empty() && answer.entities.is_empty() {
        answer.outputs.iter().for_each(|tensor| of_tensor(tensor, out));
    }
}

fn of_classes(item: usize, classes: &Classes, out: &mut Sink) {
    let prediction = classes.prediction();
    out.category(names::OUTPUT_LABEL, item, &prediction.label);
    out.number(names::OUTPUT_CONFIDENCE, item, prediction.confidence);
    out.number(names::OUTPUT_MARGIN, item, prediction.margin);
    out.number(names::OUTPUT_ENTROPY, item, prediction.entropy);
    // The last of all classes says nothing that the others do not.
    let runners_up = classes.ranked().zip([None, Some(names::OUTPUT_LABEL_2), Some(names::OUTPUT_LABEL_3)]);
    for ((label, _), name) in runners_up.take(classes.labels.len().saturating_sub(1)) {
        if let Some(name) = name {
            out.category(name, item, label);
        }
    }
    if classes.threshold.is_some() {
        out.number(names::OUTPUT_LABELS, item, count(classes.holding().len()));
    }
}

/// The confidence of an item is the mean of its entities'; one without entities has none.
fn of_entities(item: usize, entities: &[Entity], out: &mut Sink) {
    out.number(names::OUTPUT_ENTITIES, item, count(entities.len()));
    for entity in entities.iter().take(MAX_ENTITIES) {
        out.category(names::OUTPUT_ENTITY, item, &entity.label);
    }
    if !entities.is_empty() {
        let sum: f64 = entities.iter().map(|entity| entity.score).sum();
        out.number(names::OUTPUT_CONFIDENCE, item, sum / count(entities.len()));
    }
}

fn count(n: usize) -> f64 {
    f64::from(u32::try_from(n).unwrap_or(u32::MAX))
}

/// A regression's number, or a vector's length and where it points.
fn of_tensor(tensor: &Tensor, out: &mut Sink) {
    let name = |suffix: &str| format!("{}{}{suffix}", names::OUTPUT_PREFIX, tensor.name());
    let width = columns(tensor);
    for item in 0..rows(tensor) {
        let numbers = row(tensor, item);
        if width == 1 {
            numbers.for_each(|x| out.number(name(""), item, x));
            continue;
        }
        let norm = numbers.clone().map(|x| x * x).sum::<f64>().sqrt();
        out.number(name(".norm"), item, norm);
        if tensor.shape().len() == 2 && width >= EMBEDDING_WIDTH {
            for direction in 0..PROJECTIONS {
                let projection = project(numbers.clone(), direction) / norm.max(f64::MIN_POSITIVE);
                out.number(name(&format!(".p{direction}")), item, projection);
            }
        }
    }
}

/// The sum of the numbers, each with a sign drawn by `SplitMix64` (Steele, Lea, Flood 2014) seeded with the direction + 1:
/// number `i` is counted as negative where bit `i mod 64` of draw `i div 64` is set. Random signs keep distances as well
/// as a normal matrix does (Achlioptas 2003), and are the same in every version, process and year.
fn project(numbers: impl Iterator<Item = f64>, direction: u64) -> f64 {
    let mut state = direction + 1;
    let mut signs = 0;
    let signed = numbers.enumerate().map(|(i, x)| {
        if i % 64 == 0 {
            signs = splitmix(&mut state);
        }
        let negative = signs & 1 == 1;
        signs >>= 1;
        if negative { -x } else { x }
    });
    signed.sum()
}

fn splitmix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{check, check_category, value};
    use super::*;
    use crate::tensor::Data;

    #[test]
    fn a_regression_gives_its_number_and_a_short_vector_its_length() {
        let mut out = Sink::default();
        of_tensor(&Tensor::new("y", vec![2, 1], Data::Fp64(vec![0.5, 1.5])).unwrap(), &mut out);
        of_tensor(&Tensor::new("e", vec![1, 2], Data::Fp32(vec![3.0, 4.0])).unwrap(), &mut out);
        check(&out, "output.y", 1, 1.5);
        check(&out, "output.e.norm", 0, 5.0);
        assert_eq!(out.0.len(), 3);
    }

    /// The oracle, with `splitmix` written anew in Python integers (its first draw of seed 1 is 0x910a2dec89025cc1):
    /// `x = np.arange(100.); bits = [(w >> b) & 1 for w in draws(d + 1, 2) for b in range(64)][:100];`
    /// `(x * np.where(bits, -1, 1)).sum() / np.linalg.norm(x)` for d = 0 and 7.
    #[test]
    fn projections_are_the_same_for_ever() {
        let ramp: Vec<f64> = (0..100).map(f64::from).collect();
        let mut out = Sink::default();
        of_tensor(&Tensor::new("e", vec![1, 100], Data::Fp64(ramp)).unwrap(), &mut out);
        check(&out, "output.e.p0", 0, 0.603_820_131_605_778_5);
        check(&out, "output.e.p7", 0, 0.268_752_312_911_242_46);
        assert_eq!(out.0.len(), 9);
        let mut out = Sink::default();
        of_tensor(&Tensor::new("zero", vec![1, 16], Data::Fp64(vec![0.0; 16])).unwrap(), &mut out);
        check(&out, "output.zero.p0", 0, 0.0);
    }

    #[test]
    fn runners_up_are_named_where_they_say_something() {
        let of = |scores: &[f32]| {
            let labels = ["a", "b", "c", "d"].iter().take(scores.len()).map(|&s| s.to_owned()).collect();
            let mut out = Sink::default();
            of_classes(0, &Classes { labels, scores: scores.to_vec(), threshold: None }, &mut out);
            out
        };
        let four = of(&[0.1, 0.4, 0.3, 0.2]);
        check_category(&four, names::OUTPUT_LABEL, 0, "b");
        check_category(&four, names::OUTPUT_LABEL_2, 0, "c");
        check_category(&four, names::OUTPUT_LABEL_3, 0, "d");
        assert_eq!(value(&of(&[0.2, 0.5, 0.3]), names::OUTPUT_LABEL_3, 0), None);
        assert_eq!(value(&of(&[0.5, 0.5]), names::OUTPUT_LABEL_2, 0), None);
        assert_eq!(value(&four, names::OUTPUT_LABELS, 0), None, "the classes exclude each other");
    }

    #[test]
    fn entities_are_counted_and_named() {
        let entity = |label: &str, score| Entity { label: label.into(), score, start: 0, end: 1, text: "x".into() };
        let mut out = Sink::default();
        of_entities(0, &[entity("PER", 0.5), entity("LOC", 1.0)], &mut out);
        of_entities(1, &[], &mut out);
        check(&out, names::OUTPUT_ENTITIES, 0, 2.0);
        check(&out, names::OUTPUT_CONFIDENCE, 0, 0.75);
        check(&out, names::OUTPUT_ENTITIES, 1, 0.0);
        assert_eq!(value(&out, names::OUTPUT_CONFIDENCE, 1), None);
        assert_eq!(out.0.iter().filter(|f| f.name == names::OUTPUT_ENTITY).count(), 2);
    }
}
