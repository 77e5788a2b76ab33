//! The receiving end of a link: one real-time signal's values, from a signalfd. Leaves out
//! `sigtimedwait(2)` ([`crate::SigwaitReceiver`]) and other signals ([`crate::SignalListener`]).

use ipc_core::{Deadline, LinkProperties, OpenError, Received, Receiver, RecvError, WaitSource};

use crate::properties::{MESSAGE_LEN, link_properties};
use crate::{RealtimeSignal, SignalListener, SignalMessage};

/// Receives the values that any process queues to this one with one real-time signal.
///
/// # Every thread must block the signal
///
/// A signal sent to a process goes to any thread that does not block it, and there it kills the
/// process, unless there is a handler. So [`open`](Self::open) refuses as long as any thread leaves
/// the signal unblocked: block it with a [`MaskGuard`](crate::MaskGuard) at the beginning of `main`,
/// from where all threads inherit the mask. The check sees the threads as they are at that moment; a
/// thread that unblocks the signal later undoes it. With musl instead of glibc it may also overlook a
/// thread that is just starting another.
///
/// # Whose messages
///
/// The endpoint may be used in any thread, and gets signals that were sent to the **process**. One
/// that was directed at a single thread (`tgkill(2)`, `pthread_sigqueue(3)`) comes only when that
/// very thread receives. A process that is forked without `exec` inherits the descriptor, and reads
/// its *own* signals from it.
///
/// A process has one receiver per signal, since two would share the messages between them: a second
/// is [`OpenErrorKind::InUse`](ipc_core::OpenErrorKind::InUse).
///
/// # Signals without a value
///
/// Whoever may signal this process may also send the same signal by `kill(2)`, which carries no
/// value. That is no message of this link, and no eight bytes can stand for it: zeros would be a
/// message that nobody sent, and an error would let any such process poison the link. So the
/// [`Receiver`] passes over it and counts it ([`without_value`](Self::without_value)).
/// [`recv_signal`](Self::recv_signal) reports it like any other.
///
/// # Dropping
///
/// A signal that is still pending when the mask is restored would be delivered, and kill the
/// process. So dropping the receiver **discards** what is pending; a guard that was declared before
/// it restores the mask after that. Senders should have stopped by then.
///
/// What was sent before the receiver was opened is not lost, if the signal was blocked at the time.
///
/// # Whose word
///
/// The process and user id that come with a value are what the sender **claims**
/// ([`Evidence::Claimed`](ipc_core::Evidence)); so is an expiry of a timer. What is sure is that the
/// sender was allowed to signal this process: it is of the same user, or privileged. Where more matters,
/// use what the kernel fills in itself: a signal without a value ([`Evidence::Kernel`](ipc_core::Evidence)),
/// a [`TimerDescriptor`](crate::TimerDescriptor), the status of a child
/// ([`ChildListener`](crate::ChildListener) believes no `SIGCHLD`), a socket's credentials.
///
/// See `signalfd(2)`.
#[derive(Debug)]
pub struct SignalReceiver {
    signal: RealtimeSignal,
    listener: SignalListener,
    without_value: u64,
}

impl SignalReceiver {
    /// Receives `signal`, which every thread of this process must block. May wait ten seconds
    /// for threads that are just starting others.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`](ipc_core::OpenErrorKind::InvalidOption) naming the first thread
    /// that does not block it; [`OpenErrorKind::InUse`](ipc_core::OpenErrorKind::InUse) if this process
    /// has a receiver for it already; [`OpenErrorKind::Limit`](ipc_core::OpenErrorKind::Limit) if there
    /// are no descriptors left; others if `/proc` is not mounted.
    pub fn open(signal: RealtimeSignal) -> Result<Self, OpenError> {
        Ok(Self { signal, listener: SignalListener::open([signal])?, without_value: 0 })
    }

    /// The signal that it receives.
    pub fn signal(&self) -> RealtimeSignal {
        self.signal
    }

    /// Receives one signal of any kind, waiting for one until `deadline`: its value if it has one,
    /// how it came about, and who sent it.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`], but never [`RecvError::BufferTooSmall`].
    pub fn recv_signal(&mut self, deadline: Deadline) -> Result<SignalMessage, RecvError> {
        self.listener.recv_signal(deadline)
    }

    /// How many signals without a value the [`Receiver`] has passed over so far.
    pub fn without_value(&self) -> u64 {
        self.without_value
    }

    /// The next signal that has a value, which stays, and the value.
    fn front_with_value(&mut self, deadline: Deadline) -> Result<(SignalMessage, u64), RecvError> {
        let mut passed_over = 0;
        loop {
            let message = self.listener.front(deadline)?;
            if let Some(value) = message.value {
                return Ok((message, value));
            }
            self.listener.consume();
            self.without_value += 1;
            passed_over += 1;
            // So many cannot all have been pending when we began: they come as fast as we read.
            if passed_over > self.listener.capacity_messages() && deadline.has_passed() {
                return Err(RecvError::no_message(deadline));
            }
        }
    }
}

impl Receiver for SignalReceiver {
    /// Receives the eight bytes of one value. The sender is what it claims to be: see
    /// [`SignalMessage::sender`].
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let (message, value) = self.front_with_value(deadline)?;
        let len = buffer.len();
        let Some(front) = buffer.first_chunk_mut::<MESSAGE_LEN>() else {
            return Err(RecvError::buffer_too_small(MESSAGE_LEN, len, self.listener.link()));
        };
        *front = value.to_ne_bytes();
        self.listener.consume();
        Ok(Received { len: MESSAGE_LEN, sender: message.peer(), priority: 0 })
    }

    /// The capacity is this process's limit as it was when the receiver was opened.
    fn properties(&self) -> LinkProperties {
        link_properties(self.listener.capacity_messages())
    }

    fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        Some(&mut self.listener)
    }
}
