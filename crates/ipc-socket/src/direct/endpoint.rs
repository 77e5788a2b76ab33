//! A process that can be named: sends to named processes and receives from them, or from anyone.
//! Leaves out how a link comes about (`rendezvous.rs`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Weak;

use ipc_core::{
    Armed, Deadline, Establishment, Interest, OpenError, OpenErrorKind, PeerId, Received, Receiver,
    RecvError, Resource, SendError, Sender, WaitSource, poll,
};
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::rendezvous::{self, Claim, Pause, Places};
use super::{DirectError, Peer};
use crate::link::{Kind, Link};
use crate::packet::{self, PacketReceiver, PacketSender};
use crate::unix::longest_packet;

/// This process as one that others can name, and its links to them.
///
/// There is one in a process at a time. A child that was forked without `exec` must not use it: its
/// messages would come from a process that nobody named, and break the link. Longest message:
/// that of a Unix seqpacket socket, 208 KiB unless the system was told otherwise; none is empty.
///
/// It is a [`WaitSource`], ready when [`receive_any`](Self::receive_any) has something to do.
#[derive(Debug)]
pub struct Direct {
    options: DirectOptions,
    places: Places,
    listener: OwnedFd,
    /// Watches the listener and every link that has something to receive.
    pub(super) epoll: OwnedFd,
    pub(super) links: Vec<Connection>,
    pub(super) next_number: u64,
    /// Numbers of links that were ready when last asked, to be served in turn.
    ready: Vec<u64>,
    resource: Resource,
}

/// Options for [`Direct`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectOptions {
    any_user: bool,
}

/// The link to one process. What is `None` is closed, or was never there.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) number: u64,
    pub(super) peer: Peer,
    pub(super) sender: Option<PacketSender>,
    pub(super) receiver: Option<PacketReceiver>,
    /// Whether a message waits in the receiver, which did not fit.
    pub(super) holds_message: bool,
    /// This process made it, to send only.
    pub(super) is_one_way: bool,
    /// The socket, where the user has taken the ends.
    pub(super) taken: Option<Weak<OwnedFd>>,
}

impl Connection {
    /// Whether the user has taken the ends, and still has one.
    fn is_taken(&self) -> bool {
        self.taken.as_ref().is_some_and(|socket| socket.strong_count() > 0)
    }

    /// Whether nothing is left of it.
    fn has_ended(&self) -> bool {
        self.sender.is_none() && self.receiver.is_none() && !self.is_taken()
    }
}

/// What the listener is called among the numbers of links.
const LISTENER: u64 = 0;
/// How many ready links are asked for at a time.
const BATCH: usize = 64;

impl DirectOptions {
    /// Only processes of the same effective user.
    pub const fn new() -> Self {
        Self { any_user: false }
    }

    /// Whether processes of other users may link to this one, and this one to theirs. Who it is, the
    /// kernel tells with each message.
    #[must_use]
    pub const fn any_user(mut self, on: bool) -> Self {
        self.any_user = on;
        self
    }

    /// Makes this process one that others can name. See [`Direct::open`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn open(self) -> Result<Direct, OpenError> {
        let resource = Resource::unnamed(format!("direct links of process {}", std::process::id()));
        let fail = |operation| {
            let resource = resource.clone();
            move |errno| OpenError::from_os(operation, &resource, errno)
        };
        let places = Places::new()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(fail("epoll_create1"))?;
        let listener = places.listen(&resource)?;
        let (links, ready) = (Vec::new(), Vec::new());
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)
            .map_err(fail("epoll_ctl"))?;
        let options = self;
        Ok(Direct { options, places, listener, epoll, links, next_number: 1, ready, resource })
    }
}

impl Direct {
    /// Makes this process one that others of the same user can name.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] if it is one already, or a stranger has taken its name;
    /// [`OpenErrorKind::Limit`] when descriptors are exhausted; others of socket(2) and bind(2).
    pub fn open() -> Result<Self, OpenError> {
        DirectOptions::new().open()
    }

    /// Sends a message to a process, waiting for room until `deadline`. Makes the link if there is none;
    /// the receiver need not do anything for that, except to have opened itself.
    ///
    /// # Errors
    ///
    /// [`DirectError::Link`] and [`DirectError::Send`]; see there. Of the latter
    /// [`SendError::Unsupported`] says that the peer has made the link one-way, to send only.
    pub fn send(
        &mut self,
        peer: &Peer,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<(), DirectError> {
        let index = self.link_to(peer, deadline)?;
        self.send_over(index, message, deadline)
    }

    /// Sends over one link.
    pub(super) fn send_over(
        &mut self,
        index: usize,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<(), DirectError> {
        let connection = &mut self.links[index];
        let Some(sender) = &mut connection.sender else {
            return Err(taken(&connection.peer).into());
        };
        match sender.send_deadline(message, deadline) {
            Err(error @ SendError::PeerGone { .. }) => {
                if connection.receiver.is_some() && !rendezvous::has_hung_up(sender.as_fd()) {
                    let what = "send against the direction of a one-way link";
                    return Err(SendError::unsupported(what, "direct link").into());
                }
                connection.sender = None; // what it sent before can still be received
                self.forget_ended();
                Err(error.into())
            }
            other => Ok(other?),
        }
    }

    /// Receives a message from one process, waiting until `deadline`; what others send waits meanwhile.
    /// If there is no link yet, waits for that process to make it.
    ///
    /// # Errors
    ///
    /// [`DirectError::Receive`]: of these [`RecvError::PeerGone`] after everything that it sent, when it
    /// is dead or has closed itself; [`DirectError::Link`] if the link was made one-way by this process.
    pub fn receive_from(
        &mut self,
        peer: &Peer,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, DirectError> {
        loop {
            if let Some(index) = self.links.iter().position(|link| link.peer.is_same(peer)) {
                let link = &self.links[index];
                if link.has_ended() {
                    self.forget_ended();
                    continue;
                }
                if link.receiver.is_none() && (link.is_one_way || link.is_taken()) {
                    return Err(if link.is_one_way { one_way(peer) } else { taken(peer) }.into());
                }
                match self.receive_over(index, buffer, deadline) {
                    // It may have closed itself and opened itself anew.
                    Err(RecvError::PeerGone { .. }) if self.has_other(peer)? => {}
                    other => return Ok(other?),
                }
                continue;
            }
            match self.wait_for_link(peer, deadline) {
                Ok(()) => {}
                Err(error) => {
                    return Err(match error.kind() {
                        OpenErrorKind::TimedOut => RecvError::no_message(deadline).into(),
                        OpenErrorKind::PeerGone => RecvError::peer_gone(&peer.resource()).into(),
                        _ => error.into(),
                    });
                }
            }
        }
    }

    /// Receives a message from any process, waiting until `deadline`, and tells from whom. Processes that
    /// have something to say are heard in turn.
    ///
    /// The death of one of them is not reported here, others may still send; name it, to hear of it.
    ///
    /// # Errors
    ///
    /// [`DirectError::Receive`]; [`DirectError::Link`] when descriptors are exhausted by those who
    /// connect.
    pub fn receive_any(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<(Peer, Received), DirectError> {
        loop {
            if let Some(index) = self.links.iter().position(|link| link.holds_message) {
                let peer = self.links[index].peer.clone();
                return Ok((peer, self.receive_over(index, buffer, Deadline::Now)?));
            }
            let Some(number) = self.ready.pop() else {
                self.ask(deadline)?;
                continue;
            };
            if number == LISTENER {
                self.accept_waiting()?;
                continue;
            }
            let Some(index) = self.links.iter().position(|link| link.number == number) else {
                continue;
            };
            let peer = self.links[index].peer.clone();
            match self.receive_over(index, buffer, Deadline::Now) {
                Ok(received) => return Ok((peer, received)),
                Err(RecvError::Empty | RecvError::PeerGone { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Waits until `peer` has made a link to this process, at most until `deadline`. Returns at once if there
    /// is one.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`]; [`OpenErrorKind::PeerGone`] if it dies without having made one.
    pub fn wait_for_link(&mut self, peer: &Peer, deadline: Deadline) -> Result<(), OpenError> {
        loop {
            let was_alive = peer.is_alive().map_err(|error| self.failed("poll", error))?;
            self.accept_waiting()?;
            if self.find(peer).is_some() {
                return Ok(());
            }
            let fail = |kind| OpenError::new("wait for", &peer.resource(), kind);
            if !was_alive {
                return Err(fail(OpenErrorKind::PeerGone));
            }
            let came = rendezvous::wait_for_other(self.listener.as_fd(), None, peer, deadline);
            if !came.map_err(|error| self.failed("poll", error))? {
                return Err(fail(OpenErrorKind::TimedOut));
            }
        }
    }

    /// Takes the two ends of the link to a process out, to be used as any other link's: symmetric direct
    /// communication over the traits. Makes the link if there is none. As long as one of them is there,
    /// it remains the only link of the pair.
    ///
    /// # Errors
    ///
    /// Those of the link's making; [`OpenErrorKind::InUse`] if they are taken already;
    /// [`OpenErrorKind::Unsupported`] if the link is one-way: see [`take_sender`](Self::take_sender) and
    /// [`take_receiver`](Self::take_receiver).
    pub fn take_ends(
        &mut self,
        peer: &Peer,
        deadline: Deadline,
    ) -> Result<(PacketSender, PacketReceiver), OpenError> {
        let index = self.link_to(peer, deadline)?;
        let connection = &mut self.links[index];
        if connection.is_one_way {
            return Err(one_way(peer));
        }
        match (connection.sender.take(), connection.receiver.take()) {
            (Some(sender), Some(receiver)) => {
                let _ = epoll::delete(&self.epoll, sender.as_fd());
                connection.taken = Some(sender.watch());
                connection.holds_message = false; // the receiver has it
                Ok((sender, receiver))
            }
            _ => Err(taken(peer)),
        }
    }

    /// The processes that there are links to.
    pub fn peers(&self) -> impl Iterator<Item = &Peer> {
        self.links.iter().map(|link| &link.peer)
    }

    /// The link to send to `peer` over; made if there is none.
    pub(super) fn link_to(&mut self, peer: &Peer, deadline: Deadline) -> Result<usize, OpenError> {
        if let Some(index) = self.find(peer) {
            return Ok(index);
        }
        if peer.pid() == std::process::id() {
            let requirement = "it must be that of another process".into();
            let kind = OpenErrorKind::InvalidOption { option: "process id", requirement };
            return Err(OpenError::new("link", &peer.resource(), kind));
        }
        let mut pause = Pause::default();
        loop {
            if !peer.is_alive().map_err(|error| self.failed("poll", error))? {
                return Err(OpenError::new("link", &peer.resource(), OpenErrorKind::PeerGone));
            }
            self.accept_waiting()?;
            if let Some(index) = self.find(peer) {
                return Ok(index);
            }
            match self.places.claim(peer)? {
                Claim::Ours(_name) => {
                    self.accept_waiting()?; // it may have come before the name was ours
                    if let Some(index) = self.find(peer) {
                        return Ok(index);
                    }
                    let socket = self.places.connect(peer, self.options.any_user, deadline)?;
                    return self.add(socket, peer.clone(), true);
                }
                Claim::Unclear => {
                    if deadline.has_passed() {
                        let kind = OpenErrorKind::TimedOut;
                        return Err(OpenError::new("link", &peer.resource(), kind));
                    }
                    // Or until something happens that tells more.
                    match pause.next() {
                        None => std::thread::yield_now(),
                        Some(next) => {
                            let listener = self.listener.as_fd();
                            rendezvous::wait_for_other(listener, None, peer, next)
                                .map_err(|error| self.failed("poll", error))?;
                        }
                    }
                }
                Claim::Theirs(attempt) => {
                    let listener = self.listener.as_fd();
                    let ended =
                        rendezvous::wait_for_other(listener, Some(&attempt), peer, deadline)
                            .map_err(|error| self.failed("poll", error))?;
                    if !ended {
                        let kind = OpenErrorKind::TimedOut;
                        return Err(OpenError::new("link", &peer.resource(), kind));
                    }
                }
            }
        }
    }

    /// The newest link to `peer` that can send, or whose ends are in use elsewhere.
    pub(super) fn find(&mut self, peer: &Peer) -> Option<usize> {
        self.links
            .iter()
            .rposition(|link| link.peer.is_same(peer) && (link.sender.is_some() || link.is_taken()))
    }

    /// Whether there is another link with `peer`, to receive from, after one has ended.
    fn has_other(&mut self, peer: &Peer) -> Result<bool, OpenError> {
        self.accept_waiting()?;
        Ok(self.links.iter().any(|link| link.peer.is_same(peer) && link.receiver.is_some()))
    }

    pub(super) fn made_here(&self, index: usize) -> bool {
        self.links[index].number & 1 == 1
    }

    /// Accepts all that have connected. Who may not is turned away.
    pub(super) fn accept_waiting(&mut self) -> Result<(), OpenError> {
        self.forget_ended();
        loop {
            match rustix::net::accept_with(&self.listener, SocketFlags::CLOEXEC) {
                Ok(socket) => {
                    let Some(peer) = rendezvous::identify(socket.as_fd(), self.options.any_user)
                    else {
                        continue;
                    };
                    let has_one = self.find(&peer).is_some_and(|index| self.is_open(index));
                    if !has_one {
                        self.add(socket, peer, false)?;
                    }
                }
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(self.failed("accept", errno)),
            }
        }
    }

    /// Whether the other side of a link has not closed it.
    fn is_open(&self, index: usize) -> bool {
        let link = &self.links[index];
        match &link.sender {
            // Nothing comes over it, and so its end says nothing about that.
            Some(sender) if link.is_one_way => !rendezvous::is_closed(sender.as_fd()),
            Some(sender) => !rendezvous::has_hung_up(sender.as_fd()),
            None => true,
        }
    }

    /// Adds a link over a connected socket. Those made here have odd numbers.
    fn add(&mut self, socket: OwnedFd, peer: Peer, made_here: bool) -> Result<usize, OpenError> {
        let resource = Resource::unnamed(format!("direct link with process {}", peer.pid()));
        let number = self.next_number + u64::from((self.next_number & 1 == 1) != made_here);
        self.next_number = number + 1;
        let max_len = longest_packet(socket.as_fd(), &resource)?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(number), EventFlags::IN)
            .map_err(|errno| OpenError::from_os("epoll_ctl", &resource, errno))?;
        let link = Link {
            kind: Kind::Direct,
            resource,
            establishment: Establishment::Address,
            max_len,
            peer: None,
            has_credentials: true,
            takes_whole: true,
        };
        let (sender, receiver) = packet::endpoints(socket, link);
        self.links.push(Connection {
            number,
            peer,
            sender: Some(sender),
            receiver: Some(receiver),
            holds_message: false,
            is_one_way: false,
            taken: None,
        });
        Ok(self.links.len() - 1)
    }

    /// Receives over one link, and makes sure that it was the process at its other end that sent.
    fn receive_over(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let connection = &mut self.links[index];
        let Some(receiver) = &mut connection.receiver else {
            return Err(RecvError::peer_gone(&connection.peer.resource()));
        };
        let result = receiver.recv_deadline(buffer, deadline);
        connection.holds_message = matches!(result, Err(RecvError::BufferTooSmall(_)));
        match result {
            Ok(Received { sender: Some(PeerId::Process(sender)), .. })
                if sender.pid.map(u32::from) != Some(connection.peer.pid()) =>
            {
                let link = connection.peer.resource();
                self.links.remove(index);
                let what = "another process than that of the link has sent";
                Err(RecvError::violation(what, &link))
            }
            Err(RecvError::PeerGone { .. }) => {
                let link = connection.peer.resource();
                self.links.remove(index);
                Err(RecvError::peer_gone(&link))
            }
            Err(error @ RecvError::Violation(_)) => {
                self.links.remove(index);
                Err(error)
            }
            other => other,
        }
    }

    /// Waits for links that have something to receive, or for new ones.
    fn ask(&mut self, deadline: Deadline) -> Result<(), DirectError> {
        let mut events = [MaybeUninit::<Event>::uninit(); BATCH];
        for patience in [Deadline::Now, deadline] {
            let waits = patience != Deadline::Now;
            if waits
                && !poll::wait_ready(self.epoll.as_fd(), Interest::Readable, patience)
                    .map_err(|error| self.failed("poll", error))?
            {
                break;
            }
            let at_once = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            let found = rustix::io::retry_on_intr(|| {
                epoll::wait(&self.epoll, &mut events, Some(&at_once)).map(|(events, _)| {
                    events.iter().map(|event| event.data.u64()).collect::<Vec<_>>()
                })
            });
            self.ready = found.map_err(|errno| self.failed("epoll_wait", errno))?;
            if !self.ready.is_empty() {
                return Ok(());
            }
        }
        Err(RecvError::no_message(deadline).into())
    }

    /// Drops links of which nothing is left.
    fn forget_ended(&mut self) {
        self.links.retain(|link| !link.has_ended());
    }

    fn failed(&self, operation: &'static str, error: impl Into<io::Error>) -> OpenError {
        OpenError::from_os(operation, &self.resource, error)
    }
}

pub(super) fn taken(peer: &Peer) -> OpenError {
    let source = io::Error::other("the ends of this link were taken");
    OpenError::new("use the link with", &peer.resource(), OpenErrorKind::InUse(source))
}

pub(super) fn one_way(peer: &Peer) -> OpenError {
    let what = "receiving over a link that this process made one-way";
    OpenError::new("receive from", &peer.resource(), OpenErrorKind::Unsupported(what))
}

impl WaitSource for Direct {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        (self.epoll.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        let has_answer = !self.ready.is_empty() || self.links.iter().any(|link| link.holds_message);
        Ok(if has_answer { Armed::Ready } else { Armed::Waiting })
    }
}

/// To poll: readable when [`Direct::receive_any`] may have something to do.
impl AsFd for Direct {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}
