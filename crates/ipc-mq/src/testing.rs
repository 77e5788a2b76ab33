//! How the conformance suite and the benchmark make links of this crate.

use ipc_core::{Name, OpenError, OpenErrorKind, Resource};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::posix::{self, OpenOptions, QueueReceiver, QueueSender};

/// POSIX queues of 10 messages of at most 8192 bytes, which is what an unprivileged user of a kernel
/// with default limits gets. That user may have 9 of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct PosixQueue;

impl PosixQueue {
    /// Creates a queue that is unlinked at the end of the scope.
    fn create<E>(
        scope: &Scope,
        open: impl FnOnce(&OpenOptions, &Name) -> Result<E, OpenError>,
    ) -> Result<(Invitation, E), OpenError> {
        let name = scope.name();
        let mut options = OpenOptions::new();
        options.create_new(true).capacity_messages(10).max_message_bytes(8192);
        let end = open(&options, &name)?;
        let invitation = Invitation::of_text(name.as_str());
        scope.defer(move || {
            // Whoever unlinked it before has done our work.
            let _ = posix::unlink(&name);
        });
        Ok((invitation, end))
    }
}

impl Transport for PosixQueue {
    type Sender = QueueSender;
    type Receiver = QueueReceiver;

    fn name(&self) -> &'static str {
        "mq-posix"
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<QueueSender>), OpenError> {
        let (invitation, end) = Self::create(scope, OpenOptions::open_sender)?;
        Ok((invitation, Pending::ready(end)))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<QueueReceiver>), OpenError> {
        let (invitation, end) = Self::create(scope, OpenOptions::open_receiver)?;
        Ok((invitation, Pending::ready(end)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<QueueReceiver, OpenError> {
        QueueReceiver::open(&invited_name(&invitation)?)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<QueueSender, OpenError> {
        QueueSender::open(&invited_name(&invitation)?)
    }
}

fn invited_name(invitation: &Invitation) -> Result<Name, OpenError> {
    Name::new(&invitation.text).map_err(|error| {
        let kind = OpenErrorKind::InvalidName(error);
        OpenError::new("join", &Resource::named("POSIX queue", &invitation.text), kind)
    })
}
