//! The bytes that each side says to the other. Leaves out the descriptors that go with them.

use ipc_core::{OpenErrorKind, TypeIdentity, WaitStrategy};

use super::options::{Options, is_capacity};
use crate::layout;

/// What each side says: the fields that also begin its memory (see [`layout`]), checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Bytes of its ring: a power of two within the layout's bounds, or 0 for none.
    pub(crate) capacity: usize,
    /// Whether its receiver may ever sleep, and so must be woken.
    pub(crate) receiver_may_sleep: bool,
    /// Whether its process has the kernel make barriers in it for others, so that its sender needs no
    /// fences where the receiver bars.
    pub(crate) sender_is_registered: bool,
    /// Whether its receiver bars when it sleeps, if the other side is registered.
    pub(crate) receiver_can_bar: bool,
    /// The type of the messages on its ring.
    pub(crate) sends: TypeIdentity,
    /// The type of the messages that it expects on the other ring.
    pub(crate) receives: TypeIdentity,
}

impl Hello {
    pub(crate) const BYTES: usize = 64;

    /// What the side with these options says, but for what it takes the kernel's help to say.
    pub(crate) fn of(options: &Options) -> Self {
        Self {
            capacity: options.capacity_bytes,
            receiver_may_sleep: options.strategy != WaitStrategy::Spin,
            sender_is_registered: false,
            receiver_can_bar: false,
            sends: options.sends,
            receives: options.receives,
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let flag = |is_set, flag| if is_set { flag } else { 0 };
        let flags = flag(self.receiver_may_sleep, layout::RECEIVER_MAY_SLEEP)
            | flag(self.sender_is_registered, layout::SENDER_IS_REGISTERED)
            | flag(self.receiver_can_bar, layout::RECEIVER_CAN_BAR);
        let mut bytes = [0; Self::BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(layout::MAGIC_OFFSET, &layout::MAGIC.to_ne_bytes());
        put(layout::VERSION_OFFSET, &layout::VERSION.to_ne_bytes());
        put(layout::HASH_OFFSET, &layout::HASH.to_ne_bytes());
        put(layout::CAPACITY_OFFSET, &(self.capacity as u64).to_ne_bytes());
        put(layout::FLAGS_OFFSET, &flags.to_ne_bytes());
        put(layout::SENT_SIZE_OFFSET, &self.sends.size_bytes.to_ne_bytes());
        put(layout::SENT_HASH_OFFSET, &self.sends.hash.to_ne_bytes());
        put(layout::RECEIVED_SIZE_OFFSET, &self.receives.size_bytes.to_ne_bytes());
        put(layout::RECEIVED_HASH_OFFSET, &self.receives.hash.to_ne_bytes());
        bytes
    }

    /// Reads and checks a hello; any bytes are input.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, OpenErrorKind> {
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        same("magic", layout::MAGIC, word(layout::MAGIC_OFFSET))?;
        same("version", layout::VERSION.into(), half(layout::VERSION_OFFSET).into())?;
        same("layout hash", layout::HASH.into(), half(layout::HASH_OFFSET).into())?;
        let found = word(layout::CAPACITY_OFFSET);
        let capacity = usize::try_from(found).ok().filter(|&bytes| is_capacity(bytes));
        let Some(capacity) = capacity else {
            let expected = Options::DEFAULT_CAPACITY_BYTES as u64;
            return Err(OpenErrorKind::Mismatch { what: "capacity", expected, found });
        };
        let flags = word(layout::FLAGS_OFFSET);
        same("set of unknown flags", 0, flags & !layout::ALL_FLAGS)?;
        let identity = |size, hash| TypeIdentity { size_bytes: word(size), hash: word(hash) };
        Ok(Self {
            capacity,
            receiver_may_sleep: flags & layout::RECEIVER_MAY_SLEEP != 0,
            sender_is_registered: flags & layout::SENDER_IS_REGISTERED != 0,
            receiver_can_bar: flags & layout::RECEIVER_CAN_BAR != 0,
            sends: identity(layout::SENT_SIZE_OFFSET, layout::SENT_HASH_OFFSET),
            receives: identity(layout::RECEIVED_SIZE_OFFSET, layout::RECEIVED_HASH_OFFSET),
        })
    }

    /// Checks that what one side sends is what the other expects, on each ring that there is. `self` is
    /// this side.
    pub(super) fn check_types(&self, there: &Self) -> Result<(), OpenErrorKind> {
        if self.capacity > 0 {
            let (ours, theirs) = (self.sends, there.receives);
            same(
                "size in bytes of the type that the peer receives",
                ours.size_bytes,
                theirs.size_bytes,
            )?;
            same("hash of the type that the peer receives", ours.hash, theirs.hash)?;
        }
        if there.capacity > 0 {
            let (ours, theirs) = (self.receives, there.sends);
            same(
                "size in bytes of the type that the peer sends",
                ours.size_bytes,
                theirs.size_bytes,
            )?;
            same("hash of the type that the peer sends", ours.hash, theirs.hash)?;
        }
        Ok(())
    }
}

fn same(what: &'static str, expected: u64, found: u64) -> Result<(), OpenErrorKind> {
    let mismatch = OpenErrorKind::Mismatch { what, expected, found };
    if expected == found { Ok(()) } else { Err(mismatch) }
}
