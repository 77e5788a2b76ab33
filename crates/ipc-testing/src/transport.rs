//! What a mechanism tells the kit about itself: how to make a link between two processes.

use std::fmt;
use std::os::fd::OwnedFd;

use ipc_core::{OpenError, Receiver, Sender};

use crate::Scope;

/// How links of one mechanism are made between two processes.
///
/// The process that begins the link (the **host**) invites the other (the **guest**), in three steps:
///
/// 1. the host calls [`invite_receiver`](Transport::invite_receiver) or
///    [`invite_sender`](Transport::invite_sender) and gets an [`Invitation`] and a [`Pending`] end;
/// 2. the guest gets the invitation and joins with it;
/// 3. at the same time the host calls [`Pending::complete`] with the guest's process id.
///
/// So either side may wait for the other in its step, as opening a FIFO does, and the host may make
/// everything beforehand, as a named queue wants. Where two processes have only one link, one way
/// ([`LinkProperties`](ipc_core::LinkProperties)), both sides' steps 2 and 3 fail for a second one, and
/// neither waits for the other then. A transport value is made anew in each process, the
/// same in both. It is also what the benchmark measures.
pub trait Transport: Send + Sync + 'static {
    /// The sending endpoint.
    type Sender: Sender + 'static;
    /// The receiving endpoint.
    type Receiver: Receiver + 'static;

    /// Its short name, as the benchmark prints it: `"pipe"`, `"mq-posix"`.
    fn name(&self) -> &'static str;

    /// What this machine lacks for such links, where nobody can install it: its cases are then skipped by
    /// name (see [`skip`](crate::skip)). `None`, unless a transport says otherwise:
    ///
    /// ```
    /// fn missing() -> Option<String> {
    ///     let bound = std::net::UdpSocket::bind("[::1]:0");
    ///     bound.err().map(|error| format!("an IPv6 loopback device ({error})"))
    /// }
    /// # missing();
    /// ```
    fn missing(&self) -> Option<String> {
        None
    }

    /// Begins a link whose sender stays here and whose receiver will be the guest's.
    ///
    /// # Errors
    ///
    /// Whatever keeps the link from being made.
    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Sender>), OpenError>;

    /// Begins a link whose receiver stays here and whose sender will be the guest's.
    ///
    /// # Errors
    ///
    /// Whatever keeps the link from being made.
    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Receiver>), OpenError>;

    /// In the guest: becomes the receiver of the link that the invitation is for.
    ///
    /// # Errors
    ///
    /// Whatever keeps the end from being opened.
    fn join_as_receiver(&self, invitation: Invitation) -> Result<Self::Receiver, OpenError>;

    /// In the guest: becomes the sender of the link that the invitation is for.
    ///
    /// # Errors
    ///
    /// Whatever keeps the end from being opened.
    fn join_as_sender(&self, invitation: Invitation) -> Result<Self::Sender, OpenError>;
}

/// What the guest needs to join a link: it is carried to the other process by the kit.
#[derive(Debug, Default)]
pub struct Invitation {
    /// Names, addresses, process ids: whatever the transport writes and reads. No line breaks.
    pub text: String,
    /// Open descriptors; the guest gets its own, close-on-exec, and the host's are closed.
    pub descriptors: Vec<OwnedFd>,
}

impl Invitation {
    /// An invitation of text alone.
    pub fn of_text(text: impl Into<String>) -> Self {
        Self { text: text.into(), descriptors: Vec::new() }
    }

    /// An invitation of descriptors alone.
    pub fn of_descriptors(descriptors: Vec<OwnedFd>) -> Self {
        Self { text: String::new(), descriptors }
    }
}

/// The host's end of a link that waits for its guest.
pub struct Pending<E>(Box<dyn FnOnce(u32) -> Result<E, OpenError>>);

impl<E: 'static> Pending<E> {
    /// An end that is made by `complete`, which gets the guest's process id and may block until the
    /// guest has joined.
    pub fn new(complete: impl FnOnce(u32) -> Result<E, OpenError> + 'static) -> Self {
        Self(Box::new(complete))
    }

    /// An end that is whole already.
    pub fn ready(end: E) -> Self {
        Self::new(move |_| Ok(end))
    }

    /// The same end inside something else: a wrapper, or a box.
    pub fn map<F: 'static>(self, wrap: impl FnOnce(E) -> F + 'static) -> Pending<F> {
        Pending::new(move |guest_pid| self.complete(guest_pid).map(wrap))
    }

    /// Makes the host's end whole, for the guest of process id `guest_pid`.
    ///
    /// # Errors
    ///
    /// Whatever keeps the link from being made.
    pub fn complete(self, guest_pid: u32) -> Result<E, OpenError> {
        (self.0)(guest_pid)
    }
}

impl<E> fmt::Debug for Pending<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pending")
    }
}
