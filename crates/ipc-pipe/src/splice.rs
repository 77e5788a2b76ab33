//! Bytes between a pipe and any other descriptor that never come into this process: `splice(2)` and
//! `tee(2)`. Leaves out messages, which are copied: what a program has in its memory, or wants there, is
//! moved no faster by these calls.

use std::io;
use std::os::fd::AsFd;

use ipc_core::{Deadline, Interest, OsError, Resource, poll};
use rustix::io::Errno;
use rustix::pipe::SpliceFlags;

use crate::quiet::without_sigpipe;
use crate::stream::{PipeReader, PipeWriter};

/// Why bytes did not pass between a pipe and another descriptor.
#[derive(Debug, thiserror::Error)]
pub enum SpliceError {
    /// Nobody is left to read what would be written. No signal came of it.
    #[error("{operation} on {link}: the receiver is gone")]
    PeerGone {
        /// The system call.
        operation: &'static str,
        /// The pipe.
        link: Resource,
    },
    /// The other descriptor is of a kind that cannot do this: a file opened for appending or the same
    /// pipe, say. Nothing happened; copy instead.
    #[error("{0}: not between these two")]
    Unsupported(#[source] OsError),
    /// Any other failure of a system call.
    #[error(transparent)]
    Os(#[from] OsError),
}

impl PipeReader {
    /// Moves bytes from the pipe to `target`, at most `max_bytes`, without a copy through this process:
    /// into a file, a socket, another pipe. Waits for some bytes, and for room in the target; tells how
    /// many were moved, 0 at the end of the stream (or if `max_bytes` is 0).
    ///
    /// It pays where bytes are passed on unseen (measured: `ipc-bench check-splice`). See splice(2).
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// let (sender, receiver) = ipc_pipe::pipe()?;
    /// let (mut writer, mut reader) = (sender.into_stream()?, receiver.into_stream()?);
    /// let path = std::env::temp_dir().join(format!("ipc-pipe-splice-{}", std::process::id()));
    /// let file = std::fs::File::create_new(&path)?;
    ///
    /// writer.write_all(b"straight into the file")?;
    /// drop(writer);
    /// while reader.splice_to(&file, 1 << 20)? > 0 {}
    /// assert_eq!(std::fs::read(&path)?, b"straight into the file");
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SpliceError`]. After an error nothing was moved by this call.
    pub fn splice_to(&mut self, target: impl AsFd, max_bytes: usize) -> Result<usize, SpliceError> {
        let (source, target) = (self.as_fd(), target.as_fd());
        let splice =
            || rustix::pipe::splice(source, None, target, None, max_bytes.min(MOST), FLAGS);
        until_ready("splice", self.link(), splice, source, target)
    }

    /// Copies bytes of the pipe into another pipe, at most `max_bytes`, and leaves them in this one. Neither
    /// pipe copies the bytes themselves: both refer to the same pages. Waits for some bytes, and for room
    /// in the target; tells how many there were, 0 at the end of the stream (or if `max_bytes` is 0). See
    /// tee(2).
    ///
    /// A second call sees the same bytes again: to go on, read them or [`splice`](Self::splice_to) as many
    /// on.
    ///
    /// ```
    /// use std::io::{Read, Write};
    ///
    /// let streams = || -> Result<_, ipc_core::OpenError> {
    ///     let (sender, receiver) = ipc_pipe::pipe()?;
    ///     Ok((sender.into_stream()?, receiver.into_stream()?))
    /// };
    /// let ((mut writer, mut reader), (mut to_log, mut log)) = (streams()?, streams()?);
    /// writer.write_all(b"for two readers")?;
    /// let len = reader.tee_to(&mut to_log, 1 << 20)?;
    ///
    /// let (mut one, mut other) = (vec![0; len], vec![0; len]);
    /// reader.read_exact(&mut one)?;
    /// log.read_exact(&mut other)?;
    /// assert_eq!((&one[..], &other[..]), (&b"for two readers"[..], &b"for two readers"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`SpliceError`]. After an error nothing was copied by this call.
    pub fn tee_to(
        &mut self,
        target: &mut PipeWriter,
        max_bytes: usize,
    ) -> Result<usize, SpliceError> {
        let (source, target) = (self.as_fd(), target.as_fd());
        let tee = || rustix::pipe::tee(source, target, max_bytes.min(MOST), FLAGS);
        until_ready("tee", self.link(), tee, source, target)
    }
}

impl PipeWriter {
    /// Moves bytes from `source` into the pipe, at most `max_bytes`, without a copy through this process:
    /// from a file, a socket, another pipe. Waits for room, and for bytes of the source; tells how many were
    /// moved, 0 at the end of the source (or if `max_bytes` is 0). See splice(2).
    ///
    /// What comes from a file refers to the system's cache of it: who changes the file before the
    /// receiver has read changes what it will read.
    ///
    /// # Errors
    ///
    /// [`SpliceError`]. After an error nothing was moved by this call.
    pub fn splice_from(
        &mut self,
        source: impl AsFd,
        max_bytes: usize,
    ) -> Result<usize, SpliceError> {
        let (source, target) = (source.as_fd(), self.as_fd());
        let splice =
            || rustix::pipe::splice(source, None, target, None, max_bytes.min(MOST), FLAGS);
        until_ready("splice", self.link(), splice, source, target)
    }
}

/// Where a pipe is not ready we wait for it, and not in the call: its descriptor may block or not.
const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK;

/// The most of one call, in bytes. The kernel refuses what would pass the end of the largest file.
const MOST: usize = 1 << 30;

/// Calls until it does something else than find one of the two not ready.
fn until_ready(
    operation: &'static str,
    link: &Resource,
    mut call: impl FnMut() -> rustix::io::Result<usize>,
    source: impl AsFd,
    target: impl AsFd,
) -> Result<usize, SpliceError> {
    loop {
        let errno = match without_sigpipe(&mut call) {
            Ok(len) => return Ok(len),
            Err(errno) => errno,
        };
        match errno {
            Errno::INTR => {}
            Errno::AGAIN => {
                // Which of them it was is not said. Both must be ready, so their order is all one.
                let ends =
                    [(source.as_fd(), Interest::Readable), (target.as_fd(), Interest::Writable)];
                for (end, interest) in ends {
                    poll::wait_ready(end, interest, Deadline::Never)
                        .map_err(|error| OsError::new("poll", link, error))?;
                }
            }
            Errno::PIPE => return Err(SpliceError::PeerGone { operation, link: link.clone() }),
            Errno::INVAL => {
                return Err(SpliceError::Unsupported(OsError::new(operation, link, errno)));
            }
            errno => return Err(OsError::new(operation, link, errno).into()),
        }
    }
}

impl From<SpliceError> for io::Error {
    fn from(error: SpliceError) -> Self {
        let kind = match &error {
            SpliceError::PeerGone { .. } => io::ErrorKind::BrokenPipe,
            SpliceError::Unsupported(_) => io::ErrorKind::Unsupported,
            SpliceError::Os(os) => os.source.kind(),
        };
        Self::new(kind, error)
    }
}
