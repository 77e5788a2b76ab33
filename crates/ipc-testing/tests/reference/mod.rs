//! A small transport to test the kit with: one end of a Unix seqpacket socket pair each, and a byte
//! before each message, without which an empty message would look like the end of the link.
//!
//! It is honest but for its [`Fault`], of which a test can give it one.

mod end;
mod receiver;
mod sender;

use std::os::fd::OwnedFd;

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, DeathNotice, Direction, Establishment,
    Lifetime, LinkProperties, MessageLength, Naming, OpenError, Order, Resource, SenderIdentity,
    WhenFull,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rustix::event::EventfdFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use end::End;
use receiver::ReferenceReceiver;
use sender::ReferenceSender;

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
    ClaimsToBeTheOnlyLink,
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
            links_per_pair: if self.has(Fault::ClaimsToBeTheOnlyLink) {
                Count::One
            } else {
                Count::Many
            },
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
        ReferenceSender::new(self.end(socket, peer_pid))
    }

    fn receiver(&self, socket: OwnedFd, peer_pid: u32) -> ReferenceReceiver {
        ReferenceReceiver::new(self.end(socket, peer_pid))
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
