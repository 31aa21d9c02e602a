//! Arbitrary bytes as an inference request of gRPC's.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| inference_proxy::fuzzing::grpc(data));
