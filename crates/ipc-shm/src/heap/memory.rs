//! A heap, attached to this process. Leaves out the algorithm ([`super::blocks`]) and the names.

// Refers to words and objects in mapped memory.
#![allow(unsafe_code)]

use std::convert::Infallible;
use std::fmt;
use std::os::fd::OwnedFd;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ipc_core::sync::AtomicU64;
use ipc_core::{Deadline, Name, OpenError, OpenErrorKind, Resource, WaitStrategy};
use rustix::io::Errno;

use super::blocks::{Entry, Holder, Pool, State};
use super::shape::{self, LOCK_AT, NAME_LEN, Places, PoolPlaces, Shape};
use super::{Handle, HeapError, HeapOptions, Names, Object, Owned};
use crate::buffer::{Locked, Refusal};
use crate::process::ProcessToken;
use crate::spin::Patience;
use crate::sync::robust::RobustWord;
use crate::{Access, Mapping, Memfd, Seals, Segment, Shared, copy, segment};

/// Objects in shared memory: allocated, linked to each other, found by name and freed by any number of
/// processes, each of which has the memory at an address of its own.
///
/// - **Handles, not pointers.** A [`Handle`] means the same everywhere, and is checked at each use. What was
///   freed twice, or is another heap's, is an error.
/// - **Everything belongs to somebody**: an object to the process that has allocated it ([`Owned`]), then to
///   one [`Link`](crate::Link) in another object, or to a [name](Names). Killed at any instruction, a process
///   leaves nothing but what [`recover`](Self::recover) gives back; it harms nothing that is
///   another's. Attaching recovers too, and so does an allocation that finds no block.
/// - **Lock-free**: an allocation is two atomic instructions where there are free blocks, and a free too. Only
///   names, attaching and recovery take a lock, which the kernel passes on when its owner dies.
/// - **Fixed in size, and lazy.** Nothing moves or grows, for a sealed memfd cannot, and a mapping
///   of another process would not grow with the file. Make it as large as it may become: a page costs
///   memory when it is first used ([`Backing::Lazy`](crate::Backing::Lazy), the default). What was used once
///   stays with the heap.
///
/// The processes **trust each other** with the contents: each can write everywhere in the heap. Garbage there
/// never harms the memory of the others, nor keeps them in a loop; it can make their objects wrong. They must be
/// of one PID namespace, with `/proc` mounted; after a fork without `exec` the child attaches anew.
///
/// An object is a [`Shared`] type, so several processes may use it at once, with no more order than it makes
/// itself. A reference to one that another process frees meanwhile stays a valid reference, to whatever lies
/// there next.
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use ipc_core::{Deadline, Name};
/// use ipc_shm::{Heap, Link};
///
/// ipc_shm::shared! {
///     struct Stack("doc.Stack/1") {
///         top: Link<Plate>,
///     }
/// }
/// ipc_shm::shared! {
///     struct Plate("doc.Plate/1") {
///         number: AtomicU64,
///         below: Link<Plate>,
///     }
/// }
///
/// let (heap, memfd) = Heap::options().pool(64, 1000).pool(4096, 10).create_anonymous("demo")?;
/// let name = Name::new("stack")?;
/// heap.names(Deadline::Never).create_new::<Stack>(&name, |_| {})?;
///
/// // In another process, which got the descriptor:
/// let heap = Heap::receive(memfd.into_fd(), Deadline::Never)?;
/// let stack = heap.names(Deadline::Never).open::<Stack>(&name)?;
/// let plate = heap.allocate::<Plate>()?;
/// plate.number.store(7, Ordering::Relaxed);
/// plate.publish(&stack.top).map_err(|(_plate, error)| error)?;
///
/// // In any of them:
/// let top = stack.top.load().expect("there is one");
/// assert_eq!(heap.get(top)?.number.load(Ordering::Relaxed), 7);
/// heap.free(top)?;
/// assert!(stack.top.load().is_none());
/// assert!(heap.free(top).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Heap {
    pub(super) memory: Arc<Memory>,
}

/// What [`Heap::recover`] gave back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Attached processes that had died.
    pub processes: usize,
    /// Objects that were theirs, or that hung in nothing.
    pub objects: usize,
}

impl Heap {
    /// How to make a heap.
    pub fn options() -> HeapOptions {
        HeapOptions::new()
    }

    /// Attaches to the heap in a named segment, and recovers what dead processes have left.
    ///
    /// # Errors
    ///
    /// Those of [`Segment::open`]; [`OpenErrorKind::Mismatch`] if the segment holds something else, or a heap of
    /// another version or byte order; [`OpenErrorKind::Limit`] if as many processes are attached as it has room
    /// for; [`OpenErrorKind::TimedOut`] if another process has stopped while it attaches or recovers.
    pub fn open(name: &Name, deadline: Deadline) -> Result<Self, OpenError> {
        // Whom the mode lets in, the users of a heap trust not to shorten it.
        let segment = Segment::options().trust_writers().open(name)?;
        Self::attach(segment.into_mapping(), segment::resource(name), deadline)
    }

    /// Attaches to the heap in a memfd that another process made ([`HeapOptions::create_anonymous`]), and
    /// recovers what dead processes have left.
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::receive`], which insists on a sealed size, and of [`open`](Self::open).
    pub fn receive(memfd: OwnedFd, deadline: Deadline) -> Result<Self, OpenError> {
        let memfd = Memfd::receive(memfd, Seals::SIZE, 1..=isize::MAX as usize)?;
        let resource = Resource::unnamed("heap in a memfd");
        Self::attach(memfd.map(Access::ReadWrite)?, resource, deadline)
    }

    pub(super) fn attach(
        mapping: Mapping,
        resource: Resource,
        deadline: Deadline,
    ) -> Result<Self, OpenError> {
        let os = |operation| {
            let resource = resource.clone();
            move |error: std::io::Error| OpenError::from_os(operation, &resource, error)
        };
        let (shape, places) = Shape::read(&mapping, &resource)?;
        let own = ProcessToken::own().map_err(os("read /proc/self/stat"))?;
        let next_words = places.pools.iter().map(|_| AtomicUsize::new(0)).collect();
        let held = AtomicUsize::new(0);
        // No place yet: one that is refused gives none back.
        let place = u32::MAX;
        let mut memory = Memory {
            mapping,
            shape,
            places,
            resource: resource.clone(),
            own,
            place,
            held,
            next_words,
        };
        memory.place = {
            let refused = |kind| OpenError::new("attach to", &resource, kind);
            let _lock = match memory.try_lock(deadline) {
                Ok(lock) => lock.ok_or_else(|| refused(OpenErrorKind::TimedOut))?,
                Err(Refusal::Os(error)) => return Err(os("futex")(error)),
                // No process that keeps to the protocol writes such a word.
                Err(_) => {
                    let found = memory.mapping.atomic_u32(LOCK_AT).load(Ordering::Relaxed).into();
                    let what = "the word of the heap's lock";
                    return Err(refused(OpenErrorKind::Mismatch { what, expected: 0, found }));
                }
            };
            memory.recover(Effort::TheDead).map_err(os("pidfd_open"))?;
            memory.take_place().ok_or_else(|| {
                let setting = "HeapOptions::processes";
                let kind = OpenErrorKind::Limit { setting, source: Errno::USERS.into() };
                OpenError::new("attach to", &resource, kind)
            })?
        };
        Ok(Self { memory: Arc::new(memory) })
    }

    /// Allocates an object of zeros, which is this process's own.
    ///
    /// # Errors
    ///
    /// [`HeapError::Full`], after what can be recovered was; [`HeapError::TooLarge`].
    pub fn allocate<T: Shared>(&self) -> Result<Owned<'_, T>, HeapError> {
        self.allocate_bytes(size_of::<T>(), align_of::<T>())
    }

    /// Allocates `len` or more elements of zeros, as many as fit in the block.
    ///
    /// # Errors
    ///
    /// Those of [`allocate`](Self::allocate).
    pub fn allocate_slice<T: Shared>(&self, len: usize) -> Result<Owned<'_, [T]>, HeapError> {
        self.allocate_bytes(size_of::<T>().saturating_mul(len), align_of::<T>())
    }

    fn allocate_bytes<T: Object + ?Sized>(
        &self,
        size_bytes: usize,
        align_bytes: usize,
    ) -> Result<Owned<'_, T>, HeapError> {
        let memory = &*self.memory;
        let fits = |pool: &&PoolPlaces| {
            pool.block_bytes >= size_bytes
                && pool.block_bytes % align_bytes == 0
                && pool.blocks_at % align_bytes == 0
        };
        let claim = || memory.places.pools.iter().filter(fits).find_map(|pool| memory.claim(pool));
        let claimed = claim().or_else(|| {
            // Perhaps the dead have it. A lock that others hold says that they are at it.
            let _lock = memory.try_lock(Deadline::Now).ok().flatten()?;
            memory.recover(Effort::All).ok()?;
            claim()
        });
        let Some((block, state)) = claimed else {
            let blocks = memory.places.pools.iter().filter(fits).map(|pool| pool.blocks).sum();
            let max_bytes = memory.places.pools.last().map_or(0, |pool| pool.block_bytes);
            return Err(match blocks {
                0 => HeapError::TooLarge { size_bytes, align_bytes, max_bytes },
                _ => HeapError::Full { size_bytes, blocks },
            });
        };
        memory.held.fetch_add(1, Ordering::Relaxed);
        let handle = memory.handle(block, state);
        let owned = Owned::new(self, handle, state);
        let (start, len) = memory.bytes_of(handle.cast()).expect("a block that there is");
        // SAFETY: the bytes of a block of this mapping, which is writable; it is ours, and whoever else has a
        // reference there has one to atomics, or copies likewise.
        unsafe { copy::clear(start, len) };
        Ok(owned)
    }

    /// The object that a handle names: one that is kept in a link or under a name, or that this process owns.
    ///
    /// `T` must be its type. If it is another one, this is an error or some value of `T`.
    ///
    /// # Errors
    ///
    /// [`HeapError::Stale`] if it names none; [`HeapError::Corrupt`] if its block is too small for a `T`.
    pub fn get<T: Object + ?Sized>(&self, handle: Handle<T>) -> Result<&T, HeapError> {
        let memory = &*self.memory;
        let (pool, index) = memory.block(handle.cast()).ok_or(HeapError::Stale)?;
        let state = pool.entries[index].state();
        let is_there = match state.holder() {
            Holder::Link => true,
            Holder::Process(place) => place == memory.place,
            Holder::Nobody => false,
        };
        if !is_there || memory.period_of(state) != handle.period() {
            return Err(HeapError::Stale);
        }
        let (start, len) = memory.bytes_of(handle.cast()).ok_or(HeapError::Stale)?;
        let object =
            T::at(start, len).ok_or(HeapError::Corrupt("an object larger than its block"))?;
        // SAFETY: in bounds of the mapping and aligned, as `at` promises, mapped as long as the heap that is
        // borrowed; the type is `Shared`, so whatever other processes write, it is a value.
        Ok(unsafe { &*object })
    }

    /// Takes an object out of the link in which it hangs, or its name away; it is this process's then. Of
    /// several who try at once one gets it. Its old handle is stale.
    ///
    /// Killed anywhere in here, this process has not taken it, or it is freed by the next
    /// [`recover`](Self::recover).
    ///
    /// # Errors
    ///
    /// [`HeapError::Stale`] if the handle names nothing that is kept.
    pub fn take<T: Object + ?Sized>(&self, handle: Handle<T>) -> Result<Owned<'_, T>, HeapError> {
        let memory = &*self.memory;
        let (pool, index) = memory.block(handle.cast()).ok_or(HeapError::Stale)?;
        let (start, len) = memory.bytes_of(handle.cast()).ok_or(HeapError::Stale)?;
        T::at(start, len).ok_or(HeapError::Corrupt("an object larger than its block"))?;
        let period = handle.period().wrapping_sub(memory.shape.first_period);
        let link = |offset| memory.link(offset);
        let state = pool.entries[index].take(period, memory.place, handle.to_bits(), link);
        let state = state.ok_or(HeapError::Stale)?;
        memory.held.fetch_add(1, Ordering::Relaxed);
        let block = handle.block().expect("it has one");
        Ok(Owned::new(self, memory.handle(block, state), state))
    }

    /// Frees an object that is kept in a link or under a name. What hangs in its own links goes with the next
    /// [`recover`](Self::recover).
    ///
    /// # Errors
    ///
    /// [`HeapError::Stale`] if the handle names nothing that is kept: it was freed before, or is another
    /// heap's.
    pub fn free<T: Object + ?Sized>(&self, handle: Handle<T>) -> Result<(), HeapError> {
        self.take(handle).map(drop)
    }

    /// The objects that have names. Operations on them wait for each other, at most until `deadline`.
    pub fn names(&self, deadline: Deadline) -> Names<'_> {
        Names::new(self, deadline)
    }

    /// Gives back what dead processes have left: what they owned, and what they were about to pass on; and
    /// what hangs in links of objects that are gone. Others may go on meanwhile. Takes time with the number of
    /// blocks, and a byte for each.
    ///
    /// Dead is who the kernel says is dead; a process that is only stopped keeps everything. Objects that
    /// hang in each other's links in a ring are not found.
    ///
    /// # Errors
    ///
    /// [`HeapError::TimedOut`]; those of asking the kernel about processes.
    pub fn recover(&self, deadline: Deadline) -> Result<Recovered, HeapError> {
        let memory = &*self.memory;
        let _lock = memory.lock(deadline)?;
        memory.recover(Effort::All).map_err(|error| HeapError::os("pidfd_open", memory, error))
    }

    /// How many blocks there are, and how many of them are taken. It may be stale on return. Takes time with
    /// the number of blocks.
    pub fn usage(&self) -> (usize, usize) {
        let memory = &*self.memory;
        let pools = memory.places.pools.iter().map(|pool| memory.pool(pool));
        pools.fold((0, 0), |(blocks, taken), pool| {
            let is_taken = |entry: &&Entry| entry.state().holder() != Holder::Nobody;
            (blocks + pool.entries.len(), taken + pool.entries.iter().filter(is_taken).count())
        })
    }
}

/// How much of the heap a recovery looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Effort {
    /// All of it, if a process has died, and nothing otherwise.
    TheDead,
    All,
}

/// The memory of a heap, and what is known of it.
pub(super) struct Memory {
    mapping: Mapping,
    shape: Shape,
    places: Places,
    pub(super) resource: Resource,
    own: ProcessToken,
    /// This process's place in the table of those.
    place: u32,
    /// Blocks that are this process's.
    held: AtomicUsize,
    /// Where to look for a free block next, for each pool.
    next_words: Vec<AtomicUsize>,
}

impl Memory {
    /// The lock of names, places and recovery.
    pub(super) fn lock(&self, deadline: Deadline) -> Result<Locked<'_>, HeapError> {
        match self.try_lock(deadline) {
            Ok(Some(lock)) => Ok(lock),
            Ok(None) | Err(Refusal::NotReady) => Err(HeapError::TimedOut),
            Err(Refusal::Garbage(what)) => Err(HeapError::Corrupt(what)),
            Err(Refusal::Os(error)) => Err(HeapError::os("futex", self, error)),
            Err(Refusal::Caller(never)) => match never {},
        }
    }

    fn try_lock(&self, deadline: Deadline) -> Result<Option<Locked<'_>>, Refusal<Infallible>> {
        let word: *const _ = self.mapping.atomic_u32(LOCK_AT);
        // SAFETY: a lock is a transparent wrapper of the word, and lives as long.
        let mutex: &RobustWord = unsafe { &*word.cast() };
        let patience = Patience { deadline, strategy: WaitStrategy::adaptive() };
        // What a dead owner was at is put in order by whoever does it anew.
        Ok(Locked::acquire(mutex, patience)?.map(|(lock, _found)| lock))
    }

    /// `len` words of the mapping from `at` on.
    fn words<T>(&self, at: usize, len: usize) -> &[T] {
        debug_assert!(size_of::<T>() == 8 || size_of::<T>() == 16);
        self.mapping.atomic_u64(at); // aligned, and writable
        assert!(at + len * size_of::<T>() <= self.mapping.len(), "checked when the shape was read");
        let first = self.mapping.as_ptr().wrapping_add(at).cast::<T>();
        // SAFETY: in bounds and aligned, as was just checked, mapped as long as `self`; `T` is `AtomicU64` or
        // `Entry`, of two of them, for which any bits are a value.
        unsafe { slice::from_raw_parts(first, len) }
    }

    fn processes(&self) -> &[AtomicU64] {
        self.words(self.places.processes_at, self.shape.processes as usize)
    }

    /// The words of a name's entry, by its index.
    pub(super) fn name(&self, index: usize) -> Option<(u64, &[AtomicU64])> {
        let at = self.places.names_at + index * NAME_LEN;
        let is_one = index < self.shape.names as usize;
        is_one.then(|| (at as u64, self.words(at, NAME_LEN / size_of::<AtomicU64>())))
    }

    /// How many names there may be.
    pub(super) fn names(&self) -> usize {
        self.shape.names as usize
    }

    fn pool(&self, places: &PoolPlaces) -> Pool<'_> {
        Pool {
            entries: self.words(places.entries_at, places.blocks),
            bits: self.words(places.bits_at, places.bit_words),
        }
    }

    /// The pool of a block, and its index there.
    fn pool_of(&self, block: u32) -> Option<(&PoolPlaces, usize)> {
        self.places.pools.iter().find_map(|pool| {
            let index = block.checked_sub(pool.first_block)? as usize;
            (index < pool.blocks).then_some((pool, index))
        })
    }

    /// The block that a handle names, if there is one of that number.
    pub(super) fn block(&self, handle: Handle<()>) -> Option<(Pool<'_>, usize)> {
        let (pool, index) = self.pool_of(handle.block()?)?;
        Some((self.pool(pool), index))
    }

    /// The bytes of the block that a handle names: where they begin, and how many they are.
    pub(super) fn bytes_of(&self, handle: Handle<()>) -> Option<(*mut u8, usize)> {
        let (pool, index) = self.pool_of(handle.block()?)?;
        let at = pool.blocks_at + index * pool.block_bytes;
        Some((self.mapping.as_mut_ptr().wrapping_add(at), pool.block_bytes))
    }

    fn handle<T: ?Sized>(&self, block: u32, state: State) -> Handle<T> {
        Handle::new(block, self.period_of(state))
    }

    /// The period as handles have it.
    fn period_of(&self, state: State) -> u32 {
        state.period().wrapping_add(self.shape.first_period)
    }

    /// Whether the object of a handle is kept, in a link or under a name.
    pub(super) fn is_kept(&self, handle: Handle<()>) -> bool {
        self.block(handle).is_some_and(|(pool, index)| {
            let state = pool.entries[index].state();
            state.holder() == Holder::Link && self.period_of(state) == handle.period()
        })
    }

    fn claim(&self, places: &PoolPlaces) -> Option<(u32, State)> {
        let which = self.places.pools.iter().position(|pool| pool == places)?;
        let next_word = &self.next_words[which];
        let (index, state) =
            self.pool(places).claim(self.place, next_word.load(Ordering::Relaxed))?;
        next_word.store(index / 64, Ordering::Relaxed);
        Some((places.first_block + index as u32, state))
    }

    /// One block less is this process's.
    pub(super) fn forget_held(&self) {
        self.held.fetch_sub(1, Ordering::Relaxed);
    }

    /// The block in which an offset lies.
    fn block_at(&self, offset: u64) -> Option<u32> {
        let offset = usize::try_from(offset).ok()?;
        self.places.pools.iter().find_map(|pool| {
            let index = offset.checked_sub(pool.blocks_at)? / pool.block_bytes;
            (index < pool.blocks).then(|| pool.first_block + index as u32)
        })
    }

    /// The link at an offset, which a peer may have written: of a name, or in a block that somebody has.
    fn link(&self, offset: u64) -> Option<&AtomicU64> {
        let at = usize::try_from(offset).ok().filter(|at| at % size_of::<AtomicU64>() == 0)?;
        let in_names = at.checked_sub(self.places.names_at);
        let is_name = in_names.is_some_and(|at| at % NAME_LEN == 0 && at / NAME_LEN < self.names());
        let is_in_object = || {
            let (pool, index) = self.pool_of(self.block_at(offset)?)?;
            let state = self.pool(pool).entries[index].state();
            (state.holder() != Holder::Nobody).then_some(())
        };
        (is_name || is_in_object().is_some()).then(|| self.mapping.atomic_u64(at))
    }

    /// The offset of a link that lies in an object of this heap, and not in that of `handle`.
    pub(super) fn offset_of_link(&self, link: &AtomicU64, handle: Handle<()>) -> Option<u64> {
        let start = self.mapping.as_ptr().addr();
        let offset = std::ptr::from_ref(link).addr().checked_sub(start)? as u64;
        let block = self.block_at(offset)?;
        (Some(block) != handle.block()).then_some(offset)
    }

    /// Enters this process in the table. Call with the lock held.
    fn take_place(&self) -> Option<u32> {
        let free = |word: &AtomicU64| {
            // Relaxed: the lock orders it.
            word.compare_exchange(0, self.own.bits(), Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.processes().iter().position(free).map(|place| place as u32)
    }

    /// Gives back what dead processes have left. Call with the lock held.
    pub(super) fn recover(&self, effort: Effort) -> std::io::Result<Recovered> {
        let mut dead = Vec::new();
        for (place, word) in self.processes().iter().enumerate() {
            let token = ProcessToken::from_bits(word.load(Ordering::Relaxed)); // the lock orders it
            if let Some(token) = token {
                if token != self.own && !token.is_alive()? {
                    dead.push((place as u32, token));
                }
            }
        }
        if dead.is_empty() && effort == Effort::TheDead {
            return Ok(Recovered::default());
        }
        let objects = self.recover_blocks(|place| dead.iter().any(|&(it, _)| it == place));
        for &(place, token) in &dead {
            // Only now: until then nobody else may take the place, whose blocks would be taken for his.
            let word = &self.processes()[place as usize];
            let _ = word.compare_exchange(token.bits(), 0, Ordering::Release, Ordering::Relaxed);
        }
        Ok(Recovered { processes: dead.len(), objects })
    }

    /// Frees the blocks of the dead and the orphans; how many. An object comes after the one in whose link
    /// it hangs: so if that is freed, this one is an orphan by then.
    fn recover_blocks(&self, is_dead: impl Fn(u32) -> bool) -> usize {
        let blocks = self.places.pools.iter().map(|pool| pool.blocks).sum::<usize>();
        let mut is_looked_at = vec![false; blocks];
        let mut way = Vec::new();
        let mut freed = 0;
        for start in 0..blocks as u32 {
            let mut next = Some(start);
            while let Some(block) = next.filter(|&block| !is_looked_at[block as usize]) {
                is_looked_at[block as usize] = true;
                way.push(block);
                next = self.pool_of(block).and_then(|(pool, index)| {
                    let entry = &self.pool(pool).entries[index];
                    let is_linked = entry.state().holder() == Holder::Link;
                    is_linked.then(|| self.block_at(entry.home())).flatten()
                });
            }
            while let Some(block) = way.pop() {
                let Some((pool, index)) = self.pool_of(block) else { continue };
                let handle_bits = |period: u32| {
                    Handle::<()>::new(block, period.wrapping_add(self.shape.first_period)).to_bits()
                };
                let link = |offset| self.link(offset);
                freed += usize::from(self.pool(pool).recover(index, &is_dead, handle_bits, link));
            }
        }
        freed
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // A forked child is not the one that attached.
        if !self.own.is_own() {
            return;
        }
        if *self.held.get_mut() > 0 {
            // Objects that were forgotten (`mem::forget`): nobody else may inherit them with our place. Without
            // the lock, for ours are nobody else's business.
            let place = self.place;
            self.recover_blocks(|it| it == place);
        }
        if let Some(word) = self.processes().get(self.place as usize) {
            // Release pairs with the lock's acquire of whoever takes the place next.
            let _ = word.compare_exchange(self.own.bits(), 0, Ordering::Release, Ordering::Relaxed);
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("resource", &self.resource)
            .field("pools", &self.shape.pools)
            .finish_non_exhaustive()
    }
}

// The entries lie in memory that programs share which were built apart.
const _: () = assert!(size_of::<Entry>() == 16 && align_of::<Entry>() == 8);
const _: () = assert!(shape::BLOCK_ALIGNMENT >= align_of::<Entry>());
