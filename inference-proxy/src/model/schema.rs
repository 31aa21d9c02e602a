//! What the columns of a table may hold, as `driftline.toml` declares it, and where a request breaks that.
//!
//! A violation refuses nothing: the model answers, and the violation is counted and observed. What cannot be answered at
//! all is refused by `validate`.

use std::collections::{BTreeMap, BTreeSet};

use contract::feature;

use super::folder::InputSettings;
use super::metadata::TensorSpec;
use crate::tensor::{Data, Tensor};

/// The rules of a model's inputs; empty where none are declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Schema {
    /// By input; columns in their order.
    inputs: BTreeMap<String, Vec<Column>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Column {
    index: usize,
    name: String,
    rule: Rule,
}

#[derive(Clone, Debug, PartialEq)]
enum Rule {
    /// Both ends are allowed.
    Range {
        low: f64,
        high: f64,
    },
    Categories(BTreeSet<String>),
}

/// How a value breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// A number outside the declared range.
    OutOfRange,
    /// A category that is not declared.
    UnseenCategory,
    /// Not a number where a range is declared.
    Missing,
}

impl Breach {
    /// The feature under which it is observed.
    #[must_use]
    pub const fn feature(self) -> &'static str {
        match self {
            Self::OutOfRange => feature::QUALITY_OUT_OF_RANGE,
            Self::UnseenCategory => feature::QUALITY_UNSEEN_CATEGORY,
            Self::Missing => feature::QUALITY_MISSING,
        }
    }

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OutOfRange => "out_of_range",
            Self::UnseenCategory => "unseen_category",
            Self::Missing => "missing",
        }
    }
}

/// A value that breaks its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation<'a> {
    /// Which item of the request, from 0.
    pub item: usize,
    /// The column.
    pub column: &'a str,
    /// How.
    pub breach: Breach,
}

impl Schema {
    /// The rules of `driftline.toml` for these inputs, whose columns have their names already.
    ///
    /// # Errors
    /// A sentence naming the input and the column that do not fit.
    pub(crate) fn read(settings: &BTreeMap<String, InputSettings>, inputs: &[TensorSpec]) -> Result<Self, String> {
        let mut all = BTreeMap::new();
        for (name, settings) in settings {
            let Some(spec) = inputs.iter().find(|spec| spec.name == *name) else {
                return Err(format!("driftline.toml names the input '{name}', which the graph does not have"));
            };
            let ranges = settings.ranges.iter().map(|(name, &[low, high])| (name, Rule::Range { low, high }));
            let categories = settings.categories.iter().map(|(name, set)| (name, Rule::Categories(set.clone())));
            let columns: Result<Vec<Column>, String> =
                ranges.chain(categories).map(|(column, rule)| Column::new(spec, column, rule)).collect();
            let mut columns = columns?;
            columns.sort_by_key(|column| column.index);
            if !columns.is_empty() {
                all.insert(name.clone(), columns);
            }
        }
        Ok(Self { inputs: all })
    }

    /// Whether nothing is declared.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }

    /// How each column that has a rule can break it.
    pub fn breaches(&self) -> impl Iterator<Item = (&str, Breach)> {
        let of = |column: &Column| match column.rule {
            Rule::Range { .. } => [Breach::OutOfRange, Breach::Missing].as_slice(),
            Rule::Categories(_) => &[Breach::UnseenCategory],
        };
        self.inputs
            .values()
            .flatten()
            .flat_map(move |column| of(column).iter().map(|&breach| (column.name.as_str(), breach)))
    }

    /// What of a tensor breaks its rules, row after row.
    pub fn violations<'a>(&'a self, tensor: &'a Tensor) -> impl Iterator<Item = Violation<'a>> {
        let columns = self.inputs.get(tensor.name()).map(Vec::as_slice).unwrap_or_default();
        let rows = tensor.shape().first().copied().unwrap_or(1);
        let width: usize = tensor.shape().iter().skip(1).product();
        (0..rows).flat_map(move |item| {
            columns.iter().filter_map(move |column| {
                let breach = column.breach(tensor.data(), item * width + column.index)?;
                Some(Violation { item, column: &column.name, breach })
            })
        })
    }
}

impl Column {
    fn new(spec: &TensorSpec, name: &str, rule: Rule) -> Result<Self, String> {
        let input = &spec.name;
        let index = match spec.columns.iter().position(|column| column == name) {
            Some(index) => index,
            None if spec.columns.is_empty() && name == input => 0,
            None => {
                return Err(format!("driftline.toml has a rule for '{name}', which is no column of input '{input}'"));
            }
        };
        match (&rule, spec.datatype) {
            (Rule::Range { .. }, "BYTES") => {
                Err(format!("column '{name}' of input '{input}' is BYTES: give it categories, not a range"))
            }
            (Rule::Categories(_), datatype) if datatype != "BYTES" => {
                Err(format!("column '{name}' of input '{input}' is {datatype}: give it a range, not categories"))
            }
            _ => Ok(Self { index, name: name.to_owned(), rule }),
        }
    }

    fn breach(&self, data: &Data, at: usize) -> Option<Breach> {
        match (&self.rule, data) {
            (Rule::Categories(allowed), Data::Bytes(values)) => {
                let unseen = !allowed.contains(values.get(at)?);
                unseen.then_some(Breach::UnseenCategory)
            }
            (Rule::Range { low, high }, numbers) => match crate::features::number(numbers, at)? {
                x if x.is_nan() => Some(Breach::Missing),
                x if x < *low || x > *high => Some(Breach::OutOfRange),
                _ => None,
            },
            (Rule::Categories(_), _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(name: &str, datatype: &'static str, columns: &[&str]) -> TensorSpec {
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        TensorSpec { name: name.into(), datatype, shape: vec![-1, 2], columns }
    }

    fn schema(settings: &str) -> Result<Schema, String> {
        let inputs = [spec("person", "FP32", &["age", "height"]), spec("colour", "BYTES", &[])];
        Schema::read(&toml::from_str(settings).unwrap(), &inputs)
    }

    #[test]
    fn each_breach_is_told_with_its_column() {
        let schema = schema(
            "[person]\nranges = { age = [0, 120], height = [0.3, 2.6] }\n[colour]\ncategories = { colour = ['red', 'blue'] }\n",
        )
        .unwrap();
        let people = Data::Fp32(vec![30.0, 1.7, 120.0, 3.0, -1.0, f32::NAN, f32::INFINITY, 0.5]);
        let people = Tensor::new("person", vec![4, 2], people).unwrap();
        let found: Vec<_> = schema.violations(&people).map(|v| (v.item, v.column, v.breach)).collect();
        assert_eq!(
            found,
            [
                (1, "height", Breach::OutOfRange),
                (2, "age", Breach::OutOfRange),
                (2, "height", Breach::Missing),
                (3, "age", Breach::OutOfRange)
            ]
        );
        let colours = Tensor::new("colour", vec![2, 1], Data::Bytes(vec!["red".into(), "mauve".into()])).unwrap();
        let found: Vec<_> = schema.violations(&colours).collect();
        assert_eq!(found, [Violation { item: 1, column: "colour", breach: Breach::UnseenCategory }]);
        assert_eq!(schema.breaches().count(), 5, "a range can be broken in two ways, a category in one");
    }

    #[test]
    fn rules_that_fit_no_column_are_refused() {
        let check = |settings: &str, part: &str| {
            let why = schema(settings).unwrap_err();
            assert!(why.contains(part), "{why}");
        };
        check("[nobody]\nranges = { x = [0, 1] }", "the input 'nobody', which the graph does not have");
        check("[person]\nranges = { weight = [0, 1] }", "'weight', which is no column of input 'person'");
        check("[person]\ncategories = { age = ['old'] }", "is FP32: give it a range");
        check("[colour]\nranges = { colour = [0, 1] }", "is BYTES: give it categories");
    }
}
