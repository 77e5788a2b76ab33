//! Which types may lie in memory that several processes use at once, and how two programs know that
//! they mean the same one. Leaves out where the memory comes from.

// Declares an unsafe trait, and asserts it for the building blocks.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64};

use ipc_core::TypeIdentity;

/// Types that several processes may use at once through `&Self`, in the same memory, at different
/// addresses. Atomics, this crate's locks, cells and containers, arrays of them, and structs of them made
/// by [`shared!`](crate::shared).
///
/// # Safety
///
/// - The layout is the same for every compiler that this crate supports: `repr(C)` or `repr(transparent)`,
///   fixed-width fields.
/// - **Any bytes are a value**, and stay one whatever other processes write meanwhile: everything that
///   another process may write is an atomic, or is copied out by atomic or volatile-like accesses and
///   checked. No safe method is unsound because of what is in the memory.
/// - Nothing in it means something in one process only: no pointers, references, descriptors.
/// - Bytes of zero are a useful value (a lock nobody holds, an empty container), or else say so in the docs.
/// - It need not be dropped: processes die without dropping.
/// - [`IDENTITY`](Self::IDENTITY) changes with the layout or the meaning.
pub unsafe trait Shared: Sized + Sync + 'static {
    /// What programs compare before they use a value together: made of names and of the layout, the same
    /// wherever and by whatever compiler it is computed.
    const IDENTITY: TypeIdentity;
}

/// Declares a struct that may lie in shared memory: its fields are [`Shared`] types, its layout is C's,
/// and its identity is made of its name, its fields' names, offsets and identities.
///
/// The text after the struct's name is its name among all programs that may share it. Put a version in,
/// and change it whenever the fields come to mean something else.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// ipc_shm::shared! {
///     /// What a weather station shows.
///     pub struct Station("weather.Station/1") {
///         /// Readings taken.
///         pub readings: AtomicU64,
///         /// Readings of each sensor.
///         pub by_sensor: [AtomicU64; 4],
///     }
/// }
///
/// let station = Station { readings: AtomicU64::new(0), by_sensor: Default::default() };
/// station.readings.fetch_add(1, Ordering::Relaxed);
/// ```
///
/// A field of another type does not compile:
///
/// ```compile_fail
/// ipc_shm::shared! {
///     struct Wrong("wrong/1") {
///         readings: u64, // another process may write it at any moment
///     }
/// }
/// ```
#[macro_export]
macro_rules! shared {
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident($identity:literal) {
            $($(#[$field_attribute:meta])* $field_visibility:vis $field:ident: $type:ty),+ $(,)?
        }
    ) => {
        $(#[$attribute])*
        #[repr(C)]
        $visibility struct $name {
            $($(#[$field_attribute])* $field_visibility $field: $type),+
        }

        // SAFETY: C's layout; every field is `Shared`, as `IDENTITY` makes the compiler check, and the
        // identity is made of theirs.
        #[allow(unsafe_code)]
        unsafe impl $crate::Shared for $name {
            const IDENTITY: $crate::TypeIdentity = $crate::TypeIdentity::of_struct(
                $identity,
                ::core::mem::size_of::<Self>(),
                ::core::mem::align_of::<Self>(),
                &[$((
                    stringify!($field),
                    ::core::mem::offset_of!(Self, $field),
                    <$type as $crate::Shared>::IDENTITY,
                )),+],
            );
        }
    };
}

/// Atomics of every width that the targets have: 64 bits and less.
macro_rules! atomics {
    ($($atomic:ident)*) => {
        $(
            // SAFETY: fixed width; any bits are a value; accessed atomically only.
            unsafe impl Shared for $atomic {
                const IDENTITY: TypeIdentity = TypeIdentity::of_struct(
                    stringify!($atomic),
                    size_of::<Self>(),
                    align_of::<Self>(),
                    &[],
                );
            }
        )*
    };
}

atomics! { AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicI32 AtomicI64 }

// SAFETY: an array is its elements.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const IDENTITY: TypeIdentity = TypeIdentity::of_struct(
        "array",
        size_of::<Self>(),
        align_of::<Self>(),
        &[("element", N, T::IDENTITY)],
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    shared! {
        /// Two words.
        struct One("test.One/1") {
            first: AtomicU32,
            second: AtomicU32,
        }
    }

    shared! {
        /// The same words the other way round.
        struct Other("test.One/1") {
            second: AtomicU32,
            first: AtomicU32,
        }
    }

    #[test]
    fn an_identity_changes_with_names_and_layout_and_never_else() {
        assert_ne!(One::IDENTITY, Other::IDENTITY, "the order of the fields");
        assert_ne!(One::IDENTITY, AtomicU64::IDENTITY);
        assert_ne!(<[AtomicU32; 2]>::IDENTITY, <[AtomicU32; 3]>::IDENTITY);
        assert_ne!(<[AtomicU32; 2]>::IDENTITY, <[AtomicI32; 2]>::IDENTITY);
        // A number that other programs have stored: it must never change.
        assert_eq!(One::IDENTITY.hash, 0xf96f_cc7e_677d_d93b);
    }
}
