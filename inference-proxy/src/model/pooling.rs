//! From one vector a token to one vector a text, as sentence-transformers does it: pure.

use serde::Deserialize;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Pooling {
    /// Their mean, special tokens included, padding left out.
    Mean,
    /// The first token's, which BERT and its kin call CLS.
    Cls,
    /// The last token's, for decoders.
    Last,
    /// The graph has done it.
    None,
}

impl Pooling {
    /// The word in `driftline.toml`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Mean => "mean",
            Self::Cls => "cls",
            Self::Last => "last",
            Self::None => "none",
        }
    }

    /// One vector of `width` numbers from those of a text's own tokens, row after row, without padding.
    pub(crate) fn pool(self, tokens: &[f32], width: usize) -> Vec<f32> {
        let mut rows = tokens.chunks_exact(width.max(1));
        match self {
            Self::Mean => mean(rows, width),
            Self::Cls | Self::None => rows.next().unwrap_or_default().to_vec(),
            Self::Last => rows.next_back().unwrap_or_default().to_vec(),
        }
    }
}

/// In 64 bits: a long text adds up thousands of numbers.
fn mean(rows: std::slice::ChunksExact<'_, f32>, width: usize) -> Vec<f32> {
    let count = rows.len().max(1) as f64;
    let mut sums = vec![0.0_f64; width];
    for row in rows {
        for (sum, &x) in sums.iter_mut().zip(row) {
            *sum += f64::from(x);
        }
    }
    sums.into_iter().map(|sum| (sum / count) as f32).collect()
}

/// Scales to length 1. A vector of zeros stays one: its length is taken as 1e-12, like in PyTorch's `normalize`.
pub(crate) fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    vector.iter_mut().for_each(|x| *x = (f64::from(*x) / length) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_one_vector() {
        let tokens = [1.0, 2.0, 3.0, 4.0, 8.0, 0.0];
        assert_eq!(Pooling::Mean.pool(&tokens, 2), [4.0, 2.0]);
        assert_eq!(Pooling::Cls.pool(&tokens, 2), [1.0, 2.0]);
        assert_eq!(Pooling::Last.pool(&tokens, 2), [8.0, 0.0]);
    }

    #[test]
    fn a_normalized_vector_has_length_one_and_zeros_stay_zeros() {
        let mut vector = [3.0, -4.0];
        normalize(&mut vector);
        assert_eq!(vector, [0.6, -0.8]);
        let mut zeros = [0.0, 0.0];
        normalize(&mut zeros);
        assert_eq!(zeros, [0.0, 0.0]);
    }
}
