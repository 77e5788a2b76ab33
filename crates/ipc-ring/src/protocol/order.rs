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
//!
//! # With the fence at the sleeper
//!
//! Where both sides have agreed on it ([`Options::asymmetric_fences`](crate::Options::asymmetric_fences)),
//! the sender publishes with no fence at all: a `Release` store, then the look. The receiver, who pays on
//! each sleep, has the kernel make the barrier in the sender's process between its announcement and its
//! look: `membarrier(MEMBARRIER_CMD_GLOBAL_EXPEDITED)`.
//!
//! By membarrier(2), when that call returns, every running thread of a registered process has been, at
//! some moment of the call, in a state where its memory accesses match the program's order; a thread that
//! does not run is in one. So the sender's two accesses fall on the two sides of that moment like this:
//!
//! - the publishing store comes before it: the receiver's look, which is after the call, sees it;
//! - it comes after it, and so does the sender's look: that sees the announcement, which was made before
//!   the call;
//! - the store after it and the look before it would not match the program's order.
//!
//! The kernel's table of pairs (`kernel/sched/membarrier.c`) says the same: a compiler barrier on one
//! side is ordered by a `membarrier` on the other, as a fence is by a fence. The language knows of none
//! of it: what it has to give is that the compiler keeps the order of the sender's accesses (the
//! `compiler_fence`), and of the receiver's (a system call that may touch memory). loom knows no
//! `membarrier` either; there both sides have their fences, as they have without the option.
//!
//! The other direction, a sender asleep on a full ring, is rare, and keeps its fences.

#[cfg(not(ipc_loom))]
use std::sync::atomic::compiler_fence;

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

/// Looks at the sleep word of a peer that bars after each announcement: what this side has stored before,
/// to publish it, needs no fence.
#[inline]
pub(crate) fn look_at_one_that_bars(peer_sleep: &AtomicU64) -> u64 {
    // The compiler must keep the order of store and look, which is what the peer's barrier relies on.
    #[cfg(not(ipc_loom))]
    compiler_fence(Ordering::SeqCst);
    #[cfg(ipc_loom)]
    fence(Ordering::SeqCst);
    // Relaxed: the fence, or the peer's barrier, orders it.
    peer_sleep.load(Ordering::Relaxed)
}

/// Announces in the own sleep word; whatever is loaded after this call is the look after the
/// announcement.
pub(crate) fn announce(own_sleep: &AtomicU64, value: u64) {
    // Relaxed: the fence orders it before the look, which is all that is asked of it.
    own_sleep.store(value, Ordering::Relaxed);
    fence(Ordering::SeqCst);
}
