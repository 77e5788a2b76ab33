//! The memory of one side of a link: where its fields are. Leaves out the drawing of it, and what the
//! fields mean to each other: see [`crate::internals`].

/// What the first eight bytes say.
pub(crate) const MAGIC: u64 = u64::from_ne_bytes(*b"ipc-ring");
/// Counted up whenever the layout or the protocol changes.
pub(crate) const VERSION: u32 = 1;
/// A hash over the names, offsets, widths and flags, so that builds which disagree do not attach.
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
/// Flag: this side's process has registered for the barriers of others, and would publish without fences.
pub(crate) const SENDER_IS_REGISTERED: u64 = 1 << 1;
/// Flag: this side's receiver bars when it goes to sleep, if the other side is registered.
pub(crate) const RECEIVER_CAN_BAR: u64 = 1 << 2;
/// Every flag that there is.
pub(crate) const ALL_FLAGS: u64 = RECEIVER_MAY_SLEEP | SENDER_IS_REGISTERED | RECEIVER_CAN_BAR;

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
    let text = b"magic:8@0 version:4@8 hash:4@12 capacity:8@16 \
                 flags:8@24 receiver_may_sleep<<0 sender_is_registered<<1 receiver_can_bar<<2 \
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
