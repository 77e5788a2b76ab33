//! Links between two threads of one process: the ceiling that no process can pass. The rest of a
//! session is as between processes: the same loops, pinned to the same processors.

use std::any::Any;
use std::sync::Mutex;

use ipc_core::{OpenError, OpenErrorKind, Receiver, Resource, Sender};
use ipc_testing::{Invitation, Pending, Scope, Transport};

/// A transport whose links are made whole by one call, which returns both ends. The guest's end waits
/// within this process for the invitation that names it.
///
/// A mechanism over it says that it is [`between_threads`](crate::mechanisms::Mechanism::threads).
#[derive(Clone, Copy, Debug)]
pub struct BetweenThreads<F>(pub F);

/// The ends that wait for their guests, each with its number.
static WAITING: Mutex<Vec<(u64, Box<dyn Any + Send>)>> = Mutex::new(Vec::new());

/// Leaves an end for the guest.
fn leave(end: impl Send + 'static) -> Invitation {
    let mut waiting = WAITING.lock().expect("nobody panics with the lock");
    let number = waiting.last().map_or(0, |(last, _)| last + 1);
    waiting.push((number, Box::new(end)));
    Invitation::of_text(number.to_string())
}

/// Takes the end that was left.
fn take<E: 'static>(invitation: &Invitation) -> Result<E, OpenError> {
    let mut waiting = WAITING.lock().expect("nobody panics with the lock");
    let place = waiting.iter().position(|(number, _)| number.to_string() == invitation.text);
    let end = place.and_then(|place| waiting.remove(place).1.downcast().ok());
    end.map(|end| *end).ok_or_else(|| {
        OpenError::new("join", &Resource::unnamed("pair of threads"), OpenErrorKind::PeerGone)
    })
}

impl<F, S, R> Transport for BetweenThreads<F>
where
    F: Fn() -> Result<(S, R), OpenError> + Send + Sync + 'static,
    S: Sender + 'static,
    R: Receiver + 'static,
{
    type Sender = S;
    type Receiver = R;

    fn name(&self) -> &'static str {
        "threads"
    }

    fn invite_receiver(&self, _: &Scope) -> Result<(Invitation, Pending<S>), OpenError> {
        let (sender, receiver) = (self.0)()?;
        Ok((leave(receiver), Pending::ready(sender)))
    }

    fn invite_sender(&self, _: &Scope) -> Result<(Invitation, Pending<R>), OpenError> {
        let (sender, receiver) = (self.0)()?;
        Ok((leave(sender), Pending::ready(receiver)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<R, OpenError> {
        take(&invitation)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<S, OpenError> {
        take(&invitation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::plain_ring::PlainRing;

    #[test]
    fn each_guest_gets_the_end_that_its_invitation_names_and_gets_it_once() {
        let pair = || Ok(PlainRing { capacity_bytes: 4096 }.between_threads().expect("memory"));
        let transport = BetweenThreads(pair);
        let scope = Scope::new();
        let (first, first_end) = transport.invite_receiver(&scope).expect("a pair");
        let (second, second_end) = transport.invite_sender(&scope).expect("a pair");
        let again = Invitation::of_text(first.text.clone());
        let mut sender = transport.join_as_sender(second).expect("it was left");
        let mut receiver = transport.join_as_receiver(first).expect("it was left");
        assert!(transport.join_as_receiver(again).is_err(), "it has been taken");
        first_end.complete(0).expect("whole").send(b"one").expect("room");
        sender.send(b"second").expect("room");
        assert_eq!(receiver.try_recv(&mut [0; 8]).expect("a message").len, 3);
        let mut receiver = second_end.complete(0).expect("whole");
        assert_eq!(receiver.try_recv(&mut [0; 8]).expect("a message").len, 6);
    }
}
