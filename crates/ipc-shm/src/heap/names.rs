//! Objects that are found by name. Leaves out how they come to be.

use std::fmt;

use ipc_core::sync::{AtomicU64, Ordering};
use ipc_core::{Deadline, Name, TypeIdentity};

use super::{Handle, Heap, HeapError, Link};
use crate::Shared;

/// The named objects of a [`Heap`]. See [`Heap::names`].
///
/// A name is there with its whole, initialised object, or not at all. Which type it has is compared with the
/// type asked for, by [identity](Shared::IDENTITY).
#[derive(Clone, Copy)]
pub struct Names<'h> {
    heap: &'h Heap,
    deadline: Deadline,
}

/// Which word of a name's entry is what: the link to the object; size in bytes and hash of its type's
/// identity; length of the name in bytes; the name.
const LINK: usize = 0;
const SIZE: usize = 1;
const HASH: usize = 2;
const LEN: usize = 3;
const TEXT: usize = 4;
const _: () = assert!(TEXT * 8 + Name::MAX_LEN == super::shape::NAME_LEN);

impl<'h> Names<'h> {
    pub(super) fn new(heap: &'h Heap, deadline: Deadline) -> Self {
        Self { heap, deadline }
    }

    /// Makes an object of zeros, lets `initialise` make something of it, and gives it a name that is free.
    /// Killed anywhere in here, this process has made all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`HeapError::AlreadyExists`], [`HeapError::NoNameLeft`], [`HeapError::TimedOut`], and those of
    /// [`Heap::allocate`].
    pub fn create_new<T: Shared>(
        &self,
        name: &Name,
        initialise: impl FnOnce(&T),
    ) -> Result<&'h T, HeapError> {
        let memory = &*self.heap.memory;
        // All of that without the lock. It decides.
        let object = self.heap.allocate::<T>()?;
        initialise(&object);
        let _lock = memory.lock(self.deadline)?;
        if self.find(name).is_some() {
            return Err(HeapError::AlreadyExists);
        }
        let (home, words) =
            self.free_entry().ok_or(HeapError::NoNameLeft { names: memory.names() })?;
        let text = name.as_str().as_bytes();
        let mut bytes = [0; Name::MAX_LEN];
        bytes[..text.len()].copy_from_slice(text);
        // Relaxed: the lock orders them, and the link publishes them.
        for (word, chunk) in words[TEXT..].iter().zip(bytes.chunks_exact(8)) {
            let chunk = chunk.try_into().expect("chunks of a word");
            word.store(u64::from_ne_bytes(chunk), Ordering::Relaxed);
        }
        words[LEN].store(text.len() as u64, Ordering::Relaxed);
        words[SIZE].store(T::IDENTITY.size_bytes, Ordering::Relaxed);
        words[HASH].store(T::IDENTITY.hash, Ordering::Relaxed);
        let handle = object
            .publish_at(home, Link::of_word(&words[LINK]))
            .map_err(|(_object, error)| error)?;
        self.heap.get(handle)
    }

    /// The object of that name.
    ///
    /// # Errors
    ///
    /// [`HeapError::NotFound`]; [`HeapError::Mismatch`] if it is not a `T`; [`HeapError::TimedOut`].
    pub fn open<T: Shared>(&self, name: &Name) -> Result<&'h T, HeapError> {
        self.heap.get(self.handle::<T>(name)?)
    }

    /// The object of that name, or a new one as [`create_new`](Self::create_new) makes it. Of several that do
    /// this at once, one makes the object, and all get it.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`create_new`](Self::create_new), but for the two that this is to
    /// avoid.
    pub fn open_or_create<T: Shared>(
        &self,
        name: &Name,
        initialise: impl Fn(&T),
    ) -> Result<&'h T, HeapError> {
        /// Should others remove and make it again and again.
        const ATTEMPTS: u32 = 100;

        for _ in 0..ATTEMPTS {
            match self.open(name) {
                Err(HeapError::NotFound) => {}
                result => return result,
            }
            match self.create_new(name, &initialise) {
                Err(HeapError::AlreadyExists) => {}
                result => return result,
            }
        }
        Err(HeapError::TimedOut)
    }

    /// The handle of the object of that name, to [`take`](Heap::take) it or to tell it to others.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn handle<T: Shared>(&self, name: &Name) -> Result<Handle<T>, HeapError> {
        let _lock = self.heap.memory.lock(self.deadline)?;
        let (found, handle) = self.find(name).ok_or(HeapError::NotFound)?;
        if found != T::IDENTITY {
            return Err(HeapError::Mismatch { expected: T::IDENTITY.hash, found: found.hash });
        }
        Ok(handle.cast())
    }

    /// Removes a name and frees its object, whatever its type. References to it that others have are to
    /// whatever lies there next.
    ///
    /// # Errors
    ///
    /// [`HeapError::NotFound`], [`HeapError::TimedOut`].
    pub fn remove(&self, name: &Name) -> Result<(), HeapError> {
        let _lock = self.heap.memory.lock(self.deadline)?;
        let (_, handle) = self.find(name).ok_or(HeapError::NotFound)?;
        let freed = self.heap.free::<[AtomicU64]>(handle.cast());
        // Freed by its handle in this moment, which takes no lock.
        freed.map_err(|_| HeapError::NotFound)
    }

    /// All names, and the types of their objects.
    ///
    /// # Errors
    ///
    /// [`HeapError::TimedOut`].
    pub fn list(&self) -> Result<Vec<(Name, TypeIdentity)>, HeapError> {
        let _lock = self.heap.memory.lock(self.deadline)?;
        Ok(self.entries().map(|(name, identity, _)| (name, identity)).collect())
    }

    /// The object of that name. Call with the lock held.
    fn find(&self, name: &Name) -> Option<(TypeIdentity, Handle<()>)> {
        let mut entries = self.entries();
        entries.find(|(it, ..)| it == name).map(|(_, identity, handle)| (identity, handle))
    }

    /// Names that are taken, as far as they make sense. Call with the lock held.
    fn entries(&self) -> impl Iterator<Item = (Name, TypeIdentity, Handle<()>)> {
        let memory = &*self.heap.memory;
        (0..memory.names()).filter_map(|index| {
            let (_, words) = memory.name(index)?;
            let handle = Link::<()>::of_word(&words[LINK])
                .load()
                .filter(|&handle| memory.is_kept(handle))?;
            let word = |index: usize| words[index].load(Ordering::Relaxed); // the lock orders it
            let text: Vec<u8> =
                (TEXT..words.len()).flat_map(|index| word(index).to_ne_bytes()).collect();
            let text = text.get(..usize::try_from(word(LEN)).ok()?)?;
            let name = Name::new(std::str::from_utf8(text).ok()?).ok()?;
            let identity = TypeIdentity { size_bytes: word(SIZE), hash: word(HASH) };
            Some((name, identity, handle))
        })
    }

    /// An entry whose link says nothing, emptied: nobody else puts anything there. Call with the lock held.
    fn free_entry(&self) -> Option<(u64, &'h [AtomicU64])> {
        let memory = &*self.heap.memory;
        (0..memory.names()).find_map(|index| {
            let (home, words) = memory.name(index)?;
            let is_taken = Link::<()>::of_word(&words[LINK])
                .load()
                .is_some_and(|handle| memory.is_kept(handle));
            if is_taken {
                return None;
            }
            // What somebody left who was killed with the lock.
            words[LINK].store(0, Ordering::Relaxed);
            Some((home, words))
        })
    }
}

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Names").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}
