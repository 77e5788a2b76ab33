//! The mechanisms that are measured, by name. One line each; a package with other libraries gives the
//! same program a longer list.

use std::io;

use anyhow::Context;
use ipc_core::{OpenError, WaitStrategy};
use ipc_pipe::{FifoReceiver, PipeReceiver};
use ipc_ring::Link;
use ipc_ring::testing::Ring;
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::limits::plain_ring::PlainRing;
use crate::measure::batch::Batching;
use crate::measure::in_place::InPlace;
use crate::measure::style::{Timed, Waiting};
use crate::session::guest::GuestSession;
use crate::session::host::HostSession;
use crate::session::{Cores, Manner, Wait};
use crate::threads::BetweenThreads;

/// What a transport is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// How the processes wait.
    pub wait: Wait,
    /// The size of all messages, in bytes.
    pub size_bytes: usize,
}

impl Setting {
    /// Room for four messages with a header each, and at least what our ring has by default: a power of
    /// two. Every ring gets this.
    pub fn capacity_bytes(&self) -> usize {
        let default = ipc_ring::Options::DEFAULT_CAPACITY_BYTES;
        (4 * (self.size_bytes + 64)).next_power_of_two().max(default)
    }

    /// For a link that only tells what it is like.
    pub fn for_properties() -> Self {
        Self { wait: Wait::Adaptive, size_bytes: 1024 }
    }

    /// How an endpoint in shared memory shall wait.
    pub fn strategy(&self) -> WaitStrategy {
        match self.wait {
            Wait::Spin => WaitStrategy::Spin,
            Wait::Adaptive => WaitStrategy::adaptive(),
            Wait::Park | Wait::Block => WaitStrategy::Park,
        }
    }
}

/// A mechanism, and how its two sides are run.
#[derive(Clone, Copy, Debug)]
pub struct Mechanism {
    /// Its name in the record.
    pub name: &'static str,
    /// Whether it is another library.
    pub peer: bool,
    /// Whether it is measured as a limit, and shown as such.
    pub limit: bool,
    /// Whether its two sides are threads of one process. Its transport is then a
    /// `BetweenThreads`.
    pub threads: bool,
    /// Whether it is a variant of another one, measured only where it is asked for: with `--only`, or all
    /// of them with `--full`.
    pub on_request: bool,
    /// How many cores it wants; a third one if it has a process or thread beside the two that talk.
    pub cores_wanted: usize,
    /// The ways of waiting that it has.
    pub waits: &'static [Wait],
    /// What is measured beside messages one by one, how they wait then, and where.
    pub extras: &'static [(Manner, Wait, &'static [Cores])],
    /// Called in each process before anything else.
    pub prepare: Option<fn() -> io::Result<()>>,
    /// Measures it, in the host.
    pub host: fn(&mut HostSession) -> anyhow::Result<()>,
    /// Answers, in the guest.
    pub guest: fn(&mut GuestSession) -> anyhow::Result<()>,
}

impl Mechanism {
    /// The one of this name.
    ///
    /// # Errors
    ///
    /// If there is none.
    pub fn find<'a>(mechanisms: &'a [Self], name: &str) -> anyhow::Result<&'a Self> {
        mechanisms
            .iter()
            .find(|mechanism| mechanism.name == name)
            .with_context(|| format!("there is no mechanism {name:?}"))
    }

    /// Prepares this process for it.
    ///
    /// # Errors
    ///
    /// Those of the mechanism.
    pub fn prepare(&self) -> io::Result<()> {
        self.prepare.map_or(Ok(()), |prepare| prepare())
    }
}

/// A mechanism of the kernel, which can be asked again and again or left to sleep.
#[macro_export]
macro_rules! kernel_mechanism {
    ($name:expr, $transport:expr) => {
        $crate::mechanisms::Mechanism {
            name: $name,
            peer: false,
            limit: false,
            threads: false,
            on_request: false,
            cores_wanted: 2,
            waits: &[$crate::session::Wait::Spin, $crate::session::Wait::Block],
            extras: &[],
            prepare: None,
            host: |session| match (session.manner(), session.wait()) {
                ($crate::session::Manner::TwoSenders, _) => {
                    session.measure_two_senders::<_, $crate::measure::style::Waiting>($transport)
                }
                (_, $crate::session::Wait::Spin) => {
                    session.measure::<_, $crate::measure::style::Asking>($transport)
                }
                _ => session.measure::<_, $crate::measure::style::Waiting>($transport),
            },
            guest: |session| match session.wait() {
                $crate::session::Wait::Spin => {
                    session.serve::<_, $crate::measure::style::Asking>($transport)
                }
                _ => session.serve::<_, $crate::measure::style::Waiting>($transport),
            },
        }
    };
}

/// A mechanism in shared memory, which waits as it is told to.
#[macro_export]
macro_rules! memory_mechanism {
    ($name:expr, $waits:expr, $transport:expr) => {
        $crate::mechanisms::Mechanism {
            name: $name,
            peer: false,
            limit: false,
            threads: false,
            on_request: false,
            cores_wanted: 2,
            waits: &$waits,
            extras: &[],
            prepare: None,
            host: |session| match session.manner() {
                $crate::session::Manner::TwoSenders => {
                    session.measure_two_senders::<_, $crate::measure::style::Waiting>($transport)
                }
                _ => session.measure::<_, $crate::measure::style::Waiting>($transport),
            },
            guest: |session| session.serve::<_, $crate::measure::style::Waiting>($transport),
        }
    };
}

fn plain_ring(setting: &Setting) -> PlainRing {
    PlainRing { capacity_bytes: setting.capacity_bytes() }
}

/// The textbook's ring, in place too.
const PLAIN: Mechanism = Mechanism {
    limit: true,
    extras: &[(Manner::InPlace, Wait::Spin, &[Cores::Two])],
    host: |session| match session.manner() {
        Manner::InPlace => session.measure::<_, InPlace>(plain_ring),
        _ => session.measure::<_, Waiting>(plain_ring),
    },
    guest: |session| match session.manner() {
        Manner::InPlace => session.serve::<_, InPlace>(plain_ring),
        _ => session.serve::<_, Waiting>(plain_ring),
    },
    ..memory_mechanism!(PLAIN_RING, [Wait::Spin], plain_ring)
};

fn ring(setting: &Setting) -> Ring {
    let (strategy, capacity_bytes) = (setting.strategy(), setting.capacity_bytes());
    Ring { strategy, capacity_bytes, ..Ring::default() }
}

fn asymmetric_ring(setting: &Setting) -> Ring {
    Ring { asymmetric_fences: true, ..ring(setting) }
}

/// Our ring, in every manner.
const RING: Mechanism = Mechanism {
    extras: &[
        (Manner::InPlace, Wait::Spin, &[Cores::Two]),
        (Manner::Batch, Wait::Spin, &[Cores::Two]),
        (Manner::Batch, Wait::Adaptive, &[Cores::Two]),
        (Manner::Timed, Wait::Park, &[Cores::TwoAwake, Cores::One]),
        (Manner::Link, Wait::Adaptive, &[Cores::Two]),
    ],
    host: |session| match session.manner() {
        Manner::Single | Manner::Describe => session.measure::<_, Waiting>(ring),
        Manner::Timed => session.measure::<_, Timed>(ring),
        Manner::InPlace => session.measure::<_, InPlace>(ring),
        Manner::Batch => session.measure::<_, Batching>(ring),
        Manner::TwoSenders => session.measure_two_senders::<_, Waiting>(ring),
        Manner::Link => session.measure_links(),
    },
    guest: |session| match session.manner() {
        Manner::Single | Manner::Describe | Manner::TwoSenders => session.serve::<_, Waiting>(ring),
        Manner::Timed => session.serve::<_, Timed>(ring),
        Manner::InPlace => session.serve::<_, InPlace>(ring),
        Manner::Batch => session.serve::<_, Batching>(ring),
        Manner::Link => session.serve_links(),
    },
    ..memory_mechanism!("ring", [Wait::Spin, Wait::Adaptive, Wait::Park], ring)
};

/// Our ring, whose sender leaves the fences to a receiver that goes to sleep.
const ASYMMETRIC_RING: Mechanism = Mechanism {
    extras: &[(Manner::Batch, Wait::Adaptive, &[Cores::Two])],
    host: |session| match session.manner() {
        Manner::Batch => session.measure::<_, Batching>(asymmetric_ring),
        _ => session.measure::<_, Waiting>(asymmetric_ring),
    },
    guest: |session| match session.manner() {
        Manner::Batch => session.serve::<_, Batching>(asymmetric_ring),
        _ => session.serve::<_, Waiting>(asymmetric_ring),
    },
    ..memory_mechanism!("ring-asymmetric", [Wait::Adaptive, Wait::Park], asymmetric_ring)
};

/// Of a mechanism of the kernel that many may send by at once.
const TWO_SENDERS: &[(Manner, Wait, &[Cores])] =
    &[(Manner::TwoSenders, Wait::Block, &[Cores::Two])];

/// A pipe's receiver sleeps in the kernel, unless it is told to look for a while before.
const PIPE_WAITS: &[Wait] = &[Wait::Spin, Wait::Adaptive, Wait::Block];

/// Pipes whose receivers wait as they are told to.
struct PipeTransport<T: Transport> {
    pipe: T,
    with_strategy: fn(T::Receiver, WaitStrategy) -> T::Receiver,
    strategy: WaitStrategy,
}

impl<T: Transport> Transport for PipeTransport<T> {
    type Sender = T::Sender;
    type Receiver = T::Receiver;

    fn name(&self) -> &'static str {
        self.pipe.name()
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<T::Sender>), OpenError> {
        self.pipe.invite_receiver(scope)
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<T::Receiver>), OpenError> {
        let Self { with_strategy, strategy, .. } = *self;
        let (invitation, pending) = self.pipe.invite_sender(scope)?;
        Ok((invitation, pending.map(move |receiver| with_strategy(receiver, strategy))))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<T::Receiver, OpenError> {
        Ok((self.with_strategy)(self.pipe.join_as_receiver(invitation)?, self.strategy))
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<T::Sender, OpenError> {
        self.pipe.join_as_sender(invitation)
    }
}

/// One whose messages go nearly the same way as another's, so that it adds little to a first look.
const fn variant(mechanism: Mechanism) -> Mechanism {
    Mechanism { on_request: true, ..mechanism }
}

/// All of this project, and the plain ring.
pub const MECHANISMS: &[Mechanism] = &[
    PLAIN,
    RING,
    variant(ASYMMETRIC_RING),
    Mechanism {
        threads: true,
        ..memory_mechanism!("ring-threads", [Wait::Spin, Wait::Adaptive], |setting| {
            let sending = ipc_ring::Options::new()
                .capacity_bytes(setting.capacity_bytes())
                .wait_strategy(setting.strategy());
            BetweenThreads(move || {
                let (here, there) = Link::between_threads(&sending, &sending.receive_only())?;
                let ends = here.sender.zip(there.receiver);
                Ok(ends.expect("one side sends, the other receives"))
            })
        })
    },
    Mechanism {
        extras: &[(Manner::TwoSenders, Wait::Adaptive, &[Cores::Two])],
        ..memory_mechanism!("shm-semaphore", [Wait::Spin, Wait::Adaptive, Wait::Park], |setting| {
            ipc_shm::testing::SemaphoreBuffer::with_slot_bytes(
                setting.size_bytes,
                setting.strategy(),
            )
        })
    },
    Mechanism {
        waits: PIPE_WAITS,
        ..kernel_mechanism!("pipe", |setting| PipeTransport {
            pipe: ipc_pipe::testing::Pipe,
            with_strategy: PipeReceiver::with_strategy,
            strategy: setting.strategy(),
        })
    },
    Mechanism {
        waits: PIPE_WAITS,
        extras: TWO_SENDERS,
        ..kernel_mechanism!("fifo", |setting| PipeTransport {
            pipe: ipc_pipe::testing::Fifo,
            with_strategy: FifoReceiver::with_strategy,
            strategy: setting.strategy(),
        })
    },
    Mechanism {
        extras: TWO_SENDERS,
        ..kernel_mechanism!("mq-posix", |_| ipc_mq::testing::PosixQueue)
    },
    kernel_mechanism!("unix-stream", |_| ipc_socket::testing::UnixStream),
    kernel_mechanism!("unix-seqpacket", |_| ipc_socket::testing::UnixSeqpacket),
    Mechanism {
        extras: TWO_SENDERS,
        ..kernel_mechanism!("unix-dgram", |_| ipc_socket::testing::UnixDatagram)
    },
    // A one-way direct link is not here: its messages take the same way, and none comes back.
    kernel_mechanism!("direct", |_| ipc_socket::testing::Direct),
    kernel_mechanism!("tcp", |_| ipc_socket::testing::Tcp),
    Mechanism { extras: TWO_SENDERS, ..kernel_mechanism!("udp", |_| ipc_socket::testing::Udp) },
    variant(kernel_mechanism!("unix-stream-abstract", |_| ipc_socket::testing::AbstractStream)),
    variant(kernel_mechanism!("unix-seqpacket-abstract", |_| {
        ipc_socket::testing::AbstractSeqpacket
    })),
    variant(kernel_mechanism!("unix-dgram-abstract", |_| ipc_socket::testing::AbstractDatagram)),
    variant(kernel_mechanism!("tcp-v6", |_| ipc_socket::testing::TcpOverV6)),
    variant(kernel_mechanism!("udp-v6", |_| ipc_socket::testing::UdpOverV6)),
    Mechanism {
        extras: TWO_SENDERS,
        prepare: Some(ipc_signal::testing::prepare_process),
        ..kernel_mechanism!("signal-rt", |_| ipc_signal::testing::Signal)
    },
];

/// The name of the textbook's ring.
pub const PLAIN_RING: &str = "plain-ring";
