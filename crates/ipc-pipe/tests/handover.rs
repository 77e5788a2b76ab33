//! Giving ends to children: as numbered descriptors and as standard streams, to the chosen one only.

// One test closes its standard input, by number.
#![allow(unsafe_code)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread;

use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError, Sender};
use ipc_pipe::{ChildEnd, PipeReceiver, PipeSender};
use ipc_testing::between_processes;

const CHILD_OF: &str = "IPC_PIPE_CHILD_OF";

/// This test binary anew, to run the child's part of `test`.
fn child_of(test: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--test-threads=1"]).env(CHILD_OF, test).stdout(Stdio::null());
    command
}

fn is_child() -> bool {
    std::env::var_os(CHILD_OF).is_some()
}

fn is_gone<T>(result: Result<T, RecvError>) -> bool {
    matches!(result, Err(RecvError::PeerGone { .. }))
}

/// Whether a process holds the pipe of this end open.
fn holds(process: &Child, end: &impl AsFd) -> bool {
    let inode = rustix::fs::fstat(end).expect("open").st_ino;
    let links = fs::read_dir(format!("/proc/{}/fd", process.id())).expect("it lives");
    links
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| target.as_os_str() == format!("pipe:[{inode}]").as_str())
}

#[test]
fn a_child_receives_and_sends_by_numbered_descriptors() {
    if is_child() {
        let mut requests = PipeReceiver::inherited("REQUESTS").expect("given");
        let mut replies = PipeSender::inherited("REPLIES").expect("given");
        let mut message = Vec::new();
        while requests.recv_to_vec(&mut message, Deadline::Never).is_ok() {
            message.reverse();
            replies.send(&message).expect("sent");
        }
        return;
    }
    let mut command = child_of("a_child_receives_and_sends_by_numbered_descriptors");
    let (mut requests, their_requests) = ipc_pipe::pipe().expect("a pipe");
    let (their_replies, mut replies) = ipc_pipe::pipe().expect("a pipe");
    let given = (
        their_requests.give_to(&mut command, "REQUESTS").expect("given"),
        their_replies.give_to(&mut command, "REPLIES").expect("given"),
    );
    let mut child = command.spawn().expect("started");
    drop(given);

    let long: Vec<u8> = (0..100_000u32).map(|n| n as u8).collect();
    let mut reply = Vec::new();
    for request in [&b"abc"[..], b"", &long] {
        requests.send(request).expect("sent");
        replies.recv_to_vec(&mut reply, Deadline::Never).expect("a reply");
        assert!(reply.iter().rev().eq(request));
    }
    drop(requests);
    // Although `command` still lives.
    assert!(is_gone(replies.recv(&mut [0; 8])));
    assert!(child.wait().expect("reaped").success());
    drop(command);
}

/// A process that lives until its standard input is closed.
fn start_cat() -> Child {
    let mut command = Command::new("cat");
    command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("started")
}

/// Gives an end to a child by `give` while another thread starts a sibling.
fn only_the_chosen_child_inherits(give: impl Fn(PipeSender, &mut Command) -> ChildEnd) {
    for round in 0..50 {
        let (sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
        let mut chosen = Command::new("cat");
        chosen.stdin(Stdio::piped()).stdout(Stdio::null());
        let given = give(sender, &mut chosen);
        let (mut chosen, mut sibling) = thread::scope(|scope| {
            let sibling = scope.spawn(start_cat);
            (chosen.spawn().expect("started"), sibling.join().expect("no panic"))
        });
        drop(given);
        assert!(holds(&chosen, &receiver), "round {round}: the chosen child has it");
        assert!(!holds(&sibling, &receiver), "round {round}: the sibling must not");
        chosen.kill().expect("killed");
        chosen.wait().expect("reaped");
        // The sibling lives, and does not keep the pipe open.
        assert!(is_gone(receiver.recv(&mut [0; 8])));
        drop(sibling.stdin.take());
        sibling.wait().expect("reaped");
    }
}

#[test]
fn a_sibling_started_at_the_same_moment_inherits_nothing() {
    only_the_chosen_child_inherits(|end, child| end.give_to(child, "PIPE").expect("given"));
    only_the_chosen_child_inherits(|end, child| end.give_as(child, 77).expect("given"));
}

#[test]
fn ends_as_standard_streams_of_a_program_that_knows_nothing_of_us() {
    let (mut to_cat, its_input) = ipc_pipe::pipe().expect("a pipe");
    let (its_output, mut from_cat) = ipc_pipe::pipe().expect("a pipe");
    let mut command = Command::new("cat");
    command.stdin(its_input.into_stdio().expect("blocking"));
    command.stdout(its_output.into_stdio().expect("blocking"));
    let mut child = command.spawn().expect("cat starts");
    drop(command); // it holds the ends, too

    to_cat.send(b"there and back").expect("sent");
    let mut buffer = [0; 64];
    let received = from_cat.recv(&mut buffer).expect("cat copies frames as any bytes");
    assert_eq!(&buffer[..received.len], b"there and back");
    drop(to_cat);
    assert!(is_gone(from_cat.recv(&mut buffer)));
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn streams_of_bytes_reach_a_child_and_come_back() {
    let (to_child, its_input) = ipc_pipe::pipe().expect("a pipe");
    let (its_output, from_child) = ipc_pipe::pipe().expect("a pipe");
    let mut command = Command::new("cat");
    command.stdin(its_input.into_stdio().expect("blocking"));
    command.stdout(its_output.into_stdio().expect("blocking"));
    let mut child = command.spawn().expect("cat starts");
    drop(command);

    let mut writer = to_child.into_stream().expect("nothing was sent");
    let mut reader = BufReader::new(from_child.into_stream().expect("nothing was received"));
    writeln!(writer, "first line").expect("written");
    let mut line = String::new();
    reader.read_line(&mut line).expect("read");
    assert_eq!(line, "first line\n");
    let large: Vec<u8> = (0..1_000_000u32).map(|n| (n / 3) as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(&large).expect("written");
            drop(writer);
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).expect("read to the end");
        assert!(all == large);
    });
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn an_end_that_was_dropped_too_early_fails_the_start_and_gives_nothing_else() {
    let (sender, _receiver) = ipc_pipe::pipe().expect("a pipe");
    let mut command = Command::new("true");
    drop(sender.give_to(&mut command, "PIPE").expect("given"));
    let error = command.spawn().expect_err("its end is gone");
    assert_eq!(error.raw_os_error(), Some(9), "{error}"); // EBADF
}

#[test]
fn an_end_that_holds_messages_cannot_be_given() {
    let (mut sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    sender.send(b"one").expect("sent");
    sender.send(b"two").expect("sent");
    receiver.recv(&mut [0; 8]).expect("received, and the second read ahead");
    let error = receiver.give_to(&mut Command::new("true"), "PIPE").expect_err("it holds one");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
}

#[test]
fn what_was_not_inherited_is_a_typed_error() {
    if is_child() {
        let kind = |variable| {
            let error = PipeSender::inherited(variable).expect_err("not given");
            assert!(error.to_string().contains(variable), "{error}");
            match error.kind() {
                OpenErrorKind::NotFound(_) => "not found",
                OpenErrorKind::InvalidOption { .. } => "invalid",
                OpenErrorKind::InUse(_) => "in use",
                _ => panic!("{error}"),
            }
        };
        assert_eq!(kind("UNSET"), "not found");
        assert_eq!(kind("NO_NUMBER"), "invalid");
        assert_eq!(kind("STANDARD_OUTPUT"), "invalid");
        assert_eq!(kind("CLOSED"), "invalid");
        assert_eq!(kind("READ_END"), "invalid");
        PipeReceiver::inherited("READ_END").expect("the refusal has left it alone");
        let mut sender = PipeSender::inherited("PIPE").expect("given");
        assert_eq!(kind("PIPE"), "in use");
        sender.send(b"checked").expect("the refusal has left it alone");
        return;
    }
    let mut command = child_of("what_was_not_inherited_is_a_typed_error");
    let (sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    let (_other, read_end) = ipc_pipe::pipe().expect("a pipe");
    let given = (
        sender.give_to(&mut command, "PIPE").expect("given"),
        read_end.give_to(&mut command, "READ_END").expect("given"),
    );
    command.env("NO_NUMBER", "seven").env("STANDARD_OUTPUT", "1").env("CLOSED", "1000");
    let mut child = command.spawn().expect("started");
    drop(given);
    let mut buffer = [0; 16];
    let received = receiver.recv(&mut buffer);
    assert!(child.wait().expect("reaped").success());
    assert_eq!(&buffer[..received.expect("the child's word").len], b"checked");
}

#[test]
fn an_inherited_end_closes_on_exec_again() {
    if is_child() {
        let sender = PipeSender::inherited("PIPE").expect("given");
        let mut grandchild = Command::new("cat").stdin(Stdio::piped()).spawn().expect("started");
        assert!(!holds(&grandchild, &sender));
        drop(grandchild.stdin.take());
        grandchild.wait().expect("reaped");
        return;
    }
    let mut command = child_of("an_inherited_end_closes_on_exec_again");
    let (sender, _receiver) = ipc_pipe::pipe().expect("a pipe");
    let given = sender.give_to(&mut command, "PIPE").expect("given");
    assert!(given.number() > 2);
    let mut child = command.spawn().expect("started");
    drop(given);
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn an_end_below_the_standard_streams_is_moved_above_them() {
    if is_child() {
        // SAFETY: nobody in this process, which is this test's own, reads its standard input.
        drop(unsafe { OwnedFd::from_raw_fd(0) });
        let (mut sender, receiver) = ipc_pipe::pipe().expect("a pipe");
        assert_eq!(receiver.as_fd().as_raw_fd(), 0);
        let mut command = Command::new("sh");
        command.args(["-c", "test $PIPE -ge 3 && eval \"cat <&$PIPE\""]).stdout(Stdio::piped());
        let given = receiver.give_to(&mut command, "PIPE").expect("given");
        let child = command.stdin(Stdio::null()).spawn().expect("started");
        drop(given);
        sender.send(b"x").expect("sent");
        drop(sender);
        let output = child.wait_with_output().expect("ended");
        assert_eq!(output.stdout, b"\x01\0\0\0x");
        return;
    }
    let status = child_of("an_end_below_the_standard_streams_is_moved_above_them").status();
    assert!(status.expect("started").success());
}

/// What a shell reads or writes under this number of its own. It knows nothing of us.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn read_all(receiver: PipeReceiver) -> String {
    let mut text = String::new();
    receiver.into_stream().expect("nothing was received").read_to_string(&mut text).expect("read");
    text
}

#[test]
fn a_shell_finds_its_ends_under_the_numbers_that_it_expects() {
    // In a process of its own, where nothing else opens and closes what has these numbers.
    between_processes!(
        |guest| {
            guest.finish();
            let (to_shell, its_input) = ipc_pipe::pipe().expect("a pipe");
            let (its_output, from_shell) = ipc_pipe::pipe().expect("a pipe");
            let mut command = shell("cat <&8 >&7; echo hi >&7");
            let given = [
                its_output.give_as(&mut command, 7).expect("given"),
                its_input.give_as(&mut command, 8).expect("given"),
            ];
            assert_eq!([given[0].number(), given[1].number()], [7, 8]);
            let mut child = command.spawn().expect("started");
            drop(given);
            writeln!(to_shell.into_stream().expect("nothing was sent"), "there and back")
                .expect("written");
            assert_eq!(read_all(from_shell), "there and back\nhi\n");
            assert!(child.wait().expect("reaped").success());
        },
        |_host| {}
    );
}

#[test]
fn a_number_that_is_something_elses_here_is_the_childs_end_there() {
    // Whatever has these numbers now: many small ones are taken in any process.
    let taken: Vec<_> = (0..20).map(|_| fs::File::open("/dev/null").expect("opened")).collect();
    for number in taken.iter().map(AsRawFd::as_raw_fd) {
        let (sender, receiver) = ipc_pipe::pipe().expect("a pipe");
        // A shell redirects numbers of one digit only; by its path every descriptor can be written to.
        let mut command = shell(&format!("echo for {number} > /proc/self/fd/{number}"));
        let given = sender.give_as(&mut command, number).expect("given");
        let mut child = command.spawn().expect("started");
        drop(given);
        assert_eq!(read_all(receiver), format!("for {number}\n"));
        assert!(child.wait().expect("reaped").success());
    }
    // Each is still here what it was.
    for file in &taken {
        assert_eq!((&*file).read(&mut [0; 1]).expect("still /dev/null"), 0);
    }
}

#[test]
fn a_child_of_this_crate_takes_an_end_by_its_number() {
    if is_child() {
        let error = PipeReceiver::inherited_as(99).expect_err("it is the write end");
        assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
        assert!(error.to_string().contains("descriptor 99"), "{error}");
        let mut sender = PipeSender::inherited_as(99).expect("given");
        let error = PipeSender::inherited_as(99).expect_err("taken");
        assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
        sender.send(b"by number").expect("sent");
        return;
    }
    let (sender, mut receiver) = ipc_pipe::pipe().expect("a pipe");
    let mut command = child_of("a_child_of_this_crate_takes_an_end_by_its_number");
    let given = sender.give_as(&mut command, 99).expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    let mut buffer = [0; 16];
    let received = receiver.recv(&mut buffer);
    assert!(child.wait().expect("reaped").success());
    assert_eq!(&buffer[..received.expect("the child's word").len], b"by number");
}

#[test]
fn numbers_that_cannot_be_given_are_typed_errors() {
    let give = |number| {
        let (sender, _receiver) = ipc_pipe::pipe().expect("a pipe");
        sender.give_as(&mut Command::new("true"), number)
    };
    for number in [-1, 0, 2, i32::MAX] {
        let error = give(number).expect_err("no descriptor of ours may have it");
        let OpenErrorKind::InvalidOption { option, .. } = error.kind() else { panic!("{error}") };
        assert_eq!(*option, "descriptor number");
    }
    // One that this process gives to all its children, as an old C library might.
    let for_all =
        rustix::io::fcntl_dupfd_cloexec(fs::File::open("/dev/null").expect("opened"), 300)
            .expect("free");
    rustix::io::fcntl_setfd(&for_all, rustix::io::FdFlags::empty()).expect("set");
    let error = give(for_all.as_raw_fd()).expect_err("children have it already");
    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
}

#[test]
fn a_number_that_changed_hands_before_the_start_fails_the_start() {
    let (sender, receiver) = ipc_pipe::pipe().expect("a pipe");
    let occupant =
        rustix::io::fcntl_dupfd_cloexec(fs::File::open("/dev/null").expect("opened"), 400)
            .expect("free");
    let number = occupant.as_raw_fd();
    let mut command = shell("echo never");
    let given = sender.give_as(&mut command, number).expect("given in its place");
    drop(occupant);
    let other =
        rustix::io::fcntl_dupfd_cloexec(fs::File::open("/dev/zero").expect("opened"), number)
            .expect("free again");
    assert_eq!(other.as_raw_fd(), number);
    let error = command.spawn().expect_err("it is not what it was");
    assert_eq!(error.raw_os_error(), Some(16), "{error}"); // EBUSY
    drop(given);
    assert_eq!(read_all(receiver), "", "nothing came through");
}
