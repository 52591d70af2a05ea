//! Who does the cryptography of TLS: ring. Without a choice reqwest panics, and by its own it would be AWS-LC, which takes longer
//! to compile than any other crate.

use std::sync::Once;

use rustls::crypto::{CryptoProvider, ring};

/// For MQTT, whose client asks for nobody's choice.
pub(crate) fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// Chooses for the process. Whatever makes an HTTP client calls this before it.
pub(crate) fn choose() {
    static CHOSEN: Once = Once::new();
    CHOSEN.call_once(|| {
        // Refused where the program that this is part of has chosen already, which is as good.
        _ = provider().install_default();
    });
}
