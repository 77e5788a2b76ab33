//! How many instructions a send and a receive on the ring take: counted by callgrind, and so the same
//! in every run, whatever else the machine does.
//!
//! `cargo xtask test` runs this in the release profile, whose instructions are those that ship; in
//! others there is nothing to test. The counts are in `benches/record/instructions.txt`; after a change that
//! is meant to change them: `UPDATE_RECORD=1 cargo test --release -p ipc-benches --test instructions`.

#![cfg(all(not(debug_assertions), target_arch = "x86_64"))]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use ipc_core::{Deadline, Receiver, Sender, WaitStrategy};
use ipc_ring::{Link, Options, RingReceiver, RingSender};
use ipc_testing::skip_for_want_of;

/// What is counted: a name, the size of the messages, how many are handed over at once, whether the
/// receiver may sleep, and whether receiving is counted, not sending.
const OPERATIONS: [(&str, usize, usize, bool, bool); 8] = [
    ("send 8 B, receiver spins", 8, 1, false, false),
    ("send 64 B, receiver spins", 64, 1, false, false),
    ("send 8 B, receiver may sleep", 8, 1, true, false),
    ("send 64 B, receiver may sleep", 64, 1, true, false),
    ("send 64 B, 32 at once, receiver may sleep", 64, 32, true, false),
    ("receive 8 B", 8, 1, true, true),
    ("receive 64 B", 64, 1, true, true),
    ("receive 128 B", 128, 1, true, true),
];

/// Messages of the short and of the long run: their difference is free of what happens once. A
/// multiple of what a sender sends between two looks at its receiver.
const MESSAGES: [usize; 2] = [2048, 4096];

#[test]
fn a_message_takes_the_recorded_instructions() {
    if let Ok(counted) = env::var("COUNTED") {
        return be_counted(&counted);
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        let test = "a_message_takes_the_recorded_instructions";
        return skip_for_want_of(test, "valgrind", "valgrind");
    }
    let compiler = compiler();
    let mut found = format!("{compiler}\n");
    for (index, (name, ..)) in OPERATIONS.iter().enumerate() {
        let [short, long] = MESSAGES.map(|messages| count(index, messages));
        // The look at the peer once in 1,024 messages does not always take the same path.
        let each = (long - short) as f64 / (MESSAGES[1] - MESSAGES[0]) as f64;
        writeln!(found, "{each:.0} {name}").expect("a string takes everything");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("record/instructions.txt");
    if env::var_os("UPDATE_RECORD").is_some() {
        fs::write(&path, &found).expect("the record can be written");
    }
    let recorded = fs::read_to_string(&path).expect("there is a record");
    if recorded.starts_with(&compiler) {
        assert_eq!(found, recorded, "instructions by message; the header says how to record them");
        return;
    }
    // Another compiler makes other code, but not half as much again.
    for (found, recorded) in found.lines().zip(recorded.lines()).skip(1) {
        let number = |line: &str| line.split(' ').next().and_then(|it| it.parse::<f64>().ok());
        let (count, limit) = number(found).zip(number(recorded)).expect("each line has a number");
        assert!(count <= 1.5 * limit, "{found}; recorded with another compiler: {recorded}");
    }
}

/// The compiler that is in use here.
fn compiler() -> String {
    let version = Command::new("rustc").arg("--version").output().expect("there is a compiler");
    String::from_utf8(version.stdout).expect("its version is text").trim().to_owned()
}

/// The instructions of an operation on so many messages, counted in a process of its own.
fn count(index: usize, messages: usize) -> u64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=*counted_sends*", "--toggle-collect=*counted_receives*"])
        .arg(env::current_exe().expect("this program has a path"))
        .args(["--exact", "a_message_takes_the_recorded_instructions"])
        .env("COUNTED", format!("{index} {messages}"))
        .output()
        .expect("valgrind starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split("Collected : ").nth(1));
    collected
        .and_then(|number| number.trim().parse().ok())
        .expect("callgrind tells what it counted")
}

/// In the process that is counted.
fn be_counted(what: &str) {
    let mut numbers = what.split(' ').map(|it| it.parse::<usize>().expect("a number"));
    let (index, messages) = numbers.next().zip(numbers.next()).expect("two numbers");
    let (_, size, at_once, may_sleep, receives) = OPERATIONS[index];
    let strategy = if may_sleep { WaitStrategy::adaptive() } else { WaitStrategy::Spin };
    let options = Options::new().wait_strategy(strategy);
    let (here, there) = Link::between_threads(&options, &options).expect("a link");
    let mut sender = here.sender.expect("a duplex link");
    let mut receiver = there.receiver.expect("a duplex link");
    let message = vec![7; size];
    let mut buffer = vec![0; size];
    if receives {
        send_one_by_one(&mut sender, &message, messages);
        counted_receives(&mut receiver, &mut buffer, messages);
    } else {
        counted_sends(&mut sender, &message, messages, at_once);
    }
}

#[inline(never)]
fn counted_sends(sender: &mut RingSender, message: &[u8], messages: usize, at_once: usize) {
    if at_once == 1 {
        return send_one_by_one(sender, message, messages);
    }
    let batch = vec![message; at_once];
    for _ in 0..messages / at_once {
        let sent = sender.send_batch(&batch, Deadline::Never).expect("there is room");
        assert_eq!(sent, at_once);
    }
}

#[inline(always)]
fn send_one_by_one(sender: &mut RingSender, message: &[u8], messages: usize) {
    for _ in 0..messages {
        sender.send(message).expect("there is room");
    }
}

#[inline(never)]
fn counted_receives(receiver: &mut RingReceiver, buffer: &mut [u8], messages: usize) {
    for _ in 0..messages {
        let received = receiver.recv(buffer).expect("it was sent");
        assert_eq!(received.len, buffer.len());
    }
}
