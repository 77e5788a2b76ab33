//! The word with which an endpoint tells its peer whether it must be woken.
//!
//! ```text
//!  63                    2 1   0
//! ┌───────────────────────┬─────┐     state: 0 awake, 1 asleep, 2 armed in a wait set
//! │ episode, counting up  │state│
//! └───────────────────────┴─────┘
//! ```
//!
//! The owner begins an episode when it announces that it will sleep, and ends it when it is awake
//! again. The peer rings the doorbell at most once an episode. 2⁶² episodes do not come to an end.

/// What the owner is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Intent {
    /// Block in the kernel until the doorbell rings.
    Sleep = 1,
    /// Wait in a set with other descriptors.
    Arm = 2,
}

/// The owner's own count, from which it makes the words that it publishes.
#[derive(Debug, Default)]
pub(crate) struct Episodes {
    count: u64,
}

impl Episodes {
    /// The word that begins the next episode.
    pub(crate) fn begin(&mut self, intent: Intent) -> u64 {
        self.count += 1;
        self.count << 2 | intent as u64
    }

    /// The word that ends the episode.
    pub(crate) fn end(&self) -> u64 {
        self.count << 2
    }
}

/// Whether the owner of this word wants to be woken. The peer may have written any 64 bits: all are
/// one or the other.
pub(crate) fn wants_bell(word: u64) -> bool {
    word & 3 != 0
}
