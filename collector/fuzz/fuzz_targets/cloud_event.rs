//! Any bytes as a CloudEvent of KServe's logger, headers and body: no panic, and what is acknowledged reads back.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| collector::fuzzing::cloud_event(bytes));
