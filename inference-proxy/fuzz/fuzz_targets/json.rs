//! Arbitrary bytes as an inference request in JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inference_proxy::fuzzing::json(data));
