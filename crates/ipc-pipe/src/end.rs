//! One end of a pipe, and whether its calls block. Leaves out what is read and written.
//!
//! A call without limit for a short message blocks in `read(2)` or `write(2)` itself: one system call,
//! where asking, being refused and polling takes three. For long messages it is the other way round:
//! who polls moves a pipe's worth at a time, where the blocking calls of the two sides take turns to
//! sleep (measured at 64 KiB: a third of the time). Any other patience needs a descriptor that does not
//! block in any case. The flag (`O_NONBLOCK`) is changed when calls of the other kind begin.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, OsError, Resource};
use rustix::fs::OFlags;

/// Up to this length in bytes, a message is a short one, sent by calls that block. It is copied behind its header,
/// if it has one; the header of a longer one is written by a call that gathers. Only short ones make runs.
pub(crate) const SHORT_LEN_MAX: usize = 16 * 1024;

/// An end of a pipe, of which nobody else uses the open file description meanwhile.
#[derive(Debug)]
pub(crate) struct End {
    descriptor: OwnedFd,
    blocks: bool,
}

impl End {
    /// Takes over a descriptor that has been made non-blocking.
    pub(crate) fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, blocks: false }
    }

    /// Makes calls block if there is no limit to them and the message is short, and else not.
    #[inline]
    pub(crate) fn suit(
        &mut self,
        deadline: Deadline,
        message_len: usize,
        link: &Resource,
    ) -> Result<(), OsError> {
        let blocks = deadline == Deadline::Never && message_len <= SHORT_LEN_MAX;
        if blocks == self.blocks {
            return Ok(());
        }
        self.set_blocking(blocks).map_err(|error| OsError::new("fcntl(F_SETFL)", link, error))
    }

    /// The descriptor, blocking, as other programs expect it.
    pub(crate) fn into_blocking(mut self) -> rustix::io::Result<OwnedFd> {
        self.set_blocking(true)?;
        Ok(self.descriptor)
    }

    fn set_blocking(&mut self, blocks: bool) -> rustix::io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.descriptor)?;
        let flags = if blocks { flags - OFlags::NONBLOCK } else { flags | OFlags::NONBLOCK };
        rustix::fs::fcntl_setfl(&self.descriptor, flags)?;
        self.blocks = blocks;
        Ok(())
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

impl From<End> for OwnedFd {
    fn from(end: End) -> Self {
        end.descriptor
    }
}
