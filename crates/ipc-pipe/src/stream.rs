//! The ends of a pipe as plain streams of bytes: `std::io::Read` and `Write`, without frames.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{OpenError, Resource, SendError};

use crate::reader::FrameReader;
use crate::writer::FrameWriter;

/// The write end of a pipe as a stream of bytes. Writes wait for room; a reader that is gone is
/// [`io::ErrorKind::BrokenPipe`], and no signal.
///
/// A write of up to 4,096 bytes (`PIPE_BUF`) is atomic.
///
/// ```
/// use std::io::{Read, Write};
///
/// let (sender, receiver) = ipc_pipe::pipe()?;
/// let (mut writer, mut reader) = (sender.into_stream()?, receiver.into_stream()?);
/// writeln!(writer, "as a file")?;
/// drop(writer);
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "as a file\n");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct PipeWriter {
    writer: FrameWriter,
}

/// The read end of a pipe as a stream of bytes. Reads wait for some bytes; the end of the stream comes
/// when the last holder of the write end has closed it.
#[derive(Debug)]
pub struct PipeReader {
    reader: FrameReader,
}

impl PipeWriter {
    pub(crate) fn new(writer: FrameWriter) -> Self {
        Self { writer }
    }

    pub(crate) fn link(&self) -> &Resource {
        self.writer.link()
    }

    pub(crate) fn into_blocking_descriptor(self) -> Result<OwnedFd, OpenError> {
        let link = self.writer.link().clone();
        let end = self.writer.into_end();
        end.into_blocking().map_err(|error| OpenError::from_os("fcntl(F_SETFL)", &link, error))
    }
}

impl PipeReader {
    pub(crate) fn new(reader: FrameReader) -> Self {
        Self { reader }
    }

    pub(crate) fn link(&self) -> &Resource {
        self.reader.link()
    }

    pub(crate) fn into_blocking_descriptor(self) -> Result<OwnedFd, OpenError> {
        let link = self.reader.link().clone();
        let end = self.reader.into_end();
        end.into_blocking().map_err(|error| OpenError::from_os("fcntl(F_SETFL)", &link, error))
    }
}

impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write_raw(bytes).map_err(|error| match error {
            SendError::PeerGone { .. } => io::Error::new(io::ErrorKind::BrokenPipe, error),
            SendError::Os(os) => io::Error::new(os.source.kind(), *os),
            other => io::Error::other(other),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is kept here
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.reader.read_raw(buffer).map_err(|os| io::Error::new(os.source.kind(), os))
    }
}

impl AsFd for PipeWriter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.writer.as_fd()
    }
}

impl AsFd for PipeReader {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

/// The descriptor, blocking or not, as the last call needed it.
impl From<PipeWriter> for OwnedFd {
    fn from(writer: PipeWriter) -> Self {
        writer.writer.into_end().into()
    }
}

/// The descriptor, blocking or not, as the last call needed it.
impl From<PipeReader> for OwnedFd {
    fn from(reader: PipeReader) -> Self {
        reader.reader.into_end().into()
    }
}
