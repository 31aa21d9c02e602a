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
    let bits = (value + 0.0).to_bits();
    // all bits of a negative number are turned, of others the sign alone
    let turned = bits ^ ((bits.cast_signed() >> 63).cast_unsigned() | SIGN);
    if value.is_nan() { NAN } else { turned }
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

/// Bits of a digit of [`sort`], and how many digits lead a key.
const DIGIT_BITS: u32 = 11;
const DIGITS: usize = 3;
/// Below this many keys the standard sort is as quick.
const SORT_MIN: usize = 1 << 14;

/// Sorts keys: by the leading bits in which they differ at all, digit by digit, then the few neighbours that agree in those.
/// `scratch` holds as many keys meanwhile, and can be used again.
pub fn sort(keys: &mut Vec<u64>, scratch: &mut Vec<u64>) {
    let (least, most) = keys.iter().fold((u64::MAX, 0), |(least, most), key| (least.min(*key), most.max(*key)));
    let spread = u64::BITS - most.saturating_sub(least).leading_zeros();
    if keys.len() < SORT_MIN || spread == 0 {
        return keys.sort_unstable();
    }
    let low = spread.saturating_sub(DIGIT_BITS * DIGITS as u32);
    let digit =
        |key: u64, at: usize| ((key - least) >> (low + DIGIT_BITS * at as u32)) as usize & ((1 << DIGIT_BITS) - 1);
    let mut counts = vec![[0usize; 1 << DIGIT_BITS]; DIGITS];
    for key in keys.iter() {
        for (at, counts) in counts.iter_mut().enumerate() {
            counts[digit(*key, at)] += 1;
        }
    }
    scratch.clear();
    scratch.resize(keys.len(), 0);
    for (at, places) in counts.iter_mut().enumerate() {
        let mut before = 0;
        for place in places.iter_mut() {
            before += std::mem::replace(place, before);
        }
        for key in keys.iter() {
            let place = &mut places[digit(*key, at)];
            scratch[*place] = *key;
            *place += 1;
        }
        std::mem::swap(keys, scratch);
    }
    if low > 0 {
        keys.chunk_by_mut(|a, b| (a - least) >> low == (b - least) >> low).for_each(<[u64]>::sort_unstable);
    }
}

/// Equal values of two sorted samples, in order.
pub fn groups<'a>(first: &'a [u64], second: &'a [u64]) -> impl Iterator<Item = Group> + 'a {
    let (mut i, mut j) = (0, 0);
    std::iter::from_fn(move || {
        // which side is smaller is a coin's throw: no branch hangs on it
        let (key, a, b) = match (first.get(i), second.get(j)) {
            (Some(&x), Some(&y)) => (x.min(y), usize::from(x <= y), usize::from(y <= x)),
            (Some(&x), None) => (x, 1, 0),
            (None, Some(&y)) => (y, 0, 1),
            (None, None) => return None,
        };
        let (from_i, from_j) = (i, j);
        (i, j) = (i + a, j + b);
        while first.get(i) == Some(&key) {
            i += 1;
        }
        while second.get(j) == Some(&key) {
            j += 1;
        }
        Some(Group { key, first: (i - from_i) as u64, second: (j - from_j) as u64 })
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

/// How many values of a sample are of which sort: all that is known of it before it is sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sorts {
    /// Negative infinities.
    pub least: u64,
    /// Finite numbers.
    pub finite: u64,
    /// Positive infinities.
    pub most: u64,
    /// What is no number.
    pub nan: u64,
    /// What has no value.
    pub missing: u64,
}

impl Sorts {
    /// Of a sorted sample.
    #[must_use]
    pub fn of_sorted(sorted: &[u64]) -> Self {
        let below = |key: u64| sorted.partition_point(|other| *other < key) as u64;
        let least = sorted.partition_point(|other| *other <= self::key(f64::NEG_INFINITY)) as u64;
        let (most, nan, missing) = (below(self::key(f64::INFINITY)), below(NAN), below(MISSING));
        Self {
            least,
            finite: most - least,
            most: nan - most,
            nan: missing - nan,
            missing: sorted.len() as u64 - missing,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.least + self.finite + self.most + self.nan + self.missing
    }
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

    #[test]
    fn many_keys_are_sorted_as_few_are() {
        let mixed = |i: u64| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (i << 7)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let n = 3 * SORT_MIN as u64;
        let shapes: [fn(u64, u64) -> u64; 6] = [
            |mixed, _| mixed,
            |mixed, _| key(f64::from(mixed as u32) / 1e9 - 2.0),
            |mixed, _| key(f64::from((mixed % 7) as u32)),
            |mixed, at| if at.is_multiple_of(3) { MISSING } else { key(1e-300 * f64::from(mixed as u32)) },
            |_, _| NAN,
            |mixed, at| if at == 0 { 0 } else { MISSING - mixed % 100_000 },
        ];
        let mut scratch = Vec::new();
        for (at, shape) in shapes.into_iter().enumerate() {
            let mut keys: Vec<u64> = (0..n).map(|i| shape(mixed(i), i)).collect();
            let mut expected = keys.clone();
            expected.sort_unstable();
            sort(&mut keys, &mut scratch);
            assert!(keys == expected, "shape {at}");
        }
    }

    #[test]
    fn sorts_are_counted() {
        let values = [f64::NEG_INFINITY, -1.0, 0.0, 5.0, f64::INFINITY, f64::INFINITY, f64::NAN];
        let mut keys: Vec<u64> = values.map(key).into_iter().chain([MISSING; 3]).collect();
        keys.sort_unstable();
        assert_eq!(Sorts::of_sorted(&keys), Sorts { least: 1, finite: 3, most: 2, nan: 1, missing: 3 });
        assert_eq!((Sorts::of_sorted(&keys).total(), Sorts::of_sorted(&[])), (10, Sorts::default()));
    }

    proptest! {
        #[test]
        fn groups_hold_every_value_once(
            mut first in prop::collection::vec(0u64..9, 0..40),
            mut second in prop::collection::vec(0u64..9, 0..40),
        ) {
            first.sort_unstable();
            second.sort_unstable();
            let count = |sorted: &[u64], key| sorted.iter().filter(|other| **other == key).count() as u64;
            let found: Vec<Group> = groups(&first, &second).collect();
            let expected = (0..9).map(|key| Group { key, first: count(&first, key), second: count(&second, key) });
            prop_assert_eq!(found, expected.filter(|group| group.first + group.second > 0).collect::<Vec<_>>());
        }

        #[test]
        fn a_key_gives_its_value_back(x in any::<f64>(), y in any::<f64>()) {
            prop_assert!(value(key(x)) == x || x.is_nan());
            prop_assert!(x.is_nan() || y.is_nan() || (x < y) == (key(x) < key(y)));
        }
    }
}
