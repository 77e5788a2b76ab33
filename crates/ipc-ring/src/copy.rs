//! Copying messages between private memory and memory that another process may write at the same
//! time.
//!
//! Rust's plain reads and writes assume that nobody else writes meanwhile, which a hostile peer can
//! break; relaxed atomic accesses and inline assembly assume nothing. Messages begin at a multiple of
//! eight and are padded to one. By length:
//!
//! | bytes | x86-64 | elsewhere |
//! |---|---|---|
//! | 8 | one word | one word |
//! | up to 15 | words | words |
//! | up to 128 | pairs of words, without a loop | words |
//! | up to 1.5 KiB | blocks of 128 bytes through AVX registers, or SSE ones | words |
//! | more | a block, and `rep movsb`, which the processor turns into whole cache lines | words |
//! | from 512 KiB on, on AMD's; and where `rep movsb` is slow ([`placing`]) | blocks again | words |
//!
//! Words go in and out of shared memory one by one, so that none straddles a cache line. Into private memory
//! they are put together to 16 bytes, which a wide load of the caller's can take from the store buffer
//! whole; out of it they come one by one, for a wide load would wait for what the caller has just stored there
//! in narrower pieces. See benches/record.

// Copies through raw pointers into mapped memory; inline assembly.
#![allow(unsafe_code)]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::placing;

use crate::protocol::memory::SHORT_MAX;

/// Bytes of a pair of words.
const PAIR: usize = 16;
/// Up to this length, in bytes, blocks are faster than starting `rep movsb`. Beyond it `rep movsb` wins
/// where the two cores are far apart, since it takes whole lines without fetching them first.
const BY_BLOCKS_MAX: usize = 1536;
/// From this length on, in bytes, blocks are faster again on AMD's processors, where `rep movsb` lets what it
/// writes go past the caches if it thinks that they cannot hold it, and the receiver fetches it from memory.
/// An Intel one took an eighth less time by `rep movsb` at 1 MiB too.
const BY_BLOCKS_MIN: usize = 512 << 10;
/// Bytes of a block.
const BLOCK: usize = 128;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Whether there are the instructions for blocks and `rep movsb`; Miri does not interpret assembly.
const BY_ASSEMBLY: bool = cfg!(all(target_arch = "x86_64", not(miri)));

/// Copies `source` to `target` in shared memory, with up to seven bytes of padding behind it.
///
/// # Safety
///
/// `target` is a multiple of eight and valid for writes of `source.len()` rounded up to a multiple of
/// eight.
#[inline(always)] // the hot path of batches
pub(crate) unsafe fn copy_in(target: *mut u8, source: &[u8]) {
    if source.len() <= SHORT_MAX || !BY_ASSEMBLY {
        // SAFETY: as the caller says.
        unsafe { copy_short_in(target, source) }
    } else {
        // SAFETY: as the caller says.
        unsafe { move_long(target, source.as_ptr(), source.len()) }
    }
}

/// As [`copy_in`], for at most [`SHORT_MAX`] bytes.
///
/// # Safety
///
/// As there.
#[inline(always)] // the hot path of every send
pub(crate) unsafe fn copy_short_in(target: *mut u8, source: &[u8]) {
    if source.len() == 8 {
        // SAFETY: the target is valid for a word.
        unsafe { word_at(target, 0) }.store(word_of(source), Ordering::Relaxed); // as in `words_in`
    } else if source.len() < PAIR || !BY_ASSEMBLY {
        // SAFETY: as the caller says.
        unsafe { words_in(target, source) }
    } else {
        // SAFETY: `target` is valid for this many bytes, and no Rust reference overlaps it.
        unsafe { move_pairs::<TO_SHARED>(target, source.as_ptr(), source.len()) }
    }
}

/// Copies word by word, and what is left as one more word.
///
/// # Safety
///
/// As for [`copy_in`].
#[inline(always)]
unsafe fn words_in(target: *mut u8, source: &[u8]) {
    let mut offset = 0;
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

/// One to seven bytes, and zeros: without a loop, which would become a call.
#[inline]
fn short_word_of(bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let word = match (bytes.first_chunk(), bytes.last_chunk()) {
        (Some(first), Some(last)) => {
            let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
            u64::from(first) | u64::from(last) << (8 * (len - 4))
        }
        _ => [0, len / 2, len - 1]
            .into_iter()
            .fold(0, |word, index| word | u64::from(bytes[index]) << (8 * index)),
    };
    word.to_le()
}

/// The other way: writes one to seven bytes.
#[inline]
fn put_short_word(bytes: &mut [u8], word: u64) {
    let (len, word) = (bytes.len(), u64::from_le(word));
    if let Some(first) = bytes.first_chunk_mut() {
        *first = (word as u32).to_le_bytes();
        let last = bytes.last_chunk_mut().expect("as long as the first");
        *last = ((word >> (8 * (len - 4))) as u32).to_le_bytes();
    } else {
        for index in [0, len / 2, len - 1] {
            bytes[index] = (word >> (8 * index)) as u8;
        }
    }
}

/// Copies from shared memory at `source` to `target`.
///
/// # Safety
///
/// `source` is a multiple of eight and valid for reads of `target.len()` rounded up to a multiple of
/// eight.
#[inline(always)] // the hot path of batches
pub(crate) unsafe fn copy_out(target: &mut [u8], source: *const u8) {
    if target.len() <= SHORT_MAX || !BY_ASSEMBLY {
        // SAFETY: as the caller says.
        unsafe { copy_short_out(target, source) }
    } else {
        // SAFETY: as the caller says.
        unsafe { move_long(target.as_mut_ptr(), source, target.len()) }
    }
}

/// As [`copy_out`], for at most [`SHORT_MAX`] bytes.
///
/// # Safety
///
/// As there.
#[inline(always)] // the hot path of every receive
pub(crate) unsafe fn copy_short_out(target: &mut [u8], source: *const u8) {
    if target.len() == 8 {
        // SAFETY: the source is valid for a word.
        let source = unsafe { word_at(source.cast_mut(), 0) };
        let word = source.load(Ordering::Relaxed); // as in `words_out`
        target.copy_from_slice(&word.to_ne_bytes());
    } else if target.len() < PAIR || !BY_ASSEMBLY {
        // SAFETY: as the caller says.
        unsafe { words_out(target, source) }
    } else {
        // SAFETY: `source` is valid for this many bytes, and `target` is ours.
        unsafe { move_pairs::<TO_PRIVATE>(target.as_mut_ptr(), source, target.len()) }
    }
}

/// As [`copy_out`], for a message that was waited for: short ones go by a loop over words. The
/// processor runs ahead of the look that will find the message, into whatever straight code comes after it,
/// and fetches all its lines, of which it thereby takes the second away from the sender that is writing
/// it: a round trip of 64 bytes then takes a quarter longer. See benches/record.
///
/// # Safety
///
/// As there.
#[inline]
pub(crate) unsafe fn copy_out_in_order(target: &mut [u8], source: *const u8) {
    if target.len() <= SHORT_MAX || !BY_ASSEMBLY {
        // SAFETY: as the caller says.
        unsafe { words_out(target, source) }
    } else {
        // SAFETY: as the caller says.
        unsafe { move_long(target.as_mut_ptr(), source, target.len()) }
    }
}

/// Copies word by word, and of one more word what is left.
///
/// # Safety
///
/// As for [`copy_out`].
#[inline(always)]
unsafe fn words_out(target: &mut [u8], source: *const u8) {
    let mut offset = 0;
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
        put_short_word(rest, source.load(Ordering::Relaxed)); // as above
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

/// For [`move_pairs`]: the target is shared memory.
const TO_SHARED: bool = true;
/// For [`move_pairs`]: the source is shared memory.
const TO_PRIVATE: bool = false;

/// Copies a short message by pairs of words, of which the last overlap the first, so that there is
/// one straight way for all lengths up to 32, up to 64, and up to [`SHORT_MAX`].
///
/// # Safety
///
/// `len` is from [`PAIR`] to [`SHORT_MAX`], `target` is valid for writes of that many bytes and
/// `source` for reads, and they do not overlap.
#[inline(always)]
unsafe fn move_pairs<const SHARED: bool>(target: *mut u8, source: *const u8, len: usize) {
    let (target_end, source_end) = (target.wrapping_add(len), source.wrapping_add(len));
    macro_rules! pair {
        ($from_begin:literal) => {
            // SAFETY: in bounds: `len` was seen to reach so far.
            unsafe { move_pair::<SHARED, $from_begin>(target, source) }
        };
        (end $from_end:literal) => {
            // SAFETY: as above.
            unsafe { move_pair::<SHARED, $from_end>(target_end, source_end) }
        };
    }
    pair!(0);
    if len > 32 {
        pair!(16);
        if len > 64 {
            pair!(32);
            pair!(48);
            pair!(end - 64);
            pair!(end - 48);
        }
        pair!(end - 32);
    }
    pair!(end - 16);
}

/// Copies two words that lie `OFFSET` bytes from the addresses: one by one where memory is shared. Private
/// memory is read one by one too, since a wide load has to wait until the narrower stores that a caller has just
/// made there have left the store buffer; but it is written together.
///
/// # Safety
///
/// `target` is valid there for writes of [`PAIR`] bytes and `source` for reads.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
unsafe fn move_pair<const SHARED: bool, const OFFSET: isize>(target: *mut u8, source: *const u8) {
    if SHARED {
        // SAFETY: what is written is the caller's word.
        unsafe {
            std::arch::asm!(
                "mov {a}, [{source} + {offset}]",
                "mov {b}, [{source} + {offset} + 8]",
                "mov [{target} + {offset}], {a}",
                "mov [{target} + {offset} + 8], {b}",
                a = out(reg) _,
                b = out(reg) _,
                source = in(reg) source,
                target = in(reg) target,
                offset = const OFFSET,
                options(nostack, preserves_flags)
            );
        }
    } else {
        // SAFETY: as above; SSE2 is part of x86-64.
        unsafe {
            std::arch::asm!(
                "movq {pair}, qword ptr [{source} + {offset}]",
                "movhps {pair}, qword ptr [{source} + {offset} + 8]",
                "movups [{target} + {offset}], {pair}",
                pair = out(xmm_reg) _,
                source = in(reg) source,
                target = in(reg) target,
                offset = const OFFSET,
                options(nostack, preserves_flags)
            );
        }
    }
}

/// Never called: there are no such instructions.
///
/// # Safety
///
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn move_pair<const SHARED: bool, const OFFSET: isize>(_: *mut u8, _: *const u8) {
    unreachable!("guarded by the target's architecture");
}

/// Begins to bring a cache line here, from wherever it is, to be written to. A hint: it cannot fault, and
/// processors that do not know it do nothing.
#[inline(always)] // the hot path of every send
pub(crate) fn fetch_for_writing(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: it reads and writes nothing, whatever the address.
    unsafe {
        std::arch::asm!("prefetchw [{at}]", at = in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pstl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// Begins to bring a cache line here to be read. A hint as [`fetch_for_writing`] is.
#[inline(always)] // the hot path of every receive
pub(crate) fn fetch_for_reading(at: *const u8) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: it writes nothing and faults nowhere, whatever the address.
    unsafe {
        std::arch::asm!("prefetcht0 [{at}]", at = in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("prfm pldl1keep, [{at}]", at = in(reg) at, options(nostack, preserves_flags));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = at;
}

/// Copies a message longer than [`SHORT_MAX`], by blocks or by the processor's own means. Both are
/// fastest where what they write begins with a cache line; so the first block goes where the message begins,
/// and the rest begins again within it, at a line. The last block overlaps the one before.
///
/// # Safety
///
/// `len` is more than [`SHORT_MAX`], `target` is valid for writes of that many bytes and `source` for
/// reads, and they do not overlap.
#[inline(never)] // it would take registers from the path of short messages
unsafe fn move_long(target: *mut u8, source: *const u8, len: usize) {
    let at = |offset: usize| (target.wrapping_add(offset), source.wrapping_add(offset));
    // SAFETY: there are more bytes than a block has.
    unsafe { move_blocks(target, source, BLOCK) };
    let begin = BLOCK - target.addr() % LINE;
    let (line, from) = at(begin);
    // In a ring every message lies elsewhere, so that now and then one is where `rep movsb` is slow.
    let is_slow = placing::is_slow(from.addr(), line.addr()) || (len >= BY_BLOCKS_MIN && is_amd());
    if len > BY_BLOCKS_MAX && !is_slow {
        // SAFETY: the bytes from `begin` on.
        return unsafe { move_bytes(line, from, len - begin) };
    }
    let blocks = (len - begin) / BLOCK * BLOCK;
    if blocks > 0 {
        // SAFETY: in bounds, rounded down.
        unsafe { move_blocks(line, from, blocks) };
    }
    let (last, from) = at(len - BLOCK);
    // SAFETY: the last block of the bytes.
    unsafe { move_blocks(last, from, BLOCK) };
}

/// Whether `rep movsb` is as AMD, or a maker who builds the same, makes it. Asked once: in virtual machines the
/// instruction that tells is carried out by the host.
#[cfg(target_arch = "x86_64")]
fn is_amd() -> bool {
    static IS_AMD: OnceLock<bool> = OnceLock::new();
    *IS_AMD.get_or_init(|| {
        #[allow(unused_unsafe)] // the instruction is safe to newer compilers
        // SAFETY: each x86-64 processor has it.
        let maker = unsafe { std::arch::x86_64::__cpuid(0) };
        // "AuthenticAMD", "HygonGenuine"
        [*b"Auth", *b"Hygo"].contains(&maker.ebx.to_le_bytes())
    })
}

/// Never called: there is no such instruction.
#[cfg(not(target_arch = "x86_64"))]
fn is_amd() -> bool {
    unreachable!("guarded by the target's architecture");
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
                target.fill(0xff);
                // SAFETY: as above.
                unsafe { copy_out_in_order(&mut target[shift..], ring) };
                assert_eq!(&target[shift..], source, "length {len}, shift {shift}, in order");
            }
        }
    }

    #[test]
    fn copies_too_long_for_the_caches_are_exact() {
        for len in [BY_BLOCKS_MIN - 1, BY_BLOCKS_MIN, BY_BLOCKS_MIN + 1, BY_BLOCKS_MIN + 4001] {
            let mut shared = vec![0_u64; len / 8 + 2];
            let source: Vec<u8> = (0..len).map(|i| (i * 7 + i / 256 + 1) as u8).collect();
            let mut target = vec![0xff; len];
            let ring = shared[1..].as_mut_ptr().cast::<u8>();
            // SAFETY: `ring` has room for the bytes, is aligned, and is used by nobody else.
            unsafe { copy_in(ring, &source) };
            // SAFETY: as above.
            unsafe { copy_out(&mut target, ring) };
            assert!(target == source, "length {len}");
        }
    }
}
