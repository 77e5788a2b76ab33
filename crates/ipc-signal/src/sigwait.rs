//! The receiving end of a link by `sigtimedwait(2)`: one real-time signal's values.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ipc_core::{
    Armed, Deadline, Interest, LinkProperties, OpenError, OsError, Received, Receiver, RecvError,
    Resource, WaitSource,
};
use rustix::io::Errno;

use crate::claim::Claim;
use crate::properties::{MESSAGE_LEN, limit_of_this_process, link_properties};
use crate::sys::{self, SignalSet};
use crate::{RealtimeSignal, SignalMessage};

/// Receives as a [`SignalReceiver`](crate::SignalReceiver) does, but each receive is one system call,
/// which waits and takes.
///
/// Choose it in a thread that waits for this alone: it takes one signal a call where the other takes up
/// to sixteen, so that it wakes sooner and streams slower. It has no descriptor until it is asked for
/// its [`wait_source`](Receiver::wait_source), which then is a signalfd. All else is the same: who must
/// block the signal, what a signal without a value is, what dropping discards.
#[derive(Debug)]
pub struct SigwaitReceiver {
    signal: RealtimeSignal,
    set: SignalSet,
    /// Taken from the kernel, and too long for the buffer that it was taken for.
    held: Option<(SignalMessage, u64)>,
    without_value: u64,
    capacity_messages: u64,
    link: Resource,
    /// A signalfd to wait with, once somebody has asked for it. It is never read.
    doorbell: Option<OwnedFd>,
    _claim: Claim,
}

impl SigwaitReceiver {
    /// Receives `signal`, which every thread of this process must block.
    ///
    /// # Errors
    ///
    /// Those of [`SignalReceiver::open`](crate::SignalReceiver::open).
    pub fn open(signal: RealtimeSignal) -> Result<Self, OpenError> {
        let link = Resource::unnamed(format!("{signal} to process {}", std::process::id()));
        let claim = Claim::of(&[signal.into()], &link)?;
        Ok(Self {
            signal,
            set: SignalSet::of([signal.into()]),
            held: None,
            without_value: 0,
            capacity_messages: limit_of_this_process(),
            link,
            doorbell: None,
            _claim: claim,
        })
    }

    /// The signal that it receives.
    pub fn signal(&self) -> RealtimeSignal {
        self.signal
    }

    /// Receives one signal of any kind, waiting for one until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`], but never [`RecvError::BufferTooSmall`].
    pub fn recv_signal(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        match self.held.take() {
            Some((message, _)) => Ok(message),
            None => self.take(deadline),
        }
    }

    /// How many signals without a value the [`Receiver`] has passed over so far.
    pub fn without_value(&self) -> u64 {
        self.without_value
    }

    fn take(&self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        loop {
            match sys::take(&self.set, deadline.remaining()) {
                Ok(info) => return Ok(SignalMessage::from_info(&info)),
                Err(error) => match Errno::from_io_error(&error) {
                    Some(Errno::AGAIN) if deadline.has_passed() => {
                        return Err(RecvError::no_message(deadline));
                    }
                    Some(Errno::AGAIN | Errno::INTR) => {}
                    _ => return Err(self.os_error(error)),
                },
            }
        }
    }

    fn take_value(&mut self, deadline: Deadline) -> Result<(SignalMessage, u64), RecvError> {
        if let Some(held) = self.held.take() {
            return Ok(held);
        }
        let mut passed_over = 0;
        loop {
            let message = self.take(deadline)?;
            if let Some(value) = message.value {
                return Ok((message, value));
            }
            self.without_value += 1;
            passed_over += 1;
            // So many cannot all have been pending when we began: they come as fast as we read.
            if passed_over > self.capacity_messages && deadline.has_passed() {
                return Err(RecvError::no_message(deadline));
            }
        }
    }

    fn os_error(&self, error: io::Error) -> RecvError {
        OsError::new("sigtimedwait", &self.link, error).into()
    }
}

impl Receiver for SigwaitReceiver {
    /// Receives the eight bytes of one value. The sender is what it claims to be: see
    /// [`SignalMessage::sender`].
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let (message, value) = self.take_value(deadline)?;
        let len = buffer.len();
        let Some(front) = buffer.first_chunk_mut::<MESSAGE_LEN>() else {
            self.held = Some((message, value));
            return Err(RecvError::buffer_too_small(MESSAGE_LEN, len, &self.link));
        };
        *front = value.to_ne_bytes();
        Ok(Received { len: MESSAGE_LEN, sender: message.peer(), priority: 0 })
    }

    /// The capacity is this process's limit as it was when the receiver was opened.
    fn properties(&self) -> LinkProperties {
        link_properties(self.capacity_messages)
    }

    /// `None` if there are no descriptors left.
    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        if self.doorbell.is_none() {
            self.doorbell = sys::signalfd(&self.set).ok();
        }
        match &self.doorbell {
            Some(_) => Some(self),
            None => None,
        }
    }
}

/// As that of [`SignalListener`](crate::SignalListener).
impl WaitSource for SigwaitReceiver {
    fn descriptor(&self) -> (BorrowedFd<'_>, Interest) {
        let doorbell = self.doorbell.as_ref().expect("made by `wait_source`, and never taken");
        (doorbell.as_fd(), Interest::Readable)
    }

    fn arm(&mut self) -> io::Result<Armed> {
        Ok(if self.held.is_some() { Armed::Ready } else { Armed::Waiting })
    }
}

impl Drop for SigwaitReceiver {
    fn drop(&mut self) {
        // No more than the limit can be pending now; a sender that never stops does not hold us.
        for _ in 0..=self.capacity_messages {
            if self.take(Deadline::Now).is_err() {
                break;
            }
        }
    }
}
