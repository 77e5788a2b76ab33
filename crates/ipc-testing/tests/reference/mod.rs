//! A small transport to test the kit with: one end of a Unix seqpacket socket pair each, and a byte
//! before each message, without which an empty message would look like the end of the link.
//!
//! It is honest but for its [`Fault`], of which a test can give it one.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::ThreadId;
use std::time::Duration;

use ipc_core::{
    Armed, Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Evidence, Interest, Lifetime, LinkProperties, MessageLength, Naming, OpenError,
    Order, OsError, PeerId, ProcessPeer, Received, Receiver, RecvError, Resource, SendError,
    Sender, SenderIdentity, WaitSource, WhenFull, poll,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rustix::event::{EventfdFlags, PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, SocketFlags,
    SocketType,
};

/// What can be wrong with the transport. The suite must notice each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code)] // each test binary uses some of them
pub(crate) enum Fault {
    LosesEveryHundredth,
    SwapsTwoMessages,
    RepeatsAMessage,
    CorruptsAByte,
    MergesWaitingMessages,
    TakesEmptyForTheEnd,
    CutsLongMessages,
    ReportsAWrongMax,
    TakesShortMessages,
    DropsWhatDoesNotFit,
    UnderstatesTheNeededLength,
    CallsFullTimedOut,
    CallsEmptyTimedOut,
    SendTimesOutEarly,
    RecvTimesOutEarly,
    SendsAfterTheTimeOut,
    SleepsThroughRoom,
    SleepsThroughMessages,
    SurfacesInterrupts,
    RestartsItsWaitOnInterrupts,
    RefusesPastDeadlines,
    IsBoundToItsThread,
    DescribesItsEndsDifferently,
    IgnoresPriorities,
    NamesAnotherSender,
    AcceptsSynchronousSends,
    LeaksADescriptor,
    LeavesAFile,
    LeavesASignalBlocked,
    StartsAThread,
    ForgetsTheLegacy,
    TakesTheEndForEmptiness,
    TellsOfTheEndOnce,
    DoesNotKnowABrokenPipe,
    RaisesSigpipe,
    TakesAStoppedPeerForDead,
    NeverWakesAWaiter,
    WakesForMessagesOnly,
    WakesWithoutEnd,
}

/// The transport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    pub(crate) name: &'static str,
    pub(crate) fault: Option<Fault>,
    pub(crate) length: MessageLength,
}

impl Reference {
    pub(crate) const HONEST: Self =
        Self { name: "reference", fault: None, length: MessageLength::up_to(64 << 10) };

    #[allow(dead_code)] // not in each test binary
    pub(crate) const OF_EIGHT_BYTES: Self =
        Self { name: "reference-8", length: MessageLength::fixed(8), ..Self::HONEST };

    fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    fn properties(&self) -> LinkProperties {
        LinkProperties {
            mechanism: "reference link",
            establishment: Establishment::Inheritance,
            naming: Naming::Indirect,
            senders: Count::One,
            receivers: Count::One,
            links_per_pair: Count::Many,
            capacity: Capacity::Bytes(128 << 10),
            message_length: self.length,
            direction: Direction::OneWay,
            carrier: Carrier::Kernel,
            buffering: Buffering::Automatic,
            boundaries: Boundaries::Kept,
            lifetime: Lifetime::Endpoints,
            when_full: WhenFull::Waits,
            lossy: false,
            order: Order::Fifo,
            priorities: None,
            death_notice: DeathNotice::Both,
            accepted_survives_sender: true,
            sender_identity: if self.has(Fault::NamesAnotherSender) {
                SenderIdentity::Claimed
            } else {
                SenderIdentity::Unknown
            },
            synchronous_send: false,
            waitable: true,
        }
    }

    fn pair(&self, scope: &Scope) -> Result<(OwnedFd, OwnedFd), OpenError> {
        if self.has(Fault::LeavesAFile) {
            let path = format!("/dev/shm/{}", scope.name());
            std::fs::write(path, "left").expect("/dev/shm is writable");
        }
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).map_err(
            |errno| OpenError::from_os("socketpair", &Resource::unnamed("reference link"), errno),
        )
    }

    fn end(&self, socket: OwnedFd, peer_pid: u32) -> End {
        match self.fault {
            Some(Fault::LeaksADescriptor) => {
                let copy = rustix::io::fcntl_dupfd_cloexec(&socket, 0).expect("a descriptor");
                std::mem::forget(copy);
            }
            Some(Fault::StartsAThread) => {
                std::thread::spawn(|| {
                    loop {
                        std::thread::park();
                    }
                });
            }
            Some(Fault::LeavesASignalBlocked) => {
                let mut set = nix::sys::signal::SigSet::empty();
                set.add(nix::sys::signal::Signal::SIGUSR2);
                set.thread_block().expect("a valid set");
            }
            _ => {}
        }
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        End {
            kind: *self,
            socket,
            silence: rustix::event::eventfd(0, flags).expect("an eventfd"),
            peer_pid,
            link: Resource::unnamed("reference link"),
            thread: std::thread::current().id(),
        }
    }

    fn sender(&self, socket: OwnedFd, peer_pid: u32) -> ReferenceSender {
        ReferenceSender { end: self.end(socket, peer_pid), sent: 0, held_back: VecDeque::new() }
    }

    fn receiver(&self, socket: OwnedFd, peer_pid: u32) -> ReferenceReceiver {
        ReferenceReceiver { end: self.end(socket, peer_pid), told_of_the_end: false }
    }
}

impl Transport for Reference {
    type Sender = ReferenceSender;
    type Receiver = ReferenceReceiver;

    fn name(&self) -> &'static str {
        self.name
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<ReferenceSender>), OpenError> {
        let (mine, theirs) = self.pair(scope)?;
        let this = *self;
        let pending = Pending::new(move |guest| Ok(this.sender(mine, guest)));
        Ok((Invitation::of_descriptors(vec![theirs]), pending))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<ReferenceReceiver>), OpenError> {
        let (mine, theirs) = self.pair(scope)?;
        let this = *self;
        let pending = Pending::new(move |guest| Ok(this.receiver(mine, guest)));
        Ok((Invitation::of_descriptors(vec![theirs]), pending))
    }

    fn join_as_receiver(&self, mut invitation: Invitation) -> Result<ReferenceReceiver, OpenError> {
        Ok(self.receiver(invitation.descriptors.remove(0), std::os::unix::process::parent_id()))
    }

    fn join_as_sender(&self, mut invitation: Invitation) -> Result<ReferenceSender, OpenError> {
        Ok(self.sender(invitation.descriptors.remove(0), std::os::unix::process::parent_id()))
    }
}

/// What both ends have.
struct End {
    kind: Reference,
    socket: OwnedFd,
    /// Never becomes readable: what a faulty end waits for.
    silence: OwnedFd,
    peer_pid: u32,
    link: Resource,
    thread: ThreadId,
}

/// How a wait for the socket ended.
enum Waited {
    Ready,
    TimedOut,
    Stopped,
}

impl End {
    fn has(&self, fault: Fault) -> bool {
        self.kind.has(fault)
    }

    /// Waits for readiness, with the faults of waiting.
    fn wait(&self, interest: Interest, deadline: Deadline) -> std::io::Result<Waited> {
        assert!(
            !self.has(Fault::IsBoundToItsThread) || self.thread == std::thread::current().id(),
            "called from another thread"
        );
        let early = match interest {
            Interest::Readable => Fault::RecvTimesOutEarly,
            Interest::Writable => Fault::SendTimesOutEarly,
        };
        let asleep = match interest {
            Interest::Readable => Fault::SleepsThroughMessages,
            Interest::Writable => Fault::SleepsThroughRoom,
        };
        let deadline = match deadline {
            Deadline::At(_) if self.has(early) => {
                Deadline::after(deadline.remaining().unwrap_or_default() / 2)
            }
            other => other,
        };
        let descriptor = if self.has(asleep) { self.silence.as_fd() } else { self.socket.as_fd() };
        if self.has(Fault::SurfacesInterrupts) || self.has(Fault::RestartsItsWaitOnInterrupts) {
            return self.wait_badly(descriptor, interest, deadline);
        }
        if poll::wait_ready(descriptor, interest, deadline)? {
            return Ok(Waited::Ready);
        }
        if self.has(Fault::TakesAStoppedPeerForDead) {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.peer_pid))?;
            if stat.contains(") T ") {
                return Ok(Waited::Stopped);
            }
        }
        Ok(Waited::TimedOut)
    }

    /// As many programs do it: the time-out is relative, and an interrupt is an error or starts it anew.
    fn wait_badly(
        &self,
        descriptor: BorrowedFd<'_>,
        interest: Interest,
        deadline: Deadline,
    ) -> std::io::Result<Waited> {
        let timeout = deadline.remaining().and_then(|left| left.try_into().ok());
        let mut fds = [PollFd::from_borrowed_fd(descriptor, interest.poll_flags())];
        loop {
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(Waited::TimedOut),
                Ok(_) => return Ok(Waited::Ready),
                Err(Errno::INTR) if self.has(Fault::RestartsItsWaitOnInterrupts) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl WaitSource for End {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        let deaf = self.has(Fault::NeverWakesAWaiter) || self.has(Fault::WakesForMessagesOnly);
        if self.has(Fault::WakesWithoutEnd) {
            return (self.silence.as_fd(), Interest::Writable); // an eventfd takes a count
        }
        let descriptor = if deaf { &self.silence } else { &self.socket };
        (descriptor.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> std::io::Result<Armed> {
        if self.has(Fault::WakesForMessagesOnly) {
            // Does its waiting here, and for input only: it is not told of a hang-up.
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            poll::poll_until(&mut fds, Deadline::Never)?;
            if fds[0].revents().contains(PollFlags::HUP) {
                return Ok(Armed::Waiting);
            }
            return Ok(Armed::Ready);
        }
        Ok(Armed::Waiting)
    }
}

/// The sending end.
pub(crate) struct ReferenceSender {
    end: End,
    sent: u64,
    held_back: VecDeque<Vec<u8>>,
}

impl ReferenceSender {
    fn try_send_now(&self, message: &[u8]) -> Result<(), Errno> {
        let mut message = message;
        let cut;
        let header = [0];
        if self.end.has(Fault::CutsLongMessages) && message.len() > 5_000 {
            message = &message[..5_000];
        }
        if self.end.has(Fault::CorruptsAByte) && message.len() >= 8 {
            cut = message.iter().enumerate().map(|(i, b)| if i == 7 { b ^ 1 } else { *b });
            return self.write(&header, &cut.collect::<Vec<_>>());
        }
        self.write(&header, message)
    }

    fn write(&self, header: &[u8], message: &[u8]) -> Result<(), Errno> {
        let header = if self.end.has(Fault::TakesEmptyForTheEnd) { &[] } else { header };
        let parts = [IoSlice::new(header), IoSlice::new(message)];
        let mut nothing = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg(&self.end.socket, &parts, &mut nothing, flags);
        if sent == Err(Errno::PIPE) && self.end.has(Fault::RaisesSigpipe) {
            // As a pipe or a stream does it.
            let (this, signal) = (rustix::process::getpid(), rustix::process::Signal::PIPE);
            rustix::process::kill_process(this, signal).expect("a process may signal itself");
        }
        sent.map(|_| ())
    }

    fn gone(&self) -> SendError {
        SendError::PeerGone { link: self.end.link.clone() }
    }

    fn os(&self, operation: &'static str, error: impl Into<std::io::Error>) -> SendError {
        OsError::new(operation, &self.end.link, error).into()
    }

    fn check_length(&self, len: usize) -> Result<(), SendError> {
        let MessageLength { min, mut max } = self.end.kind.length;
        let link = self.end.link.clone();
        if self.end.has(Fault::ReportsAWrongMax) {
            max -= 1;
        }
        if len > max {
            return Err(SendError::TooLong { len, max, link });
        }
        if len < min && !self.end.has(Fault::TakesShortMessages) {
            return Err(SendError::TooShort { len, min, link });
        }
        Ok(())
    }
}

impl Sender for ReferenceSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.check_length(message.len())?;
        if self.end.has(Fault::RefusesPastDeadlines)
            && deadline.remaining() == Some(Duration::ZERO)
            && deadline != Deadline::Now
        {
            return Err(SendError::TimedOut);
        }
        self.sent += 1;
        if self.end.has(Fault::LosesEveryHundredth) && self.sent % 100 == 0 {
            return Ok(());
        }
        if self.end.has(Fault::SwapsTwoMessages) && self.sent % 100 == 50 {
            self.held_back.push_back(message.to_vec());
            return Ok(());
        }
        if self.end.has(Fault::RepeatsAMessage) && self.sent % 100 == 50 {
            self.held_back.push_back(message.to_vec());
        }
        loop {
            let result = if self.end.has(Fault::SendsAfterTheTimeOut) {
                let late = self.held_back.front().map_or(Ok(()), |late| self.try_send_now(late));
                if late.is_ok() {
                    self.held_back.pop_front();
                }
                late.and_then(|()| self.try_send_now(message))
            } else {
                self.try_send_now(message)
            };
            match result {
                Ok(()) => break,
                Err(Errno::AGAIN) => {}
                Err(Errno::PIPE | Errno::CONNRESET)
                    if !self.end.has(Fault::DoesNotKnowABrokenPipe) =>
                {
                    return Err(self.gone());
                }
                Err(errno) => return Err(self.os("sendmsg", errno)),
            }
            match self.end.wait(Interest::Writable, deadline) {
                Ok(Waited::Ready) => {}
                Ok(Waited::Stopped) => return Err(self.gone()),
                Ok(Waited::TimedOut) => {
                    if self.end.has(Fault::SendsAfterTheTimeOut) {
                        self.held_back.push_back(message.to_vec());
                    }
                    if self.end.has(Fault::CallsFullTimedOut) {
                        return Err(SendError::TimedOut);
                    }
                    return Err(SendError::no_room(deadline));
                }
                Err(error) => return Err(self.os("poll", error)),
            }
        }
        if !self.end.has(Fault::SendsAfterTheTimeOut) {
            while let Some(late) = self.held_back.pop_front() {
                let _ = self.try_send_now(&late);
            }
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        self.end.kind.properties()
    }

    fn send_priority(
        &mut self,
        message: &[u8],
        _priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        if self.end.has(Fault::IgnoresPriorities) {
            return self.send_deadline(message, deadline);
        }
        Err(SendError::unsupported("send with a priority", self.properties().mechanism))
    }

    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        if self.end.has(Fault::AcceptsSynchronousSends) {
            return self.send_deadline(message, deadline);
        }
        Err(SendError::unsupported("send synchronously", self.properties().mechanism))
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for ReferenceSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        if self.end.has(Fault::NeverWakesAWaiter) {
            return (self.end.silence.as_fd(), Interest::Readable);
        }
        (self.end.socket.as_fd(), Interest::Writable)
    }
}

/// The receiving end.
pub(crate) struct ReferenceReceiver {
    end: End,
    told_of_the_end: bool,
}

impl ReferenceReceiver {
    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        let mut header = [0];
        let with_header = !self.end.has(Fault::TakesEmptyForTheEnd);
        let header: &mut [u8] = if with_header { &mut header } else { &mut [] };
        let mut parts = [IoSliceMut::new(header), IoSliceMut::new(buffer)];
        let mut nothing = RecvAncillaryBuffer::default();
        let result = rustix::net::recvmsg(&self.end.socket, &mut parts, &mut nothing, flags)?;
        Ok(result.bytes)
    }

    fn gone(&self) -> RecvError {
        RecvError::PeerGone { link: self.end.link.clone() }
    }

    fn os(&self, operation: &'static str, error: impl Into<std::io::Error>) -> RecvError {
        OsError::new(operation, &self.end.link, error).into()
    }

    /// One look at the link: `None` where it is empty.
    fn try_receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        if self.end.has(Fault::ForgetsTheLegacy) {
            let mut fds = [PollFd::new(&self.end.socket, PollFlags::empty())];
            if poll::poll_until(&mut fds, Deadline::Now).map_err(|e| self.os("poll", e))? > 0 {
                return Err(self.gone());
            }
        }
        let header_len = usize::from(!self.end.has(Fault::TakesEmptyForTheEnd));
        let needed = match self.receive(&mut [], RecvFlags::PEEK | RecvFlags::TRUNC) {
            Ok(0) if self.end.has(Fault::TakesTheEndForEmptiness) => return Ok(None),
            Ok(0) if self.end.has(Fault::TellsOfTheEndOnce) && self.told_of_the_end => {
                return Ok(None);
            }
            Ok(0) => {
                self.told_of_the_end = true;
                return Err(self.gone());
            }
            Ok(len) => len - header_len,
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(self.os("recvmsg", errno)),
        };
        let (len, link) = (buffer.len(), self.end.link.clone());
        if needed > len {
            if self.end.has(Fault::DropsWhatDoesNotFit) {
                let _ = self.receive(buffer, RecvFlags::empty());
            }
            let lie = usize::from(self.end.has(Fault::UnderstatesTheNeededLength));
            return Err(RecvError::BufferTooSmall { needed: needed - lie, len, link });
        }
        self.receive(buffer, RecvFlags::empty()).map_err(|errno| self.os("recvmsg", errno))?;
        Ok(Some(needed))
    }
}

impl Receiver for ReferenceReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        if self.end.has(Fault::RefusesPastDeadlines)
            && deadline.remaining() == Some(Duration::ZERO)
            && deadline != Deadline::Now
        {
            return Err(RecvError::TimedOut);
        }
        loop {
            if let Some(mut len) = self.try_receive(buffer)? {
                if self.end.has(Fault::MergesWaitingMessages) {
                    while let Ok(Some(more)) = self.try_receive(&mut buffer[len..]) {
                        len += more;
                    }
                }
                let mut received = Received::of_len(len);
                if self.end.has(Fault::NamesAnotherSender) {
                    received.sender = Some(PeerId::Process(ProcessPeer {
                        pid: std::num::NonZeroU32::new(self.end.peer_pid + 1),
                        uid: rustix::process::getuid().as_raw(),
                        gid: None,
                        evidence: Evidence::Claimed,
                    }));
                }
                return Ok(received);
            }
            if self.end.has(Fault::TakesTheEndForEmptiness)
                || (self.told_of_the_end && self.end.has(Fault::TellsOfTheEndOnce))
            {
                let mut fds = [PollFd::new(&self.end.socket, PollFlags::empty())];
                if poll::poll_until(&mut fds, Deadline::Now).is_ok_and(|ready| ready > 0) {
                    return Err(RecvError::no_message(deadline));
                }
            }
            match self.end.wait(Interest::Readable, deadline) {
                Ok(Waited::Ready) => {}
                Ok(Waited::Stopped) => return Err(self.gone()),
                Ok(Waited::TimedOut) if self.end.has(Fault::CallsEmptyTimedOut) => {
                    return Err(RecvError::TimedOut);
                }
                Ok(Waited::TimedOut) => return Err(RecvError::no_message(deadline)),
                Err(error) => return Err(self.os("poll", error)),
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        let mut properties = self.end.kind.properties();
        if self.end.has(Fault::DescribesItsEndsDifferently) {
            properties.death_notice = DeathNotice::Sender;
        }
        properties
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.end)
    }
}
