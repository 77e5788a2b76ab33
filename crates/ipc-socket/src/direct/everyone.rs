//! One sends to everyone, and each receiver names the sender that it listens to: the other asymmetric form
//! of direct communication. Leaves out how a link comes about.

use std::mem;

use ipc_core::{Deadline, OpenError, SendError};

use super::endpoint::one_way;
use super::{Direct, DirectError, Peer};

/// What became of a message to everyone.
#[derive(Debug)]
#[must_use = "some may have missed the message"]
pub struct SentToAll {
    /// How many processes it was sent to.
    pub reached: usize,
    /// Those that it was not sent to, each with the reason: it had no room until the deadline
    /// ([`SendError::Full`], [`SendError::TimedOut`]), or is gone ([`SendError::PeerGone`], once).
    pub missed: Vec<(Peer, SendError)>,
}

impl Direct {
    /// Listens to a process: makes the link to it if there is none, so that what it sends to everyone
    /// ([`send_to_all`](Self::send_to_all)) comes here from now on, to be received by
    /// [`receive_from`](Self::receive_from) or [`receive_any`](Self::receive_any). The other need not do
    /// anything for that, except to have opened itself.
    ///
    /// # Errors
    ///
    /// Those of the link's making, as for [`send`](Self::send);
    /// [`OpenErrorKind::Unsupported`](ipc_core::OpenErrorKind::Unsupported) if this process made the link
    /// one-way, to send.
    pub fn listen_to(&mut self, peer: &Peer, deadline: Deadline) -> Result<(), OpenError> {
        let index = self.link_to(peer, deadline)?;
        if self.links[index].is_one_way { Err(one_way(peer)) } else { Ok(()) }
    }

    /// Sends a message to everyone who has a link to this process, whichever side made it. The message need
    /// not name anybody: who wants it [listens](Self::listen_to).
    ///
    /// First it goes to all that have room, so that one that is slow keeps no other waiting; then this waits
    /// for the rest until `deadline`, which is for all of them together. Links that only lead here, and those
    /// whose ends were taken out, are left out. Nobody listening is no error.
    ///
    /// # Errors
    ///
    /// [`SendError::TooLong`] and [`SendError::TooShort`], before anything is sent to anybody; errors of the
    /// links' making where processes connect just now, likewise. What goes wrong with one receiver is told in
    /// [`SentToAll::missed`].
    pub fn send_to_all(
        &mut self,
        message: &[u8],
        deadline: Deadline,
    ) -> Result<SentToAll, DirectError> {
        self.accept_waiting()?;
        for sender in self.links.iter().filter_map(|link| link.sender.as_ref()) {
            sender.check_len(message.len())?;
        }
        let mut outcome = SentToAll { reached: 0, missed: Vec::new() };
        let with_sender = self.links.iter().filter(|link| link.sender.is_some());
        let mut left: Vec<u64> = with_sender.map(|link| link.number).collect();
        let mut full = Vec::new();
        for patience in [Deadline::Now, deadline] {
            full.clear();
            for number in mem::take(&mut left) {
                // Links of the dead are forgotten meanwhile, so that places among them change.
                let Some(index) = self.links.iter().position(|link| link.number == number) else {
                    continue;
                };
                let peer = self.links[index].peer.clone();
                match self.send_over(index, message, patience) {
                    Ok(()) => outcome.reached += 1,
                    Err(DirectError::Send(SendError::Unsupported(_))) => {} // it only sends
                    Err(DirectError::Send(error)) if error.is_temporary() => {
                        left.push(number);
                        full.push((peer, error));
                    }
                    Err(DirectError::Send(error)) => outcome.missed.push((peer, error)),
                    Err(error) => return Err(error),
                }
            }
        }
        outcome.missed.append(&mut full);
        Ok(outcome)
    }
}
