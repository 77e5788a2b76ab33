//! How the conformance suite and the benchmark make links of this crate.

use ipc_core::{Name, OpenError, OpenErrorKind, Resource};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::posix::{self, OpenOptions, QueueReceiver, QueueSender};

/// POSIX queues of 10 messages of at most 8192 bytes, which is the most that an ordinary user of a
/// kernel with default limits gets. There is room for 9 of them.
#[derive(Clone, Copy, Debug)]
pub struct PosixQueue;

/// POSIX queues of 8 messages of at most 1024 bytes, of which a user with default limits can have 90:
/// enough for many tests at once.
#[derive(Clone, Copy, Debug)]
pub struct SmallPosixQueue;

/// Implements a transport whose host creates the queue, and whose guest opens it by its name.
macro_rules! queue_transport {
    ($transport:ty, $name:literal, $capacity_messages:literal, $max_message_bytes:literal) => {
        impl Transport for $transport {
            type Sender = QueueSender;
            type Receiver = QueueReceiver;

            fn name(&self) -> &'static str {
                $name
            }

            fn invite_receiver(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<QueueSender>), OpenError> {
                let name = fresh_name(scope);
                let end = options($capacity_messages, $max_message_bytes).open_sender(&name)?;
                Ok((Invitation::of_text(name.as_str()), Pending::ready(end)))
            }

            fn invite_sender(
                &self,
                scope: &Scope,
            ) -> Result<(Invitation, Pending<QueueReceiver>), OpenError> {
                let name = fresh_name(scope);
                let end = options($capacity_messages, $max_message_bytes).open_receiver(&name)?;
                Ok((Invitation::of_text(name.as_str()), Pending::ready(end)))
            }

            fn join_as_receiver(&self, invitation: Invitation) -> Result<QueueReceiver, OpenError> {
                QueueReceiver::open(&invited_name(&invitation)?)
            }

            fn join_as_sender(&self, invitation: Invitation) -> Result<QueueSender, OpenError> {
                QueueSender::open(&invited_name(&invitation)?)
            }
        }
    };
}

queue_transport!(PosixQueue, "mq-posix", 10, 8192);
queue_transport!(SmallPosixQueue, "mq-posix-small", 8, 1024);

/// A name whose queue is unlinked at the end of the scope.
fn fresh_name(scope: &Scope) -> Name {
    let name = scope.name();
    let unlinked = name.clone();
    scope.defer(move || {
        // It may never have been made.
        let _ = posix::unlink(&unlinked);
    });
    name
}

fn options(capacity_messages: usize, max_message_bytes: usize) -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .create_new(true)
        .capacity_messages(capacity_messages)
        .max_message_bytes(max_message_bytes);
    options
}

fn invited_name(invitation: &Invitation) -> Result<Name, OpenError> {
    Name::new(&invitation.text).map_err(|error| {
        let kind = OpenErrorKind::InvalidName(error);
        OpenError::new("join", &Resource::named("POSIX queue", &invitation.text), kind)
    })
}
