//! The texts of a request, or its pairs of texts, in whichever form they came.

use super::graph::{TEXT, TEXT_PAIR};
use super::text::Passage;
use crate::tensor::{Data, Tensor};

/// Texts, or pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Passages {
    Single(Vec<String>),
    Pairs(Vec<(String, String)>),
}

impl Passages {
    /// The texts of one `BYTES` tensor `text` of shape `[n]` or `[n, 1]`; the pairs of one of shape `[n, 2]`, or of two,
    /// `text` and `text_pair`, of equal length.
    ///
    /// # Errors
    /// One sentence for the client.
    pub(crate) fn read(tensors: Vec<Tensor>) -> Result<Self, String> {
        let (mut first, mut second) = (None, None);
        for tensor in tensors {
            let slot = match tensor.name() {
                TEXT => &mut first,
                TEXT_PAIR => &mut second,
                other => {
                    return Err(format!(
                        "there is no input '{other}'; the model takes '{TEXT}' (BYTES), and '{TEXT_PAIR}' beside it for pairs"
                    ));
                }
            };
            if slot.replace(tensor).is_some() {
                return Err("an input was given twice".to_owned());
            }
        }
        let first = first.ok_or_else(|| format!("input '{TEXT}' (BYTES) is missing"))?;
        let (texts, width) = column(first, second.is_none())?;
        let Some(second) = second else { return Ok(if width == 2 { Self::pairs(texts) } else { Self::Single(texts) }) };
        let (others, _) = column(second, false)?;
        if texts.len() != others.len() {
            let (a, b) = (texts.len(), others.len());
            return Err(format!("input '{TEXT}' has {a} items and input '{TEXT_PAIR}' has {b}: they must be equal"));
        }
        Ok(Self::Pairs(texts.into_iter().zip(others).collect()))
    }

    fn pairs(texts: Vec<String>) -> Self {
        let mut texts = texts.into_iter();
        Self::Pairs(std::iter::from_fn(|| Some((texts.next()?, texts.next()?))).collect())
    }

    /// Items.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Single(texts) => texts.len(),
            Self::Pairs(pairs) => pairs.len(),
        }
    }

    /// Bytes of all texts.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Single(texts) => texts.iter().map(String::len).sum(),
            Self::Pairs(pairs) => pairs.iter().map(|(a, b)| a.len() + b.len()).sum(),
        }
    }

    /// One after the other.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Passage<'_>> {
        let (texts, pairs) = match self {
            Self::Single(texts) => (texts.as_slice(), [].as_slice()),
            Self::Pairs(pairs) => ([].as_slice(), pairs.as_slice()),
        };
        let pairs = pairs.iter().map(|(text, pair)| Passage { text, pair: Some(pair.as_str()) });
        texts.iter().map(|text| Passage { text, pair: None }).chain(pairs)
    }
}

/// The strings of a tensor and how many stand in a row.
fn column(tensor: Tensor, may_be_pairs: bool) -> Result<(Vec<String>, usize), String> {
    let (name, shape, data) = tensor.into_parts();
    let Data::Bytes(texts) = data else {
        return Err(format!("input '{name}' must be BYTES, not {}", data.datatype()));
    };
    match shape.as_slice() {
        [_] | [_, 1] => Ok((texts, 1)),
        [_, 2] if may_be_pairs => Ok((texts, 2)),
        _ => Err(format!("input '{name}' must have shape [-1] or [-1, 1] (-1 is any size), not {shape:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(name: &str, shape: &[usize], texts: &[&str]) -> Tensor {
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        Tensor::new(name, shape.to_vec(), Data::Bytes(texts)).unwrap()
    }

    #[test]
    fn texts_and_pairs_come_in_several_shapes() {
        let single = Passages::Single(vec!["a".into(), "b".into()]);
        assert_eq!(Passages::read(vec![bytes("text", &[2], &["a", "b"])]), Ok(single.clone()));
        assert_eq!(Passages::read(vec![bytes("text", &[2, 1], &["a", "b"])]), Ok(single));
        let pairs = Passages::Pairs(vec![("a".into(), "b".into()), ("c".into(), "d".into())]);
        assert_eq!(Passages::read(vec![bytes("text", &[2, 2], &["a", "b", "c", "d"])]), Ok(pairs.clone()));
        let two = vec![bytes("text_pair", &[2], &["b", "d"]), bytes("text", &[2, 1], &["a", "c"])];
        assert_eq!(Passages::read(two), Ok(pairs));
    }

    #[test]
    fn what_is_neither_is_told() {
        let check = |tensors: Vec<Tensor>, part: &str| {
            let why = Passages::read(tensors).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        check(vec![], "input 'text' (BYTES) is missing");
        check(vec![bytes("text_pair", &[1], &["a"])], "input 'text' (BYTES) is missing");
        check(vec![bytes("ids", &[1], &["a"])], "there is no input 'ids'");
        check(vec![bytes("text", &[1, 3], &["a", "b", "c"])], "not [1, 3]");
        let uneven = vec![bytes("text", &[2], &["a", "b"]), bytes("text_pair", &[1], &["c"])];
        check(uneven, "'text' has 2 items and input 'text_pair' has 1");
        let wide = vec![bytes("text", &[1, 2], &["a", "b"]), bytes("text_pair", &[1], &["c"])];
        check(wide, "input 'text' must have shape");
    }
}
