//! The order in which two sides say hello, over a socket that both have. Leaves out what they say
//! and check: see `side.rs`.
//!
//! A hello is one message: 64 bytes, three descriptors, and the sender's credentials, which the
//! sender attaches itself. So they are there even if the receiver asked for them (`SO_PASSCRED`)
//! only after the message was sent, and they name the process that says hello. The socket's own
//! credentials (`SO_PEERCRED`) name whoever called `listen`, `connect` or `socketpair`, which need not
//! be it: a listener may have forked its workers, a parent makes the pair for its child.

use std::os::fd::BorrowedFd;

use ipc_core::{Deadline, OpenError, OpenErrorKind, Resource};
use ipc_socket::{pass_credentials, send_with_credentials};
use rustix::net::sockopt;

use super::hello::Hello;
use super::side::{Expected, PeerSide, Side};
use super::{LinkOptions, Options, PeerUser};

/// A socket to the other side, and whom to let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handshake<'a> {
    pub(crate) socket: BorrowedFd<'a>,
    /// Of which user the other side must be if the options do not say.
    pub(crate) usual_user: PeerUser,
    /// What errors call the link.
    pub(crate) resource: &'a Resource,
}

impl Handshake<'_> {
    /// Says hello, then hears the other side's. Two sides that do so work at the same time.
    pub(crate) fn offer<O: LinkOptions>(
        self,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        let here = self.say(options.options(), deadline)?;
        let there = self.hear(options.options(), deadline)?;
        Ok(O::finish(here.join(there)))
    }

    /// Hears the other side's hello, then answers: who says nothing gets nothing. Who says what does not
    /// fit gets words only, by which an honest one learns what it is that does not fit.
    pub(crate) fn answer<O: LinkOptions>(
        self,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        let there = self.hear(options.options(), deadline).inspect_err(|error| {
            if matches!(error.kind(), OpenErrorKind::Mismatch { .. }) {
                let hello = Hello::of(options.options()).to_bytes();
                // If it does not go through, the other side learns that this one has gone.
                let _ = send_with_credentials(self.socket, &hello, &[], Deadline::Now);
            }
        })?;
        let here = self.say(options.options(), deadline)?;
        Ok(O::finish(here.join(there)))
    }

    pub(super) fn say(self, options: &Options, deadline: Deadline) -> Result<Side, OpenError> {
        let here = Side::create(options, self.resource)?;
        here.send(self.socket, deadline, self.resource)?;
        Ok(here)
    }

    pub(super) fn hear(self, options: &Options, deadline: Deadline) -> Result<PeerSide, OpenError> {
        // After the send: a seqpacket socket with this option and no address is given an abstract
        // one when it sends. Back to what it was, for a user's socket may go on to other uses.
        let error = |operation, error| OpenError::from_os(operation, self.resource, error);
        let was_on = sockopt::socket_passcred(self.socket).map_err(|e| error("getsockopt", e))?;
        let pass = |on| pass_credentials(self.socket, on);
        let os = |error| OpenError::from_os("setsockopt(SO_PASSCRED)", self.resource, error);
        pass(true).map_err(os)?;
        let user = options.peer_user_or(self.usual_user);
        let expected = Expected { here: Hello::of(options), user };
        let heard = PeerSide::receive(self.socket, expected, deadline, self.resource);
        pass(was_on).map_err(os)?;
        heard
    }
}
