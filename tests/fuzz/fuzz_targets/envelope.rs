//! Any bytes through [`properties::envelope::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::envelope::check(bytes));
