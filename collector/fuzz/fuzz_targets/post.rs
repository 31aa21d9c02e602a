//! Any bytes as a post of observations or labels: no panic, whatever form they are said to have.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| collector::fuzzing::post(bytes));
