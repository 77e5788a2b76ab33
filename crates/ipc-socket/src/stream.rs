//! Endpoints over streams of bytes: Unix stream sockets and TCP. Leaves out how connections are made
//! ([`UnixOptions`](crate::UnixOptions), [`TcpOptions`](crate::TcpOptions)) and the frame itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use bytes::Bytes;
use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, PeerId, Received, Receiver, RecvError, SendError,
    Sender, WaitSource,
};
use rustix::io::Errno;

use crate::attempt;
use crate::framing::{Frame, FrameReader, FrameWriter};
use crate::half::Half;
use crate::link::{Kind, Link};

/// How long dropping a sender may wait for the receiver to make room for the rest of a message that was
/// accepted. To wait as long as it takes, [`flush`](StreamSender::flush) first.
pub const DROP_PATIENCE: Duration = Duration::from_secs(1);

/// Sends messages over a Unix stream socket or a TCP connection, each as a frame: its length in four
/// bytes, least significant first, then the message.
///
/// A send whose deadline passes before the socket took the first byte has no effect. One whose deadline
/// passes later has begun a frame: the message counts as accepted, the endpoint keeps the rest of it,
/// and finishes it before the next one or in [`flush`](Self::flush); until then the rest dies with this
/// process. That befalls only messages that do not fit the socket's buffer as a whole; on a Unix
/// stream never those of up to 16 KiB (with the system's buffers). So a link whose longest message is
/// longer does not declare that what it accepted survives the sender, and a Unix stream whose longest
/// message is not, does.
///
/// Dropping it finishes what it has begun, waiting at most [`DROP_PATIENCE`], and tells the receiver
/// that the stream has ended (a half-close, if the other half of the connection is still there).
#[derive(Debug)]
pub struct StreamSender {
    writer: FrameWriter,
    link: Link,
    socket: Half,
}

/// Receives the messages of a [`StreamSender`], or of any program that writes the same frames.
///
/// It holds up to 64 KiB of messages that came with others. A length above the maximum is a
/// [`RecvError::Violation`], found before any memory is set aside for it.
#[derive(Debug)]
pub struct StreamReceiver {
    reader: FrameReader,
    link: Link,
    socket: Half,
}

/// Makes the two endpoints of a connected stream socket.
pub(crate) fn endpoints(socket: OwnedFd, link: Link) -> (StreamSender, StreamReceiver) {
    let (sending, receiving) = Half::both(socket);
    let reader = FrameReader::new(link.max_len);
    let writer = FrameWriter::default();
    let sender = StreamSender { writer, link: link.clone(), socket: sending };
    (sender, StreamReceiver { reader, link, socket: receiving })
}

impl StreamSender {
    /// Finishes a message that was accepted with a part of it still to be written; does nothing if there
    /// is none. Waits for room until `deadline`.
    ///
    /// # Errors
    ///
    /// [`SendError::Full`] or [`SendError::TimedOut`] if there is still something left to write, and
    /// those of a send.
    pub fn flush(&mut self, deadline: Deadline) -> Result<(), SendError> {
        match self.writer.flush(self.socket.as_fd(), deadline) {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::no_room(deadline)),
            Err(errno) => Err(self.link.send_error("send", errno)),
        }
    }

    /// Whether a part of an accepted message is still to be written.
    pub fn has_unfinished(&self) -> bool {
        self.writer.owes()
    }

    /// Whether a send may begin with a plain `send(2)`, whose result [`go_on`](Self::go_on) understands.
    fn may_begin(&self, message: &[u8], deadline: Deadline) -> bool {
        let takes_whole = self.link.kind != Kind::Tcp; // if the message is short
        message.len() <= self.link.max_len && (takes_whole || deadline == Deadline::Never)
    }

    /// Goes on when a plain `send(2)` has written a part of the frame, or nothing.
    #[cold]
    fn go_on(
        &mut self,
        message: &[u8],
        sent: Result<usize, Errno>,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        let finished = match sent {
            Ok(sent) => self.writer.go_on(self.socket.as_fd(), message, sent, deadline),
            Err(Errno::AGAIN) if deadline == Deadline::Now => return Err(SendError::Full),
            Err(Errno::AGAIN | Errno::INTR) => return self.send_with_care(message, deadline),
            Err(errno) => Err(errno),
        };
        finished.map_err(|errno| self.link.send_error("send", errno))
    }

    /// Sends in whatever way it takes.
    fn send_with_care(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.link.check_len(message.len())?;
        let socket = self.socket.as_fd();
        let has_room = match self.link.kind {
            Kind::Tcp => FrameWriter::wait_for_room(socket, deadline),
            _ => Ok(true), // a Unix stream takes short messages whole
        };
        let sent = has_room
            .and_then(|has_room| Ok(has_room && self.writer.send(socket, message, deadline)?));
        match sent {
            Ok(true) => Ok(()),
            Ok(false) => Err(SendError::no_room(deadline)),
            Err(errno) => Err(self.link.send_error("send", errno)),
        }
    }
}

impl StreamReceiver {
    /// Receives one message as [`Bytes`], waiting for one until `deadline`: no buffer, no
    /// [`RecvError::BufferTooSmall`], and a long message is not copied on its way from the kernel.
    /// `Bytes` can be cloned and sliced for nothing, and handed to other threads.
    ///
    /// ```
    /// use ipc_core::{Deadline, Sender};
    /// use ipc_socket::UnixOptions;
    ///
    /// let (mut one, mut other) = UnixOptions::new().pair_stream()?;
    /// one.sender.send(b"key=value")?;
    /// let (message, _sender) = other.receiver.recv_bytes(Deadline::Never)?;
    /// let value = message.slice(4..); // shares the memory
    /// assert_eq!(&value[..], b"value");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of a receive.
    pub fn recv_bytes(&mut self, deadline: Deadline) -> Result<(Bytes, Option<PeerId>), RecvError> {
        match self.reader.recv_bytes(self.socket.as_fd(), deadline) {
            Ok((Frame::Message(_), bytes)) => Ok((bytes, self.link.peer)),
            Ok((frame, _)) => Err(self.no_message(frame, 0, deadline)),
            Err(errno) => Err(self.link.recv_error("recv", errno)),
        }
    }

    /// Receives in whatever way it takes.
    fn recv_with_care(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        match self.reader.recv(self.socket.as_fd(), buffer, deadline) {
            Ok(Frame::Message(len)) => Ok(Received { len, sender: self.link.peer, priority: 0 }),
            Ok(frame) => Err(self.no_message(frame, buffer.len(), deadline)),
            Err(errno) => Err(self.link.recv_error("recv", errno)),
        }
    }

    /// Takes it that a plain `recv(2)` has failed; all is well if another should be tried.
    #[cold]
    fn take_failure(&mut self, errno: Errno, deadline: Deadline) -> Result<(), RecvError> {
        match errno {
            Errno::AGAIN if deadline == Deadline::Now => Err(RecvError::no_message(deadline)),
            Errno::AGAIN | Errno::INTR => Ok(()),
            _ if attempt::is_stream_gone(errno) => {
                self.reader.take(0);
                Ok(())
            }
            _ => Err(self.link.recv_error("recv", errno)),
        }
    }

    /// What it means that there is no message.
    fn no_message(&self, frame: Frame, len: usize, deadline: Deadline) -> RecvError {
        let link = &self.link.resource;
        match frame {
            Frame::None | Frame::Message(_) => RecvError::no_message(deadline),
            Frame::TooSmall(needed) => RecvError::buffer_too_small(needed, len, link),
            Frame::End => RecvError::peer_gone(link),
            Frame::Violation => {
                let what = "it announced a message longer than the maximum";
                RecvError::violation(what, link)
            }
        }
    }
}

/// One plain system call, inline in the caller's loop, does for most messages: the first return after a
/// system call, from a function that was entered before it, costs 80 ns on some processors
/// (`benches/record/2026-11-29-pipe-framing.md`).
impl Sender for StreamSender {
    #[inline(always)] // see above
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let frame =
            if self.may_begin(message, deadline) { self.writer.frame(message) } else { None };
        let Some(frame) = frame else {
            return self.send_with_care(message, deadline);
        };
        let len = frame.len();
        let flags = attempt::send_flags(deadline == Deadline::Never);
        match rustix::net::send(&self.socket, frame, flags) {
            Ok(sent) if sent == len => Ok(()),
            sent => self.go_on(message, sent, deadline),
        }
    }

    fn properties(&self) -> LinkProperties {
        self.link.properties(Link::send_capacity(self.as_fd()))
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

/// One plain system call, inline in the caller's loop, as in sending.
impl Receiver for StreamReceiver {
    #[inline(always)] // see above
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        if matches!(deadline, Deadline::Never | Deadline::Now) {
            if let Some(room) = self.reader.wanted(buffer) {
                let flags = attempt::recv_flags(deadline == Deadline::Never);
                match rustix::net::recv(&self.socket, room, flags) {
                    Ok((len, _)) => self.reader.take(len),
                    Err(errno) => self.take_failure(errno, deadline)?,
                }
            }
        }
        self.recv_with_care(buffer, deadline)
    }

    fn properties(&self) -> LinkProperties {
        self.link.properties(Link::receive_capacity(self.as_fd()))
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for StreamSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.socket.as_fd(), Interest::Writable)
    }
}

impl WaitSource for StreamReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.socket.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.reader.is_ready() { Armed::Ready } else { Armed::Waiting })
    }
}

/// The socket, for its options. Bytes written to it directly break the frames.
impl AsFd for StreamSender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The socket, for its options. Bytes read from it directly are missing from the frames.
impl AsFd for StreamReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Drop for StreamSender {
    fn drop(&mut self) {
        if self.writer.owes() {
            let _ = self.flush(Deadline::after(DROP_PATIENCE)); // if it fails, nobody reads
        }
    }
}
