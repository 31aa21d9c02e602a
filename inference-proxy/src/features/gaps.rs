//! How far a shadow's answer lies from the primary's where there are no classes to agree on.
//!
//! The choice: only differences leave, never the numbers themselves, so nothing is stored of a shadow's answer that masking would have to
//! look at; and the proxy says how far, not whether that is too far.

use contract::wire::Gap;

use super::{columns, outputs::EMBEDDING_WIDTH, row, rows};
use crate::handle::Aside;
use crate::model::Answer;
use crate::tensor::Tensor;

/// One an item, the farthest of its outputs; none where answers have classes or entities, or where the primary's has no numbers. An
/// item that one of the two lacks, or has in another shape, is [`Gap::Shape`]. Answers may be millions of numbers, and only a
/// shadow's observation waits for what is found: so it is not looked for where requests are read.
#[must_use]
pub fn gaps(primary: &Answer, shadow: &Answer, _aside: &Aside) -> Vec<Gap> {
    if !may_have_gaps(primary) {
        return Vec::new();
    }
    let mut gaps: Vec<Gap> = Vec::new();
    for tensor in &primary.outputs {
        let other = shadow.outputs.iter().find(|other| other.name() == tensor.name());
        for (item, gap) in (0..rows(tensor)).filter_map(|item| Some((item, gap(tensor, other, item)?))) {
            match gaps.get_mut(item) {
                Some(known) => *known = farther(*known, gap),
                None => gaps.push(gap),
            }
        }
    }
    gaps
}

/// Whether there is anything to compare: classes and entities agree or not.
#[must_use]
pub fn may_have_gaps(primary: &Answer) -> bool {
    primary.classes.is_empty() && primary.entities.is_empty()
}

/// `None` of an output that holds no numbers.
fn gap(primary: &Tensor, shadow: Option<&Tensor>, item: usize) -> Option<Gap> {
    let width = columns(primary);
    if row(primary, item).count() != width || width == 0 {
        return None;
    }
    let alike = |other: &&Tensor| rows(other) == rows(primary) && columns(other) == width;
    let Some(shadow) = shadow.filter(alike).filter(|other| row(other, item).count() == width) else {
        return Some(Gap::Shape);
    };
    let pairs = || row(primary, item).zip(row(shadow, item));
    if pairs().any(|(a, b)| !a.is_finite() || !b.is_finite()) {
        return Some(Gap::Shape);
    }
    if primary.shape().len() == 2 && width >= EMBEDDING_WIDTH {
        let sum = |of: fn((f64, f64)) -> f64| pairs().map(of).sum::<f64>();
        let lengths = sum(|(a, _)| a * a).sqrt() * sum(|(_, b)| b * b).sqrt();
        // two vectors without a direction have the same
        let cosine = if lengths > 0.0 { sum(|(a, b)| a * b) / lengths } else { 1.0 };
        return Some(Gap::Vector { distance: (1.0 - cosine).clamp(0.0, 2.0) });
    }
    let number = |(a, b): (f64, f64)| {
        let (absolute, size) = ((a - b).abs().min(f64::MAX), a.abs().max(b.abs()));
        Gap::Number { absolute, relative: if size > 0.0 { absolute / size } else { 0.0 } }
    };
    pairs().map(number).reduce(farther)
}

/// The one farther apart; another shape is farther than any number, and what a vector says goes before single numbers.
fn farther(a: Gap, b: Gap) -> Gap {
    let place = |gap: Gap| match gap {
        Gap::Number { relative, .. } => (0, relative),
        Gap::Vector { distance } => (1, distance),
        Gap::Shape => (2, 0.0),
    };
    let (first, second) = (place(a), place(b));
    if second.0.cmp(&first.0).then(second.1.total_cmp(&first.1)).is_gt() { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;

    fn gaps(primary: &Answer, shadow: &Answer) -> Vec<Gap> {
        super::gaps(primary, shadow, &Aside::IN_A_TEST)
    }

    fn answer(outputs: &[(&str, &[usize], &[f64])]) -> Answer {
        let tensor = |(name, shape, data): &(&str, &[usize], &[f64])| {
            Tensor::new(*name, shape.to_vec(), Data::Fp64(data.to_vec())).unwrap()
        };
        Answer { outputs: outputs.iter().map(tensor).collect(), ..Answer::default() }
    }

    #[test]
    fn numbers_differ_by_so_much_of_the_larger() {
        let found = gaps(&answer(&[("y", &[3, 1], &[10.0, 0.0, 0.0])]), &answer(&[("y", &[3, 1], &[8.0, 0.0, 1.0])]));
        let number = |absolute, relative| Gap::Number { absolute, relative };
        assert_eq!(found, [number(2.0, 0.2), number(0.0, 0.0), number(1.0, 1.0)]);
        // of several numbers an item, the farthest
        let found = gaps(&answer(&[("y", &[1, 3], &[10.0, 4.0, 1.0])]), &answer(&[("y", &[1, 3], &[10.0, 2.0, 1.0])]));
        assert_eq!(found, [number(2.0, 0.5)]);
    }

    #[test]
    fn vectors_differ_by_where_they_point() {
        let unit = |at: usize, length: f64| (0..16).map(|i| if i == at { length } else { 0.0 }).collect::<Vec<f64>>();
        let of = |a: &[f64], b: &[f64]| gaps(&answer(&[("e", &[1, 16], a)]), &answer(&[("e", &[1, 16], b)]));
        assert_eq!(of(&unit(3, 1.0), &unit(3, 7.0)), [Gap::Vector { distance: 0.0 }], "length is no direction");
        assert_eq!(of(&unit(3, 1.0), &unit(4, 1.0)), [Gap::Vector { distance: 1.0 }]);
        assert_eq!(of(&unit(3, 1.0), &unit(3, -1.0)), [Gap::Vector { distance: 2.0 }]);
        assert_eq!(of(&unit(3, 0.0), &unit(3, 0.0)), [Gap::Vector { distance: 0.0 }]);
    }

    #[test]
    fn another_shape_or_no_number_is_as_far_as_can_be() {
        let one = answer(&[("y", &[1, 1], &[1.0])]);
        for other in [
            answer(&[("y", &[2, 1], &[1.0, 1.0])]),
            answer(&[("y", &[1, 2], &[1.0, 1.0])]),
            answer(&[("z", &[1, 1], &[1.0])]),
            answer(&[("y", &[1, 1], &[f64::NAN])]),
            answer(&[]),
        ] {
            assert_eq!(gaps(&one, &other), [Gap::Shape], "{other:?}");
        }
        assert_eq!(gaps(&answer(&[]), &one), []);
    }
}
