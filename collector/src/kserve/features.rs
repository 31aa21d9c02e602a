//! Features of logged bodies, under the names that the proxy gives (`inference-proxy/src/features.rs`, the same choices:
//! narrow rows give a feature a column, wide ones four statistics, long vectors eight projections).
//!
//! What needs the model is not known here: its columns' names, its tokenizer, its schema. What a look at a text tells is
//! told by one crate for both; where both compute something else that could differ, their tests share one oracle.

use std::collections::BTreeMap;

use contract::feature as names;
use contract::wire::{Feature, FeatureValue, Prediction};

use super::body::{Body, Data, Tensor};
use super::config::Model;

/// Features of one half; with those of the other they are what an observation may have.
pub(super) const FEATURES_MAX: usize = 32_768;
/// A row with more columns than this is summarised.
const MAX_COLUMNS: usize = 256;
/// A row with at least as many numbers is a vector in a space, and is projected.
const EMBEDDING_WIDTH: usize = 16;
/// Directions from which a vector is looked at.
const PROJECTIONS: u64 = 8;
/// The name of an output of words that are the classes that won.
const LABEL: &str = "label";
/// The same of a v1 answer.
const PREDICTIONS: &str = "predictions";

/// Features of a request; of more than [`FEATURES_MAX`] one too many.
pub(super) fn asked(body: &Body, model: &Model) -> Vec<Feature> {
    let mut out = Sink::default();
    // named values (v1) are a tensor an item: one input all the same
    let is_one_input = body.tensors.windows(2).all(|two| two[0].name == two[1].name);
    let is_text =
        |tensor: &Tensor| matches!(tensor.data, Data::Words(_)) && model.text.unwrap_or_else(|| tensor.columns() <= 2);
    if is_one_input && body.tensors.iter().all(is_text) {
        for tensor in &body.tensors {
            of_texts(std::slice::from_ref(&tensor), &mut out);
        }
        return out.0;
    }
    let (texts, others): (Vec<&Tensor>, Vec<&Tensor>) = body
        .tensors
        .iter()
        .partition(|tensor| matches!(tensor.data, Data::Words(_)) && model.texts.contains(&tensor.name));
    others.into_iter().for_each(|tensor| of_input(tensor, &mut out));
    of_texts(&texts, &mut out);
    out.0
}

/// The same of an answer, and its classifications where the configuration says which output holds them.
pub(super) fn given(body: &Body, model: &Model) -> (Vec<Feature>, Vec<Prediction>) {
    let mut out = Sink::default();
    let predictions = model.scores.as_ref().and_then(|scores| {
        let tensor = body.tensors.iter().find(|tensor| tensor.name == scores.output)?;
        of_classes(tensor, scores.logits, &model.labels, &mut out)
    });
    if predictions.is_none() {
        body.tensors.iter().for_each(|tensor| of_output(tensor, &mut out));
    }
    (out.0, predictions.unwrap_or_default())
}

#[derive(Default)]
struct Sink(Vec<Feature>);

impl Sink {
    fn put(&mut self, name: impl Into<String>, item: usize, value: FeatureValue) {
        // a small body makes millions of features, each with a name; the one too many refuses it
        if self.0.len() > FEATURES_MAX {
            return;
        }
        self.0.push(Feature { name: name.into(), item: u32::try_from(item).unwrap_or(u32::MAX), value });
    }

    fn number(&mut self, name: impl Into<String>, item: usize, value: f64) {
        self.put(name, item, FeatureValue::Number(value));
    }

    fn category(&mut self, name: impl Into<String>, item: usize, value: &str) {
        self.put(name, item, FeatureValue::Category(names::category(value).to_owned()));
    }
}

fn of_input(tensor: &Tensor, out: &mut Sink) {
    let width = tensor.columns();
    let name = |column: usize| match width {
        1 => format!("{}{}", names::INPUT_PREFIX, tensor.name),
        _ => format!("{}{}_{column}", names::INPUT_PREFIX, tensor.name),
    };
    let is_wide = tensor.shape.len() > 2 || width > MAX_COLUMNS;
    let columns: Vec<String> = if is_wide { vec![] } else { (0..width).map(name).collect() };
    match &tensor.data {
        Data::Nothing => columns.iter().for_each(|name| out.put(name.as_str(), tensor.first, FeatureValue::Missing)),
        Data::Numbers(numbers) if is_wide => {
            for (item, row) in rows(tensor, numbers) {
                statistics(&tensor.name, item, row, out);
            }
        }
        Data::Words(_) if is_wide => {}
        Data::Numbers(numbers) => {
            for (item, row) in rows(tensor, numbers) {
                columns.iter().zip(row).for_each(|(name, x)| out.number(name.as_str(), item, *x));
            }
        }
        Data::Words(words) => {
            for (item, row) in rows(tensor, words) {
                columns.iter().zip(row).for_each(|(name, word)| out.category(name.as_str(), item, word));
            }
        }
    }
}

/// Each row with the item that it is; of more rows than there may be features one too many.
fn rows<'a, T>(tensor: &Tensor, data: &'a [T]) -> impl Iterator<Item = (usize, &'a [T])> {
    (tensor.first..).zip(data.chunks(tensor.columns().max(1))).take(FEATURES_MAX + 1)
}

/// Mean, standard deviation (population), least and largest value. Squares are of the distance to the first number,
/// which keeps their difference exact where the mean is far from 0 (Chan, Golub, LeVeque 1983).
fn statistics(tensor: &str, item: usize, row: &[f64], out: &mut Sink) {
    let Some(first) = row.first() else { return };
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
    for x in row {
        let distance = x - first;
        n += 1.0;
        sum += distance;
        squares += distance * distance;
        least = least.min(*x);
        largest = largest.max(*x);
    }
    let mean = sum / n;
    // of equal numbers rounding may leave a little less than 0; `max` would turn a NaN into 0
    let variance = squares / n - mean * mean;
    let deviation = if variance < 0.0 { 0.0 } else { variance.sqrt() };
    for (what, x) in [("mean", first + mean), ("std", deviation), ("min", least), ("max", largest)] {
        out.number(format!("{}{tensor}.{what}", names::INPUT_PREFIX), item, x);
    }
}

/// What a look tells of each item's text; of all of its texts together, where it has several.
fn of_texts(tensors: &[&Tensor], out: &mut Sink) {
    let mut passages: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for tensor in tensors {
        let Data::Words(words) = &tensor.data else { continue };
        for (item, texts) in rows(tensor, words) {
            passages.entry(item).or_default().extend(texts.iter().map(String::as_str));
        }
    }
    for (item, parts) in passages {
        texts::features(parts.into_iter()).into_iter().for_each(|(name, value)| out.put(name, item, value));
    }
}

/// A regression's number, a vector's length and where it points, or the word that won.
fn of_output(tensor: &Tensor, out: &mut Sink) {
    let (width, base) = (tensor.columns(), format!("{}{}", names::OUTPUT_PREFIX, tensor.name));
    match &tensor.data {
        Data::Nothing => {}
        Data::Words(words) => {
            if width == 1 && [LABEL, PREDICTIONS].contains(&tensor.name.as_str()) {
                rows(tensor, words).for_each(|(item, row)| out.category(names::OUTPUT_LABEL, item, &row[0]));
            }
        }
        Data::Numbers(numbers) => {
            for (item, row) in rows(tensor, numbers) {
                if width == 1 {
                    row.iter().for_each(|x| out.number(base.as_str(), item, *x));
                    continue;
                }
                let norm = row.iter().map(|x| x * x).sum::<f64>().sqrt();
                out.number(format!("{base}.norm"), item, norm);
                if tensor.shape.len() == 2 && width >= EMBEDDING_WIDTH {
                    for direction in 0..PROJECTIONS {
                        let projection = project(row, direction) / norm.max(f64::MIN_POSITIVE);
                        out.number(format!("{base}.p{direction}"), item, projection);
                    }
                }
            }
        }
    }
}

/// The sum of the numbers, each with a sign drawn by `SplitMix64` (Steele, Lea, Flood 2014) seeded with the direction + 1:
/// number `i` is negative where bit `i mod 64` of draw `i div 64` is set. Random signs keep distances (Achlioptas 2003).
fn project(numbers: &[f64], direction: u64) -> f64 {
    let mut state = direction + 1;
    let blocks = numbers.chunks(64).map(|block| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (block, z ^ (z >> 31))
    });
    blocks
        .flat_map(|(block, signs)| {
            block.iter().enumerate().map(move |(i, x)| if signs >> i & 1 == 1 { -x } else { *x })
        })
        .sum()
}

/// The classification of every item; `None` where the output is none of these labels.
fn of_classes(tensor: &Tensor, logits: bool, labels: &[String], out: &mut Sink) -> Option<Vec<Prediction>> {
    let Data::Numbers(numbers) = &tensor.data else { return None };
    let classes = tensor.columns();
    if classes != labels.len() || classes == 0 || numbers.iter().any(|x| !x.is_finite()) {
        return None;
    }
    let mut all = Vec::new();
    for (item, row) in rows(tensor, numbers) {
        let scores = if logits { softmax(row) } else { row.to_vec() };
        let mut ranked: Vec<(&str, f64)> = labels.iter().map(String::as_str).zip(scores).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        let (label, confidence) = *ranked.first()?;
        let margin = confidence - ranked.get(1).map_or(0.0, |second| second.1);
        let entropy = ranked.iter().map(|(_, p)| if *p > 0.0 { -p * p.ln() } else { 0.0 }).sum::<f64>().max(0.0);
        out.category(names::OUTPUT_LABEL, item, label);
        out.number(names::OUTPUT_CONFIDENCE, item, confidence);
        out.number(names::OUTPUT_MARGIN, item, margin);
        out.number(names::OUTPUT_ENTROPY, item, entropy);
        // the last of all classes says nothing that the others do not
        for ((label, _), name) in
            ranked.iter().take(classes - 1).skip(1).zip([names::OUTPUT_LABEL_2, names::OUTPUT_LABEL_3])
        {
            out.category(name, item, label);
        }
        all.push(Prediction { label: label.to_owned(), confidence, margin, entropy });
    }
    Some(all)
}

fn softmax(row: &[f64]) -> Vec<f64> {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = row.iter().map(|x| (x - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::super::body;
    use super::super::config::Scores;
    use super::*;

    #[track_caller]
    fn check(found: &[Feature], name: &str, item: u32, expected: f64) {
        let value = found.iter().find(|f| f.name == name && f.item == item).map(|f| &f.value);
        match value {
            Some(FeatureValue::Number(x)) => assert!((x - expected).abs() < 1e-9, "{name} is {x}, not {expected}"),
            other => panic!("{name} is {other:?} in {found:?}"),
        }
    }

    #[test]
    fn columns_texts_and_wide_rows() {
        let of = |text: &str| asked(&body::read(text.as_bytes(), body::ASKED).unwrap(), &Model::default());
        check(&of(r#"{"instances":[[6.8,2.8],[6.0,3.4]]}"#), "input.instances_1", 1, 3.4);
        check(&of(r#"{"instances":[{"age":41,"job":"cook"}]}"#), "input.age", 0, 41.0);
        check(&of(r#"{"instances":["é12x"]}"#), names::TEXT_DIGIT_RATE, 0, 0.5);
        let language = of(r#"{"instances":["Mein Paket ist noch immer nicht angekommen, niemand geht ans Telefon."]}"#);
        let language = language.into_iter().find(|f| f.name == names::TEXT_LANGUAGE).map(|f| f.value);
        assert_eq!(language, Some(FeatureValue::Category("deu".to_owned())));
        // texts stay texts, however many come together
        check(&of(r#"{"instances":[{"text":"a"},{"text":"é12x"}]}"#), names::TEXT_CHARS, 1, 4.0);
        let long = of(&format!(r#"{{"instances":[{{"age":1,"note":"{}"}}]}}"#, "x".repeat(65)));
        assert_eq!(long[1].value, FeatureValue::Category(names::LONG_CATEGORY.to_owned()));
        check(&of(r#"{"instances":[{"who":{"age":41}}]}"#), "input.who.age", 0, 41.0);
        let wide =
            format!(r#"{{"inputs":[{{"name":"i","datatype":"FP32","shape":[1,300],"data":{:?}}}]}}"#, [2.0; 300]);
        let wide = of(&wide);
        check(&wide, "input.i.mean", 0, 2.0);
        assert_eq!(wide.len(), 4);
        assert_eq!(of(r#"{"instances":[{"age":null}]}"#)[0].value, FeatureValue::Missing);
    }

    #[test]
    fn of_more_features_than_may_be_one_is_too_many() {
        let one = r#"{"a":1},"#.repeat(FEATURES_MAX + 7);
        for (body, count) in [
            (format!(r#"{{"instances":[{}]}}"#, one.trim_end_matches(',')), FEATURES_MAX + 1),
            (format!(r#"{{"instances":{:?}}}"#, vec![[1.0; 9]; FEATURES_MAX / 8]), FEATURES_MAX + 1),
            (format!(r#"{{"instances":{:?}}}"#, vec![[1.0; 8]; FEATURES_MAX / 8]), FEATURES_MAX),
        ] {
            let body = body::read(body.as_bytes(), body::ASKED).unwrap();
            assert_eq!(asked(&body, &Model::default()).len(), count);
        }
    }

    #[test]
    fn texts_beside_other_values_are_texts_where_the_configuration_says_so() {
        let body =
            br#"{"instances":[{"age":41,"subject":"late","note":"\u00e912x"},{"age":3,"subject":"a","note":"b"}]}"#;
        let body = body::read(body, body::ASKED).unwrap();
        let words = asked(&body, &Model::default());
        assert!(words.iter().any(|f| f.name == "input.note") && !words.iter().any(|f| f.name == names::TEXT_CHARS));
        let texts = vec!["subject".to_owned(), "note".to_owned()];
        let found = asked(&body, &Model { texts, ..Model::default() });
        check(&found, "input.age", 1, 3.0);
        // of both together
        check(&found, names::TEXT_CHARS, 0, 8.0);
        check(&found, names::TEXT_CHARS, 1, 2.0);
        assert!(!found.iter().any(|f| f.name == "input.note"));
    }

    /// The oracle is that of the proxy's test of the same name.
    #[test]
    fn projections_are_the_same_for_ever() {
        let ramp: Vec<f64> = (0..100).map(f64::from).collect();
        let tensor = Tensor { name: "e".into(), shape: vec![1, 100], data: Data::Numbers(ramp), first: 0 };
        let mut out = Sink::default();
        of_output(&tensor, &mut out);
        check(&out.0, "output.e.p0", 0, 0.603_820_131_605_778_5);
        check(&out.0, "output.e.p7", 0, 0.268_752_312_911_242_46);
        assert_eq!(out.0.len(), 9);
    }

    /// Python: `m = [math.exp(x) for x in (1, 3, 2)]; p = [x / sum(m) for x in m]; max(p), -sum(x * math.log(x) for x in p)`
    #[test]
    fn classes_are_read_where_the_configuration_says_so() {
        let answer = br#"{"outputs":[{"name":"s","datatype":"FP32","shape":[1,3],"data":[1,3,2]}]}"#;
        let answer = body::read(answer, body::GIVEN).unwrap();
        let labels: Vec<String> = ["a", "b", "c"].map(str::to_owned).to_vec();
        let scores = Some(Scores { output: "s".into(), logits: true });
        let (found, predictions) = given(&answer, &Model { labels, scores, ..Model::default() });
        assert_eq!(predictions[0].label, "b");
        check(&found, names::OUTPUT_CONFIDENCE, 0, 0.665_240_955_774_821_9);
        check(&found, names::OUTPUT_ENTROPY, 0, 0.832_395_581_839_938_9);
        let second = found.iter().find(|f| f.name == names::OUTPUT_LABEL_2).map(|f| f.value.clone());
        assert_eq!(second, Some(FeatureValue::Category("c".into())));
        let (found, predictions) = given(&answer, &Model::default());
        assert!(predictions.is_empty());
        check(&found, "output.s.norm", 0, 14_f64.sqrt());
    }
}
