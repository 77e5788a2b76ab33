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

/// A [`Plain`] type that two programs, built apart, know to be the same one.
///
/// ```
/// use ipc_core::{Identified, TypeIdentity};
/// use zerocopy::{FromBytes, Immutable, IntoBytes};
///
/// #[derive(FromBytes, IntoBytes, Immutable)]
/// #[repr(C)]
/// struct Reading {
///     sensor: u32,
///     value: f32,
/// }
///
/// impl Identified for Reading {
///     const NAME: &'static str = "weather.Reading/1";
/// }
///
/// assert_eq!(TypeIdentity::of::<Reading>().size_bytes, 8);
/// assert_ne!(TypeIdentity::of::<Reading>(), TypeIdentity::of::<[f32; 2]>());
/// ```
pub trait Identified: Plain + Sized {
    /// Its name among all programs that may share values of it. Put a version in, and change it whenever
    /// the bytes come to mean something else: size and alignment are compared too, the fields are not.
    const NAME: &'static str;
}

/// Names the numbers by their own names.
macro_rules! identified {
    ($($number:ident)*) => {
        $(impl Identified for $number { const NAME: &'static str = stringify!($number); })*
    };
}

identified! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 }

/// Nothing: messages of no bytes.
impl Identified for () {
    const NAME: &'static str = "()";
}

/// Told from their elements by the size.
impl<T: Identified, const N: usize> Identified for [T; N] {
    const NAME: &'static str = T::NAME;
}

/// What programs compare before one takes the other's bytes for a value: the same wherever and by
/// whatever compiler it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeIdentity {
    /// Size of the type in bytes.
    pub size_bytes: u64,
    /// A hash (FNV-1a) of its name, its size and its alignment, and of the fields if they were given
    /// ([`of_struct`](Self::of_struct)).
    pub hash: u64,
}

impl TypeIdentity {
    /// That of `T`.
    pub const fn of<T: Identified>() -> Self {
        let (size_bytes, align_bytes) = (size_of::<T>() as u64, align_of::<T>() as u64);
        let hash = fnv_1a(0xcbf2_9ce4_8422_2325, T::NAME.as_bytes());
        let hash = fnv_1a(hash, &size_bytes.to_le_bytes());
        Self { size_bytes, hash: fnv_1a(hash, &align_bytes.to_le_bytes()) }
    }

    /// That of a struct with C's layout, from its name, its size and alignment in bytes, and the name,
    /// offset in bytes and identity of each field.
    pub const fn of_struct(
        name: &str,
        size_bytes: usize,
        align_bytes: usize,
        fields: &[(&str, usize, TypeIdentity)],
    ) -> Self {
        let hash = fnv_1a(0xcbf2_9ce4_8422_2325, name.as_bytes());
        let hash = fnv_1a(hash, &(size_bytes as u64).to_le_bytes());
        let mut hash = fnv_1a(hash, &(align_bytes as u64).to_le_bytes());
        let mut index = 0;
        while index < fields.len() {
            let (name, offset, identity) = fields[index];
            hash = fnv_1a(hash, name.as_bytes());
            hash = fnv_1a(hash, &(offset as u64).to_le_bytes());
            hash = fnv_1a(hash, &identity.hash.to_le_bytes());
            index += 1;
        }
        Self { size_bytes: size_bytes as u64, hash }
    }
}

const fn fnv_1a(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut index = 0;
    while index < bytes.len() {
        hash = (hash ^ bytes[index] as u64).wrapping_mul(0x100_0000_01b3);
        index += 1;
    }
    hash
}

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
            Err(RecvError::violation("message shorter than the type", &link))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_same_in_every_build() {
        // Written down, not computed: other programs, built long ago, have it too.
        let identity = TypeIdentity { size_bytes: 8, hash: 0xaf4c_548b_cc96_4472 };
        assert_eq!(TypeIdentity::of::<u64>(), identity);
    }

    #[test]
    fn types_of_another_name_size_or_alignment_are_others() {
        let identities = [
            TypeIdentity::of::<()>(),
            TypeIdentity::of::<u64>(),
            TypeIdentity::of::<i64>(),
            TypeIdentity::of::<[u64; 2]>(),
            TypeIdentity::of::<[u32; 2]>(),
            TypeIdentity::of::<[u8; 8]>(),
        ];
        for (index, one) in identities.iter().enumerate() {
            assert!(!identities[index + 1..].contains(one), "{one:?}");
        }
    }
}
