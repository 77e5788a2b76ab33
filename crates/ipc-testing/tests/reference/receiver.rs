//! The receiving end of a reference link.

use std::io::IoSliceMut;
use std::time::Duration;

use ipc_core::{
    Deadline, DeathNotice, Evidence, Interest, LinkProperties, OsError, PeerId, ProcessPeer,
    Received, Receiver, RecvError, WaitSource, poll,
};
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags};

use super::Fault;
use super::end::{End, Waited};

/// The receiving end.
pub(crate) struct ReferenceReceiver {
    end: End,
    told_of_the_end: bool,
}

impl ReferenceReceiver {
    pub(super) fn new(end: End) -> Self {
        Self { end, told_of_the_end: false }
    }

    fn receive(&self, buffer: &mut [u8], flags: RecvFlags) -> Result<usize, Errno> {
        let mut header = [0];
        let with_header = !self.end.has(Fault::TakesEmptyForTheEnd);
        let header: &mut [u8] = if with_header { &mut header } else { &mut [] };
        let mut parts = [IoSliceMut::new(header), IoSliceMut::new(buffer)];
        let mut nothing = RecvAncillaryBuffer::default();
        let result = rustix::net::recvmsg(&self.end.socket, &mut parts, &mut nothing, flags)?;
        Ok(result.bytes)
    }

    fn gone(&self) -> RecvError {
        RecvError::peer_gone(&self.end.link)
    }

    fn os(&self, operation: &'static str, error: impl Into<std::io::Error>) -> RecvError {
        OsError::new(operation, &self.end.link, error).into()
    }

    /// One look at the link: `None` where it is empty.
    fn try_receive(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, RecvError> {
        if self.end.has(Fault::ForgetsTheLegacy) {
            let mut fds = [PollFd::new(&self.end.socket, PollFlags::empty())];
            if poll::poll_until(&mut fds, Deadline::Now).map_err(|e| self.os("poll", e))? > 0 {
                return Err(self.gone());
            }
        }
        let header_len = usize::from(!self.end.has(Fault::TakesEmptyForTheEnd));
        let needed = match self.receive(&mut [], RecvFlags::PEEK | RecvFlags::TRUNC) {
            Ok(0) if self.end.has(Fault::TakesTheEndForEmptiness) => return Ok(None),
            Ok(0) if self.end.has(Fault::TellsOfTheEndOnce) && self.told_of_the_end => {
                return Ok(None);
            }
            Ok(0) => {
                self.told_of_the_end = true;
                return Err(self.gone());
            }
            Ok(len) => len - header_len,
            Err(Errno::AGAIN) => return Ok(None),
            Err(errno) => return Err(self.os("recvmsg", errno)),
        };
        let len = buffer.len();
        if needed > len {
            if self.end.has(Fault::DropsWhatDoesNotFit) {
                let _ = self.receive(buffer, RecvFlags::empty());
            }
            let lie = usize::from(self.end.has(Fault::UnderstatesTheNeededLength));
            return Err(RecvError::buffer_too_small(needed - lie, len, &self.end.link));
        }
        self.receive(buffer, RecvFlags::empty()).map_err(|errno| self.os("recvmsg", errno))?;
        Ok(Some(needed))
    }
}

impl Receiver for ReferenceReceiver {
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        if self.end.has(Fault::RefusesPastDeadlines)
            && deadline.remaining() == Some(Duration::ZERO)
            && deadline != Deadline::Now
        {
            return Err(RecvError::TimedOut);
        }
        loop {
            if let Some(mut len) = self.try_receive(buffer)? {
                if self.end.has(Fault::MergesWaitingMessages) {
                    while let Ok(Some(more)) = self.try_receive(&mut buffer[len..]) {
                        len += more;
                    }
                }
                let mut received = Received::of_len(len);
                if self.end.has(Fault::NamesAnotherSender) {
                    received.sender = Some(PeerId::Process(ProcessPeer {
                        pid: std::num::NonZeroU32::new(self.end.peer_pid + 1),
                        uid: rustix::process::getuid().as_raw(),
                        gid: None,
                        evidence: Evidence::Claimed,
                    }));
                }
                return Ok(received);
            }
            if self.end.has(Fault::TakesTheEndForEmptiness)
                || (self.told_of_the_end && self.end.has(Fault::TellsOfTheEndOnce))
            {
                let mut fds = [PollFd::new(&self.end.socket, PollFlags::empty())];
                if poll::poll_until(&mut fds, Deadline::Now).is_ok_and(|ready| ready > 0) {
                    return Err(RecvError::no_message(deadline));
                }
            }
            match self.end.wait(Interest::Readable, deadline) {
                Ok(Waited::Ready) => {}
                Ok(Waited::Stopped) => return Err(self.gone()),
                Ok(Waited::TimedOut) if self.end.has(Fault::CallsEmptyTimedOut) => {
                    return Err(RecvError::TimedOut);
                }
                Ok(Waited::TimedOut) => return Err(RecvError::no_message(deadline)),
                Err(error) => return Err(self.os("poll", error)),
            }
        }
    }

    fn properties(&self) -> LinkProperties {
        let mut properties = self.end.kind.properties();
        if self.end.has(Fault::DescribesItsEndsDifferently) {
            properties.death_notice = DeathNotice::Sender;
        }
        properties
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.end)
    }
}
