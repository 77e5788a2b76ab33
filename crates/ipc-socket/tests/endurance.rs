//! What wears programs out: exhausted descriptors, storms of signals, thousands of peers that are
//! killed. Nothing leaks, nothing hangs, and no message that was sent is lost.

// The storm of signals needs a handler and a timer.
#![allow(unsafe_code)]

use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_socket::direct::{Direct, Peer};
use ipc_socket::{
    TcpConnection, TcpListener, UnixOptions, UnixSeqpacketConnection, UnixSeqpacketListener,
    UnixStreamConnection, UnixStreamListener,
};
use ipc_testing::killing::{self, Survivors, open_descriptors};
use ipc_testing::{Scope, between_processes};
use rustix::process::Signal;

/// Interrupts this process's system calls every 50 µs, without restarting them.
fn storm() {
    extern "C" fn ignore(_: libc::c_int) {}
    // SAFETY: all fields of the struct are integers or pointers, of which 0 is a value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = ignore as *const () as usize;
    // SAFETY: the handler does nothing, so it is async-signal-safe.
    assert_eq!(unsafe { libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut()) }, 0);
    let period = libc::timeval { tv_sec: 0, tv_usec: 50 };
    let timer = libc::itimerval { it_interval: period, it_value: period };
    // SAFETY: the timer is a valid value.
    let result = unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut()) };
    assert_eq!(result, 0);
}

#[test]
fn ten_thousand_peers_that_connect_send_and_are_gone_lose_nothing_and_leave_nothing() {
    const CYCLES: u32 = 10_000;
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let before = open_descriptors();
            let mut buffer = [0; 64];
            for cycle in 0..CYCLES {
                let mut connection = listener.accept(Deadline::Never).expect("accepts");
                for number in 0..3_u32 {
                    let received = connection.receiver.recv(&mut buffer).expect("it was sent");
                    assert_eq!(received.len, 8);
                    assert_eq!(buffer[..4], cycle.to_le_bytes());
                    assert_eq!(buffer[4..8], number.to_le_bytes());
                }
                let error = connection.receiver.recv(&mut buffer).expect_err("it is gone");
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            }
            assert_eq!(open_descriptors(), before);
            guest.finish();
        },
        |host| {
            let path = host.hear();
            for cycle in 0..CYCLES {
                let connection = UnixStreamConnection::connect(path.as_str(), Deadline::Never);
                let mut sender = connection.expect("connects").sender;
                for number in 0..3_u32 {
                    let mut message = cycle.to_le_bytes().to_vec();
                    message.extend_from_slice(&number.to_le_bytes());
                    sender.send(&message).expect("sends");
                }
            }
        },
    );
}

/// Of each kind of link; with the pipes' (`ipc-pipe`) more than 10,000 in all.
const KILLED: u32 = 2_500;
/// More than a socket's buffers hold, in bytes.
const LONGEST_LEN: usize = 400_000;
/// What a packet may be, in bytes.
const LONGEST_PACKET_LEN: usize = 150_000;

/// Ends of a connection, for who outlives the other.
fn survivors(
    receiver: impl Receiver + 'static,
    sender: impl Sender + 'static,
) -> Option<Survivors> {
    Some(Survivors { receiver: Box::new(receiver), sender: Some(Box::new(sender)) })
}

#[test]
fn unix_streams_lose_nothing_of_thousands_of_killed_peers() {
    between_processes!(
        |guest| {
            guest.finish(); // it has no part: there are processes enough
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            let connect = |()| {
                let connection = UnixStreamConnection::connect(path.as_path(), Deadline::Never);
                let UnixStreamConnection { sender, receiver, .. } = connection.expect("connects");
                std::mem::forget(receiver); // dropped, it would tell that it does not read
                sender
            };
            let accept = |(), (), deadline| {
                let connection = listener.accept(deadline).ok()?;
                survivors(connection.receiver, connection.sender)
            };
            killing::kill_senders(KILLED, LONGEST_LEN, || (), connect, |_pid| (), accept);
        },
        |_host| {},
    );
}

#[test]
fn seqpacket_sockets_lose_nothing_of_thousands_of_killed_peers() {
    between_processes!(
        |guest| {
            guest.finish();
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixSeqpacketListener::bind(path.as_path()).expect("listens");
            let connect = |()| {
                let connection = UnixSeqpacketConnection::connect(path.as_path(), Deadline::Never);
                let UnixSeqpacketConnection { sender, receiver, .. } = connection.expect("there");
                std::mem::forget(receiver);
                sender
            };
            let accept = |(), (), deadline| {
                let connection = listener.accept(deadline).ok()?;
                survivors(connection.receiver, connection.sender)
            };
            killing::kill_senders(KILLED, LONGEST_PACKET_LEN, || (), connect, |_pid| (), accept);
        },
        |_host| {},
    );
}

#[test]
fn direct_links_lose_nothing_of_thousands_of_killed_peers() {
    between_processes!(
        |guest| {
            guest.finish();
            let mut me = Direct::open().expect("opens");
            let survivor = std::process::id();
            let link = |()| {
                let mut me = Direct::open().expect("opens");
                let it = Peer::of(survivor).expect("it lives");
                let (sender, receiver) = me.take_ends(&it, Deadline::Never).expect("links");
                std::mem::forget((me, receiver));
                sender
            };
            let meet = |pid| Peer::of(pid).expect("it is not killed yet");
            let take_ends = |(), it: Peer, deadline| {
                me.wait_for_link(&it, deadline).ok()?;
                let (sender, receiver) = me.take_ends(&it, deadline).expect("it is there");
                survivors(receiver, sender)
            };
            killing::kill_senders(KILLED, LONGEST_PACKET_LEN, || (), link, meet, take_ends);
        },
        |_host| {},
    );
}

#[test]
fn hundreds_of_killed_processes_lose_nothing_that_they_sent_and_leave_nothing() {
    const TEST: &str = "hundreds_of_killed_processes_lose_nothing_that_they_sent_and_leave_nothing";
    const KILLED: u32 = 300;
    if let Ok(pid) = std::env::var("IPC_SOCKET_VICTIM_OF") {
        let mut me = Direct::open().expect("opens");
        let it = Peer::of(pid.parse().expect("a number")).expect("it lives");
        for number in 0..5_u8 {
            me.send(&it, &[number], Deadline::Never).expect("sends");
        }
        let itself = rustix::process::getpid();
        rustix::process::kill_process(itself, Signal::KILL).expect("we may");
    }
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            let before = open_descriptors();
            for _ in 0..KILLED {
                let mut command = Command::new("/proc/self/exe");
                command.args(["--exact", TEST, "--test-threads=1"]).stdout(Stdio::null());
                command.env("IPC_SOCKET_VICTIM_OF", std::process::id().to_string());
                let mut victim = command.spawn().expect("started");
                for number in 0..5_u8 {
                    let mut buffer = [0; 8];
                    let (who, _) = me.receive_any(&mut buffer, Deadline::Never).expect("sent");
                    assert_eq!((who.pid(), buffer[0]), (victim.id(), number));
                }
                victim.wait().expect("reaped");
            }
            let error = me.receive_any(&mut [0; 8], Deadline::Now).expect_err("all are dead");
            assert!(error.is_temporary(), "{error}");
            assert_eq!(open_descriptors(), before);
            guest.finish();
        },
        |_host| {},
    );
}

#[test]
fn direct_links_without_free_descriptors_say_which_limit_and_go_on_later() {
    between_processes!(
        |guest| {
            let mut me = Direct::open().expect("opens");
            guest.tell("opened");
            guest.hear();
            let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
            let none = rustix::process::Rlimit { current: Some(0), maximum: limits.maximum };
            rustix::process::setrlimit(rustix::process::Resource::Nofile, none).expect("lowers");
            let mut buffer = [0; 8];
            let error = me.receive_any(&mut buffer, Deadline::Never).expect_err("no descriptor");
            assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
            rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).expect("raises");
            let (who, _) = me.receive_any(&mut buffer, Deadline::Never).expect("it still waits");
            assert_eq!(who.pid(), guest.pid());
            guest.tell("done");
        },
        |host| {
            host.hear();
            let mut me = Direct::open().expect("opens");
            let it = Peer::of(host.pid()).expect("it lives");
            me.send(&it, b"waits", Deadline::Never).expect("sends");
            host.tell("sent");
            host.hear();
        },
    );
}

/// Messages of many lengths, so that reads and writes are cut short in every way, over the smallest
/// buffers, while signals interrupt every wait.
fn exchange(
    mut send: impl FnMut(&[u8]),
    mut receive: impl FnMut(&mut [u8]) -> usize,
    lengths: impl Iterator<Item = usize>,
) {
    let mut buffer = vec![0; 300_000];
    for (number, len) in lengths.enumerate() {
        let message = vec![number as u8; len];
        send(&message);
        let received = receive(&mut buffer);
        assert!(buffer[..received] == message[..], "message {number}");
    }
}

fn lengths() -> impl Iterator<Item = usize> {
    (0..400).map(|number| (number * 7_919) % 250_000)
}

#[test]
fn signals_disturb_no_stream_of_any_kind() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let options = UnixOptions::new().buffer_len(4608);
            let unix = options.listen_stream(path.as_path()).expect("listens");
            let tcp = TcpListener::bind(&"127.0.0.1:0".parse().expect("good")).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            guest.tell(&tcp.local_addr().to_string());
            storm();
            let mut unix = unix.accept(Deadline::Never).expect("accepts");
            exchange(
                |message| unix.sender.send(message).expect("sends"),
                |buffer| unix.receiver.recv(buffer).expect("receives").len,
                lengths(),
            );
            let mut tcp = tcp.accept(Deadline::Never).expect("accepts");
            exchange(
                |message| tcp.sender.send(message).expect("sends"),
                |buffer| tcp.receiver.recv(buffer).expect("receives").len,
                lengths(),
            );
            let start = Instant::now();
            let wait = Duration::from_millis(50);
            let error = tcp.receiver.recv_timeout(&mut [0; 8], wait).expect_err("nothing");
            assert!(matches!(error, RecvError::TimedOut), "{error}");
            assert!(start.elapsed() >= wait);
            guest.tell("done");
        },
        |host| {
            let (path, address) = (host.hear(), host.hear());
            storm();
            let options = UnixOptions::new().buffer_len(4608);
            let mut unix =
                options.connect_stream(path.as_str(), Deadline::Never).expect("connects");
            let address = address.parse().expect("good");
            let echo = |receiver: &mut dyn Receiver, sender: &mut dyn Sender| {
                let mut message = Vec::new();
                for _ in lengths() {
                    receiver.recv_to_vec(&mut message, Deadline::Never).expect("receives");
                    sender.send(&message).expect("sends");
                }
            };
            echo(&mut unix.receiver, &mut unix.sender);
            let mut tcp = TcpConnection::connect(&address, Deadline::Never).expect("connects");
            echo(&mut tcp.receiver, &mut tcp.sender);
            host.hear();
        },
    );
}

#[test]
fn bytes_arrive_whole_however_they_lie() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
            let mut kept = Vec::new();
            for (number, len) in lengths().enumerate() {
                let (message, sender) = receiver.recv_bytes(Deadline::Never).expect("receives");
                assert_eq!(sender.and_then(|sender| sender.pid()), Some(guest.pid()));
                assert!(message == vec![number as u8; len], "message {number}");
                if number % 50 == 0 {
                    kept.push((number, message));
                } else if number % 50 == 1 {
                    // The other way to receive goes on where this one stopped.
                    let mut buffer = Vec::new();
                    receiver.recv_to_vec(&mut buffer, Deadline::Never).expect("receives");
                    assert_eq!(buffer, b"between");
                }
            }
            let error = receiver.recv_bytes(Deadline::Never).expect_err("the end");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            // What was received is not overwritten by what came after.
            assert!(
                kept.iter().all(|(number, message)| message.iter().all(|b| *b == *number as u8))
            );
            assert!(receiver.as_fd().try_clone_to_owned().is_ok());
        },
        |host| {
            let connection = UnixStreamConnection::connect(host.hear().as_str(), Deadline::Never);
            let mut sender = connection.expect("connects").sender;
            for (number, len) in lengths().enumerate() {
                sender.send(&vec![number as u8; len]).expect("sends");
                if number % 50 == 1 {
                    sender.send(b"between").expect("sends");
                }
            }
        },
    );
}
