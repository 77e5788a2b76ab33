//! Unix sockets at paths and abstract names: who may have them, who gets them, who is told.

use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use ipc_core::{
    Deadline, Evidence, OpenErrorKind, PeerId, Receiver, RecvError, SendError, Sender,
    SenderIdentity,
};
use ipc_socket::{
    UnixAddress, UnixOptions, UnixSeqpacketConnection, UnixSeqpacketListener, UnixStreamConnection,
    UnixStreamListener,
};
use ipc_testing::killing::open_descriptors;
use ipc_testing::{Scope, between_processes};

/// Leaves the file of a socket behind, as a killed process does.
fn leave_dead_socket(path: &Path) {
    drop(std::os::unix::net::UnixListener::bind(path).expect("binds"));
    assert!(path.exists(), "the standard library leaves it there");
}

#[test]
fn a_path_left_by_a_killed_process_is_reclaimed() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            guest.tell(path.to_str().expect("UTF-8"));
            guest.hear();
            guest.kill();
            assert!(path.exists(), "a killed process cannot clean up");
            let error = UnixStreamConnection::connect(path.as_path(), Deadline::Never)
                .expect_err("nobody listens");
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            assert!(error.to_string().contains(path.to_str().expect("UTF-8")), "{error}");
            let listener = UnixSeqpacketListener::bind(path.as_path()).expect("reclaims");
            UnixSeqpacketConnection::connect(path.as_path(), Deadline::Never).expect("it listens");
            drop(listener);
            assert!(!path.exists(), "the listener takes its path with it");
        },
        |host| {
            let _listener = UnixStreamListener::bind(host.hear().as_str()).expect("listens");
            host.tell("listening");
            host.hear(); // killed here
        },
    );
}

#[test]
fn a_living_socket_of_any_type_keeps_its_path() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let options = UnixOptions::new();
    let assert_in_use = || {
        let inode = std::fs::metadata(&path).expect("is there").ino();
        let errors = [
            options.listen_stream(path.as_path()).map(drop).expect_err("taken"),
            options.listen_seqpacket(path.as_path()).map(drop).expect_err("taken"),
            options.bind_datagram(path.as_path()).map(drop).expect_err("taken"),
        ];
        for error in errors {
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
        }
        assert_eq!(std::fs::metadata(&path).expect("still there").ino(), inode);
    };

    let stream = options.listen_stream(path.as_path()).expect("listens");
    assert_in_use();
    // The question whether it lives does not reach its queue.
    let error = stream.accept(Deadline::Now).expect_err("nobody connected");
    assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
    drop(stream);

    let seqpacket = options.listen_seqpacket(path.as_path()).expect("listens");
    assert_in_use();
    drop(seqpacket);

    let mut datagram = options.bind_datagram(path.as_path()).expect("binds");
    assert_in_use();
    assert!(matches!(datagram.try_recv(&mut [0; 8]), Err(RecvError::Empty)));
    drop(datagram);

    // Bound, and not listening yet: a program that is not ours between its two calls.
    let half = rustix::net::socket(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        None,
    )
    .expect("a socket");
    let address = rustix::net::SocketAddrUnix::new(&path).expect("a short path");
    rustix::net::bind(&half, &address).expect("binds");
    assert_in_use();
    std::fs::remove_file(&path).expect("there");

    // A file that is no socket is nobody's to remove.
    std::fs::write(&path, "precious").expect("writes");
    assert_in_use();
    assert_eq!(std::fs::read_to_string(&path).expect("reads"), "precious");
}

#[test]
fn of_two_that_reclaim_at_once_exactly_one_wins() {
    const ROUNDS: usize = 300;
    between_processes!(
        |guest| {
            let scope = Scope::new();
            for round in 0..ROUNDS {
                let path = scope.path(&format!("socket{round}"));
                leave_dead_socket(&path);
                guest.tell(path.to_str().expect("UTF-8"));
                let listener = UnixStreamListener::bind(path.as_path());
                let guest_won = guest.hear() == "won";
                let error = listener.as_ref().err();
                assert_eq!(listener.is_ok(), !guest_won, "round {round}: {error:?}");
                if let Some(error) = error {
                    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
                }
                // Whoever won can be reached.
                UnixStreamConnection::connect(path.as_path(), Deadline::Never).expect("listens");
                guest.tell("next");
                guest.hear();
            }
        },
        |host| {
            for _ in 0..ROUNDS {
                let path = host.hear();
                let listener = UnixStreamListener::bind(path.as_str());
                host.tell(if listener.is_ok() { "won" } else { "lost" });
                host.hear();
                drop(listener);
                host.tell("closed");
            }
        },
    );
}

#[test]
fn a_listener_removes_only_its_own_file() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let first = UnixStreamListener::bind(path.as_path()).expect("listens");
    std::fs::remove_file(&path).expect("somebody removes it");
    let second = UnixStreamListener::bind(path.as_path()).expect("the name is free");
    drop(first);
    assert!(path.exists(), "it is the second one's");
    UnixStreamConnection::connect(path.as_path(), Deadline::Never).expect("and it listens");
    drop(second);
    assert!(!path.exists());
}

#[test]
fn the_mode_is_as_asked_whatever_the_umask() {
    between_processes!(
        |guest| {
            guest.finish();
        },
        |_host| {
            let scope = Scope::new();
            for umask in [0o000, 0o022, 0o777] {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
                for mode in [0o600, 0o660, 0o666, 0o000] {
                    let path = scope.path("socket");
                    let options = UnixOptions::new().mode(mode);
                    let listener = options.listen_stream(path.as_path()).expect("listens");
                    let found = std::fs::metadata(&path).expect("is there").permissions().mode();
                    assert_eq!(found & 0o777, mode, "umask {umask:o}");
                    drop(listener);
                }
            }
            let error = UnixOptions::new().mode(0o1777).listen_stream("x").expect_err("no bits");
            let is_mode = |kind: &OpenErrorKind| {
                matches!(kind, OpenErrorKind::InvalidOption { option: "mode", .. })
            };
            assert!(is_mode(error.kind()), "{error}");
        },
    );
}

#[test]
fn another_user_connects_only_where_the_mode_allows() {
    if !rustix::process::getuid().is_root() {
        eprintln!("skipped: only root can become another user");
        return;
    }
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let directory = scope.path("x").parent().expect("a directory").to_path_buf();
            let everybody = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(directory, everybody).expect("ours");
            let closed = scope.path("closed");
            let open = scope.path("open");
            let _closed = UnixStreamListener::bind(closed.as_path()).expect("listens");
            let open_options = UnixOptions::new().mode(0o666);
            let listener = open_options.listen_stream(open.as_path()).expect("listens");
            guest.tell(closed.to_str().expect("UTF-8"));
            guest.tell(open.to_str().expect("UTF-8"));
            let connection = listener.accept(Deadline::Never).expect("accepts");
            assert_eq!(connection.peer().uid, 65534);
            assert_eq!(connection.peer().pid.map(u32::from), Some(guest.pid()));
            assert_eq!(connection.peer().evidence, Evidence::Kernel);
            guest.finish();
        },
        |host| {
            let (closed, open) = (host.hear(), host.hear());
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65534)).expect("root");
            let connect = |path: &str| UnixStreamConnection::connect(path, Deadline::Never);
            let error = connect(&closed).expect_err("mode 0600");
            assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
            assert!(error.to_string().contains(&closed), "{error}");
            // Nor may it take the path, or another in that directory.
            for path in [closed.clone(), closed + ".new"] {
                let error = UnixStreamListener::bind(path.as_str()).expect_err("not its directory");
                let kind = error.kind();
                let is_refused = matches!(kind, OpenErrorKind::PermissionDenied(_))
                    || matches!(kind, OpenErrorKind::InUse(_));
                assert!(is_refused, "{error}");
            }
            connect(&open).expect("mode 0666");
        },
    );
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let long = "x".repeat(108);
    let options = UnixOptions::new();
    for address in [
        UnixAddress::path(""),
        UnixAddress::path(&long),
        UnixAddress::abstract_name(""),
        UnixAddress::abstract_name(&long),
    ] {
        let errors = [
            options.listen_stream(&address).map(drop).expect_err("no address"),
            options.connect_stream(&address, Deadline::Now).map(drop).expect_err("no address"),
            options.bind_datagram(&address).map(drop).expect_err("no address"),
        ];
        for error in errors {
            assert!(matches!(error.kind(), OpenErrorKind::InvalidName(_)), "{error}");
        }
    }
    let error = options.connect_stream("/no/such/socket", Deadline::Now).expect_err("not there");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    let error = options.listen_stream("/no/such/directory/socket").expect_err("no directory");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
}

#[test]
fn an_abstract_name_of_any_bytes_is_held_until_its_listener_goes() {
    let scope = Scope::new();
    let mut name = scope.name().as_str().as_bytes().to_vec();
    name.extend_from_slice(b"\0\xff\n");
    name.resize(107, b'.');
    let address = UnixAddress::abstract_name(&name);
    let listener = UnixSeqpacketListener::bind(&address).expect("listens");
    let error = UnixSeqpacketListener::bind(&address).expect_err("taken");
    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
    UnixSeqpacketConnection::connect(&address, Deadline::Never).expect("connects");
    let error = UnixStreamConnection::connect(&address, Deadline::Never).expect_err("other type");
    assert!(error.to_string().contains("Unix"), "{error}");
    drop(listener);
    UnixSeqpacketListener::bind(&address).expect("free again");
}

#[test]
fn connecting_to_a_full_queue_times_out() {
    // In a process of its own, since it counts descriptors.
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            rustix::net::listen(listener.as_fd(), 0).expect("shortens the queue");
            let before = open_descriptors();
            let mut connected = Vec::new();
            let error = loop {
                match UnixStreamConnection::connect(path.as_path(), Deadline::Now) {
                    Ok(connection) => connected.push(connection),
                    Err(error) => break error,
                }
            };
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            let deadline = Deadline::after(Duration::from_millis(30));
            let error =
                UnixStreamConnection::connect(path.as_path(), deadline).expect_err("still full");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert!(deadline.has_passed());
            assert_eq!(open_descriptors(), before + connected.len());
            // What was queued is served, and works.
            let mut accepted = listener.accept(Deadline::Now).expect("one waits");
            connected[0].sender.send(b"hello").expect("sends");
            assert_eq!(accepted.receiver.recv(&mut [0; 8]).expect("receives").len, 5);
            guest.finish();
        },
        |_host| {},
    );
}

/// Sends `count` messages, and leaves by `SIGKILL` with a message from the host unread.
fn die_with_unread(connection: &mut (impl Sender + ?Sized), count: u8) -> ! {
    for number in 1..=count {
        connection.send(&[number; 100]).expect("sends");
    }
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL)
        .expect("dies");
    unreachable!("killed");
}

fn assert_all_then_gone(receiver: &mut dyn Receiver, sender: &mut dyn Sender) {
    let mut buffer = [0; 200];
    for number in 1..=20 {
        let received = receiver.recv(&mut buffer).expect("was accepted");
        assert_eq!(&buffer[..received.len], &[number; 100]);
    }
    for deadline in [Deadline::Never, Deadline::Now] {
        let error = receiver.recv_deadline(&mut buffer, deadline).expect_err("it is dead");
        assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
    }
    let error = sender.send(b"x").expect_err("it is dead");
    assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
}

#[test]
fn a_seqpacket_peer_that_dies_with_unread_messages_loses_none_of_its_own() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixSeqpacketListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut connection = listener.accept(Deadline::Never).expect("accepts");
            connection.sender.send(b"never read").expect("sends");
            guest.tell("sent");
            assert!(!guest.wait().success(), "killed");
            assert_all_then_gone(&mut connection.receiver, &mut connection.sender);
        },
        |host| {
            let path = host.hear();
            let connection = UnixSeqpacketConnection::connect(path.as_str(), Deadline::Never);
            let mut connection = connection.expect("connects");
            host.hear();
            die_with_unread(&mut connection.sender, 20);
        },
    );
}

#[test]
fn a_stream_peer_that_dies_with_unread_messages_loses_none_of_its_own() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut connection = listener.accept(Deadline::Never).expect("accepts");
            connection.sender.send(b"never read").expect("sends");
            guest.tell("sent");
            assert!(!guest.wait().success(), "killed");
            assert_all_then_gone(&mut connection.receiver, &mut connection.sender);
        },
        |host| {
            let path = host.hear();
            let connection = UnixStreamConnection::connect(path.as_str(), Deadline::Never);
            let mut connection = connection.expect("connects");
            host.hear();
            die_with_unread(&mut connection.sender, 20);
        },
    );
}

#[test]
fn dropping_one_half_closes_its_direction_only() {
    let (mut one, mut other) = UnixOptions::new().pair_stream().expect("a pair");
    drop(one.sender);
    let error = other.receiver.recv(&mut [0; 8]).expect_err("closed");
    assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
    other.sender.send(b"still").expect("the other direction is open");
    assert_eq!(one.receiver.recv(&mut [0; 8]).expect("receives").len, 5);

    let (mut one, mut other) = UnixOptions::new().pair_seqpacket().expect("a pair");
    drop(one.receiver);
    let error = other.sender.send(b"x").expect_err("closed");
    assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
    one.sender.send(b"still").expect("the other direction is open");
    assert_eq!(other.receiver.recv(&mut [0; 8]).expect("receives").len, 5);
}

#[test]
fn the_longest_packet_is_what_the_send_buffer_allows() {
    for options in [
        UnixOptions::new(),
        UnixOptions::new().buffer_len(50_000),
        UnixOptions::new().buffer_len(400_000),
    ] {
        let (mut one, mut other) = options.pair_seqpacket().expect("a pair");
        let max = one.sender.properties().message_length.max;
        let message: Vec<u8> = (0..max).map(|i| (i % 251) as u8).collect();
        one.sender.send(&message).expect("the longest");
        let mut buffer = vec![0; max];
        assert_eq!(other.receiver.recv(&mut buffer).expect("receives").len, max);
        assert!(buffer == message);
        // The kernel agrees about one byte more.
        let refused =
            rustix::net::send(&one.sender, &vec![0; max + 1], rustix::net::SendFlags::NOSIGNAL);
        assert_eq!(refused, Err(rustix::io::Errno::MSGSIZE));
        let error = one.sender.send(&vec![0; max + 1]).expect_err("too long");
        assert!(matches!(&error, SendError::TooLong(e) if e.max == max), "{error}");
    }
    let error = UnixOptions::new().buffer_len(usize::MAX).pair_stream().expect_err("too much");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
}

#[test]
fn a_buffer_above_the_limit_names_the_setting() {
    if !rustix::process::getuid().is_root() {
        eprintln!("as another user from the start");
    }
    between_processes!(|guest| guest.finish(), |_host| {
        if rustix::process::getuid().is_root() {
            let nobody = rustix::process::Uid::from_raw(65534);
            rustix::thread::set_thread_uid(nobody).expect("root");
        }
        let options = UnixOptions::new().buffer_len(1 << 30);
        let error = options.pair_stream().expect_err("more than the system allows");
        assert!(error.to_string().contains("/proc/sys/net/core/wmem_max"), "{error}");
    },);
}

#[test]
fn a_packet_longer_than_agreed_poisons_a_connection_and_is_dropped_by_a_datagram_receiver() {
    let scope = Scope::new();
    let path = scope.path("seqpacket");
    let listener = UnixSeqpacketListener::bind(path.as_path()).expect("listens");
    let larger = UnixOptions::new().buffer_len(400_000);
    let mut client = larger.connect_seqpacket(path.as_path(), Deadline::Never).expect("connects");
    let mut server = listener.accept(Deadline::Never).expect("accepts");
    client.sender.send(&vec![1; 300_000]).expect("it may");
    for _ in 0..2 {
        let error = server.receiver.recv(&mut [0; 64]).expect_err("not agreed");
        assert!(matches!(error, RecvError::Violation(_)), "{error}");
    }

    let path = scope.path("datagram");
    let mut receiver = UnixOptions::new().bind_datagram(path.as_path()).expect("binds");
    let mut sender = larger.connect_datagram(path.as_path()).expect("connects");
    sender.send(&vec![1; 300_000]).expect("it may");
    sender.send(b"short").expect("sends");
    assert_eq!(receiver.recv(&mut [0; 64]).expect("the next").len, 5);
}

#[test]
fn a_message_that_does_not_fit_is_kept_whatever_the_buffers() {
    let (mut one, mut other) = UnixOptions::new().pair_seqpacket().expect("a pair");
    for len in [1, 100, 16_384, 16_385, 60_000, 200_000] {
        let message: Vec<u8> = (0..len).map(|i| (i % 241) as u8).collect();
        for tight in [0, 1, 99, 16_384, 16_385, 59_999, 199_999] {
            if tight >= len {
                continue;
            }
            one.sender.send(&message).expect("sends");
            let mut small = vec![0; tight];
            for _ in 0..2 {
                let error = other.receiver.recv(&mut small).expect_err("too small");
                let RecvError::BufferTooSmall(error) = error else { panic!("{error}") };
                assert_eq!(error.needed, len);
            }
            let mut buffer = Vec::new();
            other.receiver.recv_to_vec(&mut buffer, Deadline::Now).expect("it was kept");
            assert!(buffer == message, "{len} bytes after a buffer of {tight}");
        }
    }
}

#[test]
fn each_packet_names_its_sender_on_request() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let options = UnixOptions::new().credentials(true);
            let mut receiver = options.bind_datagram(path.as_path()).expect("binds");
            assert_eq!(receiver.properties().sender_identity, SenderIdentity::Verified);
            let mut own = UnixOptions::new().connect_datagram(path.as_path()).expect("connects");
            guest.tell(path.to_str().expect("UTF-8"));
            guest.hear();
            own.send(b"own").expect("sends");
            // With buffers of every way to receive.
            for (len, pid) in [
                (64, guest.pid()),
                (20_000, guest.pid()),
                (1 << 20, guest.pid()),
                (64, std::process::id()),
            ] {
                let received = receiver.recv(&mut vec![0; len]).expect("receives");
                assert_eq!(received.sender.expect("named").pid(), Some(pid));
            }
        },
        |host| {
            let mut sender =
                UnixOptions::new().connect_datagram(host.hear().as_str()).expect("connects");
            for _ in 0..3 {
                sender.send(b"the guest's").expect("sends");
            }
            host.tell("sent");
        },
    );
}

#[test]
fn connections_name_the_process_at_the_other_end() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let path = scope.path("socket");
            let listener = UnixSeqpacketListener::bind(path.as_path()).expect("listens");
            guest.tell(path.to_str().expect("UTF-8"));
            let mut connection = listener.accept(Deadline::Never).expect("accepts");
            let received = connection.receiver.recv(&mut [0; 64]).expect("receives");
            let sender = received.sender.expect("named");
            assert_eq!(sender.pid(), Some(guest.pid()));
            assert!(matches!(sender, PeerId::Process(p) if p.evidence == Evidence::Kernel));
            if let Some(liveness) = connection.peer_liveness().expect("reads") {
                assert!(liveness.is_alive().expect("polls"));
                guest.kill();
                assert!(liveness.wait_gone(Deadline::Never).expect("polls"));
            }
        },
        |host| {
            let mut connection =
                UnixSeqpacketConnection::connect(host.hear().as_str(), Deadline::Never)
                    .expect("connects");
            assert_eq!(connection.peer().pid.map(u32::from), Some(host.pid()));
            connection.sender.send(b"who am I").expect("sends");
            host.hear(); // killed here
        },
    );
}

#[test]
fn what_is_no_connected_unix_socket_is_not_adopted() {
    let options = UnixOptions::new();
    let file = std::fs::File::open("/dev/null").expect("opens");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let (packet, _other) = options.pair_seqpacket().expect("a pair");
    let packet = packet.sender.as_fd().try_clone_to_owned().expect("duplicates");
    for descriptor in [file.into(), listener.into(), packet] {
        let error = options.adopt_stream(descriptor).expect_err("not a Unix stream");
        assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    }
}

#[test]
fn a_listener_without_free_descriptors_says_which_limit_and_goes_on_later() {
    between_processes!(|guest| guest.finish(), |_host| {
        let scope = Scope::new();
        let path = scope.path("socket");
        let listener = UnixStreamListener::bind(path.as_path()).expect("listens");
        let mut client =
            UnixStreamConnection::connect(path.as_path(), Deadline::Never).expect("connects");
        let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        let none = rustix::process::Rlimit { current: Some(0), maximum: limits.maximum };
        rustix::process::setrlimit(rustix::process::Resource::Nofile, none).expect("lowers");
        let error = listener.accept(Deadline::Never).expect_err("no free descriptor");
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        let error = UnixOptions::new().pair_stream().expect_err("no free descriptor");
        assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).expect("raises");
        let mut server = listener.accept(Deadline::Never).expect("it still waits");
        client.sender.send(b"hello").expect("sends");
        assert_eq!(server.receiver.recv(&mut [0; 8]).expect("receives").len, 5);
    },);
}

#[test]
fn a_sender_of_datagrams_learns_that_its_receiver_is_gone() {
    let scope = Scope::new();
    let path = scope.path("socket");
    let receiver = UnixOptions::new().bind_datagram(path.as_path()).expect("binds");
    let mut sender = UnixOptions::new().connect_datagram(path.as_path()).expect("connects");
    sender.send(b"x").expect("sends");
    drop(receiver);
    let _successor = UnixOptions::new().bind_datagram(path.as_path()).expect("binds");
    for _ in 0..3 {
        let error = sender.send(b"x").expect_err("another receiver is not this one");
        assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
    }
}
