//! Any bytes through [`properties::amqp::check`].
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| properties::amqp::check(bytes));
