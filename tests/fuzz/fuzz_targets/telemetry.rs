//! Any bytes through [`properties::telemetry::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::telemetry::check(bytes));
