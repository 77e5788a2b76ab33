//! `tokio`'s `UnixStream`: what a server of many connections uses, on a runtime of one thread.
//!
//! At its best for one link (Tokio's guide, "Runtime" and the docs of `runtime::Builder`): the
//! current-thread scheduler, since there is nothing to run in parallel; reading through a `BufReader`
//! and writing length and message by one vectored write, so that a small message costs one system
//! call each way when the socket is ready, and one more to wait. Each process has one runtime for all
//! its links. The measuring loops are synchronous, so every operation is a `block_on` of its own: some
//! 100 ns of the microseconds that the socket takes.

use std::io::{self, IoSlice};
use std::sync::LazyLock;

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::Mechanism;
use ipc_benches::session::Wait;
use ipc_core::{
    Deadline, LinkProperties, OsError, Received, Receiver, RecvError, Resource, SendError, Sender,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};

use crate::common::too_small;
use crate::streams::{HEADER_LEN, StreamLibrary, Streams, header, link, link_properties};

/// Left to sleep in the runtime's poll.
pub const MECHANISM: Mechanism = Mechanism {
    peer: true,
    waits: &[Wait::Block],
    ..kernel_mechanism!(TokioStream::NAME, |_| Streams(TokioStream))
};

/// Unix streams, at paths in the scope's directory.
#[derive(Clone, Copy, Debug)]
pub struct TokioStream;

/// The end of a stream that sends frames.
#[derive(Debug)]
pub struct StreamSender {
    stream: UnixStream,
    link: Resource,
}

/// The end of a stream that receives frames.
#[derive(Debug)]
pub struct StreamReceiver {
    stream: BufReader<UnixStream>,
    link: Resource,
}

/// This process's runtime; made when the first link is.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().build().expect("a runtime needs an epoll descriptor")
});

impl Sender for StreamSender {
    /// Waits where there is no room, whatever the deadline.
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        let Self { stream, link } = self;
        let sent = RUNTIME.block_on(async {
            let header = header(message);
            let mut pieces = [IoSlice::new(&header), IoSlice::new(message)];
            let mut pieces = &mut pieces[..];
            while !pieces.is_empty() {
                let written = stream.write_vectored(pieces).await?;
                IoSlice::advance_slices(&mut pieces, written);
            }
            Ok(())
        });
        Ok(sent.map_err(|error: io::Error| OsError::new("write", link, error))?)
    }

    fn properties(&self) -> LinkProperties {
        link_properties::<TokioStream>()
    }
}

impl Receiver for StreamReceiver {
    /// Waits until the deadline for a frame to begin, and then for the rest of it.
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { stream, link } = self;
        let failed = |error| OsError::new("read", link, error);
        let buffer_len = buffer.len();
        RUNTIME.block_on(async {
            if deadline != Deadline::Never && stream.buffer().is_empty() {
                let patience = deadline.remaining().unwrap_or_default();
                if tokio::time::timeout(patience, stream.get_ref().readable()).await.is_err() {
                    return Err(RecvError::no_message(deadline));
                }
            }
            let mut len = [0; HEADER_LEN];
            stream.read_exact(&mut len).await.map_err(failed)?;
            let needed = u32::from_ne_bytes(len) as usize;
            let place = buffer.get_mut(..needed);
            let place = place.ok_or_else(|| too_small(needed, buffer_len, link))?;
            stream.read_exact(place).await.map_err(failed)?;
            Ok(Received::of_len(needed))
        })
    }

    fn properties(&self) -> LinkProperties {
        link_properties::<TokioStream>()
    }
}

impl StreamLibrary for TokioStream {
    const NAME: &'static str = "tokio";
    type Listener = UnixListener;
    type Stream = UnixStream;
    type Sender = StreamSender;
    type Receiver = StreamReceiver;

    fn listen(path: &str) -> io::Result<UnixListener> {
        let _within = RUNTIME.enter();
        UnixListener::bind(path)
    }

    fn accept(listener: UnixListener) -> io::Result<UnixStream> {
        Ok(RUNTIME.block_on(listener.accept())?.0)
    }

    fn connect(path: &str) -> io::Result<UnixStream> {
        RUNTIME.block_on(UnixStream::connect(path))
    }

    fn sender(stream: UnixStream) -> StreamSender {
        StreamSender { stream, link: link::<Self>() }
    }

    fn receiver(stream: UnixStream) -> StreamReceiver {
        StreamReceiver { stream: BufReader::new(stream), link: link::<Self>() }
    }
}
