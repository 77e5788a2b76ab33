//! What wears programs out, on pipes: senders that are killed by the thousand. Nothing leaks, nothing hangs, and no message that was sent is lost.

use ipc_core::{Deadline, Receiver, RecvError, Sender};
use ipc_pipe::{DuplexPipe, Fifo, FifoReceiver, PipeReceiver, PipeSender};
use ipc_testing::killing::{self, Survivors};
use ipc_testing::{Scope, between_processes};

/// Of each kind of link.
const CYCLES: u32 = 2_500;
/// More than a pipe holds.
const LONGEST_LEN: usize = 200_000;

#[test]
fn pipes_lose_nothing_of_thousands_of_killed_senders() {
    between_processes!(
        |guest| {
            guest.finish(); // it has no part: there are processes enough
            killing::kill_senders(
                CYCLES,
                LONGEST_LEN,
                || ipc_pipe::pipe().expect("two descriptors"),
                |(sender, receiver): (PipeSender, PipeReceiver)| {
                    drop(receiver);
                    sender
                },
                |_pid| (),
                |(sender, receiver), (), _deadline| {
                    drop(sender);
                    Some(Survivors { receiver: Box::new(receiver), sender: None })
                },
            );
        },
        |_host| {},
    );
}

#[test]
fn duplex_pipes_lose_nothing_of_thousands_of_killed_peers() {
    between_processes!(
        |guest| {
            guest.finish(); // it has no part: there are processes enough
            killing::kill_senders(
                CYCLES / 5,
                LONGEST_LEN,
                || ipc_pipe::duplex().expect("four descriptors"),
                |(ours, theirs): (DuplexPipe, DuplexPipe)| {
                    drop(ours);
                    // It keeps the other direction open, and never reads it.
                    std::mem::forget(theirs.receiver);
                    theirs.sender
                },
                |_pid| (),
                |(ours, theirs), (), _deadline| {
                    drop(theirs);
                    let sender = Some(Box::new(ours.sender) as Box<dyn Sender>);
                    Some(Survivors { receiver: Box::new(ours.receiver), sender })
                },
            );
        },
        |_host| {},
    );
}

#[test]
fn a_fifo_loses_nothing_of_thousands_of_killed_senders() {
    between_processes!(
        |guest| {
            guest.finish(); // it has no part: there are processes enough
            let scope = Scope::new();
            let fifo = Fifo::create_new(scope.path("fifo")).expect("made");
            killing::kill_senders(
                CYCLES / 5,
                LONGEST_LEN,
                || fifo.open_receiver().expect("one at a time"),
                |receiver| {
                    drop(receiver);
                    fifo.open_sender(Deadline::Never).expect("the receiver is there")
                },
                |_pid| (),
                |receiver, (), deadline| came(receiver, deadline),
            );
            fifo.unlink().expect("removed");
        },
        |_host| {},
    );
}

/// The FIFO's receiver, if there has been a sender.
fn came(mut receiver: FifoReceiver, deadline: Deadline) -> Option<Survivors> {
    if deadline == Deadline::Never {
        receiver.wait_for_sender(deadline).expect("it comes");
    } else {
        // One that is dead by now: there were messages, or it is gone, or it has never come.
        // No message is empty, so that this takes none.
        if matches!(receiver.try_recv(&mut []), Err(RecvError::Empty)) {
            return None;
        }
    }
    Some(Survivors { receiver: Box::new(receiver), sender: None })
}
