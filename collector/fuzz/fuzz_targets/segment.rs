//! Any bytes as a segment of the log: no panic, and nothing is read that is not there.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| collector::fuzzing::segment(bytes));
