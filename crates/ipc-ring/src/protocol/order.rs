//! The store-then-load order on which sleeping and waking rest, in one place.
//!
//! One side **publishes** a change and then looks whether the other sleeps; the other **announces**
//! that it will sleep and then looks for a change. If both looks could miss, a wake-up would be lost.
//! They cannot: let `P` be the publishing store and `L` the look after it, both `SeqCst`, and let `F`
//! be the `SeqCst` fence between announcement and look on the other side. If the sleeper's look
//! misses `P`, then `F` is before `P` in the single total order `S` of sequentially consistent
//! operations; if `L` misses the announcement, `L` is before `F` in `S`; and `P` is before `L`. All
//! three together are a cycle (C++20 [atomics.order] 4, which Rust adopts).
//!
//! The publishing side, which pays on every message, has the cheap form: on x86-64 one `xchg`
//! instead of a store and an `mfence` (about equal once the receiver is paced: 8.1 against 8.4 ns for
//! a message of 8 bytes; see benches/record). loom treats `SeqCst` accesses as weaker than they are, so
//! that its arm has fences on both sides; the models `a_sleeping_receiver_is_woken` and
//! `a_sleeping_sender_is_woken` fail if either is taken away.

use ipc_core::sync::{AtomicU64, Ordering, fence};

/// Stores `value` for the peer to see, then looks at the peer's sleep word.
#[inline]
pub(crate) fn publish_then_look(word: &AtomicU64, value: u64, peer_sleep: &AtomicU64) -> u64 {
    #[cfg(not(ipc_loom))]
    {
        word.store(value, Ordering::SeqCst);
        peer_sleep.load(Ordering::SeqCst)
    }
    #[cfg(ipc_loom)]
    {
        word.store(value, Ordering::Release);
        fence(Ordering::SeqCst);
        peer_sleep.load(Ordering::Relaxed)
    }
}

/// Announces in the own sleep word; whatever is loaded after this call is the look after the
/// announcement.
pub(crate) fn announce(own_sleep: &AtomicU64, value: u64) {
    // Relaxed: the fence orders it before the look, which is all that is asked of it.
    own_sleep.store(value, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}
