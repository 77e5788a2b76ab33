//! Messages of one plain-old-data type over an endpoint of bytes.

use std::marker::PhantomData;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{
    Deadline, LinkProperties, OpenError, OpenErrorKind, Receiver, RecvError, Resource, SendError,
    Sender,
};

/// Types whose bytes are their value, checked at compile time: no padding, no pointers, and any bytes
/// are a value. Derive `zerocopy`'s `FromBytes`, `IntoBytes` and `Immutable` to get it.
///
/// Both programs must agree on the type's layout (`#[repr(C)]`, fixed-width fields) and endianness.
pub trait Plain: FromBytes + IntoBytes + Immutable {}
impl<T: FromBytes + IntoBytes + Immutable> Plain for T {}

/// Sends values of `T`, each as one message of `size_of::<T>()` bytes.
///
/// ```
/// use ipc_core::{Deadline, Sender, TypedSender};
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Reading {
///     sensor: u32,
///     value: f32,
/// }
///
/// fn report(link: impl Sender) -> Result<(), Box<dyn std::error::Error>> {
///     let mut readings = TypedSender::<Reading, _>::new(link)?;
///     readings.send_deadline(&Reading { sensor: 7, value: 21.5 }, Deadline::Never)?;
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct TypedSender<T, S> {
    inner: S,
    values: PhantomData<fn(T)>,
}

impl<T: Plain, S: Sender> TypedSender<T, S> {
    /// Checks that the link carries messages of the size of `T`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it does not.
    pub fn new(inner: S) -> Result<Self, OpenError> {
        check_size::<T>(&inner.properties())?;
        Ok(Self { inner, values: PhantomData })
    }

    /// Sends a value, waiting for room until `deadline`. See [`Sender::send_deadline`].
    ///
    /// # Errors
    ///
    /// Those of the endpoint.
    pub fn send_deadline(&mut self, value: &T, deadline: Deadline) -> Result<(), SendError> {
        self.inner.send_deadline(value.as_bytes(), deadline)
    }

    /// Sends a value without waiting for room.
    ///
    /// # Errors
    ///
    /// Those of the endpoint.
    pub fn try_send(&mut self, value: &T) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::Now)
    }

    /// Sends a value, waiting for room as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of the endpoint.
    pub fn send(&mut self, value: &T) -> Result<(), SendError> {
        self.send_deadline(value, Deadline::Never)
    }

    /// The endpoint of bytes.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

/// Receives values of `T`, each from one message of `size_of::<T>()` bytes.
#[derive(Debug)]
pub struct TypedReceiver<T, R> {
    inner: R,
    values: PhantomData<fn() -> T>,
}

impl<T: Plain, R: Receiver> TypedReceiver<T, R> {
    /// Checks that the link carries messages of the size of `T`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] if it does not.
    pub fn new(inner: R) -> Result<Self, OpenError> {
        check_size::<T>(&inner.properties())?;
        Ok(Self { inner, values: PhantomData })
    }

    /// Receives a value, waiting for one until `deadline`. See [`Receiver::recv_deadline`].
    ///
    /// # Errors
    ///
    /// Those of the endpoint; a message longer than `T` is [`RecvError::BufferTooSmall`] and stays,
    /// a shorter one is [`RecvError::Violation`].
    pub fn recv_deadline(&mut self, deadline: Deadline) -> Result<T, RecvError> {
        let mut value = T::new_zeroed();
        let received = self.inner.recv_deadline(value.as_mut_bytes(), deadline)?;
        if received.len == size_of::<T>() {
            Ok(value)
        } else {
            let link = Resource::unnamed(self.inner.properties().mechanism);
            Err(RecvError::Violation { what: "message shorter than the type", link })
        }
    }

    /// Receives a value if there is one.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline).
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::Now)
    }

    /// Receives a value, waiting for one as long as it takes.
    ///
    /// # Errors
    ///
    /// Those of [`recv_deadline`](Self::recv_deadline).
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_deadline(Deadline::Never)
    }

    /// The endpoint of bytes.
    pub fn into_inner(self) -> R {
        self.inner
    }
}

fn check_size<T>(properties: &LinkProperties) -> Result<(), OpenError> {
    let lengths = properties.message_length;
    if (lengths.min..=lengths.max).contains(&size_of::<T>()) {
        return Ok(());
    }
    let requirement = format!(
        "a {} carries messages of {} to {} bytes, {} has {}",
        properties.mechanism,
        lengths.min,
        lengths.max,
        std::any::type_name::<T>(),
        size_of::<T>()
    );
    Err(OpenError::new(
        "type",
        &Resource::unnamed(properties.mechanism),
        OpenErrorKind::InvalidOption { option: "type", requirement },
    ))
}
