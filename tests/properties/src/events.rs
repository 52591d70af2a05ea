//! Events out of any bytes.

/// More would only make a check slow.
const MOST: usize = 24;

/// Cuts bytes into the bodies of events: each line is one.
pub(crate) fn split(bytes: &[u8]) -> Vec<&[u8]> {
    bytes.splitn(MOST, |byte| *byte == b'\n').collect()
}
