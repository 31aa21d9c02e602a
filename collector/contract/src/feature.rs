//! Names of features: the numbers and categories that drift is judged on.
//!
//! A feature is named by where it comes from: `input.*` (tabular columns, image statistics), `text.*` (what a
//! tokenizer and a look at the characters tell), `output.*` (what the model answered), `quality.*` (where an input
//! breaks the schema that its model declares). Drift of outputs is judged first (Rabanser et al. 2019), which is what
//! [`priority`] encodes.

/// Characters (Unicode scalar values) in a text, of a pair in both.
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
/// ISO 639-3 code of the language (a category), or [`LANGUAGE_UNKNOWN`].
pub const TEXT_LANGUAGE: &str = "text.language";
/// Stands for the language of a text that is too short, or too mixed, to tell.
pub const LANGUAGE_UNKNOWN: &str = "unknown";
/// 1 when the text holds control characters, script tags or a long run of white space, else 0.
pub const TEXT_SUSPICIOUS: &str = "text.suspicious";

/// The label of the winning class (a category).
pub const OUTPUT_LABEL: &str = "output.label";
/// Probability of the winning class, 0 to 1.
pub const OUTPUT_CONFIDENCE: &str = "output.confidence";
/// Probability of the winning class less that of the runner-up, 0 to 1.
pub const OUTPUT_MARGIN: &str = "output.margin";
/// Shannon entropy of the class probabilities in nats, 0 to ln(classes); where several classes may hold at once the sum
/// of the classes' own, 0 to classes * ln(2).
pub const OUTPUT_ENTROPY: &str = "output.entropy";
/// The label of the runner-up (a category), of models with more than two classes.
pub const OUTPUT_LABEL_2: &str = "output.label_2";
/// The label of the third (a category), of models with more than three classes.
pub const OUTPUT_LABEL_3: &str = "output.label_3";
/// Number of classes that hold, where several may at once.
pub const OUTPUT_LABELS: &str = "output.labels";
/// Number of entities that a token classification found.
pub const OUTPUT_ENTITIES: &str = "output.entities";
/// The label of an entity (a category); one feature an entity.
pub const OUTPUT_ENTITY: &str = "output.entity";

/// Whether an answer was what its label says; known only once a label came.
pub const OUTPUT_ERROR: &str = "output.error";

/// Number of columns of an item that break the model's input schema.
pub const QUALITY_VIOLATIONS: &str = "quality.violations";
/// Name of a column whose number is outside its declared range (a category); one feature a violation.
pub const QUALITY_OUT_OF_RANGE: &str = "quality.out_of_range";
/// Name of a column whose category is not a declared one (a category); one feature a violation.
pub const QUALITY_UNSEEN_CATEGORY: &str = "quality.unseen_category";
/// Name of a column with a declared range that holds no number (a category); one feature a violation.
pub const QUALITY_MISSING: &str = "quality.missing";

/// Longest name of a feature, in bytes; a batch with a longer one is refused.
pub const NAME_BYTES_MAX: usize = 256;
/// Longest name of a tensor of which features are made: a prefix (`output.`) stands before it and a column (`_255`) or a
/// figure (`.norm`) behind it in their names.
pub const TENSOR_NAME_BYTES_MAX: usize = NAME_BYTES_MAX - 12;

/// Longest category that is kept, in characters.
const MAX_CATEGORY_CHARS: usize = 64;

/// A category as it is kept. A category is a word, and what is longer is content: it is named, not cut, because what is
/// personal at the cut would not be recognized by any masker.
#[must_use]
pub fn category(value: &str) -> &str {
    if value.chars().nth(MAX_CATEGORY_CHARS).is_none() { value } else { LONG_CATEGORY }
}

/// What stands for a category that is too long to be one.
pub const LONG_CATEGORY: &str = "(long text)";

/// Prefix of features taken from the model's inputs.
pub const INPUT_PREFIX: &str = "input.";
/// Prefix of features taken from text.
pub const TEXT_PREFIX: &str = "text.";
/// Prefix of features taken from the model's outputs.
pub const OUTPUT_PREFIX: &str = "output.";
/// Prefix of features that say where an input breaks its schema.
pub const QUALITY_PREFIX: &str = "quality.";

/// Whether a feature is a label of the model's own, whatever its rank.
#[must_use]
pub fn is_label(feature: &str) -> bool {
    [OUTPUT_LABEL, OUTPUT_LABEL_2, OUTPUT_LABEL_3, OUTPUT_ENTITY].contains(&feature)
}

/// Whether a feature is a figure that is computed, whatever is computed of: nobody's number is named so.
#[must_use]
pub fn is_statistic(feature: &str) -> bool {
    const NAMED: [&str; 12] = [
        TEXT_CHARS,
        TEXT_TOKENS,
        TEXT_UNKNOWN_RATE,
        TEXT_TRUNCATED,
        TEXT_NON_ASCII_RATE,
        TEXT_DIGIT_RATE,
        TEXT_SUSPICIOUS,
        OUTPUT_CONFIDENCE,
        OUTPUT_MARGIN,
        OUTPUT_ENTROPY,
        OUTPUT_LABELS,
        OUTPUT_ENTITIES,
    ];
    NAMED.contains(&feature) || feature.strip_prefix(OUTPUT_PREFIX).is_some_and(is_of_vector)
}

/// `y.norm`, `y.p3`: a vector's length, and where it points.
fn is_of_vector(name: &str) -> bool {
    let Some((_, figure)) = name.rsplit_once('.') else { return false };
    let direction = figure.strip_prefix('p').unwrap_or_default();
    figure == "norm" || !direction.is_empty() && direction.bytes().all(|b| b.is_ascii_digit())
}

/// Order in which features are judged and shown: outputs, then inputs with their quality, then text statistics, then others.
#[must_use]
pub fn priority(feature: &str) -> u8 {
    match feature {
        f if f.starts_with(OUTPUT_PREFIX) => 0,
        f if f.starts_with(INPUT_PREFIX) || f.starts_with(QUALITY_PREFIX) => 1,
        f if f.starts_with(TEXT_PREFIX) => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_computed_is_told_from_what_is_given() {
        for name in [TEXT_TOKENS, OUTPUT_ENTROPY, "output.y.norm", "output.a.b.p7"] {
            assert!(is_statistic(name), "{name}");
        }
        for name in
            ["text.card", "output.card", "output.norm", "output.p7", "output.y.p", "output.y.px", "input.y.norm"]
        {
            assert!(!is_statistic(name), "{name}");
        }
    }

    #[test]
    fn outputs_come_first() {
        let mut names = vec![TEXT_CHARS, "input.px_0_1", OUTPUT_ENTROPY, "custom"];
        names.sort_by_key(|n| priority(n));
        assert_eq!(names, [OUTPUT_ENTROPY, "input.px_0_1", TEXT_CHARS, "custom"]);
    }
}
