//! The masker on any bytes: it does not panic, and masking what it wrote finds nothing and changes nothing.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use masking::{Masker, RawConfig, RawOperator};

/// One masker an operator.
static MASKERS: LazyLock<Vec<Masker>> = LazyLock::new(|| {
    let of = |operator| {
        let mut config = RawConfig { operator, ..RawConfig::default() };
        config.keys.active = "fuzz".into();
        config.keys.secrets = [("fuzz".into(), "0123456789abcdef0123456789abcdef".into())].into();
        Masker::new(&config).expect("the configuration is right")
    };
    [RawOperator::Replace, RawOperator::Mask, RawOperator::Redact, RawOperator::Hash].map(of).into()
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let masker = &MASKERS[usize::from(*choice) % MASKERS.len()];
    let text = String::from_utf8_lossy(rest);
    let (masked, _) = masker.mask_text(&text);
    let (again, hits) = masker.mask_text(&masked);
    assert!(hits.total() == 0 && again == masked, "{masked:?} is masked again: {hits:?}");
    if let Ok(value) = serde_json::from_slice(rest)
        && let Ok((masked, _)) = masker.find_json(value)
    {
        let (again, spans) = masker.find_json(masked.clone()).expect("what is masked passes no limit");
        assert!(spans.is_empty() && again == masked, "{masked} is masked again: {spans:?}");
    }
});
