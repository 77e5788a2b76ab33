//! A peer that breaks the handshake in every way we could think of: a typed error each time, and no
//! descriptor stays open.

mod common;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use common::{answer, ask, open_descriptors};
use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError};
use ipc_ring::{Address, Link, Options, connect, listen};
use ipc_shm::{Access, Backing, Memfd};
use ipc_socket::{
    UnixSeqpacketConnection, UnixSeqpacketListener, recv_with_descriptors, send_with_credentials,
    send_with_descriptors,
};
use ipc_testing::{Host, Invitation, Scope, between_processes};
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

/// A hello as an honest side says it, to be spoilt.
struct Hello {
    bytes: Vec<u8>,
    descriptors: Vec<OwnedFd>,
}

const MEMORY: usize = 0;
const SENDER_BELL: usize = 1;
const RECEIVER_BELL: usize = 2;

impl Hello {
    /// What our own code says.
    fn honest() -> Self {
        Self::of(&Options::new().capacity_bytes(1 << 16))
    }

    fn of(options: &Options) -> Self {
        let (here, there) = sockets();
        Link::over(here, options, Deadline::Now).expect_err("nobody answers");
        let mut bytes = vec![0; 64];
        let arrival =
            recv_with_descriptors(there.as_fd(), &mut bytes, 8, Deadline::Now).expect("it said it");
        bytes.truncate(arrival.len);
        Self { bytes, descriptors: arrival.descriptors }
    }

    fn put(&mut self, offset: usize, field: &[u8]) {
        self.bytes[offset..offset + field.len()].copy_from_slice(field);
    }

    fn send(&self, socket: BorrowedFd<'_>) {
        let descriptors: Vec<_> = self.descriptors.iter().map(AsFd::as_fd).collect();
        let sent = send_with_credentials(socket, &self.bytes, &descriptors, Deadline::Never);
        assert_eq!(sent.expect("sends"), self.bytes.len());
    }
}

fn sockets() -> (OwnedFd, OwnedFd) {
    let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
    rustix::net::socketpair(AddressFamily::UNIX, kind, flags, None).expect("a pair")
}

fn open(path: &str, flags: OFlags) -> OwnedFd {
    rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).expect("opens")
}

/// Memory of this length with these seals.
fn memory(len: usize, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = rustix::fs::memfd_create("hostile", flags).expect("a memfd");
    rustix::fs::ftruncate(&memory, len as u64).expect("sized");
    rustix::fs::fcntl_add_seals(&memory, seals).expect("sealed");
    memory
}

/// Memory of this length, sealed as it should be.
fn sealed(len: usize) -> OwnedFd {
    let memory = Memfd::create("hostile", len, Backing::Lazy).expect("a memfd");
    memory.map(Access::ReadWrite).expect("mapped");
    memory.seal_for_peer().expect("sealed");
    memory.into_fd()
}

/// The length of the memory for the ring of an honest hello.
const LEN: usize = 4096 + (1 << 16);

/// How to spoil an honest hello, and what the error says then.
type Case = (&'static str, fn(&mut Hello), &'static str);

const CASES: &[Case] = &[
    ("noise", |hello| hello.bytes.fill(0xa5), "magic is"),
    ("another magic", |hello| hello.put(0, b"ipc-rong"), "magic is"),
    ("another version", |hello| hello.put(8, &77_u32.to_ne_bytes()), "version is 77, expected"),
    ("another hash", |hello| hello.put(12, &5_u32.to_ne_bytes()), "layout hash is 5, expected"),
    ("capacity odd", |hello| hello.put(16, &65_535_u64.to_ne_bytes()), "capacity is 65535"),
    ("capacity small", |hello| hello.put(16, &2048_u64.to_ne_bytes()), "capacity is 2048"),
    ("capacity large", |hello| hello.put(16, &(1_u64 << 33).to_ne_bytes()), "capacity is"),
    ("capacity all ones", |hello| hello.put(16, &u64::MAX.to_ne_bytes()), "capacity is"),
    ("another capacity", |hello| hello.put(16, &4096_u64.to_ne_bytes()), "size in bytes is"),
    ("unknown flag", |hello| hello.put(24, &(1_u64 << 40).to_ne_bytes()), "unknown flags"),
    ("half a hello", |hello| hello.bytes.truncate(16), "hello in bytes is 16, expected 64"),
    ("one byte", |hello| hello.bytes.truncate(1), "hello in bytes is 1, expected 64"),
    ("too long", |hello| hello.bytes.push(0), "longer than the buffer"),
    ("no descriptors", |hello| hello.descriptors.clear(), "number of descriptors is 0"),
    ("two descriptors", |hello| hello.descriptors.truncate(2), "number of descriptors is 2"),
    (
        "four descriptors",
        |hello| hello.descriptors.push(open("/dev/null", OFlags::RDONLY)),
        "more came than the 3 asked for",
    ),
    (
        "memory without seals",
        |hello| hello.descriptors[MEMORY] = memory(LEN, SealFlags::empty()),
        "set of seals is 0, expected",
    ),
    (
        "memory that may shrink",
        |hello| {
            let seals = SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
            hello.descriptors[MEMORY] = memory(LEN, seals);
        },
        "set of seals is",
    ),
    (
        "memory that others may write",
        |hello| {
            let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
            hello.descriptors[MEMORY] = memory(LEN, seals);
        },
        "set of seals is",
    ),
    (
        "memory that may be sealed further",
        |hello| {
            let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::FUTURE_WRITE;
            hello.descriptors[MEMORY] = memory(LEN, seals);
        },
        "set of seals is",
    ),
    (
        "memory too small",
        |hello| hello.descriptors[MEMORY] = sealed(LEN - 1),
        "size in bytes is 69631, expected 69632",
    ),
    (
        "memory too large",
        |hello| hello.descriptors[MEMORY] = sealed(LEN + 4096),
        "size in bytes is 73728, expected 69632",
    ),
    (
        "a file for memory",
        |hello| hello.descriptors[MEMORY] = open("/proc/self/exe", OFlags::RDONLY),
        "set of seals is 0, expected",
    ),
    (
        "a directory for memory",
        |hello| hello.descriptors[MEMORY] = open("/", OFlags::RDONLY),
        "set of seals is 0, expected",
    ),
    (
        "a socket for memory",
        |hello| hello.descriptors[MEMORY] = sockets().0,
        "set of seals is 0, expected",
    ),
    (
        "memory opened as a mere path",
        |hello| {
            let memory = format!("/proc/self/fd/{}", raw(&hello.descriptors[MEMORY]));
            hello.descriptors[MEMORY] = open(&memory, OFlags::PATH);
        },
        "F_GET_SEALS",
    ),
    (
        "the write end of a pipe for a doorbell",
        |hello| {
            let (_, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            hello.descriptors[SENDER_BELL] = write;
        },
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "both ends of a FIFO for a doorbell",
        |hello| {
            let (read, _write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            let pipe = format!("/proc/self/fd/{}", raw(&read));
            hello.descriptors[RECEIVER_BELL] = open(&pipe, OFlags::RDWR);
        },
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "files for doorbells",
        |hello| {
            hello.descriptors[SENDER_BELL] = open("/proc/self/exe", OFlags::RDONLY);
            hello.descriptors[RECEIVER_BELL] = open("/dev/zero", OFlags::RDONLY);
        },
        "number of doorbells (read ends of pipes) is 0, expected 2",
    ),
    (
        "a terminal for a doorbell",
        |hello| {
            let flags = OFlags::RDONLY | OFlags::NOCTTY;
            hello.descriptors[SENDER_BELL] = open("/dev/ptmx", flags);
        },
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "a directory for a doorbell",
        |hello| hello.descriptors[RECEIVER_BELL] = open("/", OFlags::RDONLY),
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "a mere path of a pipe for a doorbell",
        |hello| {
            let pipe = format!("/proc/self/fd/{}", raw(&hello.descriptors[RECEIVER_BELL]));
            hello.descriptors[RECEIVER_BELL] = open(&pipe, OFlags::PATH);
        },
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "a socket for a doorbell",
        |hello| hello.descriptors[SENDER_BELL] = sockets().1,
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
    (
        "memory and doorbells in another order",
        |hello| hello.descriptors.swap(MEMORY, RECEIVER_BELL),
        "number of doorbells (read ends of pipes) is 1, expected 2",
    ),
];

fn raw(descriptor: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(descriptor)
}

/// The victim's part: has each case done to it, on what `meet` gives.
#[track_caller]
fn suffer(
    guest: &mut ipc_testing::Guest,
    mut meet: impl FnMut(&mut ipc_testing::Guest) -> io::Result<String>,
) {
    let before = open_descriptors();
    for (index, (case, _, expected)) in CASES.iter().enumerate() {
        guest.tell(&index.to_string());
        let error = meet(guest).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(error.contains(expected), "{case}: {error}");
        assert!(error.contains("ring") || error.contains("memfd"), "what it is about: {error}");
        assert_eq!(open_descriptors(), before, "{case}: left open");
    }
    guest.tell("enough");
}

/// The attacker's part: the hello of each case that the victim asks for.
fn attack(host: &mut Host, mut send: impl FnMut(&mut Host, &Hello)) {
    loop {
        let Ok(index) = host.hear().parse::<usize>() else { return };
        let mut hello = Hello::honest();
        CASES[index].1(&mut hello);
        send(host, &hello);
    }
}

#[test]
fn a_listener_turns_away_every_broken_hello_and_lives_on() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("ring");
            let mut listener = listen(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("text"));
            suffer(guest, |_| match listener.accept(&Options::new(), Deadline::Never) {
                Ok(_) => Err(io::Error::other("was taken for honest")),
                Err(error) => Ok(error.to_string()),
            });
            let mut link = listener.accept(&Options::new(), Deadline::Never).expect("honest");
            answer(&mut link);
        },
        |host| {
            let path = host.hear();
            attack(host, |_, hello| {
                let client = UnixSeqpacketConnection::connect(path.as_str(), Deadline::Never);
                let client = client.expect("connects");
                hello.send(client.receiver.as_fd());
                // It gets words at most, and is hung up on.
                let is_gone = |_: &i32| {
                    let socket = client.receiver.as_fd();
                    let answer = recv_with_descriptors(socket, &mut [0; 64], 8, Deadline::Never);
                    match answer {
                        Ok(arrival) => {
                            assert!(arrival.descriptors.is_empty(), "memory for a broken hello");
                            arrival.len == 0
                        }
                        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
                    }
                };
                assert!((0..2).any(|attempt| is_gone(&attempt)), "more than one answer");
            });
            let address = Address::path(path);
            let mut link = connect(&address, &Options::new(), Deadline::Never).expect("a link");
            ask(&mut link, b"still there?");
        },
    );
}

#[test]
fn a_client_refuses_every_broken_hello() {
    between_processes!(
        |guest| suffer(guest, |guest| {
            let (here, there) = sockets();
            guest.invite(Invitation::of_descriptors(vec![there]));
            match Link::over(here, &Options::new(), Deadline::Never) {
                Ok(_) => Err(io::Error::other("was taken for honest")),
                Err(error) => Ok(error.to_string()),
            }
        }),
        |host| {
            let mut kept = Vec::new();
            attack(host, |host, hello| {
                let socket = host.invitation().descriptors.remove(0);
                hello.send(socket.as_fd());
                kept.push(socket); // closing it might be noticed first
            });
        },
    );
}

#[test]
fn the_unspoilt_hello_of_these_tests_makes_a_link() {
    between_processes!(
        |guest| {
            let (here, there) = sockets();
            guest.invite(Invitation::of_descriptors(vec![there]));
            Link::over(here, &Options::new(), Deadline::Never).expect("it is as it should be");
            guest.tell("done");
        },
        |host| {
            let socket = host.invitation().descriptors.remove(0);
            Hello::honest().send(socket.as_fd());
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_hello_sent_too_early_without_credentials_is_credited_to_nobody() {
    between_processes!(
        |guest| {
            let (here, there) = sockets();
            guest.invite(Invitation::of_descriptors(vec![there]));
            assert_eq!(guest.hear(), "sent");
            let link = Link::over(here, &Options::new(), Deadline::Never).expect("a link");
            // It was sent before anybody asked for credentials.
            assert_eq!((link.peer().pid, link.peer().uid), (None, 65534));
            guest.tell("done");
        },
        |host| {
            let socket = host.invitation().descriptors.remove(0);
            let hello = Hello::honest();
            let descriptors: Vec<_> = hello.descriptors.iter().map(AsFd::as_fd).collect();
            let sent =
                send_with_descriptors(socket.as_fd(), &hello.bytes, &descriptors, Deadline::Never);
            assert_eq!(sent.expect("sends"), 64);
            host.tell("sent");
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn a_peer_that_says_nothing_costs_no_more_than_the_deadline() {
    between_processes!(
        |guest| {
            let before = open_descriptors();
            let (here, there) = sockets();
            guest.invite(Invitation::of_descriptors(vec![there]));
            assert_eq!(guest.hear(), "here");
            for deadline in [Deadline::Now, Deadline::after(Duration::from_millis(20))] {
                let error = Link::over(&here, &Options::new(), deadline).expect_err("silence");
                assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
                assert!(deadline.has_passed());
            }
            // Nor does one that is stopped.
            guest.stop();
            let deadline = Deadline::after(Duration::from_millis(20));
            let error = Link::over(&here, &Options::new(), deadline).expect_err("silence");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            guest.cont();
            // One that goes is gone.
            guest.tell("go");
            let error = Link::over(&here, &Options::new(), Deadline::Never).expect_err("gone");
            assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "{error}");
            drop(here);
            assert_eq!(open_descriptors(), before);
        },
        |host| {
            let socket = host.invitation();
            host.tell("here");
            assert_eq!(host.hear(), "go");
            drop(socket);
        },
    );
}

#[test]
fn a_listener_that_takes_the_hello_and_never_answers_costs_no_more_than_the_deadline() {
    between_processes!(
        |guest| {
            let path = guest.hear();
            let before = open_descriptors();
            let deadline = Deadline::after(Duration::from_millis(50));
            let address = Address::path(&path);
            let error = connect(&address, &Options::new(), deadline).expect_err("no answer");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert!(error.to_string().contains(&path), "{error}");
            assert_eq!(open_descriptors(), before);
            guest.tell("done");
        },
        |host| {
            let scope = Scope::new();
            let path = scope.path("ring");
            let listener = UnixSeqpacketListener::bind(path.as_path()).expect("listens");
            host.tell(path.to_str().expect("text"));
            let client = listener.accept(Deadline::Never).expect("it connects");
            let hello =
                recv_with_descriptors(client.receiver.as_fd(), &mut [0; 64], 8, Deadline::Never);
            assert_eq!(hello.expect("it says hello").len, 64);
            assert_eq!(host.hear(), "done");
        },
    );
}

#[test]
fn memory_is_taken_when_the_link_is_made_or_as_it_is_used() {
    const CAPACITY: usize = 1 << 20;
    let taken = |backing| {
        let hello = Hello::of(&Options::new().capacity_bytes(CAPACITY).backing(backing));
        let stat = rustix::fs::fstat(&hello.descriptors[MEMORY]).expect("memory");
        stat.st_blocks as usize * 512
    };
    assert!(taken(Backing::Reserved) >= 4096 + CAPACITY);
    assert_eq!(taken(Backing::Lazy), 4096, "the page of control words");
}

#[test]
fn memory_beyond_a_limit_is_an_error_when_the_link_is_made() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    between_processes!(
        |guest| {
            for backing in [Backing::Lazy, Backing::Reserved] {
                let options = Options::new().capacity_bytes(1 << 20).backing(backing);
                // It goes away while this side lives on.
                let (here, there) = sockets();
                guest.invite(Invitation::of_descriptors(vec![there]));
                let error = Link::over(here, &options, Deadline::Never).expect_err("alone");
                assert!(matches!(error.kind(), OpenErrorKind::PeerGone), "{error}");
            }
        },
        |host| {
            let limit = Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) };
            setrlimit(Resource::Fsize, limit).expect("lowered");
            for backing in [Backing::Lazy, Backing::Reserved] {
                let socket = host.invitation().descriptors.remove(0);
                let options = Options::new().capacity_bytes(1 << 20).backing(backing);
                let error = Link::over(socket, &options, Deadline::Never).expect_err("too much");
                assert!(matches!(error.kind(), OpenErrorKind::Limit { .. }), "{error}");
                assert!(error.to_string().contains("RLIMIT_FSIZE (ulimit -f)"), "{error}");
            }
        },
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    /// Mostly honest hellos, with some bytes and some descriptors changed.
    #[test]
    fn hellos_of_any_bytes_and_descriptors_are_errors_at_most(
        bytes in vec((0..32_usize, any::<u8>()), 0..3),
        len in prop_oneof![Just(32_usize), 1..40_usize],
        descriptors in any_descriptors(),
    ) {
        let mut hello = Hello::honest();
        hello.bytes.resize(len, 0);
        for (offset, byte) in bytes {
            if let Some(place) = hello.bytes.get_mut(offset) {
                *place = byte;
            }
        }
        let mut pool: Vec<_> = hello.descriptors.drain(..).map(Some).collect();
        let mut take = |kind| pool.get_mut(kind).and_then(Option::take);
        let descriptors = descriptors.into_iter();
        hello.descriptors = descriptors.map(|kind| take(kind).unwrap_or_else(|| some(kind))).collect();
        let (here, there) = sockets();
        hello.send(there.as_fd());
        match Link::over(here, &Options::new(), Deadline::Now) {
            // What passed the checks is a link whose peer sends nothing.
            Ok(link) => if let Some(mut receiver) = link.receiver {
                let outcome = receiver.try_recv(&mut []);
                let is_empty = matches!(outcome, Err(RecvError::Empty | RecvError::PeerGone { .. }));
                prop_assert!(is_empty, "a message from nowhere");
            },
            Err(error) => prop_assert!(!matches!(error.kind(), OpenErrorKind::TimedOut), "{error}"),
        }
    }
}

/// Numbers of [`some`] descriptors, often those of an honest hello.
fn any_descriptors() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![MEMORY, SENDER_BELL, RECEIVER_BELL]), vec(0..12_usize, 0..5)]
}

fn some(kind: usize) -> OwnedFd {
    match kind {
        0 => sealed(LEN),
        1 => sealed(4096),
        2 | 3 => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe").0,
        4 => rustix::pipe::pipe_with(PipeFlags::CLOEXEC).expect("a pipe").1,
        5 => memory(LEN, SealFlags::empty()),
        6 => open("/", OFlags::RDONLY),
        7 => open("/dev/zero", OFlags::RDWR),
        8 => open("/proc/self/exe", OFlags::PATH),
        _ => sockets().0,
    }
}

#[test]
fn a_socket_of_another_family_is_refused() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("bound");
    let socket = std::net::TcpStream::connect(address).expect("connects");
    let error = Link::over(&socket, &Options::new(), Deadline::Now).expect_err("no descriptors");
    assert!(error.to_string().contains("ring"), "{error}");
    let file = File::open("/dev/null").expect("opens");
    let error = Link::over(&file, &Options::new(), Deadline::Now).expect_err("no socket");
    assert!(error.to_string().contains("sendmsg ring"), "{error}");
}
