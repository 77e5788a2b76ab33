//! Signals to and from programs that are not ours: the shell's `kill`, `/bin/kill -q`, and Python's
//! `signal`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use ipc_core::{Deadline, Evidence, Receiver};
use ipc_signal::{MaskGuard, RealtimeSignal, Signal, SignalListener, SignalReceiver, SignalTarget};
use ipc_testing::between_processes;

fn signal() -> RealtimeSignal {
    RealtimeSignal::from_offset(8).expect("there are more")
}

fn blocked() -> MaskGuard {
    MaskGuard::block([signal().into(), Signal::USR1]).expect("a mask")
}

/// Whether a program can do what the test needs of it; if not, says so.
fn can(test: &str, program: &str, arguments: &[&str], package: &str) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let can = command.status().is_ok_and(|status| status.success());
    if !can {
        ipc_testing::skip_for_want_of(test, program, package);
    }
    can
}

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).stdin(Stdio::null()).status();
    assert!(status.expect("it is there").success(), "{program} {arguments:?}");
}

#[test]
fn the_shells_kill_is_received_without_a_value_and_with_its_process() {
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "open");
            let pid = guest.pid().to_string();
            run("sh", &["-c", "kill -USR1 $0", &pid]);
            let number = signal().number().to_string();
            run("sh", &["-c", "kill -$1 $0", &pid, &number]);
            guest.tell("sent");
        },
        |host| {
            let both = [signal().into(), Signal::USR1];
            let mut listener = SignalListener::open(both).expect("all threads block them");
            host.tell("open");
            host.hear();
            for expected in [Signal::USR1, signal().into()] {
                let message = listener.recv_signal(Deadline::Now).expect("it was sent");
                assert_eq!((message.signal, message.value, message.code), (expected, None, 0));
                let sender = message.sender.expect("the kernel says");
                assert_eq!(sender.evidence, Evidence::Kernel);
            }
        },
    );
}

#[test]
fn the_value_of_bin_kill_is_received() {
    let test = "the_value_of_bin_kill_is_received";
    // Number 0 sends nothing.
    let own = std::process::id().to_string();
    if !can(test, "/bin/kill", &["-q", "1", "-0", &own], "procps") {
        return;
    }
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "open");
            let (number, pid) = (format!("-{}", signal().number()), guest.pid().to_string());
            for value in ["7", "2147483647"] {
                run("/bin/kill", &[&number, "-q", value, &pid]);
            }
            guest.tell("sent");
        },
        |host| {
            let mut receiver = SignalReceiver::open(signal()).expect("all threads block it");
            host.tell("open");
            host.hear();
            for expected in [7, i32::MAX] {
                let mut value = [0; 8];
                receiver.recv_deadline(&mut value, Deadline::Now).expect("it was sent");
                // It fills a `sival_int`: the first four bytes.
                let int = i32::from_ne_bytes([value[0], value[1], value[2], value[3]]);
                assert_eq!(int, expected);
            }
        },
    );
}

/// A Python program, whose lines are read; it has printed the first.
fn python(script: &str) -> (Child, impl Iterator<Item = String>) {
    let mut child = Command::new("python3")
        .args(["-u", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut lines =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    assert_eq!(lines.next().as_deref(), Some("ready"));
    (child, lines)
}

#[test]
fn python_waits_for_our_signals_and_sees_who_sent_them() {
    let test = "python_waits_for_our_signals_and_sees_who_sent_them";
    if !can(test, "python3", &["--version"], "python3") {
        return;
    }
    let number = signal().number();
    let script = format!(
        "import signal\n\
         both = {{signal.SIGUSR1, {number}}}\n\
         signal.pthread_sigmask(signal.SIG_BLOCK, both)\n\
         print('ready')\n\
         for _ in range(4):\n\
         \x20   info = signal.sigwaitinfo(both)\n\
         \x20   print(info.si_signo, info.si_code, info.si_pid, info.si_uid)\n"
    );
    let (mut child, mut lines) = python(&script);
    let target = SignalTarget::process(child.id()).expect("it is there");
    let mut expect = |signo: i32, code: i32| {
        let (pid, uid) = (std::process::id(), rustix::process::getuid().as_raw());
        assert_eq!(lines.next(), Some(format!("{signo} {code} {pid} {uid}")));
    };
    const SI_USER: i32 = 0;
    const SI_QUEUE: i32 = -1;
    target.send(Signal::USR1).expect("sent");
    expect(Signal::USR1.number(), SI_USER);
    for _ in 0..3 {
        target.send_value(signal(), 42).expect("room for few");
    }
    for _ in 0..3 {
        expect(number, SI_QUEUE);
    }
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn we_receive_what_python_sends() {
    let test = "we_receive_what_python_sends";
    if !can(test, "python3", &["--version"], "python3") {
        return;
    }
    let _mask = blocked();
    between_processes!(
        |guest| {
            assert_eq!(guest.hear(), "open");
            let script = "import os, signal, sys\n\
                 os.kill(int(sys.argv[1]), signal.SIGUSR1)\n\
                 signal.pidfd_send_signal(os.pidfd_open(int(sys.argv[1])), int(sys.argv[2]))\n";
            let (pid, number) = (guest.pid().to_string(), signal().number().to_string());
            run("python3", &["-c", script, &pid, &number]);
            guest.tell("sent");
        },
        |host| {
            let both = [signal().into(), Signal::USR1];
            let mut listener = SignalListener::open(both).expect("all threads block them");
            host.tell("open");
            host.hear();
            for expected in [Signal::USR1, signal().into()] {
                let message = listener.recv_signal(Deadline::Now).expect("it was sent");
                assert_eq!((message.signal, message.value), (expected, None));
                assert_eq!(message.sender.map(|sender| sender.evidence), Some(Evidence::Kernel));
            }
        },
    );
}
