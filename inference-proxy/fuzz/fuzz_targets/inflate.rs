//! Arbitrary bytes as a compressed body.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inference_proxy::fuzzing::inflate(data));
