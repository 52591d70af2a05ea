//! What bodies are read into.

use std::ops::{Deref, DerefMut, RangeInclusive};
use std::sync::{Mutex, PoisonError};

/// Buffers that are done with. The next body finds its memory here, often still in a processor's cache, and no allocator
/// has to keep pages for bodies that are of many sizes and end on other threads than they began on.
static DONE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many are kept at most: more than processors work on at a time.
const MOST: usize = 8;

/// Smaller ones are an allocator's everyday work, and what larger ones would hold is too much.
const KEPT: RangeInclusive<usize> = 32 * 1024..=1024 * 1024;

/// A vector of bytes whose memory is used again.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

impl Buffer {
    /// At least so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        if !KEPT.contains(&bytes) {
            return Self(Vec::with_capacity(bytes));
        }
        let done = Self::done(bytes);
        // Of a few sizes, so that it fits others.
        Self(done.unwrap_or_else(|| Vec::with_capacity(bytes.next_multiple_of(128 * 1024))))
    }

    fn done(bytes: usize) -> Option<Vec<u8>> {
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        // The last is the warmest.
        let last = done.iter().rposition(|buffer| buffer.capacity() >= bytes)?;
        Some(done.remove(last))
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if !KEPT.contains(&self.0.capacity()) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.0);
        buffer.clear();
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        if done.len() == MOST {
            done.remove(0);
        }
        done.push(buffer);
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_empty_and_large_enough_whatever_was_there_before() {
        for bytes in [0, 100, 40_000, 1024 * 1024, 130_000, 2_000_000, 200_000] {
            for _ in 0..2 * MOST {
                let mut buffer = Buffer::with_capacity(bytes);
                assert!(buffer.is_empty() && buffer.capacity() >= bytes);
                buffer.extend(std::iter::repeat_n(7, bytes));
            }
        }
        let done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(done.len() <= MOST);
        assert!(done.iter().all(|buffer| KEPT.contains(&buffer.capacity())));
    }
}
