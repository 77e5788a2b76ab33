//! Links both ways between processes, and FIFOs with several receivers.

use std::process::{Command, Stdio};
use std::time::Duration;

use ipc_core::{Deadline, Direction, OpenErrorKind, Receiver, RecvError, SendError, Sender};
use ipc_pipe::{DuplexFifo, DuplexPipe, Fifo, HalfDuplexError, HalfDuplexPipe, Heard};
use ipc_testing::{Guest, Host, Scope, between_processes};

fn child_of(test: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["--exact", test, "--test-threads=1"]).env("IPC_PIPE_CHILD", "yes");
    command.stdout(Stdio::null());
    command
}

fn is_child() -> bool {
    std::env::var_os("IPC_PIPE_CHILD").is_some()
}

#[test]
fn both_sides_of_a_duplex_link_send_at_once() {
    const MESSAGES: u32 = 3000;
    fn play(link: DuplexPipe) {
        let (mut sender, mut receiver) = (link.sender, link.receiver);
        let sending = std::thread::spawn(move || {
            (0..MESSAGES).for_each(|n| sender.send(&n.to_le_bytes()).expect("sent"));
        });
        let mut buffer = [0; 4];
        for number in 0..MESSAGES {
            receiver.recv(&mut buffer).expect("received");
            assert_eq!(u32::from_le_bytes(buffer), number);
        }
        sending.join().expect("the other direction");
        assert!(matches!(receiver.recv(&mut buffer), Err(RecvError::PeerGone { .. })));
    }
    if is_child() {
        return play(DuplexPipe::inherited("LINK").expect("given"));
    }
    let (ours, theirs) = ipc_pipe::duplex().expect("two pipes");
    assert_eq!(ours.properties().direction, Direction::FullDuplex);
    let mut command = child_of("both_sides_of_a_duplex_link_send_at_once");
    let given = theirs.give_to(&mut command, "LINK").expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    play(ours);
    assert!(child.wait().expect("reaped").success());
}

#[test]
fn on_a_half_duplex_link_only_the_side_with_the_turn_speaks() {
    const ROUNDS: u8 = 50;
    const LOOK: Deadline = Deadline::Never;
    let is_out_of_turn = |result| matches!(result, Err(HalfDuplexError::OutOfTurn));
    let listen = |link: &mut HalfDuplexPipe, round: u8| {
        let mut buffer = [0; 8];
        assert!(is_out_of_turn(link.send(b"!", Deadline::Now)));
        assert!(is_out_of_turn(link.pass_turn(Deadline::Now)));
        for number in 0..3 {
            let heard = link.receive(&mut buffer, LOOK).expect("heard");
            assert!(matches!(heard, Heard::Message(received) if received.len == 2));
            assert_eq!(buffer[..2], [round, number]);
        }
        assert_eq!(link.receive(&mut buffer, LOOK).expect("heard"), Heard::Turn);
    };
    let speak = |link: &mut HalfDuplexPipe, round: u8| {
        let out_of_turn = link.receive(&mut [0; 8], Deadline::Now);
        assert!(matches!(out_of_turn, Err(HalfDuplexError::OutOfTurn)));
        let error = link.send(b"", LOOK).expect_err("the empty message is the turn");
        assert!(matches!(error, HalfDuplexError::Send(SendError::TooShort(_))), "{error}");
        for number in 0..3 {
            link.send(&[round, number], LOOK).expect("sent");
        }
        link.pass_turn(LOOK).expect("passed");
    };
    if is_child() {
        let mut link = HalfDuplexPipe::inherited("TALK").expect("given");
        assert!(!link.has_turn());
        for round in 0..ROUNDS {
            listen(&mut link, round);
            speak(&mut link, round);
        }
        return;
    }
    let (mut ours, theirs) = ipc_pipe::half_duplex().expect("two pipes");
    assert_eq!(ours.properties().direction, Direction::HalfDuplex);
    let mut command = child_of("on_a_half_duplex_link_only_the_side_with_the_turn_speaks");
    let given = theirs.give_to(&mut command, "TALK").expect("given");
    let mut child = command.spawn().expect("started");
    drop(given);
    for round in 0..ROUNDS {
        speak(&mut ours, round);
        listen(&mut ours, round);
    }
    assert!(child.wait().expect("reaped").success());
    ours.pass_turn(LOOK).expect_err("nobody is there to take it");
}

#[test]
fn a_named_pipe_both_ways_joins_strangers_in_either_order() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = DuplexFifo::create(scope.path("phone")).expect("made");
            let deadline = Deadline::after(Duration::from_millis(20));
            let error = fifo.call(deadline).expect_err("nobody answers");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            for round in 0..10 {
                guest.tell(fifo.path().to_str().expect("UTF-8"));
                let mut link = fifo.call(Deadline::Never).expect("answered");
                link.sender.send(&[round; 10_000]).expect("sent");
                let mut buffer = vec![0; 10_000];
                link.receiver.recv(&mut buffer).expect("received");
                assert!(buffer == [round + 1; 10_000]);
                let error = link.receiver.recv(&mut buffer).expect_err("it has hung up");
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
                drop(link);
                guest.tell("hung up");
            }
            fifo.unlink().expect("removed");
            let error = DuplexFifo::open(fifo.path()).expect_err("removed");
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
        },
        |host| {
            for _ in 0..10 {
                let fifo = DuplexFifo::open(host.hear()).expect("made");
                let mut link = fifo.answer(Deadline::Never).expect("called");
                let mut buffer = vec![0; 10_000];
                link.receiver.recv(&mut buffer).expect("received");
                buffer.iter_mut().for_each(|byte| *byte += 1);
                link.sender.send(&buffer).expect("sent");
                drop(link);
                host.hear();
            }
        },
    );
}

/// A process that receives from the shared FIFO and tells how many messages it got, all whole.
fn share(host: &mut Host, path: String) {
    let mut receiver = Fifo::open(path).expect("made").open_shared_receiver().expect("opened");
    host.tell("opened");
    let mut buffer = [0; 4092];
    let mut count = 0;
    loop {
        match receiver.recv(&mut buffer) {
            Ok(received) => {
                assert!(buffer[..received.len].iter().all(|&byte| byte == buffer[0]));
                assert_eq!(received.len, 1 + usize::from(buffer[0]) * 16);
                count += 1;
            }
            Err(error) => {
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
                break;
            }
        }
    }
    host.tell(&count.to_string());
}

#[test]
fn several_receivers_share_the_messages_of_several_senders_whole() {
    const TEST: &str = "several_receivers_share_the_messages_of_several_senders_whole";
    const MESSAGES: usize = 2000;
    if let Ok(path) = std::env::var("IPC_PIPE_SHARED") {
        return share(&mut Host::from_stdin().expect("a control channel"), path);
    }
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let mut receivers: Vec<_> = (0..3)
        .map(|_| {
            let mut command = Command::new("/proc/self/exe");
            command.args(["--exact", TEST, "--test-threads=1"]).stdout(Stdio::null());
            command.env("IPC_PIPE_SHARED", fifo.path());
            let mut receiver = Guest::start_command(command).expect("started");
            assert_eq!(receiver.hear(), "opened");
            receiver
        })
        .collect();
    let error = fifo.open_receiver().expect_err("it would tear what they share");
    assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
    let mut senders = [(); 2].map(|()| fifo.open_shared_sender(Deadline::Never).expect("opened"));
    for number in 0..MESSAGES {
        let value = (number % 250) as u8;
        let message = vec![value; 1 + usize::from(value) * 16];
        senders[number % 2].send(&message).expect("sent");
    }
    drop(senders);
    let counts: Vec<usize> =
        receivers.iter_mut().map(|receiver| receiver.hear().parse().expect("a number")).collect();
    assert_eq!(counts.iter().sum::<usize>(), MESSAGES, "{counts:?}");
    receivers.iter_mut().for_each(Guest::finish);
}
