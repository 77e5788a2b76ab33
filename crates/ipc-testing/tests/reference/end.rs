//! What both ends of a reference link have, and how they wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread::ThreadId;

use ipc_core::{Armed, Deadline, Interest, Resource, WaitSource, poll};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;

use super::{Fault, Reference};

/// What both ends have.
pub(super) struct End {
    pub(super) kind: Reference,
    pub(super) socket: OwnedFd,
    /// Never becomes readable: what a faulty end waits for.
    pub(super) silence: OwnedFd,
    pub(super) peer_pid: u32,
    pub(super) link: Resource,
    pub(super) thread: ThreadId,
}

/// How a wait for the socket ended.
pub(super) enum Waited {
    Ready,
    TimedOut,
    Stopped,
}

impl End {
    pub(super) fn has(&self, fault: Fault) -> bool {
        self.kind.has(fault)
    }

    /// Waits for readiness, with the faults of waiting.
    pub(super) fn wait(&self, interest: Interest, deadline: Deadline) -> std::io::Result<Waited> {
        assert!(
            !self.has(Fault::IsBoundToItsThread) || self.thread == std::thread::current().id(),
            "called from another thread"
        );
        let early = match interest {
            Interest::Readable => Fault::RecvTimesOutEarly,
            Interest::Writable => Fault::SendTimesOutEarly,
        };
        let asleep = match interest {
            Interest::Readable => Fault::SleepsThroughMessages,
            Interest::Writable => Fault::SleepsThroughRoom,
        };
        let deadline = match deadline {
            Deadline::At(_) if self.has(early) => {
                Deadline::after(deadline.remaining().unwrap_or_default() / 2)
            }
            other => other,
        };
        let descriptor = if self.has(asleep) { self.silence.as_fd() } else { self.socket.as_fd() };
        if self.has(Fault::SurfacesInterrupts) || self.has(Fault::RestartsItsWaitOnInterrupts) {
            return self.wait_badly(descriptor, interest, deadline);
        }
        if poll::wait_ready(descriptor, interest, deadline)? {
            return Ok(Waited::Ready);
        }
        if self.has(Fault::TakesAStoppedPeerForDead) {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.peer_pid))?;
            if stat.contains(") T ") {
                return Ok(Waited::Stopped);
            }
        }
        Ok(Waited::TimedOut)
    }

    /// As many programs do it: the time-out is relative, and an interrupt is an error or starts it anew.
    fn wait_badly(
        &self,
        descriptor: BorrowedFd<'_>,
        interest: Interest,
        deadline: Deadline,
    ) -> std::io::Result<Waited> {
        let timeout = deadline.remaining().and_then(|left| left.try_into().ok());
        let mut fds = [PollFd::from_borrowed_fd(descriptor, interest.poll_flags())];
        loop {
            match rustix::event::poll(&mut fds, timeout.as_ref()) {
                Ok(0) => return Ok(Waited::TimedOut),
                Ok(_) => return Ok(Waited::Ready),
                Err(Errno::INTR) if self.has(Fault::RestartsItsWaitOnInterrupts) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl WaitSource for End {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        let deaf = self.has(Fault::NeverWakesAWaiter) || self.has(Fault::WakesForMessagesOnly);
        if self.has(Fault::WakesWithoutEnd) {
            return (self.silence.as_fd(), Interest::Writable); // an eventfd takes a count
        }
        let descriptor = if deaf { &self.silence } else { &self.socket };
        (descriptor.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> std::io::Result<Armed> {
        if self.has(Fault::WakesForMessagesOnly) {
            // Does its waiting here, and for input only: it is not told of a hang-up.
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            poll::poll_until(&mut fds, Deadline::Never)?;
            if fds[0].revents().contains(PollFlags::HUP) {
                return Ok(Armed::Waiting);
            }
            return Ok(Armed::Ready);
        }
        Ok(Armed::Waiting)
    }
}
