//! The bytes that each side says to the other. Leaves out the descriptors that go with them.

use ipc_core::OpenErrorKind;

use super::options::{Options, is_capacity};
use crate::layout;

/// What each side says: the five fields that also begin its memory (see [`layout`]), checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// Bytes of its ring: a power of two within the layout's bounds, or 0 for none.
    pub(crate) capacity: usize,
    /// Whether its receiver may ever sleep, and so must be woken.
    pub(crate) receiver_may_sleep: bool,
}

impl Hello {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn to_bytes(self) -> [u8; Self::BYTES] {
        let flags = if self.receiver_may_sleep { layout::RECEIVER_MAY_SLEEP } else { 0 };
        let mut bytes = [0; Self::BYTES];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        put(layout::MAGIC_OFFSET, &layout::MAGIC.to_ne_bytes());
        put(layout::VERSION_OFFSET, &layout::VERSION.to_ne_bytes());
        put(layout::HASH_OFFSET, &layout::HASH.to_ne_bytes());
        put(layout::CAPACITY_OFFSET, &(self.capacity as u64).to_ne_bytes());
        put(layout::FLAGS_OFFSET, &flags.to_ne_bytes());
        bytes
    }

    /// Reads and checks a hello; any bytes are input.
    pub(crate) fn from_bytes(bytes: &[u8; Self::BYTES]) -> Result<Self, OpenErrorKind> {
        let word = |at: usize| u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let half = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let same = |what, expected: u64, found: u64| {
            let mismatch = OpenErrorKind::Mismatch { what, expected, found };
            if expected == found { Ok(()) } else { Err(mismatch) }
        };
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
        same("set of unknown flags", 0, flags & !layout::RECEIVER_MAY_SLEEP)?;
        Ok(Self { capacity, receiver_may_sleep: flags & layout::RECEIVER_MAY_SLEEP != 0 })
    }
}
