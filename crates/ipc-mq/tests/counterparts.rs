//! Messages to and from a program that is not ours, in C.
//!
//! It takes a C compiler. Where there is none, the tests say so and pass: on standard error, and in the
//! file that `IPC_TEST_SKIPPED_FILE` names. With `IPC_TEST_COUNTERPARTS=require` they fail.

mod common;

use std::path::Path;
use std::process::{Command, Stdio};

use common::TestQueue;
use ipc_core::{Deadline, Receiver, Sender};
use ipc_mq::posix::{self, QueueReceiver, QueueSender};
use ipc_testing::{CProgram, printed};

/// The C program, compiled.
struct Counterpart(CProgram);

impl Counterpart {
    /// Compiles it for a test; `None` if there is no compiler and none is required.
    fn compile(test: &str) -> Option<Self> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/counterparts/queue.c");
        CProgram::compile(test, &source).map(Self)
    }

    fn command(&self, verb: &str, queue: &TestQueue) -> Command {
        let mut command = self.0.command();
        command.arg(verb).arg(format!("/{}", queue.name));
        command
    }
}

#[test]
fn a_c_program_receives_what_we_send() {
    let Some(counterpart) = Counterpart::compile("a_c_program_receives_what_we_send") else {
        return;
    };
    let queue = TestQueue::new();
    let mut sender = queue.options().open_sender(&queue.name).expect("created");
    // It waits for the first message before there is one, or not: both are right.
    let mut receive = counterpart.command("receive", &queue);
    let receive = receive.arg("3").stdout(Stdio::piped()).spawn().expect("started");
    sender.send_priority(b"from Rust", 5, Deadline::Never).expect("sent");
    sender.send_priority(b"", 5, Deadline::Never).expect("sent");
    sender.send_priority(b"last", 0, Deadline::Never).expect("sent");
    let output = receive.wait_with_output().expect("ended");
    assert_eq!(printed(&output), "5 from Rust\n5 \n0 last\n");
}

#[test]
fn we_receive_what_a_c_program_sends() {
    let Some(counterpart) = Counterpart::compile("we_receive_what_a_c_program_sends") else {
        return;
    };
    let queue = TestQueue::new();
    let mut receiver = queue.options().open_receiver(&queue.name).expect("created");
    for (priority, texts) in [("1", ["one", "two"]), ("9", ["urgent", ""])] {
        let mut send = counterpart.command("send", &queue);
        printed(&send.arg(priority).args(texts).output().expect("started"));
    }
    let mut buffer = [0; 64];
    for (priority, text) in [(9, "urgent"), (9, ""), (1, "one"), (1, "two")] {
        let received = receiver.try_recv(&mut buffer).expect("it was sent");
        assert_eq!((received.priority, &buffer[..received.len]), (priority, text.as_bytes()));
    }
}

#[test]
fn a_queue_that_a_c_program_made_is_ours_to_use() {
    let Some(counterpart) = Counterpart::compile("a_queue_that_a_c_program_made_is_ours_to_use")
    else {
        return;
    };
    let queue = TestQueue::new();
    printed(&counterpart.command("create", &queue).args(["3", "17"]).output().expect("started"));
    let mut sender = QueueSender::open(&queue.name).expect("it is there");
    let mut receiver = posix::OpenOptions::new()
        .capacity_messages(3)
        .max_message_bytes(17)
        .open_receiver(&queue.name)
        .expect("as stated");
    sender.try_send(b"seventeen letters").expect("there is room");
    assert_eq!(receiver.try_recv(&mut [0; 17]).expect("it is there").len, 17);
    drop(receiver);
    QueueReceiver::open(&queue.name).expect("it stays");
}
