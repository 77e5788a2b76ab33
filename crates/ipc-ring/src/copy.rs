//! Copying messages between private memory and memory that another process may write at the same
//! time.
//!
//! Rust's plain reads and writes assume that nobody else writes meanwhile, which a hostile peer can
//! break; relaxed atomic accesses and inline assembly assume nothing. Messages begin at a multiple of
//! eight and are padded to one. By length:
//!
//! | bytes | x86-64 | elsewhere |
//! |---|---|---|
//! | up to 128 | words | words |
//! | up to 1.5 KiB | blocks of 128 bytes through AVX registers, or SSE ones | words |
//! | more | `rep movsb`, which the processor turns into whole cache lines | words |

// Copies through raw pointers into mapped memory; inline assembly.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to this length, in bytes, words are fastest; see benches/record.
const BY_WORDS_MAX: usize = 128;
/// Up to this length, in bytes, blocks are faster than starting `rep movsb`. Beyond it `rep movsb` wins
/// where the two cores are far apart, since it takes whole lines without fetching them first.
const BY_BLOCKS_MAX: usize = 1536;
/// Bytes of a block.
const BLOCK: usize = 128;

/// Whether there are the instructions for blocks and `rep movsb`; Miri does not interpret assembly.
const BY_ASSEMBLY: bool = cfg!(all(target_arch = "x86_64", not(miri)));

/// Copies `source` to `target` in shared memory, with up to seven bytes of padding behind it.
///
/// # Safety
///
/// `target` is a multiple of eight and valid for writes of `source.len()` rounded up to a multiple of
/// eight.
#[inline]
pub(crate) unsafe fn copy_in(target: *mut u8, source: &[u8]) {
    let mut offset = 0;
    if source.len() > BY_WORDS_MAX && BY_ASSEMBLY {
        if source.len() > BY_BLOCKS_MAX {
            // SAFETY: `target` is valid for this many bytes, and no Rust reference overlaps it.
            return unsafe { move_bytes(target, source.as_ptr(), source.len()) };
        }
        if target.addr() % 16 == 8 {
            // One word first, so that stores of blocks straddle fewer cache lines.
            // SAFETY: in bounds, since the source is longer than a word.
            unsafe { word_at(target, 0) }.store(word_of(source), Ordering::Relaxed); // as below
            offset = 8;
        }
        // SAFETY: in bounds, since at least `offset` bytes are there.
        let (to, from) = (unsafe { target.add(offset) }, &source[offset..]);
        let bytes = from.len() / BLOCK * BLOCK;
        if bytes > 0 {
            // SAFETY: `to` is valid for this many bytes, and no Rust reference overlaps it.
            unsafe { move_blocks(to, from.as_ptr(), bytes) };
        }
        offset += bytes;
    }
    while offset + 8 <= source.len() {
        // SAFETY: in bounds, since a whole word of the source is left.
        let target = unsafe { word_at(target, offset) };
        target.store(word_of(&source[offset..]), Ordering::Relaxed); // published by the header
        offset += 8;
    }
    let rest = &source[offset..];
    if !rest.is_empty() {
        // SAFETY: in bounds, since the target is valid up to the next multiple of eight.
        let target = unsafe { word_at(target, offset) };
        target.store(short_word_of(rest), Ordering::Relaxed); // as above
    }
}

/// The first eight bytes.
#[inline]
fn word_of(bytes: &[u8]) -> u64 {
    u64::from_ne_bytes(*bytes.first_chunk().expect("eight bytes or more"))
}

/// One to seven bytes, and zeros.
#[inline]
fn short_word_of(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    for (target, byte) in word.iter_mut().zip(bytes) {
        *target = *byte;
    }
    u64::from_ne_bytes(word)
}

/// Copies from shared memory at `source` to `target`.
///
/// # Safety
///
/// `source` is a multiple of eight and valid for reads of `target.len()` rounded up to a multiple of
/// eight.
#[inline]
pub(crate) unsafe fn copy_out(target: &mut [u8], source: *const u8) {
    let mut offset = 0;
    if target.len() > BY_WORDS_MAX && BY_ASSEMBLY {
        if target.len() > BY_BLOCKS_MAX {
            // SAFETY: `source` is valid for this many bytes, and `target` is ours.
            return unsafe { move_bytes(target.as_mut_ptr(), source, target.len()) };
        }
        offset = target.len() / BLOCK * BLOCK;
        // SAFETY: as above.
        unsafe { move_blocks(target.as_mut_ptr(), source, offset) };
    }
    while offset + 8 <= target.len() {
        // SAFETY: in bounds, since a whole word of the target is left.
        let source = unsafe { word_at(source.cast_mut(), offset) };
        let word = source.load(Ordering::Relaxed); // acquired with the record's header
        target[offset..offset + 8].copy_from_slice(&word.to_ne_bytes());
        offset += 8;
    }
    let rest = &mut target[offset..];
    if !rest.is_empty() {
        // SAFETY: in bounds, since the source is valid up to the next multiple of eight.
        let source = unsafe { word_at(source.cast_mut(), offset) };
        let word = source.load(Ordering::Relaxed).to_ne_bytes(); // as above
        for (target, byte) in rest.iter_mut().zip(word) {
            *target = byte;
        }
    }
}

/// The word at an offset from `base`.
///
/// # Safety
///
/// `base + offset` is a multiple of eight in memory that stays mapped for the life of the reference.
unsafe fn word_at<'a>(base: *mut u8, offset: usize) -> &'a AtomicU64 {
    // SAFETY: in bounds by the caller's word.
    let word = unsafe { base.add(offset) }.cast::<u64>();
    // SAFETY: aligned and mapped by the caller's word, and only ever accessed as atomic words.
    unsafe { AtomicU64::from_ptr(word) }
}

/// `rep movsb`: the processor's own copy.
///
/// # Safety
///
/// `target` is valid for writes of `len` bytes and `source` for reads, and they do not overlap.
#[cfg(target_arch = "x86_64")]
unsafe fn move_bytes(target: *mut u8, source: *const u8, len: usize) {
    // SAFETY: the direction flag is clear, as the ABI demands; what is written is the caller's word.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rdi") target => _,
            inout("rsi") source => _,
            options(nostack, preserves_flags)
        );
    }
}

/// Copies whole blocks through the widest registers that are everywhere worth it.
///
/// # Safety
///
/// `len` is a multiple of [`BLOCK`] and not 0, `target` is valid for writes of that many bytes and
/// `source` for reads, and they do not overlap.
#[cfg(target_arch = "x86_64")]
#[inline]
unsafe fn move_blocks(target: *mut u8, source: *const u8, len: usize) {
    // Offsets run from `-len` up to 0, from the ends of both.
    let (target, source) = (target.wrapping_add(len), source.wrapping_add(len));
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: what is written is the caller's word; the processor and the system have AVX.
        unsafe {
            std::arch::asm!(
                "2:",
                "vmovups ymm0, [{source} + {offset}]",
                "vmovups ymm1, [{source} + {offset} + 32]",
                "vmovups ymm2, [{source} + {offset} + 64]",
                "vmovups ymm3, [{source} + {offset} + 96]",
                "vmovups [{target} + {offset}], ymm0",
                "vmovups [{target} + {offset} + 32], ymm1",
                "vmovups [{target} + {offset} + 64], ymm2",
                "vmovups [{target} + {offset} + 96], ymm3",
                "add {offset}, 128",
                "jnz 2b",
                "vzeroupper",
                source = in(reg) source,
                target = in(reg) target,
                offset = inout(reg) len.wrapping_neg() => _,
                out("ymm0") _,
                out("ymm1") _,
                out("ymm2") _,
                out("ymm3") _,
                options(nostack)
            );
        }
    } else {
        // SAFETY: what is written is the caller's word; SSE2 is part of x86-64.
        unsafe {
            std::arch::asm!(
                "2:",
                "movups {a}, [{source} + {offset}]",
                "movups {b}, [{source} + {offset} + 16]",
                "movups {c}, [{source} + {offset} + 32]",
                "movups {d}, [{source} + {offset} + 48]",
                "movups [{target} + {offset}], {a}",
                "movups [{target} + {offset} + 16], {b}",
                "movups [{target} + {offset} + 32], {c}",
                "movups [{target} + {offset} + 48], {d}",
                "add {offset}, 64",
                "jnz 2b",
                source = in(reg) source,
                target = in(reg) target,
                offset = inout(reg) len.wrapping_neg() => _,
                a = out(xmm_reg) _,
                b = out(xmm_reg) _,
                c = out(xmm_reg) _,
                d = out(xmm_reg) _,
                options(nostack)
            );
        }
    }
}

/// Never called: there is no such instruction.
///
/// # Safety
///
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn move_bytes(_: *mut u8, _: *const u8, _: usize) {
    unreachable!("guarded by the target's architecture");
}

/// Never called: there are no such instructions.
///
/// # Safety
///
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn move_blocks(_: *mut u8, _: *const u8, _: usize) {
    unreachable!("guarded by the target's architecture");
}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;

    #[test]
    fn copies_are_exact_at_every_length_and_alignment() {
        let mut shared = vec![0_u64; 4096 / 8];
        let bytes: Vec<u8> = (0..4000_u32).map(|i| (i * 7 + i / 256 + 1) as u8).collect();
        for len in (0..300).chain([511, 512, 1000, 1100, 2047, 2048, 2049, 2060, 3900]) {
            for shift in 0..9 {
                // Both kinds of alignment that a message may have.
                let ring = shared[shift % 2..].as_mut_ptr().cast::<u8>();
                let source = &bytes[shift..shift + len];
                let mut target = vec![0xff; len + shift];
                // SAFETY: `ring` has 4088 bytes, is aligned, and is used by nobody else.
                unsafe { copy_in(ring, source) };
                // SAFETY: as above.
                unsafe { copy_out(&mut target[shift..], ring) };
                assert_eq!(&target[shift..], source, "length {len}, shift {shift}");
            }
        }
    }
}
