//! Text to token ids: the model's own tokenizer, with its shipped truncation and padding overridden.
//!
//! A shipped `tokenizer.json` often truncates and pads to some length that suited training (128, say). Padding is the
//! batcher's business, and the length is the model's, so both are set here.

use std::borrow::Cow;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use tokenizers::models::ModelWrapper;
use tokenizers::{EncodeInput, Encoding, PostProcessor, Tokenizer, TruncationParams};

use super::answer::TextStats;

/// A tokenizer that is ready for one model.
#[derive(Debug)]
pub(crate) struct TextEncoder {
    tokenizer: Tokenizer,
    unknown: Option<u32>,
    max_tokens: usize,
    max_chars: usize,
    padding: u32,
    /// Whether pairs leave room for words beside their special tokens.
    pairs_fit: bool,
    ways: Ways,
}

/// How a model wants its texts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ways {
    /// Whether to keep where in the text each token stands; single texts only.
    pub(crate) spans: bool,
    /// Whether to take out what is suspicious first.
    pub(crate) strip: bool,
}

/// An item of a request: a text, or a pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    pub(crate) text: &'a str,
    pub(crate) pair: Option<&'a str>,
}

impl<'a> From<&'a str> for Passage<'a> {
    fn from(text: &'a str) -> Self {
        Self { text, pair: None }
    }
}

/// Characters of a text that a token stands for: the first, and one past the last.
pub(crate) type Span = (u32, u32);

/// A text as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Encoded {
    /// Token ids, special tokens included.
    pub(crate) ids: Vec<u32>,
    /// Segment of each token; all 0 for a single text.
    pub(crate) type_ids: Vec<u32>,
    /// Where each token stands, `None` of special ones; empty where nobody asked.
    pub(crate) spans: Vec<Option<Span>>,
    /// What was seen on the way.
    pub(crate) stats: TextStats,
}

/// Why a text has no tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EncodeError {
    /// The text is wrong.
    Invalid(String),
    /// The tokenizer failed.
    Failed(String),
}

/// The extent of a tokenizer's vocabulary, added tokens included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Vocabulary {
    /// Number of tokens.
    pub(crate) tokens: u64,
    /// The highest id.
    pub(crate) max_id: u64,
}

impl TextEncoder {
    /// Reads `tokenizer.json`. `padding` is the id that fills up a batch where the file names none. Of a pair the longer text
    /// is truncated first, as is usual.
    ///
    /// # Errors
    /// A sentence: unreadable, no tokenizer, or `max_tokens` too small for its special tokens.
    pub(crate) fn read(
        path: &Path,
        max_tokens: usize,
        max_chars: usize,
        padding: u32,
        ways: Ways,
    ) -> Result<Self, String> {
        let mut tokenizer =
            Tokenizer::from_file(path).map_err(|error| format!("{} is no tokenizer: {error}", path.display()))?;
        let padding = tokenizer.get_padding().map_or(padding, |shipped| shipped.pad_id);
        tokenizer.with_padding(None);
        // The library subtracts without looking, so this comes first.
        let added = |pair| tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(pair));
        let special = added(false);
        let pairs_fit = !ways.spans && max_tokens > added(true) + 1;
        if max_tokens <= special {
            let path = path.display();
            return Err(format!("max_tokens is {max_tokens}, and {path} adds {special} special tokens to every text"));
        }
        let direction = tokenizer.get_truncation().map(|shipped| shipped.direction).unwrap_or_default();
        let truncation = TruncationParams { max_length: max_tokens, direction, ..TruncationParams::default() };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(|error| format!("{} cannot truncate to {max_tokens} tokens: {error}", path.display()))?;
        let unknown = unknown_id(&tokenizer);
        Ok(Self { tokenizer, unknown, max_tokens, max_chars, padding, pairs_fit, ways })
    }

    /// The id that fills up a batch.
    pub(crate) fn padding(&self) -> u32 {
        self.padding
    }

    /// Tokens past which texts are cut.
    pub(crate) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// How large the vocabulary is.
    pub(crate) fn vocabulary(&self) -> Vocabulary {
        let vocabulary = self.tokenizer.get_vocab(true);
        let max_id = vocabulary.values().max().copied().unwrap_or_default();
        Vocabulary { tokens: vocabulary.len() as u64, max_id: u64::from(max_id) }
    }

    /// The tokens of item `item` of a request.
    ///
    /// # Errors
    /// [`EncodeError::Invalid`] for an empty text and one that is too long, naming the item.
    pub(crate) fn encode<'a>(&self, item: usize, passage: impl Into<Passage<'a>>) -> Result<Encoded, EncodeError> {
        let Passage { text, pair } = passage.into();
        self.check(&format_args!("text {item}"), text)?;
        if let Some(pair) = pair {
            self.check(&format_args!("the second text of pair {item}"), pair)?;
            self.check_pairs()?;
        }
        let clean = |text| if self.ways.strip { texts::strip(text) } else { Cow::Borrowed(text) };
        let input: EncodeInput<'_> = match pair {
            Some(pair) => (clean(text), clean(pair)).into(),
            None => clean(text).into(),
        };
        let tokenize = || match self.ways.spans {
            true => self.tokenizer.encode_char_offsets(input, true),
            false => self.tokenizer.encode(input, true),
        };
        let encoded = catch_unwind(AssertUnwindSafe(tokenize))
            .map_err(|_| EncodeError::Failed(format!("the tokenizer panicked on text {item}")))?
            .map_err(|error| EncodeError::Failed(format!("the tokenizer cannot encode text {item}: {error}")))?;
        if encoded.is_empty() {
            return Err(EncodeError::Invalid(format!("text {item} has no tokens")));
        }
        let stats = TextStats {
            tokens: u32::try_from(encoded.len()).unwrap_or(u32::MAX),
            unknown_rate: self.unknown_rate(encoded.get_ids(), encoded.get_special_tokens_mask()),
            truncated: !encoded.get_overflowing().is_empty(),
        };
        let spans = if self.ways.spans { spans(&encoded) } else { Vec::new() };
        Ok(Encoded { ids: encoded.get_ids().to_vec(), type_ids: encoded.get_type_ids().to_vec(), spans, stats })
    }

    fn check(&self, whose: &fmt::Arguments<'_>, text: &str) -> Result<(), EncodeError> {
        if text.trim().is_empty() {
            return Err(EncodeError::Invalid(format!("{whose} is empty")));
        }
        // Counting stops one past the bound: a body of megabytes costs no more than a text of 10,000 characters.
        if text.len() > self.max_chars && text.chars().take(self.max_chars + 1).count() > self.max_chars {
            let max = self.max_chars;
            return Err(EncodeError::Invalid(format!("{whose} is longer than {max} characters; split or shorten it")));
        }
        Ok(())
    }

    fn check_pairs(&self) -> Result<(), EncodeError> {
        if self.pairs_fit {
            return Ok(());
        }
        let why = if self.ways.spans {
            "the model finds entities in single texts, not in pairs".to_owned()
        } else {
            format!("the model's {} tokens leave no room for two texts", self.max_tokens)
        };
        Err(EncodeError::Invalid(why))
    }

    fn unknown_rate(&self, ids: &[u32], special: &[u32]) -> f64 {
        let words = ids.iter().zip(special).filter(|&(_, &special)| special == 0);
        let (known, unknown) = words.fold((0_u32, 0_u32), |(known, unknown), (id, _)| {
            if Some(*id) == self.unknown { (known, unknown + 1) } else { (known + 1, unknown) }
        });
        if unknown == 0 { 0.0 } else { f64::from(unknown) / f64::from(known + unknown) }
    }
}

fn spans(encoded: &Encoding) -> Vec<Option<Span>> {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let offsets = encoded.get_offsets().iter().map(|&(start, end)| (narrow(start), narrow(end)));
    offsets.zip(encoded.get_special_tokens_mask()).map(|(span, &special)| (special == 0).then_some(span)).collect()
}

fn unknown_id(tokenizer: &Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::BPE(model) => model.unk_token.as_deref().and_then(|token| tokenizer.token_to_id(token)),
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::WordLevel(model) => tokenizer.token_to_id(&model.unk_token),
        // The field is private; the serialised form has it.
        ModelWrapper::Unigram(model) => serde_json::to_value(model).ok()?.get("unk_id")?.as_u64()?.try_into().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoder(max_tokens: usize) -> TextEncoder {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/router/1/tokenizer.json");
        TextEncoder::read(&path, max_tokens, 100, 7, Ways::default()).unwrap()
    }

    fn encode<'a>(encoder: &TextEncoder, text: &'a str, pair: &'a str) -> Result<Encoded, EncodeError> {
        encoder.encode(0, Passage { text, pair: Some(pair) })
    }

    #[test]
    fn shipped_padding_and_truncation_are_overridden() {
        let encoder = encoder(12);
        let short = encoder.encode(0, "my parcel").unwrap();
        assert_eq!(short.ids, [2, 19, 9, 3]);
        assert_eq!(short.stats, TextStats { tokens: 4, unknown_rate: 0.0, truncated: false });
        let ten = encoder.encode(0, "my my my my my my my my my my").unwrap();
        assert_eq!((ten.ids.len(), ten.stats.truncated), (12, false), "the file truncates at 8");
        let eleven = encoder.encode(0, "my my my my my my my my my my my").unwrap();
        assert_eq!((eleven.ids.len(), eleven.stats.truncated), (12, true));
        assert_eq!(encoder.padding(), 0, "the file's padding id wins");
    }

    #[test]
    fn a_pair_has_segments_and_both_texts_are_checked() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tasks/matcher/1/tokenizer.json");
        let encoder = |tokens| TextEncoder::read(&path, tokens, 100, 0, Ways::default()).unwrap();
        let both = encode(&encoder(8), "the parcel", "was late").unwrap();
        assert_eq!((both.ids.len(), both.type_ids), (7, vec![0, 0, 0, 0, 1, 1, 1]));
        assert!(!both.stats.truncated);
        let cut = encode(&encoder(8), "the parcel", "was late in oslo").unwrap();
        assert_eq!((cut.type_ids, cut.stats.truncated), (vec![0, 0, 0, 0, 1, 1, 1, 1], true));
        let check = |tokens, text: &str, pair: &str, expected: &str| match encode(&encoder(tokens), text, pair) {
            Err(EncodeError::Invalid(why)) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        };
        check(8, "the parcel", "", "the second text of pair 0 is empty");
        check(8, " ", "late", "text 0 is empty");
        check(4, "the", "late", "the model's 4 tokens leave no room for two texts");
        let long = "a".repeat(101);
        check(8, "the", &long, "the second text of pair 0 is longer than 100 characters; split or shorten it");
    }

    #[test]
    fn unknown_words_are_a_share_of_the_words() {
        let stats = encoder(12).encode(0, "where is zebra").unwrap().stats;
        assert!((stats.unknown_rate - 1.0 / 3.0).abs() < 1e-12, "{stats:?}");
    }

    #[test]
    fn empty_and_endless_texts_are_refused() {
        let check = |text: &str, expected: &str| match encoder(12).encode(3, text) {
            Err(EncodeError::Invalid(why)) => assert_eq!(why, expected),
            other => panic!("{other:?}"),
        };
        check("", "text 3 is empty");
        check(" \t\n\u{2003}", "text 3 is empty");
        check(&"a".repeat(101), "text 3 is longer than 100 characters; split or shorten it");
        assert!(encoder(12).encode(0, "é".repeat(100).as_str()).is_ok(), "characters are counted, not bytes");
    }

    #[test]
    fn a_length_below_the_special_tokens_is_an_error() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/models/router/1/tokenizer.json");
        assert!(TextEncoder::read(&path, 1, 100, 0, Ways::default()).unwrap_err().contains("max_tokens is 1, and"));
    }
}
