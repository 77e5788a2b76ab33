//! Copies to and from memory that a peer may be writing at the same moment. Leaves out all checks of
//! bounds: [`Mapping`](crate::Mapping) makes them.
//!
//! For such memory `memcpy` is undefined behaviour, since the language takes its accesses for
//! exclusive. The copies here are relaxed atomic accesses, or an instruction that the compiler cannot
//! look into. A copy that meets a writing peer gets bytes from before and after; nothing worse
//! happens. The order of the copy against other accesses is the caller's business: an acquire load
//! before a copy out, a release store after a copy in.

// Reads and writes through raw pointers into a mapping, which is all this file does.
#![allow(unsafe_code)]

// Not the facade's types: loom has no mapped memory, and no model calls this file.
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Bytes in a word.
const WORD: usize = size_of::<u64>();

/// Copies longer than this many bytes go by the string instruction, where the processor has one.
/// Words are faster below, in one-way rates and in round trips, and slower above.
const WORDS_MAX: usize = 256;

/// Copies `source` to the shared bytes from `destination` on.
///
/// # Safety
///
/// `source.len()` bytes from `destination` on lie in one live, writable shared mapping, and no Rust
/// reference to plain bytes covers any of them.
pub(crate) unsafe fn copy_in(destination: *mut u8, source: &[u8]) {
    if HAS_STRING_MOVE && source.len() > WORDS_MAX {
        // SAFETY: the caller's promise covers the destination, the slice the source, and they do
        // not overlap: nobody has a reference to the destination.
        return unsafe { string_move(source.as_ptr(), destination, source.len()) };
    }
    let (first, rest) = source.split_at(destination.align_offset(WORD).min(source.len()));
    let words = rest.chunks_exact(WORD);
    let mut at = destination;
    let put_byte = |at: &mut *mut u8, byte: u8| {
        // SAFETY: within the bytes that the caller promised; a byte needs no alignment.
        unsafe { AtomicU8::from_ptr(*at) }.store(byte, Ordering::Relaxed);
        *at = at.wrapping_add(1);
    };
    first.iter().for_each(|&byte| put_byte(&mut at, byte));
    let last = words.remainder();
    for word in words {
        let word = u64::from_ne_bytes(word.try_into().expect("chunks of a word"));
        // SAFETY: within the bytes that the caller promised, and aligned by the first bytes.
        unsafe { AtomicU64::from_ptr(at.cast()) }.store(word, Ordering::Relaxed);
        at = at.wrapping_add(WORD);
    }
    last.iter().for_each(|&byte| put_byte(&mut at, byte));
}

/// Copies the shared bytes from `source` on to `destination`.
///
/// # Safety
///
/// `destination.len()` bytes from `source` on lie in one live shared mapping, and no Rust reference
/// to plain bytes covers any of them. The mapping may be read-only.
pub(crate) unsafe fn copy_out(source: *const u8, destination: &mut [u8]) {
    if HAS_STRING_MOVE && destination.len() > WORDS_MAX {
        // SAFETY: the caller's promise covers the source, the slice the destination, and they do
        // not overlap: nobody has a reference to the source.
        return unsafe { string_move(source, destination.as_mut_ptr(), destination.len()) };
    }
    let head = source.align_offset(WORD).min(destination.len());
    let (first, rest) = destination.split_at_mut(head);
    let mut words = rest.chunks_exact_mut(WORD);
    // The atomics' constructors take a mutable pointer; nothing is written through it.
    let mut at = source.cast_mut();
    let get_byte = |at: &mut *mut u8| {
        // SAFETY: within the bytes that the caller promised; a byte needs no alignment.
        let byte = unsafe { AtomicU8::from_ptr(*at) }.load(Ordering::Relaxed);
        *at = at.wrapping_add(1);
        byte
    };
    first.iter_mut().for_each(|byte| *byte = get_byte(&mut at));
    for word in &mut words {
        // SAFETY: within the bytes that the caller promised, and aligned by the first bytes.
        let value = unsafe { AtomicU64::from_ptr(at.cast()) }.load(Ordering::Relaxed);
        word.copy_from_slice(&value.to_ne_bytes());
        at = at.wrapping_add(WORD);
    }
    words.into_remainder().iter_mut().for_each(|byte| *byte = get_byte(&mut at));
}

/// Makes the shared bytes from `destination` on zeros.
///
/// # Safety
///
/// `len` bytes from `destination` on lie in one live, writable shared mapping, and no Rust reference to
/// plain bytes covers any of them. Both are multiples of a word.
#[cfg_attr(ipc_loom, allow(dead_code))]
pub(crate) unsafe fn clear(destination: *mut u8, len: usize) {
    for at in (0..len).step_by(WORD) {
        let word = destination.wrapping_add(at).cast();
        // SAFETY: within the bytes that the caller promised, and aligned.
        unsafe { AtomicU64::from_ptr(word) }.store(0, Ordering::Relaxed);
    }
}

/// Whether [`string_move`] exists here. Miri runs no assembly.
const HAS_STRING_MOVE: bool = cfg!(all(target_arch = "x86_64", not(miri)));

/// Copies by `rep movsb`: to the compiler it is an opaque access to both ranges.
///
/// # Safety
///
/// `source` is readable and `destination` writable for `len` bytes, and the ranges do not overlap.
#[cfg(target_arch = "x86_64")]
unsafe fn string_move(source: *const u8, destination: *mut u8, len: usize) {
    // SAFETY: the caller's promise; the direction flag is clear on entry to any assembly block.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") source => _,
            inout("rdi") destination => _,
            options(nostack, preserves_flags),
        );
    }
}

/// Never called: other processors copy by words whatever the length.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn string_move(_: *const u8, _: *mut u8, _: usize) {
    unreachable!("HAS_STRING_MOVE is false")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every length across the change of method, at every alignment: exactly the bytes asked for
    /// move, and none beside them.
    #[test]
    fn copies_move_exactly_the_bytes_asked_for() {
        let pattern: Vec<u8> = (0..400).map(|i| (i % 251) as u8 + 1).collect();
        for start in 0..9 {
            for len in (0..40).chain(WORDS_MAX - 10..WORDS_MAX + 10) {
                let mut memory = vec![0_u64; 64];
                let base = memory.as_mut_ptr().cast::<u8>();
                // SAFETY: 512 bytes were allocated, of which 9 + 276 at most are used; no reference
                // to them lives during the call.
                unsafe { copy_in(base.wrapping_add(start), &pattern[..len]) };
                let mut out = vec![0; len + 2];
                // SAFETY: as above.
                unsafe { copy_out(base.wrapping_add(start), &mut out[1..=len]) };
                assert_eq!(out[1..=len], pattern[..len], "start {start}, length {len}");
                assert_eq!((out[0], out[len + 1]), (0, 0), "start {start}, length {len}");
                let written = memory.iter().flat_map(|w| w.to_ne_bytes());
                assert_eq!(written.filter(|&b| b != 0).count(), len, "start {start}");
            }
        }
    }
}
