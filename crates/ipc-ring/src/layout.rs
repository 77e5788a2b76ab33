//! The memory of one side of a link, field by field. Leaves out what the fields mean to each other:
//! see [`crate::protocol`].
//!
//! Each side of a link creates one memory object and is the only one that can write it. It holds the
//! ring that this side sends on, and the words of both its endpoints that the other side reads.
//!
//! ```text
//! byte      field             written by     read by the other side's
//!    0..8   magic             creator        handshake
//!    8..12  version           creator        handshake
//!   12..16  layout hash       creator        handshake
//!   16..24  capacity          creator        handshake   bytes of the ring, 0 or a power of two
//!   24..32  flags             creator        handshake   bit 0: the receiver may sleep
//!   32..40  size sent         creator        handshake   of the type of messages sent, 0 for bytes
//!   40..48  type sent         creator        handshake   the hash of it, 0 for bytes
//!   48..56  size received     creator        handshake   the same of the messages received
//!   56..64  type received     creator        handshake
//!  128..136 sender's sleep    its sender     receiver    see `protocol::sleep`
//!  256..264 receiver's head   its receiver   sender      position up to which it has read
//!  384..392 receiver's sleep  its receiver   sender
//! 4096..    ring              its sender     receiver    records, see `protocol::record`
//! ```
//!
//! All fields are in the machine's byte order: both sides run on one machine. Fields that change are
//! 128 bytes apart, because processors fetch lines of 64 bytes in pairs (and some have lines of 128).

/// What the first eight bytes say.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"ipc-ring");
/// Counted up whenever the layout or the protocol changes.
pub(crate) const VERSION: u32 = 1;
/// A hash over the names, offsets and widths above, so that builds which disagree do not attach.
pub(crate) const HASH: u32 = hash();

pub(crate) const MAGIC_OFFSET: usize = 0;
pub(crate) const VERSION_OFFSET: usize = 8;
pub(crate) const HASH_OFFSET: usize = 12;
pub(crate) const CAPACITY_OFFSET: usize = 16;
pub(crate) const FLAGS_OFFSET: usize = 24;
pub(crate) const SENT_SIZE_OFFSET: usize = 32;
pub(crate) const SENT_HASH_OFFSET: usize = 40;
pub(crate) const RECEIVED_SIZE_OFFSET: usize = 48;
pub(crate) const RECEIVED_HASH_OFFSET: usize = 56;
pub(crate) const SENDER_SLEEP_OFFSET: usize = 128;
pub(crate) const HEAD_OFFSET: usize = 256;
pub(crate) const RECEIVER_SLEEP_OFFSET: usize = 384;
/// Where the ring begins. A page, so that the ring can be mapped on its own.
pub(crate) const RING_OFFSET: usize = 4096;

/// Flag: this side's receiver may sleep, so its sender must look whether to wake it.
pub(crate) const RECEIVER_MAY_SLEEP: u64 = 1;

/// The smallest ring, in bytes.
pub(crate) const MIN_CAPACITY: usize = 4096;
/// The largest ring, in bytes: lengths of messages are 32 bits wide.
pub(crate) const MAX_CAPACITY: usize = 1 << 32;

/// The bytes of the whole memory object for a ring of `capacity` bytes.
pub(crate) const fn memory_len(capacity: usize) -> usize {
    RING_OFFSET + capacity
}

const _: () = {
    assert!(MAGIC_OFFSET + 8 == VERSION_OFFSET);
    assert!(VERSION_OFFSET + 4 == HASH_OFFSET);
    assert!(HASH_OFFSET + 4 == CAPACITY_OFFSET);
    assert!(CAPACITY_OFFSET + 8 == FLAGS_OFFSET);
    assert!(FLAGS_OFFSET + 8 == SENT_SIZE_OFFSET);
    assert!(SENT_SIZE_OFFSET + 8 == SENT_HASH_OFFSET);
    assert!(SENT_HASH_OFFSET + 8 == RECEIVED_SIZE_OFFSET);
    assert!(RECEIVED_SIZE_OFFSET + 8 == RECEIVED_HASH_OFFSET);
    assert!(RECEIVED_HASH_OFFSET + 8 <= SENDER_SLEEP_OFFSET);
    assert!(HEAD_OFFSET - SENDER_SLEEP_OFFSET >= 128);
    assert!(RECEIVER_SLEEP_OFFSET - HEAD_OFFSET >= 128);
    assert!(RECEIVER_SLEEP_OFFSET + 128 <= RING_OFFSET);
    assert!(size_of::<usize>() == 8, "64-bit systems only");
};

/// FNV-1a over what a peer must agree on.
const fn hash() -> u32 {
    let text = b"magic:8@0 version:4@8 hash:4@12 capacity:8@16 flags:8@24 \
                 sent_size:8@32 sent_hash:8@40 received_size:8@48 received_hash:8@56 \
                 sender_sleep:8@128 head:8@256 receiver_sleep:8@384 ring@4096 record:header:8 kind<<56 urgent<<32 len";
    let mut hash = 0x811c_9dc5_u32;
    let mut index = 0;
    while index < text.len() {
        hash = (hash ^ text[index] as u32).wrapping_mul(0x0100_0193);
        index += 1;
    }
    hash
}
