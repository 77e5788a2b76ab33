//! Listeners for Unix connections. Leaves out how their paths are kept: see `path.rs`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{Deadline, Establishment, OpenError, Resource};

use super::connection::{UnixSeqpacketConnection, UnixStreamConnection};
use super::path::BoundPath;
use super::{UnixAddress, UnixOptions};
use crate::connecting;

/// Accepts connections over Unix stream sockets. Dropping it removes its path.
#[derive(Debug)]
pub struct UnixStreamListener(Listener);

/// Accepts connections over Unix seqpacket sockets. Dropping it removes its path.
#[derive(Debug)]
pub struct UnixSeqpacketListener(Listener);

/// What listeners of both kinds have.
#[derive(Debug)]
struct Listener {
    // Before the socket, so that the path goes while the socket is still there to prove whose it is.
    _bound: Option<BoundPath>,
    socket: OwnedFd,
    resource: Resource,
    options: UnixOptions,
}

impl UnixStreamListener {
    /// Listens with the default [`UnixOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`UnixOptions::listen_stream`].
    pub fn bind(address: impl Into<UnixAddress>) -> Result<Self, OpenError> {
        UnixOptions::new().listen_stream(address)
    }

    pub(super) fn new(
        bound: Option<BoundPath>,
        socket: OwnedFd,
        resource: Resource,
        options: UnixOptions,
    ) -> Result<Self, OpenError> {
        Listener::new(bound, socket, resource, options).map(Self)
    }

    /// Accepts a connection, waiting for one until `deadline`. See `accept(2)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`](ipc_core::OpenErrorKind::TimedOut), also under
    /// [`Deadline::Now`]; [`OpenErrorKind::Limit`](ipc_core::OpenErrorKind::Limit) without free
    /// descriptors, with the connection still waiting; others of `accept(2)`.
    pub fn accept(&self, deadline: Deadline) -> Result<UnixStreamConnection, OpenError> {
        let socket = connecting::accept(self.as_fd(), &self.0.resource, deadline)?;
        self.0.options.stream(socket, self.0.resource.clone(), Establishment::Connection)
    }
}

impl UnixSeqpacketListener {
    /// Listens with the default [`UnixOptions`].
    ///
    /// # Errors
    ///
    /// Those of [`UnixOptions::listen_seqpacket`].
    pub fn bind(address: impl Into<UnixAddress>) -> Result<Self, OpenError> {
        UnixOptions::new().listen_seqpacket(address)
    }

    pub(super) fn new(
        bound: Option<BoundPath>,
        socket: OwnedFd,
        resource: Resource,
        options: UnixOptions,
    ) -> Result<Self, OpenError> {
        Listener::new(bound, socket, resource, options).map(Self)
    }

    /// Accepts a connection, waiting for one until `deadline`. See `accept(2)`.
    ///
    /// # Errors
    ///
    /// Those of [`UnixStreamListener::accept`].
    pub fn accept(&self, deadline: Deadline) -> Result<UnixSeqpacketConnection, OpenError> {
        let socket = connecting::accept(self.as_fd(), &self.0.resource, deadline)?;
        self.0.options.seqpacket(socket, self.0.resource.clone(), Establishment::Connection)
    }
}

impl Listener {
    fn new(
        bound: Option<BoundPath>,
        socket: OwnedFd,
        resource: Resource,
        options: UnixOptions,
    ) -> Result<Self, OpenError> {
        let listener = Self { _bound: bound, socket, resource, options };
        connecting::listen(listener.socket.as_fd(), &listener.resource)?;
        Ok(listener)
    }
}

/// To poll: readable when a connection waits to be accepted.
impl AsFd for UnixStreamListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}

/// To poll: readable when a connection waits to be accepted.
impl AsFd for UnixSeqpacketListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.socket.as_fd()
    }
}
