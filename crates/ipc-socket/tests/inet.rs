//! TCP and UDP: addresses, refusals, ends and resets.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use ipc_core::{Deadline, OpenErrorKind, PeerId, Receiver, RecvError, SendError, Sender};
use ipc_socket::{InetAddress, TcpConnection, TcpListener, TcpOptions, UdpOptions};
use ipc_testing::between_processes;

fn any_port() -> InetAddress {
    "127.0.0.1:0".parse().expect("an address")
}

fn connect(listener: &TcpListener) -> TcpConnection {
    TcpConnection::connect(&listener.local_addr().into(), Deadline::Never).expect("connects")
}

#[test]
fn a_connection_is_known_by_both_its_ends() {
    between_processes!(
        |guest| {
            let listener = TcpListener::bind(&any_port()).expect("listens");
            guest.tell(&listener.local_addr().to_string());
            let mut connection = listener.accept(Deadline::Never).expect("accepts");
            assert_eq!(connection.local_addr(), listener.local_addr());
            assert_eq!(guest.hear(), connection.peer_addr().to_string());
            let received = connection.receiver.recv(&mut [0; 64]).expect("receives");
            assert_eq!(received.sender, Some(PeerId::Address(connection.peer_addr())));
            connection.sender.send(b"answer").expect("sends");
            let error = connection.receiver.recv(&mut [0; 64]).expect_err("the end");
            let text = error.to_string();
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            for address in [connection.local_addr(), connection.peer_addr()] {
                assert!(text.contains(&address.to_string()), "{text}");
            }
        },
        |host| {
            let address: InetAddress = host.hear().parse().expect("an address");
            let mut connection =
                TcpConnection::connect(&address, Deadline::Never).expect("connects");
            host.tell(&connection.local_addr().to_string());
            assert_eq!(connection.peer_addr().to_string(), address.to_string());
            connection.sender.send(b"question").expect("sends");
            assert_eq!(connection.receiver.recv(&mut [0; 64]).expect("receives").len, 6);
        },
    );
}

#[test]
fn a_half_closed_connection_still_carries_the_other_direction() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    let mut client = connect(&listener);
    let mut server = listener.accept(Deadline::Never).expect("accepts");
    client.sender.send(b"last words").expect("sends");
    drop(client.sender);
    assert_eq!(server.receiver.recv(&mut [0; 64]).expect("receives").len, 10);
    let error = server.receiver.recv(&mut [0; 64]).expect_err("closed");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
    for _ in 0..100 {
        server.sender.send(b"still").expect("the other direction is open");
    }
    drop(server);
    for _ in 0..100 {
        assert_eq!(client.receiver.recv(&mut [0; 64]).expect("receives").len, 5);
    }
    let error = client.receiver.recv(&mut [0; 64]).expect_err("closed");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
}

#[test]
fn a_sender_that_ends_in_order_is_heard_to_its_end() {
    between_processes!(
        |guest| {
            let listener = TcpListener::bind(&any_port()).expect("listens");
            guest.tell(&listener.local_addr().to_string());
            let mut receiver = listener.accept(Deadline::Never).expect("accepts").receiver;
            guest.wait(); // it has not read anything, for nothing was sent to it
            let mut buffer = [0; 1000];
            for number in 0..100 {
                let received = receiver.recv(&mut buffer).expect("what it sent");
                assert_eq!(&buffer[..received.len], &[number; 1000]);
            }
            let error = receiver.recv(&mut buffer).expect_err("the end");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
        },
        |host| {
            let address = host.hear().parse().expect("an address");
            let connection = TcpConnection::connect(&address, Deadline::Never);
            let mut sender = connection.expect("connects").sender;
            for number in 0..100 {
                sender.send(&[number; 1000]).expect("sends");
            }
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("dies");
        },
    );
}

#[test]
fn a_reset_is_the_end_in_both_directions() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    let mut plain = std::net::TcpStream::connect(listener.local_addr()).expect("connects");
    let mut server = listener.accept(Deadline::Never).expect("accepts");
    plain.write_all(b"\x05\0\0\0hello\x64\0\0\0torn").expect("writes");
    assert_eq!(server.receiver.recv(&mut [0; 64]).expect("receives").len, 5);
    // With this option a close is a reset.
    rustix::net::sockopt::set_socket_linger(&plain, Some(Duration::ZERO)).expect("sets");
    drop(plain);
    for _ in 0..2 {
        let error = server.receiver.recv(&mut [0; 200]).expect_err("reset");
        assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
        let error = server.sender.send(b"x").expect_err("reset");
        assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
    }
}

#[test]
fn a_receiver_that_dies_with_unread_messages_is_gone_for_its_sender() {
    between_processes!(
        |guest| {
            let listener = TcpListener::bind(&any_port()).expect("listens");
            guest.tell(&listener.local_addr().to_string());
            let mut connection = listener.accept(Deadline::Never).expect("accepts");
            // More than both kernels hold: it waits until the guest dies.
            guest.tell("go");
            let error = loop {
                if let Err(error) = connection.sender.send(&[1; 100_000]) {
                    break error;
                }
            };
            assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
            let error = connection.receiver.recv(&mut [0; 8]).expect_err("reset");
            assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
            guest.wait();
        },
        |host| {
            let address = host.hear().parse().expect("an address");
            let mut connection =
                TcpConnection::connect(&address, Deadline::Never).expect("connects");
            host.hear();
            connection.receiver.recv(&mut vec![0; 100_000]).expect("receives");
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
                .expect("dies");
        },
    );
}

#[test]
fn nobody_at_a_port_is_a_refusal() {
    let address: SocketAddr = {
        let listener = TcpListener::bind(&any_port()).expect("listens");
        listener.local_addr()
    };
    let error = TcpConnection::connect(&address.into(), Deadline::Never).expect_err("closed");
    assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[test]
fn an_address_in_use_is_an_error_and_one_that_was_used_is_not() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    let address = listener.local_addr();
    let error = TcpListener::bind(&address.into()).expect_err("in use");
    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
    // The server closes first, so its side lingers in TIME_WAIT.
    let client = connect(&listener);
    let server = listener.accept(Deadline::Never).expect("accepts");
    drop(server);
    drop(client);
    drop(listener);
    TcpListener::bind(&address.into()).expect("free for a new listener");

    let receiver = UdpOptions::new().bind(&any_port()).expect("binds");
    let address = receiver.local_addr().expect("bound");
    let error = UdpOptions::new().bind(&address.into()).expect_err("in use");
    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
}

#[test]
fn a_privileged_port_names_the_setting() {
    between_processes!(|guest| guest.finish(), |_host| {
        if rustix::process::getuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_uid(nobody).expect("root");
        }
        let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
        if first.expect("procfs").trim() == "0" {
            eprintln!("skipped: every port is free for all on this system");
            return;
        }
        let address = "127.0.0.1:1".parse().expect("an address");
        let errors = [
            TcpListener::bind(&address).map(drop).expect_err("privileged"),
            UdpOptions::new().bind(&address).map(drop).expect_err("privileged"),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(text.contains("ip_unprivileged_port_start"), "{text}");
            assert!(text.contains("127.0.0.1:1"), "{text}");
        }
    },);
}

#[test]
fn addresses_that_lead_nowhere_are_errors() {
    let broadcast = "255.255.255.255:1".parse().expect("an address");
    let error = TcpConnection::connect(&broadcast, Deadline::Never).expect_err("no such peer");
    let OpenErrorKind::Os(source) = error.kind() else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NetworkUnreachable, "{error}");
    // TEST-NET-1 of RFC 5737 is nobody's address.
    let foreign = "192.0.2.1:0".parse().expect("an address");
    let error = TcpListener::bind(&foreign).expect_err("not of this machine");
    let OpenErrorKind::Os(source) = error.kind() else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::AddrNotAvailable, "{error}");
}

#[test]
fn connecting_times_out_where_nobody_answers() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    rustix::net::listen(listener.as_fd(), 0).expect("shortens the queue");
    let address = listener.local_addr().into();
    let mut connected = Vec::new();
    let error = loop {
        // The kernel drops the greetings of those that do not fit the queue.
        let deadline = Deadline::after(Duration::from_millis(100));
        match TcpConnection::connect(&address, deadline) {
            Ok(connection) => connected.push(connection),
            Err(error) => {
                assert!(deadline.has_passed());
                break error;
            }
        }
        assert!(connected.len() < 100, "the queue has no end");
    };
    assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
}

#[test]
fn any_program_that_writes_the_frame_is_understood() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    let mut plain = std::net::TcpStream::connect(listener.local_addr()).expect("connects");
    let mut server = listener.accept(Deadline::Never).expect("accepts");
    plain.write_all(b"\x05\0\0\0hello\0\0\0\0").expect("writes");
    let mut buffer = [0; 64];
    assert_eq!(server.receiver.recv(&mut buffer).expect("receives").len, 5);
    assert_eq!(server.receiver.recv(&mut buffer).expect("receives").len, 0);
    server.sender.send(b"hi").expect("sends");
    let mut frame = [0; 6];
    plain.read_exact(&mut frame).expect("reads");
    assert_eq!(&frame, b"\x02\0\0\0hi");
}

#[test]
fn fixed_buffers_and_a_small_maximum_are_honoured() {
    let options = TcpOptions::new().buffer_len(100_000).max_message_len(1000).delay(true);
    let listener = options.listen(&any_port()).expect("listens");
    let address = listener.local_addr().into();
    let mut client = options.connect(&address, Deadline::Never).expect("connects");
    let _server = listener.accept(Deadline::Never).expect("accepts");
    let error = client.sender.send(&[0; 1001]).expect_err("too long");
    assert!(matches!(&error, SendError::TooLong(e) if e.max == 1000), "{error}");
    client.sender.send(&[0; 1000]).expect("the longest");
    assert!(!rustix::net::sockopt::tcp_nodelay(client.sender.as_fd()).expect("reads"));
}

#[test]
fn messages_are_not_delayed_unless_it_is_asked_for() {
    let listener = TcpListener::bind(&any_port()).expect("listens");
    let client = connect(&listener);
    let server = listener.accept(Deadline::Never).expect("accepts");
    for end in [client.sender.as_fd(), server.sender.as_fd()] {
        assert!(rustix::net::sockopt::tcp_nodelay(end).expect("reads"));
    }
}

#[test]
fn ipv6_carries_both() {
    let any: InetAddress = "[::1]:0".parse().expect("an address");
    let listener = match TcpListener::bind(&any) {
        Ok(listener) => listener,
        Err(error) => {
            ipc_testing::skip("ipv6_carries_both", &format!("an IPv6 loopback device ({error})"));
            return;
        }
    };
    let mut client = connect(&listener);
    let mut server = listener.accept(Deadline::Never).expect("accepts");
    client.sender.send(b"six").expect("sends");
    assert_eq!(server.receiver.recv(&mut [0; 8]).expect("receives").len, 3);

    let mut receiver = UdpOptions::new().bind(&any).expect("binds");
    let address = receiver.local_addr().expect("bound").into();
    let mut sender = UdpOptions::new().connect(&address).expect("connects");
    sender.send(b"six").expect("sends");
    assert_eq!(receiver.recv(&mut [0; 8]).expect("receives").len, 3);
}

#[test]
fn the_longest_udp_packet_arrives_and_names_its_sender() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(mut receiver) = UdpOptions::new().bind(&address.parse().expect("an address")) else {
            eprintln!("skipped: this machine has no {address}");
            continue;
        };
        let address = receiver.local_addr().expect("bound");
        let mut sender = UdpOptions::new().connect(&address.into()).expect("connects");
        let max = sender.properties().message_length.max;
        for (len, buffer_len) in [(max, max), (max, 1 << 20), (10, 20_000), (0, 10)] {
            sender.send(&vec![7; len]).expect("sends");
            let received = receiver.recv(&mut vec![0; buffer_len]).expect("receives");
            assert_eq!(received.len, len);
            let Some(PeerId::Address(from)) = received.sender else { panic!("no address") };
            assert_eq!(from.ip(), address.ip());
        }
        let error = sender.send(&vec![7; max + 1]).expect_err("too long");
        assert!(matches!(error, SendError::TooLong(_)), "{error}");
        let refused =
            rustix::net::send(&sender, &vec![0; max + 1], rustix::net::SendFlags::NOSIGNAL);
        assert_eq!(refused, Err(rustix::io::Errno::MSGSIZE), "the kernel agrees");
    }
}

#[test]
fn a_udp_sender_goes_on_while_nobody_is_there() {
    let address = {
        let receiver = UdpOptions::new().bind(&any_port()).expect("binds");
        receiver.local_addr().expect("bound")
    };
    let mut sender = UdpOptions::new().connect(&address.into()).expect("connects");
    for _ in 0..10 {
        sender.send(b"anybody?").expect("UDP does not know");
    }
    let mut receiver = UdpOptions::new().bind(&address.into()).expect("binds");
    sender.send(b"now").expect("sends");
    // The refusal of an earlier packet did not swallow this one.
    assert_eq!(receiver.recv(&mut [0; 64]).expect("receives").len, 3);
}
