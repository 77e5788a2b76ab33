//! TCP and UDP as between two machines: each process has a network namespace of its own, and a cable (a
//! pair of virtual Ethernet devices, veth(4)) joins the two. What one machine alone cannot show: no route,
//! nobody at an address, silence, a cable that is cut, packets that are lost.
//!
//! It needs the program `ip`, and the right to make network namespaces: root's, or that of a user whose
//! system allows user namespaces.

// Leaving a namespace is an unsafe call, since one flag that is not used here concerns descriptors.
#![allow(unsafe_code)]

use std::fs;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use ipc_core::{
    Deadline, OpenError, OpenErrorKind, PeerId, Receiver, RecvError, SendError, Sender,
};
use ipc_socket::{InetAddress, TcpConnection, TcpListener, UdpOptions};
use ipc_testing::process::Forked;
use ipc_testing::{Guest, Host, Invitation, between_processes, skip, skip_for_want_of};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

/// The addresses of the host's machine and of the guest's, by version of the protocol.
const HERE: [&str; 2] = ["10.7.0.1", "[fd07::1]"];
const THERE: [&str; 2] = ["10.7.0.2", "[fd07::2]"];

/// Runs a machine's part in a process of one thread, as the leaving of a user namespace takes it; the test
/// harness has two.
fn as_machine(part: impl FnOnce()) {
    let status = Forked::start(part).wait();
    assert_eq!(status.exit_status(), Some(0), "the machine's part failed");
}

fn address(of: &str, port: u16) -> InetAddress {
    format!("{of}:{port}").parse().expect("an address")
}

/// Runs `ip` or `tc` on this process's machine; whether it succeeded.
fn succeeds(command: &str) -> bool {
    let mut words = command.split_whitespace();
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn run(command: &str) {
    assert!(succeeds(command), "{command}");
}

fn set(setting: &str, value: &str) {
    let path = format!("/proc/sys/net/ipv4/{setting}");
    fs::write(&path, value).unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Gives this process a network of its own, and with it, where that takes one, a user namespace in which it
/// is root; which is returned for others to join.
fn leave_the_network() -> Result<Option<OwnedFd>, Errno> {
    let unshare = |flags| {
        // SAFETY: neither flag concerns descriptors or memory.
        unsafe { rustix::thread::unshare_unsafe(flags) }
    };
    match unshare(UnshareFlags::NEWNET) {
        Err(Errno::PERM) => {}
        other => return other.map(|()| None),
    }
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNET)?;
    let write = |file: &str, text: String| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|_| Errno::PERM)
    };
    write("setgroups", "deny".into())?;
    write("uid_map", format!("0 {} 1", uid.as_raw()))?;
    write("gid_map", format!("0 {} 1", gid.as_raw()))?;
    fs::File::open("/proc/self/ns/user").map(|file| Some(file.into())).map_err(|_| Errno::PERM)
}

/// In the guest, see [`leave_the_network`].
fn leave_the_network_with(user_namespace: Option<OwnedFd>) -> Result<(), Errno> {
    if let Some(namespace) = user_namespace {
        let kind = Some(LinkNameSpaceType::User);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind)?;
    }
    // SAFETY: the flag concerns neither descriptors nor memory.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }
}

/// Sets up one end of the cable, and the loopback device.
fn plug_in(addresses: [&str; 2]) {
    let v6 = addresses[1].trim_matches(['[', ']']);
    run("ip link set lo up");
    run(&format!("ip address add {}/24 dev cable", addresses[0]));
    run(&format!("ip address add {v6}/64 dev cable nodad"));
    run("ip link set cable up");
}

/// Makes two machines of host and guest, joined by a cable; or says why that cannot be, and is false.
fn join_machines(test: &str, guest: &mut Guest) -> bool {
    let give_up = |guest: &mut Guest| {
        guest.tell("impossible");
        false
    };
    if !succeeds("ip -Version") {
        skip_for_want_of(test, "ip", "iproute2");
        return give_up(guest);
    }
    let user_namespace = match leave_the_network() {
        Ok(namespace) => namespace,
        Err(errno) => {
            skip(test, &format!("the right to make network namespaces (unshare: {errno})"));
            return give_up(guest);
        }
    };
    guest.tell("leave the network");
    guest.invite(Invitation::of_descriptors(user_namespace.into_iter().collect()));
    let its_process = guest.hear();
    run(&format!("ip link add cable type veth peer name cable netns {its_process}"));
    plug_in(HERE);
    guest.tell("plug in");
    guest.hear();
    true
}

/// In the guest, see [`join_machines`].
fn become_other_machine(host: &mut Host) -> bool {
    if host.hear() == "impossible" {
        return false;
    }
    let user_namespace = host.invitation().descriptors.pop();
    leave_the_network_with(user_namespace).expect("as the host did");
    host.tell(&std::process::id().to_string());
    host.hear();
    plug_in(THERE);
    host.tell("plugged in");
    true
}

fn is_gone<T: std::fmt::Debug>(result: Result<T, RecvError>) {
    assert!(matches!(result, Err(RecvError::PeerGone { .. })), "{result:?}");
}

fn refusal(result: Result<TcpConnection, OpenError>) -> OpenError {
    result.expect_err("nobody accepts there")
}

#[test]
fn machines_exchange_messages_by_tcp_and_udp() {
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines("machines_exchange_messages_by_tcp_and_udp", guest) {
                return;
            }
            for (here, there) in HERE.into_iter().zip(THERE) {
                guest.hear();
                let mut receiver = UdpOptions::new().bind(&address(here, 1626)).expect("bound");
                let mut link =
                    TcpConnection::connect(&address(there, 1625), Deadline::Never).expect("there");
                assert_eq!(InetAddress::from(link.peer_addr()), address(there, 1625));
                assert_eq!(address(here, link.local_addr().port()), link.local_addr().into());
                let mut buffer = vec![0; 1 << 20];
                for len in [0, 1, 1_400, 1_500, 70_000, 1 << 20] {
                    link.sender.send(&vec![len as u8 ^ 1; len]).expect("sent");
                    let received = link.receiver.recv(&mut buffer).expect("comes back");
                    assert!(buffer[..received.len] == vec![len as u8; len], "{len} bytes");
                    let Some(PeerId::Address(from)) = received.sender else { panic!("no sender") };
                    assert_eq!(from, link.peer_addr());
                }
                let mut sender = UdpOptions::new().connect(&address(there, 1627)).expect("routed");
                for len in [0, 1, 1_400, 60_000] {
                    sender.send(&vec![9; len]).expect("sent, in fragments if it must be");
                    let received = receiver.recv(&mut buffer).expect("comes back");
                    assert_eq!(received.len, len);
                    let Some(PeerId::Address(from)) = received.sender else { panic!("no sender") };
                    assert_eq!(InetAddress::from((from.ip(), 0)), address(there, 0));
                }
            }
        }),
        |host| as_machine(|| {
            if !become_other_machine(host) {
                return;
            }
            for (there, here) in HERE.into_iter().zip(THERE) {
                let listener = TcpListener::bind(&address(here, 1625)).expect("listens");
                let mut receiver = UdpOptions::new().bind(&address(here, 1627)).expect("bound");
                host.tell("listening");
                let mut link = listener.accept(Deadline::Never).expect("accepts");
                assert_eq!(link.local_addr(), listener.local_addr());
                let mut message = Vec::new();
                for _ in 0..6 {
                    link.receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
                    message.iter_mut().for_each(|byte| *byte ^= 1);
                    link.sender.send(&message).expect("sent");
                }
                let mut sender = UdpOptions::new().connect(&address(there, 1626)).expect("routed");
                for _ in 0..4 {
                    receiver.recv_to_vec(&mut message, Deadline::Never).expect("received");
                    sender.send(&message).expect("sent");
                }
                is_gone(link.receiver.recv(&mut [0; 8]));
            }
        }),
    );
}

#[test]
fn no_route_no_machine_no_listener_and_no_answer_are_told_apart() {
    const TEST: &str = "no_route_no_machine_no_listener_and_no_answer_are_told_apart";
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines(TEST, guest) {
                return;
            }
            let connect = |of, deadline| refusal(TcpConnection::connect(&address(of, 1), deadline));
            let error = connect(THERE[0], Deadline::Never);
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            assert!(error.to_string().contains("10.7.0.2:1"), "{error}");

            let error = connect("10.99.0.1", Deadline::Never);
            let OpenErrorKind::Os(source) = error.kind() else { panic!("{error}") };
            assert_eq!(source.kind(), ErrorKind::NetworkUnreachable, "{error}");

            // Nobody on the cable has this address: the kernel asks a few times who has.
            set("neigh/cable/retrans_time_ms", "20");
            let error = connect("10.7.0.99", Deadline::Never);
            let OpenErrorKind::Os(source) = error.kind() else { panic!("{error}") };
            assert_eq!(source.kind(), ErrorKind::HostUnreachable, "{error}");

            // A machine that drops what it gets: the frames go to a card that nobody has.
            run("ip neighbour add 10.7.0.50 lladdr 02:00:00:00:00:01 dev cable nud permanent");
            let deadline = Deadline::after(Duration::from_millis(50));
            let error = connect("10.7.0.50", deadline);
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert!(deadline.has_passed());
            // Without a deadline the kernel gives up in the end.
            set("tcp_syn_retries", "1");
            let error = connect("10.7.0.50", Deadline::Never);
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            guest.tell("done");
        }),
        |host| as_machine(|| {
            if become_other_machine(host) {
                host.hear();
            }
        }),
    );
}

#[test]
fn an_address_text_is_unreachable_then_silent_then_answers() {
    const TEST: &str = "an_address_text_is_unreachable_then_silent_then_answers";
    const TEXT: &str = "161.25.19.8:1625";
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines(TEST, guest) {
                return;
            }
            let address: InetAddress = TEXT.parse().expect("an address");
            let deadline = Deadline::after(Duration::from_secs(60));
            let error = refusal(TcpConnection::connect(&address, deadline));
            let OpenErrorKind::Os(source) = error.kind() else { panic!("{error}") };
            assert_eq!(source.kind(), ErrorKind::NetworkUnreachable, "{error}");
            assert!(!deadline.has_passed());

            // Through a machine that forwards nothing.
            run("ip route add 161.25.19.0/24 via 10.7.0.2");
            let deadline = Deadline::after(Duration::from_millis(50));
            let error = refusal(TcpConnection::connect(&address, deadline));
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert!(error.to_string().contains(TEXT), "{error}");
            assert!(deadline.has_passed());

            guest.tell("take the address");
            guest.hear();
            let mut link = TcpConnection::connect(&address, Deadline::Never).expect("connects");
            assert_eq!(link.peer_addr().to_string(), TEXT);
            link.sender.send(b"hello").expect("sends");
            assert_eq!(link.receiver.recv(&mut [0; 8]).expect("receives").len, 3);

            // The same on one machine. Its network is its own, so that the port is free.
            let local: InetAddress = "127.0.0.1:1625".parse().expect("an address");
            let listener = TcpListener::bind(&local).expect("listens");
            let client = TcpConnection::connect(&local, Deadline::Never).expect("connects");
            let server = listener.accept(Deadline::Never).expect("accepts");
            assert_eq!(client.peer_addr().to_string(), "127.0.0.1:1625");
            assert_eq!(server.peer_addr(), client.local_addr());
        }),
        |host| as_machine(|| {
            if !become_other_machine(host) {
                return;
            }
            set("ip_forward", "0");
            host.hear();
            run("ip address add 161.25.19.8/32 dev cable");
            let listener = TcpListener::bind(&TEXT.parse().expect("an address")).expect("listens");
            host.tell("listening");
            let mut link = listener.accept(Deadline::Never).expect("accepts");
            assert_eq!(link.receiver.recv(&mut [0; 8]).expect("receives").len, 5);
            link.sender.send(b"you").expect("sends");
            is_gone(link.receiver.recv(&mut [0; 8]));
        }),
    );
}

/// The guest's part where its machine is cut off amid a conversation and comes back without it, or not at
/// all.
fn vanish(host: &mut Host, comes_back: bool) {
    if !become_other_machine(host) {
        return;
    }
    let listener = TcpListener::bind(&address(THERE[0], 1625)).expect("listens");
    host.tell("listening");
    let mut link = listener.accept(Deadline::Never).expect("accepts");
    link.receiver.recv(&mut [0; 8]).expect("received");
    link.sender.send(b"answer").expect("sent");
    host.hear(); // it has the answer
    run("ip link set cable down");
    if comes_back {
        // With this option, closing sends a reset, which is lost, and the kernel forgets the connection.
        rustix::net::sockopt::set_socket_linger(&link.sender, Some(Duration::ZERO)).expect("set");
        drop(link);
        run("ip link set cable up");
    }
    host.tell("vanished");
    host.hear();
}

fn talk(guest: &mut Guest) -> TcpConnection {
    guest.hear();
    let mut link =
        TcpConnection::connect(&address(THERE[0], 1625), Deadline::Never).expect("connected");
    link.sender.send(b"question").expect("sent");
    assert_eq!(link.receiver.recv(&mut [0; 8]).expect("answered").len, 6);
    guest.tell("cut the cable");
    guest.hear();
    link
}

/// After its peer is known to be gone, a connection says so again and again, both ways.
fn assert_ended(link: &mut TcpConnection) {
    for _ in 0..2 {
        is_gone(link.receiver.recv(&mut [0; 8]));
        let error = link.sender.send(b"more").expect_err("nobody is there");
        assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
    }
}

#[test]
fn a_machine_that_comes_back_has_reset_its_connections() {
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines("a_machine_that_comes_back_has_reset_its_connections", guest) {
                return;
            }
            let mut link = talk(guest);
            link.sender.send(b"are you there?").expect("TCP cannot know yet");
            assert_ended(&mut link);
            guest.tell("done");
        }),
        |host| as_machine(|| vanish(host, true)),
    );
}

#[test]
fn a_machine_that_vanished_is_gone_once_the_system_has_given_up() {
    const TEST: &str = "a_machine_that_vanished_is_gone_once_the_system_has_given_up";
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines(TEST, guest) {
                return;
            }
            set("tcp_retries2", "1");
            let mut link = talk(guest);
            let deadline = Deadline::after(Duration::from_millis(20));
            let error = link.receiver.recv_deadline(&mut [0; 8], deadline).expect_err("silence");
            assert!(matches!(error, RecvError::TimedOut), "silence alone says nothing: {error}");
            link.sender.send(b"are you there?").expect("TCP cannot know yet");
            assert_ended(&mut link);
            guest.tell("done");
        }),
        |host| as_machine(|| vanish(host, false)),
    );
}

#[test]
fn a_cable_that_loses_packets_delivers_streams_whole_and_datagrams_in_part() {
    const TEST: &str = "a_cable_that_loses_packets_delivers_streams_whole_and_datagrams_in_part";
    const DATAGRAMS: u32 = 1_000;
    const STREAM_MESSAGES: u32 = 40;
    between_processes!(
        |guest| as_machine(|| {
            if !join_machines(TEST, guest) {
                return;
            }
            guest.hear();
            let mut link =
                TcpConnection::connect(&address(THERE[0], 1625), Deadline::Never).expect("there");
            let mut sender = UdpOptions::new().connect(&address(THERE[0], 1626)).expect("routed");
            // A loss by chance where the kernel has that; else by a queue that is soon full.
            let by_chance = "tc qdisc add dev cable root netem loss 5%";
            let when_full = "tc qdisc add dev cable root tbf rate 40mbit burst 4000 limit 20000";
            assert!(succeeds(by_chance) || succeeds(when_full), "neither netem nor tbf");
            for number in 0..DATAGRAMS {
                sender.send(&[&number.to_le_bytes()[..], &[7; 1_000]].concat()).expect("sent");
            }
            for number in 0..STREAM_MESSAGES {
                link.sender.send(&vec![number as u8; 10_000]).expect("sent");
            }
            assert_eq!(link.receiver.recv(&mut [0; 8]).expect("it has all").len, 4);
            let sent_and_lost = guest.hear();
            let received: u32 = sent_and_lost.parse().expect("a number");
            assert!(received > 0 && received < DATAGRAMS, "{received} of {DATAGRAMS}");
        }),
        |host| as_machine(|| {
            if !become_other_machine(host) {
                return;
            }
            let listener = TcpListener::bind(&address(THERE[0], 1625)).expect("listens");
            let any: SocketAddr = "10.7.0.2:1626".parse().expect("an address");
            let mut datagrams = UdpOptions::new().bind(&any.into()).expect("bound");
            host.tell("listening");
            let mut link = listener.accept(Deadline::Never).expect("accepts");
            let mut buffer = vec![0; 10_000];
            for number in 0..STREAM_MESSAGES {
                assert_eq!(link.receiver.recv(&mut buffer).expect("nothing is lost").len, 10_000);
                assert!(buffer.iter().all(|&byte| byte == number as u8), "in order");
            }
            link.sender.send(b"done").expect("sent");
            // What was not lost came before the last of the stream, and waits here.
            let mut received = 0;
            while let Ok(found) = datagrams.try_recv(&mut buffer) {
                assert_eq!(found.len, 1_004);
                assert!(buffer[4..1_004] == [7; 1_000], "whole");
                received += 1;
            }
            host.tell(&received.to_string());
        }),
    );
}
