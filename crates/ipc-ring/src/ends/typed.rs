//! The ends of a ring of values: thin, so that the compiler knows each message's length. Leaves out how
//! the two sides agree on the type: see `link/typed.rs`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use ipc_core::{
    Deadline, Identified, LinkProperties, Liveness, MessageLength, OsError, ProcessPeer, Receiver,
    RecvError, SendError, Sender, WaitSource,
};
use zerocopy::IntoBytes;

use super::{RingReceiver, RingSender};

/// The sending end of a ring of values of `T`. See [`TypedLink`](crate::TypedLink).
///
/// Its methods are those of [`RingSender`], with a value in place of bytes.
pub struct TypedRingSender<T> {
    ring: RingSender,
    values: PhantomData<fn(T)>,
}

impl<T: Identified> TypedRingSender<T> {
    /// The ring must have been made for values of `T`, by the word of both sides.
    pub(crate) fn new(ring: RingSender) -> Self {
        Self { ring, values: PhantomData }
    }

    /// Sends a value, waiting for room until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Sender::send_deadline`], but never [`SendError::TooLong`]: this holds for all methods.
    #[inline]
    pub fn send_deadline(&mut self, value: &T, deadline: Deadline) -> Result<(), SendError> {
        self.ring.sending.send(value.as_bytes(), deadline)
    }

    /// Sends a value without waiting: [`SendError::Full`] where there is no room.
    ///
    /// # Errors
    ///
    /// Those of [`send_deadline`](Self::send_deadline).
    #[inline]
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::Now)
    }

    /// Sends a value, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`send_deadline`](Self::send_deadline).
    #[inline]
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::Never)
    }

    /// Sends a value, waiting for room at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`send_deadline`](Self::send_deadline).
    #[inline]
    pub fn send_timeout(&mut self, value: &T, timeout: Duration) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::after(timeout))
    }

    /// Sends, and returns once the receiver has taken the value. See [`Sender::send_synchronous`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn send_synchronous(&mut self, value: &T, deadline: Deadline) -> Result<(), SendError> {
        self.ring.send_synchronous(value.as_bytes(), deadline)
    }

    /// Sends as many of `values` as there is room for, and makes them visible together. See
    /// [`RingSender::send_batch`].
    ///
    /// # Errors
    ///
    /// As there.
    #[inline]
    pub fn send_batch(&mut self, values: &[T], deadline: Deadline) -> Result<usize, SendError> {
        self.ring.sending.send_batch(values.iter().map(IntoBytes::as_bytes), deadline)
    }

    /// See [`Sender::properties`]. Messages have one length, that of `T`.
    pub fn properties(&self) -> LinkProperties {
        fixed::<T>(self.ring.properties())
    }

    /// How to wait for room together with other links. See [`Sender::wait_source`].
    pub fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.ring.wait_source()
    }

    /// The process at the other end. See [`Link::peer`](crate::Link::peer).
    pub fn peer(&self) -> ProcessPeer {
        self.ring.peer()
    }

    /// A watch on the process at the other end. See [`RingSender::peer_liveness`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_liveness(&self) -> Result<Liveness, OsError> {
        self.ring.peer_liveness()
    }

    /// See [`RingSender::has_asymmetric_fences`].
    pub fn has_asymmetric_fences(&self) -> bool {
        self.ring.has_asymmetric_fences()
    }
}

/// The receiving end of a ring of values of `T`. See [`TypedLink`](crate::TypedLink).
///
/// Its methods are those of [`RingReceiver`], with a value in place of bytes.
pub struct TypedRingReceiver<T> {
    ring: RingReceiver,
    values: PhantomData<fn() -> T>,
}

impl<T: Identified> TypedRingReceiver<T> {
    /// The ring must have been made for values of `T`, by the word of both sides.
    pub(crate) fn new(ring: RingReceiver) -> Self {
        Self { ring, values: PhantomData }
    }

    /// Receives a value, waiting for one until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of [`Receiver::recv_deadline`], but never [`RecvError::BufferTooSmall`]: this holds for all
    /// methods. A message of another length, which no honest peer sends, is [`RecvError::Violation`].
    #[inline]
    pub fn recv_deadline(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        let mut value = T::new_zeroed();
        self.ring.receiving.recv_exactly(value.as_mut_bytes(), deadline)?;
        Ok(value)
    }

    /// Receives a value if there is one: [`RecvError::Empty`] where there is none.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::Now)
    }

    /// Receives a value, waiting for one as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::Never)
    }

    /// Receives a value, waiting for one at most `timeout`.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline).
    #[inline]
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::after(timeout))
    }

    /// Receives several values at once into the front of `values`: waits until `deadline` for the first,
    /// and takes what else is there, as far as there is room. Returns how many: at least one, unless
    /// there is room for none.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline) for the first value. What goes wrong after it
    /// ends the batch, and is the next call's error.
    #[inline]
    pub fn recv_batch(&mut self, values: &mut [T], deadline: Deadline) -> Result<usize, RecvError> {
        let places = values.iter_mut().map(IntoBytes::as_mut_bytes);
        self.ring.receiving.recv_exactly_batch(places, deadline)
    }

    /// See [`Receiver::properties`]. Messages have one length, that of `T`.
    pub fn properties(&self) -> LinkProperties {
        fixed::<T>(self.ring.properties())
    }

    /// How to wait for a value together with other links. See [`Receiver::wait_source`].
    pub fn wait_source(&mut self) -> Option<&mut dyn WaitSource> {
        self.ring.wait_source()
    }

    /// The process at the other end. See [`Link::peer`](crate::Link::peer).
    pub fn peer(&self) -> ProcessPeer {
        self.ring.peer()
    }

    /// A watch on the process at the other end. See [`RingSender::peer_liveness`].
    ///
    /// # Errors
    ///
    /// As there.
    pub fn peer_liveness(&self) -> Result<Liveness, OsError> {
        self.ring.peer_liveness()
    }

    /// See [`RingReceiver::has_asymmetric_fences`].
    pub fn has_asymmetric_fences(&self) -> bool {
        self.ring.has_asymmetric_fences()
    }
}

fn fixed<T>(properties: LinkProperties) -> LinkProperties {
    LinkProperties { message_length: MessageLength::fixed(size_of::<T>()), ..properties }
}

impl<T> fmt::Debug for TypedRingSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRingSender").field(&self.ring).finish()
    }
}

impl<T> fmt::Debug for TypedRingReceiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedRingReceiver").field(&self.ring).finish()
    }
}
