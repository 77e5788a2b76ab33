//! What names an object in a heap, in whatever process and at whatever address, and the word in shared
//! memory that holds such a name. Leaves out how it is found: [`super::memory`].

// Takes a word in mapped memory for a link.
#![allow(unsafe_code)]

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use ipc_core::sync::{AtomicU64, Ordering};

/// Names an object in a [`Heap`](super::Heap), in every process that has attached to it.
///
/// It is no address, but the number of a block and a count of how often the block has changed hands, and is
/// checked at each use: one whose object is gone is [`HeapError::Stale`](super::HeapError::Stale), even
/// if another object lies there now (the count has 32 bits). So is one of another heap: the counts begin at
/// a number that each heap draws by lot.
///
/// A word like any other: it may be sent, or stored as [`to_bits`](Self::to_bits).
pub struct Handle<T: ?Sized> {
    bits: u64,
    /// It has no `T`, and gives none without a heap.
    object: PhantomData<fn() -> *const T>,
}

impl<T: ?Sized> Handle<T> {
    /// `block` is below `u32::MAX`.
    pub(super) fn new(block: u32, period: u32) -> Self {
        Self::of_bits(u64::from(period) << 32 | (u64::from(block) + 1))
    }

    fn of_bits(bits: u64) -> Self {
        Self { bits, object: PhantomData }
    }

    /// The handle that was stored as these bits; any that are not 0 make one, and using it tells whether it
    /// is good for anything.
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then(|| Self::of_bits(bits))
    }

    /// The handle as a word, never 0.
    pub fn to_bits(self) -> u64 {
        self.bits
    }

    /// The block, if there is one so far on.
    pub(super) fn block(self) -> Option<u32> {
        (self.bits as u32).checked_sub(1)
    }

    /// During which of the block's periods.
    pub(super) fn period(self) -> u32 {
        (self.bits >> 32) as u32
    }

    pub(super) fn cast<U: ?Sized>(self) -> Handle<U> {
        Handle::of_bits(self.bits)
    }
}

impl<T: ?Sized> Clone for Handle<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: ?Sized> Copy for Handle<T> {}

impl<T: ?Sized> PartialEq for Handle<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T: ?Sized> Eq for Handle<T> {}

impl<T: ?Sized> Hash for Handle<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<T: ?Sized> fmt::Debug for Handle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({:#x})", self.bits)
    }
}

/// Where an object in shared memory refers to another one of the same [`Heap`](super::Heap), which it owns:
/// the offset pointer of a linked structure. Zeroed memory is a link to nothing.
///
/// An object hangs in one link at a time: [`Owned::publish`](super::Owned::publish) puts it there,
/// [`Heap::take`](super::Heap::take) takes it out. What hangs in a link whose own object is gone goes
/// with the next [`Heap::recover`](super::Heap::recover).
#[repr(transparent)]
pub struct Link<T: ?Sized> {
    word: AtomicU64,
    object: PhantomData<fn() -> *const T>,
}

impl<T: ?Sized> Link<T> {
    /// A link to nothing.
    pub fn new() -> Self {
        Self { word: AtomicU64::new(0), object: PhantomData }
    }

    /// What hangs here. It may be stale on return.
    pub fn load(&self) -> Option<Handle<T>> {
        // Acquire pairs with the Release in `attach`: the object's bytes are there with its handle.
        Handle::from_bits(self.word.load(Ordering::Acquire))
    }

    pub(super) fn word(&self) -> &AtomicU64 {
        &self.word
    }

    /// The link that is this word.
    pub(super) fn of_word(word: &AtomicU64) -> &Self {
        let word: *const AtomicU64 = word;
        // SAFETY: a link is a transparent wrapper of the word, and lives as long.
        unsafe { &*word.cast() }
    }
}

impl<T: ?Sized> Default for Link<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: ?Sized> fmt::Debug for Link<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Link").field(&self.load()).finish()
    }
}

// SAFETY: one atomic word; any bits are a value, checked where it is used. Its identity leaves out that of
// `T`, which may have links to itself.
unsafe impl<T: ?Sized + 'static> crate::Shared for Link<T> {
    const IDENTITY: ipc_core::TypeIdentity =
        ipc_core::TypeIdentity::of_struct("ipc.Link/1", size_of::<Self>(), align_of::<Self>(), &[]);
}
