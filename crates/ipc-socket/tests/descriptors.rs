//! Descriptors and credentials cross between processes, and none is left open by an error.

use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::process::{Command, Stdio};

use ipc_core::{Deadline, Evidence, PeerId};
use ipc_socket::{
    pass_credentials, peer_credentials, peer_liveness, recv_with_descriptors,
    send_with_credentials, send_with_descriptors,
};
use ipc_testing::Invitation;
use ipc_testing::killing::open_descriptors;

/// Descriptor counts belong to the process, so the tests of this file take turns.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());
    TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn send_files(socket: &impl AsFd, count: usize) {
    let file = std::fs::File::open("/dev/null").expect("opens");
    let files: Vec<BorrowedFd<'_>> = (0..count).map(|_| file.as_fd()).collect();
    let sent = send_with_descriptors(socket.as_fd(), b"files", &files, Deadline::Never);
    assert_eq!(sent.expect("sends"), 5);
}

#[test]
fn a_descriptor_arrives_in_another_process_as_the_same_open_file() {
    let _turn = alone();
    let (ours, theirs) = UnixStream::pair().expect("pair");
    // Python receives with its own implementation and writes to the file.
    let script = "import socket,os,sys\n\
        s=socket.socket(fileno=0)\n\
        data,fds,flags,_=socket.recv_fds(s,16,4)\n\
        os.write(fds[0],b'from the child: '+data)\n";
    let Ok(mut child) =
        Command::new("python3").args(["-c", script]).stdin(OwnedFd::from(theirs)).spawn()
    else {
        ipc_testing::skip_for_want_of("descriptors sent to Python", "python3", "python3");
        return;
    };
    let mut file = tempfile();
    let sent = send_with_descriptors(ours.as_fd(), b"hello", &[file.as_fd()], Deadline::Never);
    assert_eq!(sent.expect("sends"), 5);
    assert!(child.wait().expect("waits").success());
    file.rewind().expect("seeks");
    let mut text = String::new();
    file.read_to_string(&mut text).expect("reads");
    assert_eq!(text, "from the child: hello");
}

fn tempfile() -> std::fs::File {
    let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
    std::fs::File::from(fd)
}

#[test]
fn received_descriptors_are_close_on_exec_and_owned() {
    let _turn = alone();
    let before = open_descriptors();
    {
        let (a, b) = UnixDatagram::pair().expect("pair");
        send_files(&a, 253);
        let arrival =
            recv_with_descriptors(b.as_fd(), &mut [0; 16], 253, Deadline::Never).expect("receives");
        assert_eq!((arrival.len, arrival.descriptors.len(), arrival.sender), (5, 253, None));
        for descriptor in &arrival.descriptors {
            let flags = rustix::io::fcntl_getfd(descriptor).expect("open");
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }
    assert_eq!(open_descriptors(), before);
}

#[test]
fn too_many_descriptors_are_an_error_and_none_stays_open() {
    let _turn = alone();
    let before = open_descriptors();
    for asked in [0, 1, 2, 3, 4, 252] {
        let (a, b) = UnixDatagram::pair().expect("pair");
        send_files(&a, asked + 1);
        let error = recv_with_descriptors(b.as_fd(), &mut [0; 16], asked, Deadline::Never)
            .expect_err("one too many");
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
        drop((a, b));
        assert_eq!(open_descriptors(), before, "asked for {asked}");
    }
}

#[test]
fn a_truncated_packet_is_an_error_and_its_descriptors_are_closed() {
    let _turn = alone();
    let before = open_descriptors();
    let (a, b) = UnixDatagram::pair().expect("pair");
    send_files(&a, 2);
    let error = recv_with_descriptors(b.as_fd(), &mut [0; 4], 2, Deadline::Never)
        .expect_err("five bytes do not fit four");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData, "{error}");
    assert_eq!(open_descriptors(), before + 2);
}

#[test]
fn more_descriptors_than_a_message_carries_are_refused() {
    let _turn = alone();
    let (a, b) = UnixDatagram::pair().expect("pair");
    let many = vec![a.as_fd(); 254];
    let error =
        send_with_descriptors(a.as_fd(), b"x", &many, Deadline::Never).expect_err("too many");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let error = send_with_descriptors(a.as_fd(), b"", &many[..1], Deadline::Never)
        .expect_err("nothing to travel with");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    let error = recv_with_descriptors(b.as_fd(), &mut [0; 4], 1, Deadline::Now)
        .expect_err("nothing was sent");
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_receiver_without_free_descriptors_gets_an_error_and_leaks_none() {
    let _turn = alone();
    let (a, b) = UnixDatagram::pair().expect("pair");
    send_files(&a, 4);
    let before = open_descriptors();
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let highest = tempfile().as_raw_fd() as u64; // the lowest number that is free
    let tight = rustix::process::Rlimit { current: Some(highest + 2), maximum: limits.maximum };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, tight).expect("lowers");
    let result = recv_with_descriptors(b.as_fd(), &mut [0; 16], 4, Deadline::Never);
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limits).expect("restores");
    let error = result.expect_err("two of four cannot be opened");
    assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
    assert_eq!(open_descriptors(), before);
}

#[test]
fn each_message_names_the_process_that_sent_it() {
    let _turn = alone();
    let (ours, theirs) = UnixStream::pair().expect("pair");
    pass_credentials(ours.as_fd(), true).expect("sets");
    // The child writes as soon as it lives; until then this process is the only possible sender.
    let mut child =
        Command::new("echo").arg("hi").stdout(OwnedFd::from(theirs)).spawn().expect("echo starts");
    let arrival =
        recv_with_descriptors(ours.as_fd(), &mut [0; 16], 0, Deadline::Never).expect("receives");
    let sender = arrival.sender.expect("credentials");
    assert_eq!(sender.pid(), Some(child.id()));
    let PeerId::Process(process) = sender else { panic!("{sender} is no process") };
    assert_eq!(process.evidence, Evidence::Kernel);
    assert_eq!(process.uid, rustix::process::getuid().as_raw());
    child.wait().expect("waits");
    // SO_PEERCRED names who made the pair: this process, not the child.
    let peer = peer_credentials(ours.as_fd()).expect("reads");
    assert_eq!(peer.pid.map(u32::from), Some(std::process::id()));
}

#[test]
fn attached_credentials_are_there_even_if_they_are_asked_for_after_the_send() {
    let _turn = alone();
    ipc_testing::between_processes!(
        |guest| {
            let (ours, theirs) = UnixStream::pair().expect("pair");
            guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
            assert_eq!(guest.hear(), "sent");
            pass_credentials(ours.as_fd(), true).expect("sets");
            let receive = |len: usize| {
                recv_with_descriptors(ours.as_fd(), &mut [0; 16][..len], 1, Deadline::Never)
                    .expect("receives")
            };
            let attached = receive(8);
            assert_eq!((attached.len, attached.descriptors.len()), (8, 1));
            assert_eq!(attached.sender.and_then(|sender| sender.pid()), Some(guest.pid()));
            let plain = receive(8);
            assert_eq!((plain.len, plain.sender.and_then(|sender| sender.pid())), (5, None));
        },
        |host| {
            let socket = host.invitation().descriptors.remove(0);
            let (socket, file) = (socket.as_fd(), tempfile());
            let sent = send_with_credentials(socket, b"attached", &[file.as_fd()], Deadline::Never);
            assert_eq!(sent.expect("sends"), 8);
            let sent = send_with_descriptors(socket, b"plain", &[], Deadline::Never);
            assert_eq!(sent.expect("sends"), 5);
            host.tell("sent");
        },
    );
}

#[test]
fn the_peers_liveness_comes_from_the_socket() {
    let _turn = alone();
    let (ours, theirs) = UnixStream::pair().expect("pair");
    match peer_liveness(ours.as_fd()).expect("reads") {
        Some(liveness) => assert!(liveness.is_alive().expect("polls")),
        None => eprintln!("this kernel has no SO_PEERPIDFD"),
    }
    drop(theirs);
}

#[test]
fn an_unconnected_socket_has_no_peer() {
    let _turn = alone();
    let socket = UnixDatagram::unbound().expect("socket");
    let peer = peer_credentials(socket.as_fd()).expect("reads");
    assert_eq!((peer.pid, peer.uid), (None, u32::MAX));
}

#[test]
fn a_full_socket_times_out_without_effect() {
    let _turn = alone();
    let (a, b) = UnixStream::pair().expect("pair");
    let chunk = [7; 4096];
    let mut sent = 0;
    let error = loop {
        match send_with_descriptors(a.as_fd(), &chunk, &[], Deadline::Now) {
            Ok(len) => sent += len,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    let deadline = Deadline::after(std::time::Duration::from_millis(20));
    let error = send_with_descriptors(a.as_fd(), &chunk, &[], deadline).expect_err("full");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(deadline.has_passed());
    drop(a);
    let mut all = Vec::new();
    (&b).read_to_end(&mut all).expect("reads");
    assert_eq!(all.len(), sent);
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_not_a_signal() {
    let _turn = alone();
    let (a, b) = UnixStream::pair().expect("pair");
    drop(b);
    let error =
        send_with_descriptors(a.as_fd(), b"x", &[], Deadline::Never).expect_err("nobody reads");
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[test]
fn the_standard_library_sees_plain_bytes() {
    let _turn = alone();
    let (a, b) = UnixStream::pair().expect("pair");
    let mut child = Command::new("cat")
        .stdin(OwnedFd::from(b))
        .stdout(Stdio::piped())
        .spawn()
        .expect("cat starts");
    (&a).write_all(b"plain").expect("writes");
    send_files(&a, 1); // cat does not ask for descriptors: the kernel closes them
    drop(a);
    let mut text = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut text).expect("reads");
    assert_eq!(text, "plainfiles");
    child.wait().expect("waits");
}
