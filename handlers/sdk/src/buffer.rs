//! What bodies are read into.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// Buffers that are done with. The next body finds its memory here, often still in a processor's cache, and no allocator
/// has to keep pages for bodies that are of many sizes and end on other threads than they began on.
static DONE: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

/// How many are kept at most: more than processors work on at a time.
const MOST: usize = 8;

/// Smaller ones are an allocator's everyday work, and what larger ones would hold is too much.
const KEPT: std::ops::RangeInclusive<usize> = 32 * 1024..=1024 * 1024;

/// A vector of bytes whose memory is used again.
pub(crate) struct Buffer(pub(crate) Vec<u8>);

impl Buffer {
    /// At least so many bytes.
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        if !KEPT.contains(&bytes) {
            return Self(Vec::with_capacity(bytes));
        }
        let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
        let last = done
            .iter()
            .rposition(|buffer| buffer.capacity() >= bytes);
        match last {
            Some(last) => Self(done.remove(last)),
            // Of a few sizes, so that it fits others.
            None => Self(Vec::with_capacity(bytes.next_multiple_of(128 * 1024))),
        }
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
