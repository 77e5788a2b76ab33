//! FIFOs between unrelated processes: many senders, waiting for the other end, and outliving it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ipc_core::{Deadline, OpenErrorKind, Receiver, RecvError, SendError, Sender};
use ipc_pipe::{ATOMIC_PAYLOAD, Fifo, FifoReceiver};
use ipc_testing::process::wait_until_parked;
use ipc_testing::{Guest, Host, Scope, between_processes};

fn is_gone<T>(result: Result<T, RecvError>) -> bool {
    matches!(result, Err(RecvError::PeerGone { .. }))
}

fn next(receiver: &mut FifoReceiver) -> Vec<u8> {
    let mut message = Vec::new();
    receiver.recv_to_vec(&mut message, Deadline::Never).expect("a message");
    message
}

/// Makes a FIFO for one test and tells the guest its path.
fn fifo_with(guest: &mut Guest, scope: &Scope) -> Fifo {
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    guest.tell(fifo.path().to_str().expect("UTF-8"));
    fifo
}

fn hear_fifo(host: &mut Host) -> Fifo {
    Fifo::open(host.hear()).expect("the host has made it")
}

/// A process of this test binary that runs `test`, which sees `PART` in its environment.
fn another(test: &str, part: usize, path: &Path) -> Guest {
    let arguments = ["--exact", test, "--test-threads=1"];
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments).env(PART, part.to_string()).env(PATH, path).stdout(Stdio::null());
    Guest::start_command(command).expect("started")
}

const PART: &str = "IPC_PIPE_PART";
const PATH: &str = "IPC_PIPE_PATH";

/// In a process that [`another`] made: its number, its way to talk, and the FIFO.
fn part() -> Option<(usize, Host, Fifo)> {
    let part = std::env::var(PART).ok()?.parse().expect("a number");
    let host = Host::from_stdin().expect("a control channel");
    let fifo = Fifo::open(std::env::var_os(PATH).expect("set")).expect("the host has made it");
    Some((part, host, fifo))
}

#[test]
fn messages_of_many_senders_never_mix() {
    const SENDERS: usize = 4;
    const MESSAGES: usize = 1500;
    let message = |sender: usize, index: usize| {
        let len = 2 + (index * 769 + sender * 311) % (ATOMIC_PAYLOAD - 1);
        let mut message = vec![(sender * 50 + index) as u8; len];
        message[0] = sender as u8;
        message
    };
    if let Some((sender, _host, fifo)) = part() {
        let mut link = fifo.open_sender(Deadline::Never).expect("there is a receiver");
        for index in 0..MESSAGES {
            link.send(&message(sender, index)).expect("sent");
        }
        return;
    }
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let mut receiver = fifo.open_receiver().expect("opened");
    let mut senders: Vec<_> = (0..SENDERS)
        .map(|part| another("messages_of_many_senders_never_mix", part, fifo.path()))
        .collect();
    let mut received = [0; SENDERS];
    for _ in 0..SENDERS * MESSAGES {
        let found = next(&mut receiver);
        let sender = usize::from(found[0]);
        assert!(found == message(sender, received[sender]), "sender {sender}");
        received[sender] += 1;
    }
    senders.iter_mut().for_each(Guest::finish);
    assert!(is_gone(receiver.recv(&mut [])));
}

#[test]
fn a_receiver_outlives_its_senders_and_meets_new_ones() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
            let mut receiver = fifo.open_receiver().expect("opened");
            let mut buffer = [0; 16];
            // No sender yet: empty, and not gone.
            assert!(matches!(receiver.try_recv(&mut buffer), Err(RecvError::Empty)));
            let start = Instant::now();
            let result = receiver.recv_timeout(&mut buffer, Duration::from_millis(30));
            assert!(matches!(result, Err(RecvError::TimedOut)), "{result:?}");
            assert!(start.elapsed() >= Duration::from_millis(30));
            for round in ["first", "second"] {
                guest.tell(fifo.path().to_str().expect("UTF-8"));
                receiver.wait_for_sender(Deadline::Never).expect("it comes");
                guest.tell(round);
                assert_eq!(next(&mut receiver), round.as_bytes());
                assert_eq!(next(&mut receiver), b"", "empty messages count");
                for _ in 0..2 {
                    assert!(is_gone(receiver.recv(&mut buffer)));
                    assert!(is_gone(receiver.try_recv(&mut buffer)));
                }
            }
            let start = Instant::now();
            let error = receiver.wait_for_sender(Deadline::after(Duration::from_millis(30)));
            assert!(matches!(error.expect_err("none").kind(), OpenErrorKind::TimedOut));
            assert!(start.elapsed() >= Duration::from_millis(30));
        },
        |host| {
            for _ in 0..2 {
                let mut sender = hear_fifo(host).open_sender(Deadline::Never).expect("opened");
                sender.send(host.hear().as_bytes()).expect("sent");
                sender.send(b"").expect("sent");
            }
        },
    );
}

#[test]
fn a_parked_receiver_hears_of_the_last_senders_kill_after_its_messages() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let mut receiver = fifo_with(guest, &scope).open_receiver().expect("opened");
            guest.tell("opened");
            assert_eq!(next(&mut receiver), b"last word");
            assert!(is_gone(receiver.recv(&mut [0; 8])));
            guest.wait();
        },
        |host| {
            let fifo = hear_fifo(host);
            host.hear();
            let mut sender = fifo.open_sender(Deadline::Never).expect("opened");
            sender.send(b"last word").expect("sent");
            wait_until_parked(host.pid());
            let itself = rustix::process::getpid();
            rustix::process::kill_process(itself, rustix::process::Signal::KILL).expect("we may");
        },
    );
}

#[test]
fn a_sender_without_a_receiver_is_refused_or_times_out() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            let error = fifo.open_sender(Deadline::Now).expect_err("nobody");
            assert!(matches!(error.kind(), OpenErrorKind::Refused(_)), "{error}");
            let start = Instant::now();
            let error = fifo.open_sender(Deadline::after(Duration::from_millis(40)));
            let error = error.expect_err("nobody");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            assert!(error.to_string().contains("/fifo"), "{error}");
            assert!(start.elapsed() >= Duration::from_millis(40));
        },
        |host| drop(host.hear()),
    );
}

#[test]
fn a_waiting_sender_is_woken_by_a_receiver() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            let mut sender = fifo.open_sender(Deadline::Never).expect("it comes");
            sender.send(b"at last").expect("sent");
            guest.finish();
            let error = sender.send(b"more").expect_err("it has gone");
            assert!(matches!(error, SendError::PeerGone { .. }), "{error}");
            // A new receiver takes up where the old one was.
            let mut receiver = fifo.open_receiver().expect("the old one is gone");
            sender.send(b"again").expect("sent");
            assert_eq!(next(&mut receiver), b"again");
        },
        |host| {
            let fifo = hear_fifo(host);
            wait_until_parked(host.pid());
            let mut receiver = fifo.open_receiver().expect("opened");
            assert_eq!(next(&mut receiver), b"at last");
        },
    );
}

#[test]
fn a_waiting_sender_is_woken_by_a_program_that_opens_in_its_own_way() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            // `cat` blocks in open(2) until there is a writer: each would wait for the other.
            let mut sender = fifo.open_sender(Deadline::Never).expect("it comes");
            sender.send(b"meow").expect("sent");
            drop(sender);
            guest.finish();
        },
        |host| {
            let fifo = hear_fifo(host);
            wait_until_parked(host.pid());
            let mut cat = Command::new("cat");
            let mut cat = cat.arg(fifo.path()).stdout(Stdio::piped()).spawn().expect("cat starts");
            let mut bytes = Vec::new();
            cat.stdout.take().expect("piped").read_to_end(&mut bytes).expect("read");
            assert_eq!(bytes, b"\x04\0\0\0meow");
            assert!(cat.wait().expect("reaped").success());
        },
    );
}

#[test]
fn a_program_that_blocks_in_open_is_a_receiver_already() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            guest.hear();
            let mut sender = fifo.open_sender(Deadline::Never).expect("it is there");
            sender.send(b"meow").expect("sent");
            drop(sender);
            guest.finish();
        },
        |host| {
            let fifo = hear_fifo(host);
            let mut cat = Command::new("cat");
            let cat = cat.arg(fifo.path()).stdout(Stdio::piped()).spawn().expect("cat starts");
            wait_until_parked(cat.id());
            host.tell("waits");
            let output = cat.wait_with_output().expect("ended");
            assert_eq!(output.stdout, b"\x04\0\0\0meow");
        },
    );
}

#[test]
fn senders_that_wait_together_do_not_take_each_other_for_a_receiver() {
    const TEST: &str = "senders_that_wait_together_do_not_take_each_other_for_a_receiver";
    const SENDERS: usize = 4;
    const ROUNDS: usize = 40;
    if let Some((_, mut host, fifo)) = part() {
        for _ in 0..ROUNDS {
            host.hear();
            let result = fifo.open_sender(Deadline::after(Duration::from_millis(25)));
            let error = result.expect_err("there is never a receiver");
            assert!(matches!(error.kind(), OpenErrorKind::TimedOut), "{error}");
            host.tell("none");
        }
        host.hear();
        fifo.open_sender(Deadline::Never).expect("now there is").send(b"!").expect("sent");
        return;
    }
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let mut senders: Vec<_> = (0..SENDERS).map(|n| another(TEST, n, fifo.path())).collect();
    for _ in 0..ROUNDS {
        senders.iter_mut().for_each(|sender| sender.tell("all at once"));
        senders.iter_mut().for_each(|sender| drop(sender.hear()));
    }
    senders.iter_mut().for_each(|sender| sender.tell("in earnest"));
    senders.iter().for_each(|sender| wait_until_parked(sender.pid()));
    let mut receiver = fifo.open_receiver().expect("opened");
    for _ in 0..SENDERS {
        assert_eq!(next_from_any(&mut receiver), b"!");
    }
    senders.iter_mut().for_each(Guest::finish);
}

/// The next message, whether or not there is a moment without senders before it.
fn next_from_any(receiver: &mut FifoReceiver) -> Vec<u8> {
    let mut message = Vec::new();
    while is_gone(receiver.recv_to_vec(&mut message, Deadline::Never)) {
        receiver.wait_for_sender(Deadline::Never).expect("one comes");
    }
    message
}

#[test]
fn a_waiting_sender_is_told_that_the_name_is_removed() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            let error = fifo.open_sender(Deadline::Never).expect_err("nobody can come");
            assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
        },
        |host| {
            let fifo = hear_fifo(host);
            wait_until_parked(host.pid());
            fifo.unlink().expect("removed");
        },
    );
}

#[test]
fn there_is_one_receiver_at_a_time() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            guest.hear();
            let error = fifo.open_receiver().expect_err("the guest has it");
            assert!(matches!(error.kind(), OpenErrorKind::InUse(_)), "{error}");
            guest.kill();
            fifo.open_receiver().expect("free again");
        },
        |host| {
            let _receiver = hear_fifo(host).open_receiver().expect("opened");
            host.tell("opened");
            host.hear();
        },
    );
}

#[test]
fn a_receiver_that_follows_another_begins_at_a_message() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            guest.hear();
            let mut sender = fifo.open_sender(Deadline::Never).expect("opened");
            // Of such lengths that 64 KiB end within one.
            let message = |index: usize| vec![index as u8; 3000];
            let mut sent = 0;
            while sender.try_send(&message(sent)).is_ok() {
                sent += 1;
            }
            guest.tell("read");
            assert_eq!(guest.hear(), "one");
            sender.send(&message(sent)).expect("the pipe was emptied");
            guest.kill();
            let mut receiver = fifo.open_receiver().expect("opened");
            assert!(next(&mut receiver) == message(sent));
        },
        |host| {
            let mut receiver = hear_fifo(host).open_receiver().expect("opened");
            host.tell("opened");
            host.hear();
            assert_eq!(next(&mut receiver), [0; 3000]);
            host.tell("one");
            host.hear();
        },
    );
}

/// Messages far longer than what the kernel keeps whole, of senders that are killed amid them and of
/// others that are not.
#[test]
fn long_messages_of_many_senders_never_mix_and_a_killed_one_holds_up_nobody() {
    const TEST: &str = "long_messages_of_many_senders_never_mix_and_a_killed_one_holds_up_nobody";
    const SENDERS: usize = 3;
    const MESSAGES: usize = 60;
    const LONGEST: usize = 300_000;
    let message = |sender: usize, index: usize| {
        let len = 2 + (index * 77_773 + sender * 31_111) % LONGEST;
        let mut message: Vec<u8> = (0..len).map(|i| (i + sender * 50 + index) as u8).collect();
        (message[0], message[1]) = (sender as u8, index as u8);
        message
    };
    if let Some((sender, mut host, fifo)) = part() {
        let mut link = fifo.open_sender(Deadline::Never).expect("there is a receiver");
        for index in 0..MESSAGES {
            if sender < SENDERS {
                link.send(&message(sender, index)).expect("sent");
                continue;
            }
            // One that gives up amid its message, again and again, and is then killed amid one.
            let timeout = Duration::from_micros(200);
            match link.send_timeout(&[0xee; LONGEST], timeout) {
                Ok(()) => host.tell("sent"),
                Err(error) => assert!(error.is_temporary(), "{error}"),
            }
        }
        if sender == SENDERS {
            host.tell("kill me");
            loop {
                link.send(&[0xee; LONGEST]).expect("sent");
                host.tell("sent");
            }
        }
        return;
    }
    let scope = Scope::new();
    let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
    let mut receiver = fifo.open_receiver().expect("opened");
    let mut senders: Vec<_> = (0..=SENDERS).map(|part| another(TEST, part, fifo.path())).collect();
    let mut received = [0; SENDERS];
    let mut given_up = 0;
    while received.iter().sum::<usize>() < SENDERS * MESSAGES {
        let found = next_from_any(&mut receiver);
        if found[0] == 0xee {
            assert!(found == [0xee; LONGEST]);
            given_up += 1;
            if given_up == 5 {
                senders[SENDERS].kill();
            }
            continue;
        }
        let sender = usize::from(found[0]);
        assert!(found == message(sender, received[sender]), "sender {sender}");
        received[sender] += 1;
    }
    senders[SENDERS].kill();
    senders[..SENDERS].iter_mut().for_each(Guest::finish);
    // Nothing torn comes after that.
    let mut rest = Vec::new();
    loop {
        match receiver.recv_to_vec(&mut rest, Deadline::Never) {
            Ok(_) => assert!(rest == [0xee; LONGEST]),
            Err(error) => {
                assert!(matches!(error, RecvError::PeerGone { .. }), "{error}");
                break;
            }
        }
    }
}

#[test]
fn a_message_longer_than_the_maximum_is_refused() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let fifo = fifo_with(guest, &scope);
            let sender = fifo.open_sender(Deadline::Never).expect("opened");
            let mut sender = sender.with_max_message_bytes(10_000);
            let error = sender.send(&[0; 10_001]).expect_err("too long");
            assert!(matches!(&error, SendError::TooLong(e) if e.max == 10_000), "{error}");
            assert!(error.to_string().contains("FIFO \"/"), "{error}");
            assert_eq!(sender.properties().message_length.max, 10_000);
            sender.send(&[7; ATOMIC_PAYLOAD]).expect("one write");
            sender.send(&[8; 10_000]).expect("in pieces");
            sender.with_max_message_bytes(10_001).send(&[9; 10_001]).expect("sent");
        },
        |host| {
            let receiver = hear_fifo(host).open_receiver().expect("opened");
            let mut receiver = receiver.with_max_message_bytes(10_000);
            assert!(next(&mut receiver) == [7; ATOMIC_PAYLOAD]);
            assert!(next(&mut receiver) == [8; 10_000]);
            for _ in 0..2 {
                let error = receiver.recv(&mut [0; 1]).expect_err("too long");
                assert!(matches!(error, RecvError::Violation(_)), "{error}");
            }
        },
    );
}

#[test]
fn a_shell_speaks_the_frame() {
    between_processes!(
        |guest| {
            let scope = Scope::new();
            let mut receiver = fifo_with(guest, &scope).open_receiver().expect("opened");
            guest.tell("opened");
            assert_eq!(next(&mut receiver), b"hi");
            let error = receiver.recv(&mut [0; 64]).expect_err("it is of several frames");
            assert!(matches!(error, RecvError::Violation(_)), "{error}");
        },
        |host| {
            let fifo = hear_fifo(host);
            host.hear();
            let script = r"printf '\002\000\000\000hi\001\000\000\200x' > $0";
            let status = Command::new("sh").args(["-c", script]).arg(fifo.path()).status();
            assert!(status.expect("sh starts").success());
        },
    );
}

#[test]
fn what_is_no_fifo_is_a_typed_error() {
    let scope = Scope::new();
    let path = scope.path("name");
    let error = Fifo::open(&path).expect_err("nothing there");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");

    std::fs::write(&path, "text").expect("a file");
    for result in [Fifo::open(&path), Fifo::create(&path)] {
        let error = result.expect_err("a regular file");
        assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
        assert!(error.to_string().contains("names a regular file"), "{error}");
    }
    let error = Fifo::create_new(&path).expect_err("it exists");
    assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
    assert!(error.to_string().contains("mkfifo") && error.to_string().contains("/name\""));
    std::fs::remove_file(&path).expect("removed");

    let fifo = Fifo::create(&path).expect("made");
    Fifo::create(&path).expect("there already, which is well");
    let error = Fifo::create_new(&path).expect_err("it exists");
    assert!(matches!(error.kind(), OpenErrorKind::AlreadyExists(_)), "{error}");
    // The name changes hands after the FIFO was found.
    fifo.unlink().expect("removed");
    let error = fifo.open_receiver().expect_err("gone");
    assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    std::fs::write(&path, "text").expect("a file");
    let error = fifo.open_sender(Deadline::Now).expect_err("a regular file");
    assert!(matches!(error.kind(), OpenErrorKind::InvalidOption { .. }), "{error}");
    assert_eq!(std::fs::read(&path).expect("readable"), b"text", "it was left alone");
}
