//! `interprocess`: local sockets, which on Linux are Unix stream sockets.
//!
//! It carries bytes without boundaries, so a user frames them: here a length of four bytes before each
//! message, both written by one vectored write, and read through a `BufReader`, as its examples
//! (`local_socket/sync`) do: one system call each way for a small message. Its documentation has no
//! section on speed; blocking calls are its default, and asynchronous ones are Tokio's, which is
//! measured by itself.

use std::io::{self, BufReader, IoSlice, Read, Write};
use std::os::fd::AsFd;

use interprocess::local_socket::traits::{Listener as _, Stream as _};
use interprocess::local_socket::{
    GenericFilePath, Listener, ListenerOptions, Stream, ToFsName as _,
};
use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::Mechanism;
use ipc_benches::session::Wait;
use ipc_core::{
    Deadline, Interest, LinkProperties, OsError, Received, Receiver, RecvError, Resource,
    SendError, Sender, poll,
};

use crate::common::too_small;
use crate::streams::{HEADER_LEN, StreamLibrary, Streams, header, link, link_properties};

/// Left to sleep in the kernel.
pub const MECHANISM: Mechanism = Mechanism {
    peer: true,
    waits: &[Wait::Block],
    ..kernel_mechanism!(LocalSocket::NAME, |_| Streams(LocalSocket))
};

/// Local sockets, at paths in the scope's directory.
#[derive(Clone, Copy, Debug)]
pub struct LocalSocket;

/// The end of a socket that sends frames.
#[derive(Debug)]
pub struct FrameSender {
    stream: Stream,
    link: Resource,
}

/// The end of a socket that receives frames.
#[derive(Debug)]
pub struct FrameReceiver {
    stream: BufReader<Stream>,
    link: Resource,
}

impl Sender for FrameSender {
    /// Waits in the kernel where there is no room, whatever the deadline.
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        let Self { stream, link } = self;
        let header = header(message);
        let mut pieces = [IoSlice::new(&header), IoSlice::new(message)];
        let mut pieces = &mut pieces[..];
        while !pieces.is_empty() {
            let written = stream.write_vectored(pieces);
            let written = written.map_err(|error| OsError::new("write", link, error))?;
            IoSlice::advance_slices(&mut pieces, written);
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        link_properties::<LocalSocket>()
    }
}

impl Receiver for FrameReceiver {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { stream, link } = self;
        let failed = |error| OsError::new("read", link, error);
        if deadline != Deadline::Never && stream.buffer().is_empty() {
            let Stream::UdSocket(socket) = stream.get_ref();
            let ready = poll::wait_ready(socket.as_fd(), Interest::Readable, deadline);
            if !ready.map_err(failed)? {
                return Err(RecvError::no_message(deadline));
            }
        }
        let mut len = [0; HEADER_LEN];
        stream.read_exact(&mut len).map_err(failed)?;
        let needed = u32::from_ne_bytes(len) as usize;
        let buffer_len = buffer.len();
        let place = buffer.get_mut(..needed);
        let place = place.ok_or_else(|| too_small(needed, buffer_len, link))?;
        stream.read_exact(place).map_err(failed)?;
        Ok(Received::of_len(needed))
    }

    fn properties(&self) -> LinkProperties {
        link_properties::<LocalSocket>()
    }
}

impl StreamLibrary for LocalSocket {
    const NAME: &'static str = "interprocess";
    type Listener = Listener;
    type Stream = Stream;
    type Sender = FrameSender;
    type Receiver = FrameReceiver;

    fn listen(path: &str) -> io::Result<Listener> {
        ListenerOptions::new().name(path.to_fs_name::<GenericFilePath>()?).create_sync()
    }

    fn accept(listener: Listener) -> io::Result<Stream> {
        listener.accept()
    }

    fn connect(path: &str) -> io::Result<Stream> {
        Stream::connect(path.to_fs_name::<GenericFilePath>()?)
    }

    fn sender(stream: Stream) -> FrameSender {
        FrameSender { stream, link: link::<Self>() }
    }

    fn receiver(stream: Stream) -> FrameReceiver {
        FrameReceiver { stream: BufReader::new(stream), link: link::<Self>() }
    }
}
