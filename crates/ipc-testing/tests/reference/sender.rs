//! The sending end of a reference link.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use ipc_core::{
    Deadline, Interest, LinkProperties, MessageLength, OsError, SendError, Sender, WaitSource,
};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags};

use super::Fault;
use super::end::{End, Waited};

/// The sending end.
pub(crate) struct ReferenceSender {
    end: End,
    sent: u64,
    held_back: VecDeque<Vec<u8>>,
}

impl ReferenceSender {
    pub(super) fn new(end: End) -> Self {
        Self { end, sent: 0, held_back: VecDeque::new() }
    }

    fn try_send_now(&self, message: &[u8]) -> Result<(), Errno> {
        let mut message = message;
        let cut;
        let header = [0];
        if self.end.has(Fault::CutsLongMessages) && message.len() > 5_000 {
            message = &message[..5_000];
        }
        if self.end.has(Fault::CorruptsAByte) && message.len() >= 8 {
            cut = message.iter().enumerate().map(|(i, b)| if i == 7 { b ^ 1 } else { *b });
            return self.write(&header, &cut.collect::<Vec<_>>());
        }
        self.write(&header, message)
    }

    fn write(&self, header: &[u8], message: &[u8]) -> Result<(), Errno> {
        let header = if self.end.has(Fault::TakesEmptyForTheEnd) { &[] } else { header };
        let parts = [IoSlice::new(header), IoSlice::new(message)];
        let mut nothing = SendAncillaryBuffer::default();
        let flags = SendFlags::NOSIGNAL;
        let sent = rustix::net::sendmsg(&self.end.socket, &parts, &mut nothing, flags);
        if sent == Err(Errno::PIPE) && self.end.has(Fault::RaisesSigpipe) {
            // As a pipe or a stream does it.
            let (this, signal) = (rustix::process::getpid(), rustix::process::Signal::PIPE);
            rustix::process::kill_process(this, signal).expect("a process may signal itself");
        }
        sent.map(|_| ())
    }

    fn gone(&self) -> SendError {
        SendError::peer_gone(&self.end.link)
    }

    fn os(&self, operation: &'static str, error: impl Into<std::io::Error>) -> SendError {
        OsError::new(operation, &self.end.link, error).into()
    }

    fn check_length(&self, len: usize) -> Result<(), SendError> {
        let MessageLength { min, mut max } = self.end.kind.length;
        let link = &self.end.link;
        if self.end.has(Fault::ReportsAWrongMax) {
            max -= 1;
        }
        if len > max {
            return Err(SendError::too_long(len, max, link));
        }
        if len < min && !self.end.has(Fault::TakesShortMessages) {
            return Err(SendError::too_short(len, min, link));
        }
        Ok(())
    }
}

impl Sender for ReferenceSender {
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        self.check_length(message.len())?;
        if self.end.has(Fault::RefusesPastDeadlines)
            && deadline.remaining() == Some(Duration::ZERO)
            && deadline != Deadline::Now
        {
            return Err(SendError::TimedOut);
        }
        self.sent += 1;
        if self.end.has(Fault::LosesEveryHundredth) && self.sent % 100 == 0 {
            return Ok(());
        }
        if self.end.has(Fault::SwapsTwoMessages) && self.sent % 100 == 50 {
            self.held_back.push_back(message.to_vec());
            return Ok(());
        }
        if self.end.has(Fault::RepeatsAMessage) && self.sent % 100 == 50 {
            self.held_back.push_back(message.to_vec());
        }
        loop {
            let result = if self.end.has(Fault::SendsAfterTheTimeOut) {
                let late = self.held_back.front().map_or(Ok(()), |late| self.try_send_now(late));
                if late.is_ok() {
                    self.held_back.pop_front();
                }
                late.and_then(|()| self.try_send_now(message))
            } else {
                self.try_send_now(message)
            };
            match result {
                Ok(()) => break,
                Err(Errno::AGAIN) => {}
                Err(Errno::PIPE | Errno::CONNRESET)
                    if !self.end.has(Fault::DoesNotKnowABrokenPipe) =>
                {
                    return Err(self.gone());
                }
                Err(errno) => return Err(self.os("sendmsg", errno)),
            }
            match self.end.wait(Interest::Writable, deadline) {
                Ok(Waited::Ready) => {}
                Ok(Waited::Stopped) => return Err(self.gone()),
                Ok(Waited::TimedOut) => {
                    if self.end.has(Fault::SendsAfterTheTimeOut) {
                        self.held_back.push_back(message.to_vec());
                    }
                    if self.end.has(Fault::CallsFullTimedOut) {
                        return Err(SendError::TimedOut);
                    }
                    return Err(SendError::no_room(deadline));
                }
                Err(error) => return Err(self.os("poll", error)),
            }
        }
        if !self.end.has(Fault::SendsAfterTheTimeOut) {
            while let Some(late) = self.held_back.pop_front() {
                let _ = self.try_send_now(&late);
            }
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        self.end.kind.properties()
    }

    fn send_priority(
        &mut self,
        message: &[u8],
        _priority: u32,
        deadline: Deadline,
    ) -> Result<(), SendError> {
        if self.end.has(Fault::IgnoresPriorities) {
            return self.send_deadline(message, deadline);
        }
        Err(SendError::unsupported("send with a priority", self.properties().mechanism))
    }

    fn send_synchronous(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        if self.end.has(Fault::AcceptsSynchronousSends) {
            return self.send_deadline(message, deadline);
        }
        Err(SendError::unsupported("send synchronously", self.properties().mechanism))
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(self)
    }
}

impl WaitSource for ReferenceSender {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        if self.end.has(Fault::NeverWakesAWaiter) {
            return (self.end.silence.as_fd(), Interest::Readable);
        }
        (self.end.socket.as_fd(), Interest::Writable)
    }
}
