//! Links of one direction: made so on request, and their ends taken out. Leaves out how a link comes about.

use std::io;
use std::os::fd::AsFd;

use ipc_core::{Deadline, OpenError, OpenErrorKind};
use rustix::event::epoll;
use rustix::net::Shutdown;

use super::endpoint::{one_way, taken};
use super::{Direct, Peer};
use crate::packet::{PacketReceiver, PacketSender};

impl Direct {
    /// Makes the link to a process one-way: this process sends, that one receives. Only where there is
    /// none yet.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InUse`] if there is a link already; those of the link's making.
    pub fn link_one_way(&mut self, peer: &Peer, deadline: Deadline) -> Result<(), OpenError> {
        let in_use = |what: &str| {
            let source = io::Error::other(what.to_owned());
            Err(OpenError::new("link one way", &peer.resource(), OpenErrorKind::InUse(source)))
        };
        self.accept_waiting()?;
        if self.find(peer).is_some() {
            return in_use("there is a link already");
        }
        let before = self.next_number;
        let index = self.link_to(peer, deadline)?;
        let connection = &mut self.links[index];
        if connection.number < before || !self.made_here(index) {
            return in_use("the other process was first to make the link");
        }
        let connection = &mut self.links[index];
        let sender = connection.sender.as_ref().ok_or_else(|| taken(peer))?;
        let _ = epoll::delete(&self.epoll, sender.as_fd());
        rustix::net::shutdown(sender.as_fd(), Shutdown::Read)
            .map_err(|errno| OpenError::from_os("shutdown", &peer.resource(), errno))?;
        connection.receiver = None;
        connection.is_one_way = true;
        Ok(())
    }

    /// Takes the sending end of a one-way link to a process out, to be used as any other link's. Makes
    /// the link, as [`link_one_way`](Self::link_one_way) does, if there is none. As long as the end is
    /// there, it remains the only link of the pair.
    ///
    /// # Errors
    ///
    /// Those of the link's making, of which [`OpenErrorKind::InUse`] says that there is a link of another
    /// kind, or that its end is taken already.
    pub fn take_sender(
        &mut self,
        peer: &Peer,
        deadline: Deadline,
    ) -> Result<PacketSender, OpenError> {
        if !self.links.iter().any(|link| link.peer.is_same(peer) && link.is_one_way) {
            self.link_one_way(peer, deadline)?;
        }
        let index = self.find(peer).ok_or_else(|| taken(peer))?;
        let connection = &mut self.links[index];
        let sender = connection.sender.take().ok_or_else(|| taken(peer))?;
        connection.taken = Some(sender.watch());
        Ok(sender.one_way())
    }

    /// Takes the receiving end of a process's link out, to be used as any other link's, and makes the
    /// link one-way, if it is not yet: that process sends, this one receives. Waits for it to make the
    /// link until `deadline`. As long as the end is there, it remains the only link of the pair.
    ///
    /// # Errors
    ///
    /// Those of [`wait_for_link`](Self::wait_for_link); [`OpenErrorKind::InUse`] if the end is taken
    /// already; [`OpenErrorKind::Unsupported`] if this process made the link one-way, to send.
    pub fn take_receiver(
        &mut self,
        peer: &Peer,
        deadline: Deadline,
    ) -> Result<PacketReceiver, OpenError> {
        self.wait_for_link(peer, deadline)?;
        let index = self.find(peer).ok_or_else(|| taken(peer))?;
        let connection = &mut self.links[index];
        if connection.is_one_way {
            return Err(one_way(peer));
        }
        let receiver = connection.receiver.take().ok_or_else(|| taken(peer))?;
        let _ = epoll::delete(&self.epoll, receiver.as_fd());
        connection.taken = Some(receiver.watch());
        connection.holds_message = false; // the receiver has it
        connection.sender = None; // which tells the peer
        Ok(receiver.one_way())
    }
}
