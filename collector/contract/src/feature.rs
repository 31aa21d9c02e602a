//! Names of features: the numbers and categories that drift is judged on.
//!
//! A feature is named by where it comes from: `input.*` (tabular columns, image statistics), `text.*` (what a
//! tokenizer and a look at the characters tell), `output.*` (what the model answered). Drift of outputs is
//! judged first (Rabanser et al. 2019), which is what [`priority`] encodes.

/// Characters (Unicode scalar values) in a text.
pub const TEXT_CHARS: &str = "text.chars";
/// Tokens after truncation, special tokens included.
pub const TEXT_TOKENS: &str = "text.tokens";
/// Share of tokens that the vocabulary does not know, 0 to 1.
pub const TEXT_UNKNOWN_RATE: &str = "text.unknown_rate";
/// 1 when the text was truncated to the model's length, else 0.
pub const TEXT_TRUNCATED: &str = "text.truncated";
/// Share of characters outside ASCII, 0 to 1.
pub const TEXT_NON_ASCII_RATE: &str = "text.non_ascii_rate";
/// Share of characters that are digits, 0 to 1.
pub const TEXT_DIGIT_RATE: &str = "text.digit_rate";

/// The label of the winning class (a category).
pub const OUTPUT_LABEL: &str = "output.label";
/// Probability of the winning class, 0 to 1.
pub const OUTPUT_CONFIDENCE: &str = "output.confidence";
/// Probability of the winning class less that of the runner-up, 0 to 1.
pub const OUTPUT_MARGIN: &str = "output.margin";
/// Shannon entropy of the class probabilities in nats, 0 to ln(classes).
pub const OUTPUT_ENTROPY: &str = "output.entropy";

/// Prefix of features taken from the model's inputs.
pub const INPUT_PREFIX: &str = "input.";
/// Prefix of features taken from text.
pub const TEXT_PREFIX: &str = "text.";
/// Prefix of features taken from the model's outputs.
pub const OUTPUT_PREFIX: &str = "output.";

/// Order in which features are judged and shown: outputs, then inputs, then text statistics, then others.
#[must_use]
pub fn priority(feature: &str) -> u8 {
    match feature {
        f if f.starts_with(OUTPUT_PREFIX) => 0,
        f if f.starts_with(INPUT_PREFIX) => 1,
        f if f.starts_with(TEXT_PREFIX) => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_come_first() {
        let mut names = vec![TEXT_CHARS, "input.px_0_1", OUTPUT_ENTROPY, "custom"];
        names.sort_by_key(|n| priority(n));
        assert_eq!(names, [OUTPUT_ENTROPY, "input.px_0_1", TEXT_CHARS, "custom"]);
    }
}
