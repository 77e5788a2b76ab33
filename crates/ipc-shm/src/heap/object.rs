//! Objects in a heap: which types they have, and the one that a process owns. Leaves out how a block is
//! found for it.

// Makes references to objects from pointers into mapped memory.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::Deref;
use std::ptr;

use super::blocks::{Refused, State};
use super::{Handle, Heap, HeapError, Link};
use crate::Shared;

/// What may be an object of a [`Heap`]: a [`Shared`] type, or a slice of one.
///
/// A slice has as many elements as fit in its block: at least those that were asked for.
pub trait Object: placed::Placed {}
impl<T: Shared> Object for T {}
impl<T: Shared> Object for [T] {}

pub(super) mod placed {
    use super::{Shared, ptr};

    /// Sealed: what an object is in the bytes of a block.
    ///
    /// # Safety
    ///
    /// [`at`](Self::at) gives a pointer to no more than the bytes of the block, aligned, to a type that is
    /// `Shared` or a slice of such.
    pub unsafe trait Placed {
        /// The object in the `len` bytes from `start` on, if it fits there.
        fn at(start: *mut u8, len: usize) -> Option<*const Self>;
    }

    // SAFETY: checks size and alignment.
    unsafe impl<T: Shared> Placed for T {
        fn at(start: *mut u8, len: usize) -> Option<*const Self> {
            let object = start.cast_const().cast::<T>();
            (size_of::<T>() <= len && object.is_aligned()).then_some(object)
        }
    }

    // SAFETY: as many elements as there are bytes for, aligned.
    unsafe impl<T: Shared> Placed for [T] {
        fn at(start: *mut u8, len: usize) -> Option<*const Self> {
            let first = start.cast_const().cast::<T>();
            let elements = len.checked_div(size_of::<T>()).unwrap_or(0);
            first.is_aligned().then(|| ptr::slice_from_raw_parts(first, elements))
        }
    }
}

/// An object that this process owns: nobody else has its handle, unless it was given away. Dropping it frees
/// it, and so does this process's death, with the next [`Heap::recover`].
///
/// To outlive this process it must hang in a link of another object
/// ([`publish`](Self::publish)), or have a name ([`Names`](super::Names)).
pub struct Owned<'h, T: Object + ?Sized> {
    heap: &'h Heap,
    handle: Handle<T>,
    state: State,
}

impl<'h, T: Object + ?Sized> Owned<'h, T> {
    /// A block of which this process's heap has counted one more.
    pub(super) fn new(heap: &'h Heap, handle: Handle<T>, state: State) -> Self {
        Self { heap, handle, state }
    }

    /// Its handle. It is good only in this process until the object is published.
    pub fn handle(&self) -> Handle<T> {
        self.handle
    }

    /// Hangs it in a link of another object of this heap, for all to find. From then on it belongs to that
    /// link, and lives until it is [taken](Heap::take) from it, or is recovered after the link is gone.
    ///
    /// What this process did to the object before is visible to whoever loads its handle from the link.
    /// Killed anywhere in here, it has hung the object there whole, or the link is empty after the next
    /// [`Heap::recover`].
    ///
    /// # Errors
    ///
    /// With the object: [`HeapError::Occupied`] if something hangs there, which may be what a process had
    /// almost hung there that was killed; [`HeapError::NotInHeap`].
    pub fn publish(self, link: &Link<T>) -> Result<Handle<T>, (Self, HeapError)> {
        match self.heap.memory.offset_of_link(link.word(), self.handle.cast()) {
            Some(home) => self.publish_at(home, link),
            None => Err((self, HeapError::NotInHeap)),
        }
    }

    /// As [`publish`](Self::publish), in a link whose offset is known.
    pub(super) fn publish_at(
        self,
        home: u64,
        link: &Link<T>,
    ) -> Result<Handle<T>, (Self, HeapError)> {
        let handle = self.handle;
        let Some((pool, index)) = self.heap.memory.block(handle.cast()) else {
            return Err((self, HeapError::Stale));
        };
        match pool.entries[index].keep(self.state, home, link.word(), handle.to_bits()) {
            Ok(()) => {
                self.heap.memory.forget_held();
                std::mem::forget(self);
                Ok(handle)
            }
            Err(Refused::Occupied) => Err((self, HeapError::Occupied)),
            Err(Refused::NotHeld) => {
                Err((self, HeapError::Corrupt("a block that is this process's is another's")))
            }
        }
    }
}

impl<T: Object + ?Sized> Deref for Owned<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        let (start, len) =
            self.heap.memory.bytes_of(self.handle.cast()).expect("as when it was made");
        let object = T::at(start, len).expect("as when it was made");
        // SAFETY: in bounds of the mapping and aligned, as `at` promises, mapped as long as the heap that
        // is borrowed; the type is `Shared`, so whatever other processes write, it is a value.
        unsafe { &*object }
    }
}

impl<T: Object + ?Sized> Drop for Owned<'_, T> {
    fn drop(&mut self) {
        if let Some((pool, index)) = self.heap.memory.block(self.handle.cast()) {
            // A failure is a peer's garbage. Then the block is whose that says.
            pool.free(index, self.state);
        }
        self.heap.memory.forget_held();
    }
}

impl<T: Object + ?Sized> fmt::Debug for Owned<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owned").field("handle", &self.handle).finish_non_exhaustive()
    }
}
