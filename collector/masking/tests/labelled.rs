//! A labelled set: identifiers from their public specifications in sentences, and near misses that must survive.
//!
//! `cases.tsv` holds `entity<TAB>text`, with the identifier in «»; `none` is a near miss. `\n` is a line break.
#![allow(clippy::unwrap_used)]

use masking::{Entity, Masker, RawConfig};

fn check(line: &str, masker: &Masker) -> Result<(), String> {
    let (label, text) = line.split_once('\t').expect("entity, tab, text");
    let text = text.replace("\\n", "\n").replace("\\\\", "\\");
    let (plain, expected) = match (label, text.split_once('«')) {
        ("none", None) => (text.clone(), text.clone()),
        (_, Some((before, rest))) => {
            let (inside, after) = rest.split_once('»').expect("a closing mark");
            let entity = Entity::ALL.into_iter().find(|e| e.as_str() == label).expect("an entity");
            (format!("{before}{inside}{after}"), format!("{before}{}{after}", entity.marker()))
        }
        _ => panic!("malformed: {line}"),
    };
    let (masked, hits) = masker.mask_text(&plain);
    if masked != expected {
        return Err(format!("{label}: {plain:?} became {masked:?}, not {expected:?}"));
    }
    assert_eq!(hits.total(), u64::from(label != "none"), "{plain}");
    let (again, none) = masker.mask_text(&masked);
    assert!(again == masked && none.total() == 0, "the masked text is masked again: {masked:?}");
    Ok(())
}

#[test]
fn every_case_is_as_labelled() {
    let masker = Masker::new(&RawConfig::default()).unwrap();
    let cases: Vec<&str> = include_str!("cases.tsv").lines().collect();
    assert!(cases.len() > 400, "{}", cases.len());
    let wrong: Vec<String> = cases.iter().filter_map(|line| check(line, &masker).err()).collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
