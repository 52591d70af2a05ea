//! Any bytes through [`properties::archive::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::archive::check(bytes));
