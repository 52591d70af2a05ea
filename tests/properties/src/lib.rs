//! What holds for any input: of a batch's envelope, of an event's body, of an archived file, and of what a client says to the local
//! hub.
//!
//! Each module has one `check`, which says what it holds its input against, and panics where that does not hold. The
//! tests of this crate run them over mutated good inputs and over the corpus; `tests/fuzz` runs them over whatever
//! libFuzzer comes up with. What a fuzzer finds goes into the corpus, so that `cargo test` knows it from then on.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "to panic is what a check is for"
)]

pub mod amqp;
pub mod archive;
pub mod envelope;
mod events;
pub mod telemetry;
