//! Arbitrary bytes as an inference request with raw tensors behind its JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inference_proxy::fuzzing::binary(data));
