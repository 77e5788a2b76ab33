//! What one side brings to a link. Leaves out what it makes of it: see `side.rs`.

use ipc_core::{TypeIdentity, WaitStrategy};
use ipc_shm::Backing;

use super::PeerUser;
use crate::layout;

/// What one side brings to a link: its ring, how its endpoints wait, and whom it lets in.
///
/// ```
/// use ipc_core::WaitStrategy;
/// use ipc_ring::Options;
///
/// let options = Options::new().capacity_bytes(1 << 20).wait_strategy(WaitStrategy::Park);
/// assert_eq!(options.longest_message(), (1 << 18) - 16);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    pub(super) capacity_bytes: usize,
    pub(super) strategy: WaitStrategy,
    pub(super) backing: Backing,
    pub(super) asymmetric_fences: bool,
    /// `None` is what is usual for how the link is made.
    peer_user: Option<PeerUser>,
    pub(super) sends: TypeIdentity,
    pub(super) receives: TypeIdentity,
}

/// The type of messages of any bytes.
pub(super) const BYTES: TypeIdentity = TypeIdentity { size_bytes: 0, hash: 0 };

impl Options {
    /// The capacity of a ring unless another is asked for, in bytes. Several times what a core's own
    /// caches hold: memory that comes round again before the receiver's cache has let go of it must
    /// be taken away from there, which costs a quarter of a round trip at 64 KiB; see benches/record.
    /// It is backed as it is used.
    pub const DEFAULT_CAPACITY_BYTES: usize = 4 << 20;

    /// A ring of [`DEFAULT_CAPACITY_BYTES`](Self::DEFAULT_CAPACITY_BYTES), backed as it is used, and
    /// adaptive waiting.
    pub const fn new() -> Self {
        Self {
            capacity_bytes: Self::DEFAULT_CAPACITY_BYTES,
            strategy: WaitStrategy::adaptive(),
            backing: Backing::Lazy,
            asymmetric_fences: false,
            peer_user: None,
            sends: BYTES,
            receives: BYTES,
        }
    }

    /// The capacity of the ring that this side sends on: a power of two from 4 KiB to 4 GiB. The
    /// longest message is a quarter of it, less 16 bytes.
    #[must_use]
    pub const fn capacity_bytes(mut self, capacity_bytes: usize) -> Self {
        self.capacity_bytes = capacity_bytes;
        self
    }

    /// This side only receives: it brings no ring.
    #[must_use]
    pub const fn receive_only(mut self) -> Self {
        self.capacity_bytes = 0;
        self
    }

    /// How this side's endpoints wait.
    #[must_use]
    pub const fn wait_strategy(mut self, strategy: WaitStrategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Whether the memory of the ring is taken from the system as it is first used, which is the
    /// default, or all of it when the link is made ([`Backing::Reserved`]). Reserved memory is there
    /// when it is needed: if there is too little, making the link is what fails. It takes the time to
    /// clear it, some 0.2 ms per MiB.
    #[must_use]
    pub const fn backing(mut self, backing: Backing) -> Self {
        self.backing = backing;
        self
    }

    /// This side sends without memory fences, and leaves them to the other side's receiver, who makes them
    /// when it goes to sleep (`membarrier(2)`, `MEMBARRIER_CMD_GLOBAL_EXPEDITED`).
    ///
    /// Ordinarily each send fences before it looks whether the receiver sleeps. With this, sends have no
    /// fence, and each sleep of the receiver has a system call more: some 0.5 to 4 µs. So it is for streams
    /// whose receiver is seldom idle. Measure it where you want to use it: on the machine of
    /// `benches/record/2026-11-29-membarrier.md` a stream between two cores gained nothing beyond the
    /// spread.
    ///
    /// It needs nothing of the other program. Where a kernel or a filter of system calls does not have it,
    /// and on a ring whose receiver never sleeps, it changes nothing: whether it took effect tells
    /// [`RingSender::has_asymmetric_fences`](crate::RingSender::has_asymmetric_fences).
    ///
    /// The process is registered with the kernel when its first such link is made, for as long as it lives
    /// (until `exec`; forked children are registered too). In a process of several threads that takes
    /// milliseconds, once: make that link before you start them. Whoever sleeps on any such ring of this
    /// machine interrupts for a moment every processor that runs a registered process.
    ///
    /// A receiving program that forbids itself the call (`seccomp(2)`) must do so before the link is made.
    /// If it does so later, its receives and its [`arm`](ipc_core::WaitSource::arm) fail with an error
    /// of the system where they would have to sleep, rather than miss a message.
    #[must_use]
    pub const fn asymmetric_fences(mut self) -> Self {
        self.asymmetric_fences = true;
        self
    }

    /// Of which user the other side must be. By default any, except at an abstract name, which guards
    /// nothing: there [`PeerUser::Same`].
    #[must_use]
    pub const fn peer_user(mut self, user: PeerUser) -> Self {
        self.peer_user = Some(user);
        self
    }

    /// The longest message that this side can send, in bytes; 0 if it only receives.
    pub const fn longest_message(&self) -> usize {
        if self.capacity_bytes == 0 {
            0
        } else {
            crate::protocol::longest_message(self.capacity_bytes as u64)
        }
    }

    /// Of which user the other side must be, if the options leave it to the caller.
    pub(crate) fn peer_user_or(&self, usual: PeerUser) -> PeerUser {
        self.peer_user.unwrap_or(usual)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a ring may have this many bytes; none means no ring.
pub(super) fn is_capacity(bytes: usize) -> bool {
    let bounds = layout::MIN_CAPACITY..=layout::MAX_CAPACITY;
    bytes == 0 || (bytes.is_power_of_two() && bounds.contains(&bytes))
}
