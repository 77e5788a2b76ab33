//! How the conformance suite and the benchmark make direct links: the two processes name each other, and
//! have one link however often they ask.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use ipc_core::{
    Deadline, LinkProperties, OpenError, Received, Receiver, RecvError, SendError, Sender,
    WaitSource,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use super::{failed, hear, meet, patience, split, tell};
use crate::direct::{self, Peer};
use crate::{PacketReceiver, PacketSender};

/// Direct communication: the two processes name each other, and have one link however often they ask.
#[derive(Clone, Copy, Debug)]
pub struct Direct;

/// Direct communication over a link that its sender has made one-way, and that is the pair's only one.
#[derive(Clone, Copy, Debug)]
pub struct DirectOneWay;

/// An end of a direct link, and what keeps this process reachable.
#[derive(Debug)]
pub struct DirectEnd<E> {
    end: E,
    _session: Arc<Mutex<Session>>,
}

/// The two ends of the link, unless they are in use.
type Ends = (Option<PacketSender>, Option<PacketReceiver>);

/// This process, and those ends of its link that are not in use yet. All ends of a process share it.
#[derive(Debug)]
struct Session {
    direct: direct::Direct,
    ends: Option<Ends>,
}

impl Session {
    /// That of this process: made if there is none.
    fn of_this_process() -> Result<Arc<Mutex<Self>>, OpenError> {
        static SESSION: Mutex<Weak<Mutex<Session>>> = Mutex::new(Weak::new());
        let mut session = SESSION.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = session.upgrade() {
            return Ok(session);
        }
        let direct = direct::Direct::open()?;
        let made = Arc::new(Mutex::new(Self { direct, ends: None }));
        *session = Arc::downgrade(&made);
        Ok(made)
    }

    fn end<E>(
        session: &Arc<Mutex<Self>>,
        pid: u32,
        choose: fn(&mut Ends) -> Option<E>,
    ) -> Result<DirectEnd<E>, OpenError> {
        let mut inner = session.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *inner;
        if inner.ends.is_none() {
            let (sender, receiver) = inner.direct.take_ends(&Peer::of(pid)?, patience())?;
            inner.ends = Some((Some(sender), Some(receiver)));
        }
        let end = inner.ends.as_mut().and_then(choose);
        let end = end.ok_or_else(|| failed("take", "this end is in use already"))?;
        Ok(DirectEnd { end, _session: Arc::clone(session) })
    }

    /// Invites a guest to name this process; how its host gets the end is `complete`.
    fn invite<E: 'static>(
        complete: impl FnOnce(&Arc<Mutex<Self>>, u32) -> Result<E, OpenError> + 'static,
    ) -> Result<(Invitation, Pending<E>), OpenError> {
        let session = Self::of_this_process()?;
        let invitation = Invitation::of_text(std::process::id().to_string());
        Ok((invitation, Pending::new(move |pid| complete(&session, pid))))
    }

    /// Takes an end out, as `take` does.
    fn take<E>(
        session: &Arc<Mutex<Self>>,
        pid: u32,
        take: impl FnOnce(&mut direct::Direct, &Peer) -> Result<E, OpenError>,
    ) -> Result<DirectEnd<E>, OpenError> {
        let mut inner = session.lock().unwrap_or_else(PoisonError::into_inner);
        let end = take(&mut inner.direct, &Peer::of(pid)?)?;
        Ok(DirectEnd { end, _session: Arc::clone(session) })
    }
}

impl Transport for Direct {
    type Sender = DirectEnd<PacketSender>;
    type Receiver = DirectEnd<PacketReceiver>;

    fn name(&self) -> &'static str {
        "direct"
    }

    fn invite_receiver(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Sender>), OpenError> {
        Session::invite(|session, pid| {
            await_link(session, pid)?;
            Session::end(session, pid, |ends| ends.0.take())
        })
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Receiver>), OpenError> {
        Session::invite(|session, pid| {
            await_link(session, pid)?;
            Session::end(session, pid, |ends| ends.1.take())
        })
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Self::Receiver, OpenError> {
        Session::end(&Session::of_this_process()?, host_of(&invitation)?, |ends| ends.1.take())
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Self::Sender, OpenError> {
        Session::end(&Session::of_this_process()?, host_of(&invitation)?, |ends| ends.0.take())
    }
}

impl Transport for DirectOneWay {
    type Sender = DirectEnd<PacketSender>;
    type Receiver = DirectEnd<PacketReceiver>;

    fn name(&self) -> &'static str {
        "direct-one-way"
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Sender>), OpenError> {
        let (invitation, meeting) = meet(scope, std::process::id().to_string())?;
        let complete = move |pid| {
            hear(&meeting)?; // it can be reached now
            Session::take(&Session::of_this_process()?, pid, take_sender)
        };
        Ok((invitation, Pending::new(complete)))
    }

    fn invite_sender(
        &self,
        _scope: &Scope,
    ) -> Result<(Invitation, Pending<Self::Receiver>), OpenError> {
        Session::invite(|session, pid| Session::take(session, pid, take_receiver))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Self::Receiver, OpenError> {
        let session = Session::of_this_process()?;
        let (meeting, host) = split(&invitation)?;
        tell(meeting, "open")?;
        let host = host.parse().map_err(|error| failed("join", error))?;
        Session::take(&session, host, take_receiver)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Self::Sender, OpenError> {
        let session = Session::of_this_process()?;
        let host = host_of(&invitation)?;
        Session::take(&session, host, take_sender)
    }
}

fn take_sender(direct: &mut direct::Direct, peer: &Peer) -> Result<PacketSender, OpenError> {
    direct.take_sender(peer, patience())
}

fn take_receiver(direct: &mut direct::Direct, peer: &Peer) -> Result<PacketReceiver, OpenError> {
    direct.take_receiver(peer, patience())
}

/// In the host: waits until the guest has made the link. It may not have opened itself yet.
fn await_link(session: &Mutex<Session>, pid: u32) -> Result<(), OpenError> {
    let mut session = session.lock().unwrap_or_else(PoisonError::into_inner);
    if session.ends.is_none() {
        session.direct.wait_for_link(&Peer::of(pid)?, patience())?;
    }
    Ok(())
}

fn host_of(invitation: &Invitation) -> Result<u32, OpenError> {
    invitation.text.parse().map_err(|error| failed("join", error))
}

impl Sender for DirectEnd<PacketSender> {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.end.send_deadline(message, deadline)
    }
    fn properties(&self) -> LinkProperties {
        self.end.properties()
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.end.wait_source()
    }
}

impl Receiver for DirectEnd<PacketReceiver> {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        self.end.recv_deadline(buffer, deadline)
    }
    fn properties(&self) -> LinkProperties {
        self.end.properties()
    }
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.end.wait_source()
    }
}
