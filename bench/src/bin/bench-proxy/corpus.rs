//! The texts that are asked: lengths of 4 to 256 tokens after Zipf's law, the same for everybody, from a fixed seed.

/// Common English words that the model's vocabulary holds whole, so that a text of n words has n + 2 tokens.
const WORDS: [&str; 32] = [
    "the", "my", "order", "is", "late", "and", "card", "was", "charged", "two", "times", "please", "help", "with",
    "this", "account", "screen", "does", "not", "open", "after", "last", "update", "where", "can", "find", "money",
    "back", "office", "box", "paper", "week",
];
/// Shortest and longest text, in tokens.
const TOKENS: (usize, usize) = (4, 256);
/// `[CLS]` and `[SEP]`.
const SPECIAL: usize = 2;

/// A small generator with a seed (SplitMix64; Steele, Lea and Flood 2014), so that every run asks the same.
#[derive(Clone, Debug)]
pub struct Seeded(pub u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// So many texts; the probability of a length falls with its rank, the shortest being the first.
pub fn texts(count: usize, seed: u64) -> Vec<String> {
    let (shortest, longest) = TOKENS;
    let weights: Vec<f64> = (shortest..=longest).map(|tokens| 1.0 / (tokens - shortest + 1) as f64).collect();
    let total: f64 = weights.iter().sum();
    let mut random = Seeded(seed);
    let length = |random: &mut Seeded| {
        let mut left = random.unit() * total;
        let rank = weights.iter().position(|weight| {
            left -= weight;
            left <= 0.0
        });
        shortest + rank.unwrap_or(weights.len() - 1)
    };
    let text = |random: &mut Seeded| {
        let words = length(random) - SPECIAL;
        (0..words).map(|_| WORDS[random.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
    };
    (0..count).map(|_| text(&mut random)).collect()
}

/// Texts by number, sorted by length and cut into groups of at most `budget` padded tokens.
pub fn bucketed(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&i| lengths[i]);
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for i in order {
        match groups.last_mut() {
            // the next is the longest of its group
            Some(group) if (group.len() + 1) * lengths[i] <= budget => group.push(i),
            _ => groups.push(vec![i]),
        }
    }
    groups
}

/// Moments of arrival, in seconds, of so many a second for so long: a Poisson process.
pub fn arrivals(rate: f64, seconds: f64, seed: u64) -> Vec<f64> {
    let mut random = Seeded(seed);
    let mut at = 0.0;
    std::iter::from_fn(|| {
        at -= random.unit().ln() / rate;
        (at < seconds).then_some(at)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_those_of_the_promise() {
        let texts = texts(2_000, 1);
        assert_eq!(texts[..5], super::texts(5, 1), "a seed is a corpus");
        let lengths: Vec<usize> = texts.iter().map(|text| text.split(' ').count() + SPECIAL).collect();
        assert!(lengths.iter().all(|n| (4..=256).contains(n)));
        let short = lengths.iter().filter(|n| **n < 20).count();
        // H(16) / H(253) = 3.38 / 6.11
        assert!((1_000..1_200).contains(&short), "{short} of 2,000 are short");
    }

    #[test]
    fn buckets_hold_every_text_once_and_keep_the_budget() {
        let lengths = [100, 5, 300, 7, 90, 5];
        let groups = bucketed(&lengths, 200);
        assert_eq!(groups, [vec![1, 5, 3], vec![4, 0], vec![2]]);
    }

    #[test]
    fn arrivals_keep_their_rate() {
        let count = arrivals(100.0, 100.0, 7).len() as f64;
        assert!((count - 10_000.0).abs() < 400.0, "{count}: four standard deviations");
    }
}
