//! The two ends of a pipe, one with the guest and one with the host.

// Not every file of tests needs all of them.
#![allow(dead_code)]

use ipc_pipe::testing::Pipe;
use ipc_pipe::{PipeReceiver, PipeSender};
use ipc_testing::{Guest, Host, Scope, Transport};

pub(crate) fn sender_to(guest: &mut Guest) -> PipeSender {
    let (invitation, pending) = Pipe.invite_receiver(&Scope::new()).expect("a pipe");
    guest.invite(invitation);
    pending.complete(guest.pid()).expect("it is whole")
}

pub(crate) fn receiver_from(guest: &mut Guest) -> PipeReceiver {
    let (invitation, pending) = Pipe.invite_sender(&Scope::new()).expect("a pipe");
    guest.invite(invitation);
    pending.complete(guest.pid()).expect("it is whole")
}

pub(crate) fn join_receiver(host: &mut Host) -> PipeReceiver {
    Pipe.join_as_receiver(host.invitation()).expect("the read end of a pipe")
}

pub(crate) fn join_sender(host: &mut Host) -> PipeSender {
    Pipe.join_as_sender(host.invitation()).expect("the write end of a pipe")
}
