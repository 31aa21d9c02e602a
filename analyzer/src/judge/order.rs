//! One order for everything that a numeric column can hold: `-inf < numbers < inf < NaN < missing`.
//!
//! Values become whole numbers in that order, so that sorting and comparing need no care about NaN, and a column that turns to
//! NaN, or goes missing, moves like any other. `-0.0` is `0.0`.

/// The key of "not a number".
pub const NAN: u64 = u64::MAX - 1;
/// The key of "no value was given".
pub const MISSING: u64 = u64::MAX;

const SIGN: u64 = 1 << 63;

/// Where a value stands in the order.
#[must_use]
pub fn key(value: f64) -> u64 {
    if value.is_nan() {
        return NAN;
    }
    let bits = (value + 0.0).to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

/// The value of a key; NaN for those that stand for no number.
#[must_use]
pub fn value(key: u64) -> f64 {
    if key >= NAN {
        return f64::NAN;
    }
    f64::from_bits(if key & SIGN == 0 { !key } else { key & !SIGN })
}

/// How many of a sorted sample are numbers, infinities among them.
#[must_use]
pub fn numbers(sorted: &[u64]) -> usize {
    sorted.partition_point(|key| *key < NAN)
}

/// Equal values of two sorted samples, in order.
pub fn groups<'a>(first: &'a [u64], second: &'a [u64]) -> impl Iterator<Item = Group> + 'a {
    let (mut first, mut second) = (first, second);
    std::iter::from_fn(move || {
        let key = match (first.first(), second.first()) {
            (Some(a), Some(b)) => *a.min(b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => return None,
        };
        let (a, b) = (run(first, key), run(second, key));
        (first, second) = (&first[a..], &second[b..]);
        Some(Group { key, first: a as u64, second: b as u64 })
    })
}

/// How often one value stands in each of two samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// The value, see [`value`].
    pub key: u64,
    /// In the first.
    pub first: u64,
    /// In the second.
    pub second: u64,
}

fn run(sorted: &[u64], key: u64) -> usize {
    sorted.iter().take_while(|other| **other == key).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn everything_has_its_place() {
        let rising =
            [f64::NEG_INFINITY, f64::MIN, -1.0, -f64::MIN_POSITIVE, -5e-324, 0.0, 5e-324, 1.0, f64::MAX, f64::INFINITY];
        assert!(rising.windows(2).all(|pair| key(pair[0]) < key(pair[1])));
        assert_eq!(key(-0.0), key(0.0));
        assert!(key(f64::INFINITY) < key(f64::NAN) && key(-f64::NAN) == NAN && NAN < MISSING);
        assert!(value(MISSING).is_nan() && value(NAN).is_nan());
        assert_eq!(numbers(&[key(1.0), key(f64::INFINITY), NAN, MISSING]), 2);
    }

    proptest! {
        #[test]
        fn a_key_gives_its_value_back(x in any::<f64>(), y in any::<f64>()) {
            prop_assert!(value(key(x)) == x || x.is_nan());
            prop_assert!(x.is_nan() || y.is_nan() || (x < y) == (key(x) < key(y)));
        }
    }
}
