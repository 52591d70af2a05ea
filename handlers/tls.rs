//! Who does the cryptography of TLS: ring, everywhere in this process.
//!
//! reqwest, which the Azure crates send with, would bring AWS-LC by itself, whose C code takes longer to compile than any other
//! crate. It has been told to bring nothing, and then asks rustls for what the process has chosen.

use std::sync::Once;

/// Chooses. Whatever makes an HTTP client calls this before it: without a choice, reqwest panics.
pub fn choose() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Refused where the program that this is part of has chosen already, which is as good.
        _ = rustls::crypto::ring::default_provider().install_default();
    });
}
