//! ZeroMQ, `ipc://`: sockets of messages over a Unix socket that a thread of the library serves.
//!
//! At its best (the guide, chapter 2, "I/O Threads" and "Unicast Transports"; `zmq_setsockopt(3)`): a
//! PUSH and a PULL socket, which lose nothing and wait at the high-water mark; one context for each
//! process, with the one I/O thread that the guide finds enough up to a gigabyte a second; high-water
//! marks of as many messages as fit the room that every ring gets, at most the usual 1,000. Only left
//! to sleep: a process that polls would take the core on which its own I/O thread must run.

use std::sync::LazyLock;

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::common::{failed, not_made, properties, too_small};

const NAME: &str = "zmq";

/// Left to sleep until the library's thread wakes it.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, waits: &[Wait::Block], ..kernel_mechanism!(NAME, PushPull::new) };

/// PUSH and PULL sockets, at paths in the scope's directory.
#[derive(Clone, Copy, Debug)]
pub struct PushPull {
    high_water_mark: i32,
}

/// Either end.
#[allow(missing_debug_implementations, reason = "the library's socket has none")]
pub struct Socket {
    socket: zmq::Socket,
    link: Resource,
}

/// This process's context; made when the first link is.
static CONTEXT: LazyLock<zmq::Context> = LazyLock::new(zmq::Context::new);

const fn link_properties() -> LinkProperties {
    // Bounded by messages here, there, and in the socket between.
    let capacity = Capacity::Unbounded { ceiling: usize::MAX };
    properties(NAME, Carrier::Kernel, capacity, MessageLength::up_to(i32::MAX as usize))
}

impl PushPull {
    fn new(setting: &Setting) -> Self {
        let messages = (setting.capacity_bytes() / setting.size_bytes).min(1000);
        Self { high_water_mark: messages as i32 }
    }

    fn socket(self, kind: zmq::SocketType) -> zmq::Result<zmq::Socket> {
        let socket = CONTEXT.socket(kind)?;
        socket.set_sndhwm(self.high_water_mark)?;
        socket.set_rcvhwm(self.high_water_mark)?;
        // Closing it waits for nothing: every message has been received by then.
        socket.set_linger(0)?;
        Ok(socket)
    }

    fn bind(
        self,
        kind: zmq::SocketType,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Socket>), OpenError> {
        let address = format!("ipc://{}", scope.path(scope.name().as_str()).display());
        let link = Resource::named(NAME, &address);
        let bound = self.socket(kind).and_then(|socket| socket.bind(&address).map(|()| socket));
        let socket = bound.map_err(|error| not_made("bind", &link, error))?;
        Ok((Invitation::of_text(address), Pending::ready(Socket { socket, link })))
    }

    fn connect(self, kind: zmq::SocketType, invitation: Invitation) -> Result<Socket, OpenError> {
        let address = invitation.text;
        let link = Resource::named(NAME, &address);
        let made = self.socket(kind).and_then(|socket| socket.connect(&address).map(|()| socket));
        let socket = made.map_err(|error| not_made("connect", &link, error))?;
        Ok(Socket { socket, link })
    }
}

impl Socket {
    /// Whether the socket is ready for something before the deadline.
    fn is_ready(&self, events: zmq::PollEvents, deadline: Deadline) -> zmq::Result<bool> {
        let timeout_ms = match deadline.remaining() {
            None => -1,
            Some(left) => i64::try_from(left.as_millis()).unwrap_or(i64::MAX),
        };
        Ok(self.socket.poll(events, timeout_ms)? > 0)
    }
}

impl Sender for Socket {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let failed = |error| failed("send", &self.link, error);
        if deadline != Deadline::Never && !self.is_ready(zmq::POLLOUT, deadline).map_err(failed)? {
            return Err(SendError::no_room(deadline));
        }
        Ok(self.socket.send(message, 0).map_err(failed)?)
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

impl Receiver for Socket {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let failed = |error| failed("recv", &self.link, error);
        if deadline != Deadline::Never && !self.is_ready(zmq::POLLIN, deadline).map_err(failed)? {
            return Err(RecvError::no_message(deadline));
        }
        let len = self.socket.recv_into(buffer, 0).map_err(failed)?;
        // It tells the length of the message, and has copied no more than fits.
        if len > buffer.len() {
            return Err(too_small(len, buffer.len(), &self.link));
        }
        Ok(Received::of_len(len))
    }

    fn properties(&self) -> LinkProperties {
        link_properties()
    }
}

impl Transport for PushPull {
    type Sender = Socket;
    type Receiver = Socket;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(&self, scope: &Scope) -> Result<(Invitation, Pending<Socket>), OpenError> {
        self.bind(zmq::PUSH, scope)
    }

    fn invite_sender(&self, scope: &Scope) -> Result<(Invitation, Pending<Socket>), OpenError> {
        self.bind(zmq::PULL, scope)
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Socket, OpenError> {
        self.connect(zmq::PULL, invitation)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Socket, OpenError> {
        self.connect(zmq::PUSH, invitation)
    }
}
