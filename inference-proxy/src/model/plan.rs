//! How a loaded graph is fed and read: which input takes what, which output holds the classes, what a good answer is.

use crate::tensor::{Data, Tensor};

use super::head::Head;
use super::metadata::TensorSpec;
use super::rows;
use super::text::Encoded;

/// What a session is asked to run.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// One text.
    Tokens(Encoded),
    /// Tensors in the order of the graph's inputs.
    Tensors(Vec<Tensor>),
}

/// How a graph is fed and read.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) feed: Feed,
    /// The outputs that are read.
    pub(crate) outputs: Vec<TensorSpec>,
    /// Whether the first axis of every input and output is the item, so that requests can run together.
    pub(crate) splits: bool,
    /// What the outputs mean.
    pub(crate) head: Head,
    pub(crate) allow_non_finite: bool,
}

/// What the graph's inputs take.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    Tokens(TokenFeed),
    Tensors(Vec<TensorSpec>),
}

/// The inputs of a graph that takes tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenFeed {
    pub(crate) mask: bool,
    pub(crate) types: bool,
    /// Whether it wants the tokens counted from 0, as decoders do.
    pub(crate) positions: bool,
    /// Whether they are 32-bit integers; 64 bits otherwise.
    pub(crate) narrow: bool,
    /// The id that fills up a batch.
    pub(crate) padding: u32,
}

/// Names of the inputs that a tokenizer can fill.
pub(crate) const IDS: &str = "input_ids";
pub(crate) const MASK: &str = "attention_mask";
pub(crate) const TYPES: &str = "token_type_ids";
pub(crate) const POSITIONS: &str = "position_ids";

impl Work {
    /// Items it adds to a batch.
    pub(crate) fn rows(&self) -> usize {
        match self {
            Self::Tokens(_) => 1,
            Self::Tensors(tensors) => tensors.iter().find_map(|t| t.shape().first().copied()).unwrap_or(1),
        }
    }

    /// Tokens of a text.
    pub(crate) fn tokens(&self) -> Option<usize> {
        match self {
            Self::Tokens(encoded) => Some(encoded.ids.len()),
            Self::Tensors(_) => None,
        }
    }
}

impl TokenFeed {
    /// The graph's inputs for these texts, padded to the longest, or to `least`.
    pub(crate) fn tensors(&self, texts: &[&Encoded], least: usize) -> Vec<Tensor> {
        let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or_default().max(least);
        let padded = |name: &str, values: &dyn Fn(&Encoded, usize) -> u32| {
            let cells = texts.iter().flat_map(|text| (0..longest).map(move |i| values(text, i)));
            let data = if self.narrow {
                Data::Int32(cells.map(u32::cast_signed).collect())
            } else {
                Data::Int64(cells.map(i64::from).collect())
            };
            Tensor::new(name, vec![texts.len(), longest], data).ok()
        };
        let ids = padded(IDS, &|text, i| text.ids.get(i).copied().unwrap_or(self.padding));
        let mask = || padded(MASK, &|text, i| u32::from(i < text.ids.len()));
        let types = || padded(TYPES, &|text, i| text.type_ids.get(i).copied().unwrap_or_default());
        let positions = || padded(POSITIONS, &|text, i| if i < text.ids.len() { i as u32 } else { 0 });
        let rest = [
            self.mask.then(mask).flatten(),
            self.types.then(types).flatten(),
            self.positions.then(positions).flatten(),
        ];
        std::iter::once(ids).chain(rest).flatten().collect()
    }
}

impl Plan {
    /// One work's share of the outputs, checked; its rows begin at `start` of `all`.
    ///
    /// # Errors
    /// A sentence naming the output that is of the wrong shape or not finite.
    pub(crate) fn share(
        &self,
        outputs: &[Tensor],
        start: usize,
        work: &Work,
        all: usize,
    ) -> Result<Vec<Tensor>, String> {
        let cut = |(spec, output): (&TensorSpec, &Tensor)| {
            let name = &spec.name;
            let wrong =
                || format!("output '{name}' has shape {:?} for {all} items, expected {:?}", output.shape(), spec.shape);
            let share = match (self.splits, work.tokens()) {
                (true, _) if output.shape().first() != Some(&all) => return Err(wrong()),
                (true, tokens) => self.head.share(output, start, work.rows(), tokens).ok_or_else(wrong)?,
                (false, Some(tokens)) if self.head.is_of_texts() => {
                    self.head.share(output, 0, 1, Some(tokens)).ok_or_else(wrong)?
                }
                (false, _) => output.clone(),
            };
            let fits = |(&found, &expected): (&usize, &i64)| expected < 0 || i64::try_from(found) == Ok(expected);
            let shape = self.head.share_shape(&spec.shape);
            if share.shape().len() != shape.len()
                || !share.shape().iter().zip(&shape).skip(usize::from(self.splits)).all(fits)
            {
                return Err(wrong());
            }
            match rows::first_non_finite(share.data()) {
                Some((at, value)) if !self.allow_non_finite => {
                    Err(format!("output '{name}' holds {value} at index {at}"))
                }
                _ => Ok(share),
            }
        };
        self.outputs.iter().zip(outputs).map(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::TextStats;
    use super::*;

    fn encoded(ids: &[u32]) -> Encoded {
        let stats = TextStats { tokens: 0, unknown_rate: 0.0, truncated: false };
        Encoded { ids: ids.to_vec(), type_ids: vec![0; ids.len()], spans: vec![], stats }
    }

    #[test]
    fn texts_are_padded_to_the_longest() {
        let feed = TokenFeed { mask: true, types: true, positions: true, narrow: false, padding: 9 };
        let tensors = feed.tensors(&[&encoded(&[1, 2, 3]), &encoded(&[4])], 0);
        let names: Vec<_> = tensors.iter().map(Tensor::name).collect();
        assert_eq!(names, [IDS, MASK, TYPES, POSITIONS]);
        assert_eq!(tensors[0].data(), &Data::Int64(vec![1, 2, 3, 4, 9, 9]));
        assert_eq!(tensors[1].data(), &Data::Int64(vec![1, 1, 1, 1, 0, 0]));
        assert_eq!(tensors[2].data(), &Data::Int64(vec![0; 6]));
        assert_eq!(tensors[3].data(), &Data::Int64(vec![0, 1, 2, 0, 0, 0]));
        let narrow = TokenFeed { mask: false, types: false, positions: false, narrow: true, padding: 0 };
        assert_eq!(narrow.tensors(&[&encoded(&[5])], 2)[0].data(), &Data::Int32(vec![5, 0]));
    }

    fn plan() -> Plan {
        let spec = TensorSpec { name: "y".into(), datatype: "FP32", shape: vec![-1, 2], columns: vec![] };
        let (feed, head) = (Feed::Tensors(vec![]), Head::Tensors);
        Plan { feed, outputs: vec![spec], splits: true, head, allow_non_finite: false }
    }

    fn output(shape: &[usize], values: &[f32]) -> Vec<Tensor> {
        vec![Tensor::new("y", shape.to_vec(), Data::Fp32(values.to_vec())).unwrap()]
    }

    #[test]
    fn one_bad_row_spoils_only_its_own_item() {
        let outputs = output(&[2, 2], &[1.0, 2.0, f32::NAN, 0.0]);
        let (plan, row) = (plan(), Work::Tensors(output(&[1, 2], &[0.0; 2])));
        assert!(plan.share(&outputs, 0, &row, 2).is_ok());
        assert_eq!(plan.share(&outputs, 1, &row, 2).unwrap_err(), "output 'y' holds NaN at index 0");
    }

    #[test]
    fn wrong_shapes_are_no_answers() {
        let (plan, row) = (plan(), Work::Tensors(output(&[1, 2], &[0.0; 2])));
        for (shape, values) in [(vec![2, 3], vec![0.0; 6]), (vec![1, 2], vec![0.0; 2]), (vec![2], vec![0.0; 2])] {
            assert!(plan.share(&output(&shape, &values), 0, &row, 2).unwrap_err().contains("has shape"), "{shape:?}");
        }
    }
}
