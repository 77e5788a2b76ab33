//! A plain value in memory that other processes may write at any moment. Leaves out who may write when:
//! the locks.

// Copies through pointers to memory that other processes write.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use ipc_core::{Identified, TypeIdentity};

use crate::{Shared, copy};

/// A value of a plain type ([`Identified`]) in shared memory, loaded and stored as a whole, for instance
/// in a [`Mutex`](crate::Mutex) or as a field of a [`shared!`](crate::shared) struct under one.
///
/// Every access copies it through relaxed atomic words, so that a process which writes it at the same
/// moment, because it has not taken the lock or because there is none, does no harm beyond the value: some
/// of the words are old then, and others new. Values of at most eight bytes, aligned to their size, are
/// never mixed so.
///
/// ```
/// use ipc_shm::Value;
///
/// let position = Value::new([1.0_f64, 2.0, 3.0]);
/// position.store(&[4.0, 5.0, 6.0]);
/// assert_eq!(position.load(), [4.0, 5.0, 6.0]);
/// ```
#[repr(transparent)]
pub struct Value<T> {
    value: UnsafeCell<T>,
}

// SAFETY: all accesses through `&self` are relaxed atomic copies; a plain type is bytes.
unsafe impl<T: Identified + Send> Sync for Value<T> {}

// SAFETY: a plain type of the same layout; any bytes are a value of it; accessed by atomic copies; no
// pointers, nothing to drop, since zerocopy's traits leave no room for either.
unsafe impl<T: Identified + Send + 'static> Shared for Value<T> {
    const IDENTITY: TypeIdentity = {
        let value = TypeIdentity::of::<T>();
        TypeIdentity::of_struct("Value", size_of::<T>(), align_of::<T>(), &[("value", 0, value)])
    };
}

/// Longer ones are copied as [`copy`] knows best.
const WORDS_MAX_BYTES: usize = 256;

impl<T> Value<T> {
    /// This value.
    pub const fn new(value: T) -> Self {
        Self { value: UnsafeCell::new(value) }
    }

    /// The value, by a pointer: not to be followed while another process may write it.
    pub(crate) fn as_ptr(&self) -> *mut T {
        self.value.get()
    }
}

impl<T: Identified> Value<T> {
    /// Changes a copy, and writes it back, for who holds a lock. If `change` panics, the value stays as it was.
    #[inline]
    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let mut value = self.load();
        let result = change(&mut value);
        self.store(&value);
        result
    }

    /// A copy of the value.
    #[inline]
    pub fn load(&self) -> T {
        let mut value = T::new_zeroed();
        let from = self.value.get();
        if align_of::<T>() % 8 == 0 && size_of::<T>() <= WORDS_MAX_BYTES {
            for (index, word) in value.as_mut_bytes().chunks_exact_mut(8).enumerate() {
                let from = from.cast::<u64>().wrapping_add(index);
                // SAFETY: within the value, whose size is a multiple of its alignment of 8 bytes.
                let from = unsafe { AtomicU64::from_ptr(from) };
                word.copy_from_slice(&from.load(Ordering::Relaxed).to_ne_bytes());
            }
        } else if align_of::<T>() % 4 == 0 && size_of::<T>() <= WORDS_MAX_BYTES {
            for (index, word) in value.as_mut_bytes().chunks_exact_mut(4).enumerate() {
                let from = from.cast::<u32>().wrapping_add(index);
                // SAFETY: within the value, whose size is a multiple of its alignment of 4 bytes.
                let from = unsafe { AtomicU32::from_ptr(from) };
                word.copy_from_slice(&from.load(Ordering::Relaxed).to_ne_bytes());
            }
        } else {
            // SAFETY: the value's own bytes, which live as long as `self` and have no other accesses than
            // these copies.
            unsafe { copy::copy_out(from.cast::<u8>(), value.as_mut_bytes()) };
        }
        value
    }

    /// Overwrites the value.
    #[inline]
    pub fn store(&self, value: &T) {
        let to = self.value.get();
        if align_of::<T>() % 8 == 0 && size_of::<T>() <= WORDS_MAX_BYTES {
            for (index, word) in value.as_bytes().chunks_exact(8).enumerate() {
                let to = to.cast::<u64>().wrapping_add(index);
                // SAFETY: within the value, whose size is a multiple of its alignment of 8 bytes.
                let to = unsafe { AtomicU64::from_ptr(to) };
                let word = u64::from_ne_bytes(word.try_into().expect("eight bytes"));
                to.store(word, Ordering::Relaxed);
            }
        } else if align_of::<T>() % 4 == 0 && size_of::<T>() <= WORDS_MAX_BYTES {
            for (index, word) in value.as_bytes().chunks_exact(4).enumerate() {
                let to = to.cast::<u32>().wrapping_add(index);
                // SAFETY: within the value, whose size is a multiple of its alignment of 4 bytes.
                let to = unsafe { AtomicU32::from_ptr(to) };
                let word = u32::from_ne_bytes(word.try_into().expect("four bytes"));
                to.store(word, Ordering::Relaxed);
            }
        } else {
            // SAFETY: the value's own bytes, which live as long as `self` and have no other accesses than
            // these copies.
            unsafe { copy::copy_in(to.cast::<u8>(), value.as_bytes()) };
        }
    }
}

impl<T: Identified + fmt::Debug> fmt::Debug for Value<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Value").field(&self.load()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_kept<T>(at: fn(u8) -> T)
    where
        T: Identified + PartialEq + fmt::Debug,
    {
        // Neighbours that must stay as they are.
        let values = [at(1), at(2), at(3)].map(Value::new);
        values[1].store(&at(0xa5));
        assert_eq!(values.each_ref().map(Value::load), [at(1), at(0xa5), at(3)]);
    }

    #[test]
    fn values_of_every_width_are_stored_whole_and_nothing_beside_them() {
        assert_kept::<u8>(|byte| byte);
        assert_kept::<[u8; 3]>(|byte| [byte; 3]);
        assert_kept::<[u16; 3]>(|byte| [byte.into(); 3]);
        assert_kept::<[u32; 3]>(|byte| [u32::from(byte) * 0x0101_0203; 3]);
        assert_kept::<f64>(|byte| byte.into());
        assert_kept::<[u64; 3]>(|byte| [u64::from(byte) << 56; 3]);
        assert_kept::<[u128; 2]>(|byte| [u128::from(byte) << 90; 2]);
        assert_kept::<[u8; 300]>(|byte| [byte; 300]);
        assert_kept::<[u64; 40]>(|byte| [byte.into(); 40]);
        assert_kept::<()>(|_| ());
    }
}
