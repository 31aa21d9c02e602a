//! Benjamini and Hochberg 1995: p-values adjusted so that rejecting those at or below alpha keeps the expected share of
//! false rejections at alpha, for independent or positively dependent features.

/// Adjusted p-values in the order given. `None` (no p-value) stays `None` and does not count.
#[must_use]
pub fn adjust(p_values: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut order: Vec<(usize, f64)> = p_values.iter().enumerate().filter_map(|(i, p)| p.map(|p| (i, p))).collect();
    order.sort_by(|a, b| a.1.total_cmp(&b.1));
    let tests = order.len() as f64;
    let mut adjusted = vec![None; p_values.len()];
    let mut least = 1.0f64;
    for (rank, (index, p)) in order.into_iter().enumerate().rev() {
        least = least.min(p * tests / (rank + 1) as f64);
        adjusted[index] = Some(least);
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_scipys() {
        // scipy.stats.false_discovery_control([.01, .04, .03, .005, .6])
        let adjusted = adjust(&[Some(0.01), Some(0.04), None, Some(0.03), Some(0.005), Some(0.6)]);
        let expected = [Some(0.025), Some(0.05), None, Some(0.05), Some(0.025), Some(0.6)];
        for (a, b) in adjusted.iter().zip(expected) {
            assert!(a.zip(b).map_or(a.is_none() && b.is_none(), |(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
        }
    }

    #[test]
    fn never_below_the_p_value_and_never_above_one() {
        let p: Vec<_> = (1..=50).map(|i| Some(f64::from(i) / 50.0)).collect();
        for (q, p) in adjust(&p).into_iter().zip(p) {
            assert!(q >= p && q <= Some(1.0));
        }
    }
}
