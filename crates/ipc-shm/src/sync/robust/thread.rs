//! Telling the kernel which locks this thread holds, so that it can speak for us if we die. Leaves out
//! the locks' words: see [`super::word`].
//!
//! # The robust list
//!
//! Every thread may register a **robust list** with the kernel (`set_robust_list(2)`, and "robust
//! futexes" in the kernel's documentation): a head, entries that are linked in a circle, and in the head
//! a mark for one more lock that is being taken or released, the **pending** one. When the thread ends,
//! however it ends, the kernel goes through the list and the pending mark; in each lock's word that holds
//! the thread's id it puts "owner died", and wakes a waiter. All that it knows of a lock is its entry; the
//! word lies a fixed number of bytes from it, one number for the whole list. (`execve(2)` ends a thread so
//! too, but one that is not the main thread gets the main thread's id first: its words are passed by.)
//!
//! So an entry must lie beside its word, in shared memory, and **the kernel follows what is written
//! there**. A process that can write the memory can make the kernel miss the death of a thread of
//! another, or tell it of locks that the dead one held elsewhere; it trusts everybody who can write the
//! segment. We ourselves read an entry only to see whether it must be written: what we know of the list is in
//! this thread's own memory.
//!
//! # Beside libc
//!
//! libc has registered a list for its own robust mutexes, and a thread has but one. So ours is a piece
//! of libc's, between two entries of this thread's own memory which stay there as long as the thread:
//!
//! ```text
//! head → libc's newer locks → front → our locks → back → libc's older locks → head
//! ```
//!
//! libc, which chains its locks both ways, writes to the neighbours of its entries: it finds `front` and
//! `back` there, and never one of our locks in shared memory. Locks are released in any order. Each
//! entry of ours points to a **relay** in the thread's memory, which points on to the next entry: to take
//! a lock out, a relay is changed, and no other lock's memory is touched, which may be unmapped by now if
//! somebody has forgotten its guard.
//!
//! ```text
//! front → lock 2 → relay 2 → lock 1 → relay 1 → lock 0 → relay 0 → back
//! ```
//!
//! (The kernel takes the front, the back and the relays for locks too; their words are zero.)
//!
//! # Forks
//!
//! A forked child is another thread, with a copy of all this, and libc's list is empty in it. Nothing
//! tells us of a fork, and asking for the thread's id each time is a system call. So one page of the
//! process is wiped by the kernel in every child (`MADV_WIPEONFORK`): it holds the process's **epoch**,
//! a number that no ancestor had. What was found out in another epoch is not believed, nor is a guard
//! that was made in one released.

// Asks the kernel for a thread's list head, and writes what the kernel reads when the thread has ended.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering, compiler_fence};

use ipc_core::SpinBudget;
use rustix::io::Errno;

use super::{RobustFutex, RobustWord};
use crate::sync::LOCK_STRATEGY;

/// How many locks a thread may hold at once.
pub(crate) const MAX_HELD: usize = u64::BITS as usize;

/// `struct robust_list_head` of `linux/futex.h`.
#[repr(C)]
struct Head {
    first: AtomicPtr<u8>,
    /// From an entry of the list to its lock's word, in bytes.
    futex_offset: Cell<libc::c_long>,
    /// The entry that is being locked or unlocked.
    pending: AtomicPtr<u8>,
}

/// An entry in the thread's own memory.
#[repr(C)]
struct Entry {
    /// Where the kernel looks for a word, by libc's offset or ours.
    no_lock: [AtomicU32; 6],
    /// libc writes here.
    previous: AtomicPtr<u8>,
    /// What the list consists of: entries are addressed by this field.
    next: AtomicPtr<u8>,
}

const _: () = {
    // libc finds the previous entry so.
    assert!(offset_of_next() - std::mem::offset_of!(Entry, previous) == size_of::<usize>());
    // Wherever the kernel looks for a word, it is one that stays zero.
    assert!(offset_of_next() - RobustFutex::FARTHEST_ENTRY < size_of::<[AtomicU32; 6]>());
};

const fn offset_of_next() -> usize {
    std::mem::offset_of!(Entry, next)
}

impl Entry {
    const fn new() -> Self {
        Self {
            no_lock: [const { AtomicU32::new(0) }; 6],
            previous: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
        }
    }

    fn address(&self) -> *mut u8 {
        ptr::from_ref(self).cast_mut().cast::<u8>().wrapping_add(offset_of_next())
    }
}

/// What a thread knows of itself. Relaxed accesses throughout: the kernel looks when the thread has
/// ended, and nobody else ever, so that only the order in the program counts ([`in_this_order`]).
pub(crate) struct Thread {
    /// That of the process in which the rest was found out.
    epoch: Cell<NonZeroU32>,
    /// As a lock's word must hold it.
    id: Cell<u32>,
    head: Cell<*const Head>,
    /// From a lock's word to its entry, in bytes.
    entry_offset: Cell<usize>,
    /// The same as [`RobustFutex::point_to`] takes it.
    entry_first: Cell<usize>,
    /// One bit for each slot in use: a lock that is held, with the relay behind it. Or 0: the list is empty,
    /// or the only lock on it has slot 0. So who holds one lock at a time need not write here.
    slots: Cell<u64>,
    front: Entry,
    back: Entry,
    relays: [Entry; MAX_HELD],
    budget: Cell<Option<SpinBudget>>,
}

thread_local! {
    // Without a destructor: the kernel looks at it when the thread has ended.
    static THREAD: Thread = const {
        Thread {
            epoch: Cell::new(epoch::OF_NO_PROCESS),
            id: Cell::new(0),
            head: Cell::new(ptr::null()),
            entry_offset: Cell::new(0),
            entry_first: Cell::new(0),
            slots: Cell::new(0),
            front: Entry::new(),
            back: Entry::new(),
            relays: [const { Entry::new() }; MAX_HELD],
            budget: Cell::new(None),
        }
    };
}

/// Keeps what stands before in the program before what stands after, to the eyes of the kernel, which
/// looks when this thread has ended.
#[inline(always)]
fn in_this_order() {
    compiler_fence(Ordering::SeqCst);
}

impl Thread {
    /// The calling thread.
    ///
    /// # Errors
    ///
    /// The first time in a thread and after a fork, those of `get_robust_list(2)`, `set_robust_list(2)`
    /// and `madvise(2)`: in practice `ENOSYS` or `EPERM` under a filter of system calls.
    pub(crate) fn current() -> io::Result<&'static Self> {
        let thread = Self::here();
        if thread.epoch.get().get() != epoch::current() {
            thread.find_out()?;
        }
        Ok(thread)
    }

    /// The calling thread, if nothing need be found out and it holds no lock.
    #[inline(always)]
    pub(crate) fn without_locks() -> Option<&'static Self> {
        let thread = Self::here();
        let is_known = thread.epoch.get().get() == epoch::current();
        (is_known && thread.is_empty()).then_some(thread)
    }

    /// The calling thread, if this is the process of `epoch` and it holds a single lock, that of slot 0.
    #[inline(always)]
    pub(crate) fn with_one_lock(epoch: u32) -> Option<&'static Self> {
        let thread = Self::here();
        (epoch == epoch::current() && thread.slots.get() == 0).then_some(thread)
    }

    /// The calling thread, if nothing need be found out and it may take another lock.
    pub(crate) fn ready() -> Option<&'static Self> {
        let thread = Self::here();
        (thread.epoch.get().get() == epoch::current() && !thread.is_full()).then_some(thread)
    }

    /// The calling thread, if this is the process of `epoch`.
    pub(crate) fn of_epoch(epoch: u32) -> Option<&'static Self> {
        (epoch == epoch::current()).then(Self::here)
    }

    #[inline(always)]
    fn here() -> &'static Self {
        let thread = THREAD.with(ptr::from_ref);
        // SAFETY: a variable without a destructor, which is there as long as the thread; the reference
        // stays in the thread, for the cells forbid that it be sent.
        unsafe { &*thread }
    }

    /// The id of this thread, as a lock's word must hold it.
    #[inline]
    pub(crate) fn id(&self) -> u32 {
        self.id.get()
    }

    /// That of the process.
    #[inline]
    pub(crate) fn epoch(&self) -> NonZeroU32 {
        self.epoch.get()
    }

    /// Whether it holds as many locks as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.get() == u64::MAX
    }

    /// Announces that this thread may hold a lock, or be about to. Ends any announcement before.
    #[inline]
    pub(crate) fn announce(&self, futex: &RobustFutex) {
        self.mark(self.entry_of(futex.word()));
    }

    /// Ends the announcement: the lock is free, or linked.
    #[inline]
    pub(crate) fn end_announcement(&self) {
        self.mark(ptr::null_mut());
    }

    /// Whether no lock is on the list.
    #[inline]
    fn is_empty(&self) -> bool {
        self.front.next.load(Ordering::Relaxed) == self.back.address()
    }

    /// Empties the list.
    #[inline]
    fn clear(&self) {
        self.front.next.store(self.back.address(), Ordering::Relaxed);
    }

    /// Puts a lock that this thread has just taken, and announced, on the list, which is empty. It gets slot
    /// 0, whose relay points to the back already.
    #[inline]
    pub(crate) fn link_only(&self, futex: &RobustFutex) {
        futex.point_to(self.entry_first.get(), self.relays[0].address());
        in_this_order();
        self.front.next.store(self.entry_of(futex.word()), Ordering::Relaxed);
    }

    /// Takes the only lock off the list. It must be announced again before, and until it is free.
    #[inline]
    pub(crate) fn unlink_only(&self) {
        self.clear();
    }

    /// Puts a lock that this thread has just taken, and announced, on the list. Returns the slot to
    /// [`unlink`](Self::unlink) it by. Not for a thread that [`is_full`](Self::is_full).
    pub(crate) fn link(&self, futex: &RobustFutex) -> u8 {
        if self.is_empty() {
            self.link_only(futex);
            return 0;
        }
        let slots = self.slots.get().max(1);
        let slot = slots.trailing_ones();
        self.slots.set(slots | 1 << slot);
        // Within bounds since the thread is not full.
        let relay = &self.relays[slot as usize % MAX_HELD];
        relay.next.store(self.front.next.load(Ordering::Relaxed), Ordering::Relaxed);
        futex.point_to(self.entry_first.get(), relay.address());
        in_this_order();
        self.front.next.store(self.entry_of(futex.word()), Ordering::Relaxed);
        slot as u8
    }

    /// Takes a lock off the list. It must be announced again before, and until it is free.
    pub(crate) fn unlink(&self, futex: &RobustFutex, slot: u8) {
        let slot = usize::from(slot) % MAX_HELD;
        let entry = self.entry_of(futex.word());
        self.slots.set(self.slots.get() & !(1 << slot));
        let is_newest = self.front.next.load(Ordering::Relaxed) == entry;
        let before = if is_newest { Some(&self.front) } else { self.relay_to(entry) };
        if let Some(before) = before {
            before.next.store(self.relays[slot].next.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if self.is_empty() {
            // For the next one.
            self.relays[0].next.store(self.back.address(), Ordering::Relaxed);
        }
    }

    /// The relay of the lock that was taken next after that of `entry`. There is one: every entry on the
    /// list is pointed to.
    #[cold]
    fn relay_to(&self, entry: *mut u8) -> Option<&Entry> {
        let slots = self.slots.get();
        let in_use = (0..MAX_HELD).filter(|slot| slots & 1 << slot != 0);
        let mut relays = in_use.map(|slot| &self.relays[slot]);
        relays.find(|relay| relay.next.load(Ordering::Relaxed) == entry)
    }

    /// What this thread has learnt of how long it pays to look before it sleeps.
    pub(crate) fn budget(&self) -> SpinBudget {
        self.budget.take().unwrap_or(SpinBudget::new(LOCK_STRATEGY))
    }

    /// Remembers it.
    pub(crate) fn keep_budget(&self, budget: SpinBudget) {
        self.budget.set(Some(budget));
    }

    /// The entry of a word. Not to be followed.
    #[inline]
    fn entry_of(&self, word: &RobustWord) -> *mut u8 {
        let word: *const RobustWord = word;
        word.cast_mut().cast::<u8>().wrapping_add(self.entry_offset.get())
    }

    #[inline]
    fn mark(&self, entry: *mut u8) {
        in_this_order();
        self.head().pending.store(entry, Ordering::Relaxed);
        in_this_order();
    }

    #[inline]
    fn head(&self) -> &Head {
        // SAFETY: set to this thread's head by `find_out`, before anybody gets to see `self`; the
        // memory lasts as long as the thread. Its fields are all for shared access.
        unsafe { &*self.head.get() }
    }

    /// Finds out all there is to know, in a thread that did not know it or whose process is a fork.
    #[cold]
    fn find_out(&self) -> io::Result<()> {
        let epoch = epoch::begin()?;
        let head = match NonNull::new(registered()?.cast_mut()) {
            Some(head) => head,
            None => self.register()?,
        };
        self.head.set(head.as_ptr());
        let head = self.head();
        let offset = head.futex_offset.get().unsigned_abs() as usize;
        let is_before = head.futex_offset.get() < 0;
        let first = RobustFutex::entry_at(offset).filter(|_| is_before).ok_or(Errno::NOTSUP)?;
        self.entry_offset.set(offset);
        self.entry_first.set(first);
        self.id.set(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs());
        self.slots.set(0);
        self.clear();
        self.relays[0].next.store(self.back.address(), Ordering::Relaxed);
        self.join(head);
        self.epoch.set(epoch);
        Ok(())
    }

    /// Puts the front and the back into the list, if they are not there.
    fn join(&self, head: &Head) {
        /// The kernel looks at no more entries (`ROBUST_LIST_LIMIT`).
        const MOST_ENTRIES: u32 = 2048;
        /// libc marks an entry so whose lock inherits priorities.
        const MARK: usize = 1;

        let unmarked = |entry: *mut u8| entry.map_addr(|address| address & !MARK);
        let end: *const u8 = ptr::from_ref(head).cast();
        let first = head.first.load(Ordering::Relaxed);
        let mut entry = unmarked(first);
        for _ in 0..MOST_ENTRIES {
            if entry == self.front.address() {
                return; // libc's list has come through a fork as it was
            }
            if entry.is_null() || ptr::eq(entry, end) {
                break;
            }
            // SAFETY: an entry that libc has linked, of a mutex that this thread holds: its first word
            // points to the next one. libc goes the same way.
            let next = unsafe { AtomicPtr::from_ptr(entry.cast::<*mut u8>()) };
            entry = unmarked(next.load(Ordering::Relaxed));
        }
        self.back.next.store(first, Ordering::Relaxed);
        if !ptr::eq(first, end) {
            let previous = unmarked(first).cast::<*mut u8>().wrapping_sub(1);
            // SAFETY: the entry of a mutex of libc that this thread holds; before the pointer to the next
            // one is that to the one before, which is ours now. libc does the same.
            let previous = unsafe { AtomicPtr::from_ptr(previous) };
            previous.store(self.back.address(), Ordering::Relaxed);
        }
        in_this_order();
        head.first.store(self.front.address(), Ordering::Relaxed);
    }

    /// Registers a head for a thread whose libc has not: libc's if it does so when it first needs one
    /// (musl), or one of our own (a process forked behind libc's back).
    fn register(&self) -> io::Result<NonNull<Head>> {
        thread_local! {
            static OURS: Head = const {
                Head {
                    first: AtomicPtr::new(ptr::null_mut()),
                    futex_offset: Cell::new(-(RobustFutex::FARTHEST_ENTRY as libc::c_long)),
                    pending: AtomicPtr::new(ptr::null_mut()),
                }
            };
        }
        lock_a_mutex_of_libc()?;
        if let Some(head) = NonNull::new(registered()?.cast_mut()) {
            return Ok(head);
        }
        let head = OURS.with(|head| NonNull::from(head));
        // SAFETY: the memory is this thread's, without a destructor, and lasts as long as it.
        let ours = unsafe { head.as_ref() };
        // A list that points to itself is empty.
        ours.first.store(head.as_ptr().cast(), Ordering::Relaxed);
        // SAFETY: the kernel takes the address and the size of a head, and gets those.
        let result =
            unsafe { libc::syscall(libc::SYS_set_robust_list, head.as_ptr(), size_of::<Head>()) };
        if result == 0 { Ok(head) } else { Err(io::Error::last_os_error()) }
    }
}

/// The head that is registered for this thread, or null.
fn registered() -> io::Result<*const Head> {
    let mut head: *const Head = ptr::null();
    let mut len: libc::size_t = 0;
    // SAFETY: the kernel writes a pointer and a length, which is what the two have room for; thread
    // 0 is this one.
    let result =
        unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
    if result == 0 { Ok(head) } else { Err(io::Error::last_os_error()) }
}

/// Takes a robust mutex and releases it, for libc to register its list.
fn lock_a_mutex_of_libc() -> io::Result<()> {
    let check = |error: libc::c_int| match error {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    };
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_mutexattr_t>::uninit();
    let mut mutex = std::mem::MaybeUninit::<libc::pthread_mutex_t>::uninit();
    // SAFETY: initialises the attributes.
    check(unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) })?;
    let robust = libc::PTHREAD_MUTEX_ROBUST;
    // SAFETY: they are initialised.
    check(unsafe { libc::pthread_mutexattr_setrobust(attributes.as_mut_ptr(), robust) })?;
    // SAFETY: initialises the mutex, from attributes that are initialised.
    check(unsafe { libc::pthread_mutex_init(mutex.as_mut_ptr(), attributes.as_ptr()) })?;
    // SAFETY: it is initialised, and stays where it is until it is destroyed.
    check(unsafe { libc::pthread_mutex_lock(mutex.as_mut_ptr()) })?;
    // SAFETY: this thread has just locked it.
    check(unsafe { libc::pthread_mutex_unlock(mutex.as_mut_ptr()) })?;
    // SAFETY: nobody else knows it, and it is unlocked.
    check(unsafe { libc::pthread_mutex_destroy(mutex.as_mut_ptr()) })?;
    // SAFETY: initialised, and not used any more.
    check(unsafe { libc::pthread_mutexattr_destroy(attributes.as_mut_ptr()) })
}

/// A number for the process, that none of its ancestors had.
mod epoch {
    use super::{AtomicPtr, AtomicU32, NonZeroU32, Ordering, io, ptr};
    use memmap2::MmapOptions;

    /// What a thread knows that knows nothing.
    pub(super) const OF_NO_PROCESS: NonZeroU32 = NonZeroU32::MAX;

    /// The process's epoch while it has no page for it.
    static NONE: AtomicU32 = AtomicU32::new(0);

    /// Where the epoch is. The page is made once, and is there as long as the process.
    static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new((&raw const NONE).cast_mut());

    /// The epoch of this process; 0 if it has not [`begin`](begin)ed.
    #[inline(always)]
    pub(super) fn current() -> u32 {
        // Relaxed: what is read through the pointer depends on it, and is zero when it becomes known.
        let page = PAGE.load(Ordering::Relaxed);
        // SAFETY: a static, or a page that is never unmapped.
        // Relaxed: a thread compares it with what it has itself seen there before.
        unsafe { &*page }.load(Ordering::Relaxed)
    }

    /// The same, and begins one if there is none.
    pub(super) fn begin() -> io::Result<NonZeroU32> {
        /// The highest epoch of this process and its ancestors.
        static LAST: AtomicU32 = AtomicU32::new(0);

        let page = match PAGE.load(Ordering::Relaxed) {
            page if ptr::eq(page, &raw const NONE) => map()?,
            page => page,
        };
        // SAFETY: a page that is never unmapped.
        let epoch = unsafe { &*page };
        // Relaxed, all of it: the numbers stand for nothing but themselves.
        if let Some(begun) = NonZeroU32::new(epoch.load(Ordering::Relaxed)) {
            return Ok(begun);
        }
        let next = NonZeroU32::MIN.saturating_add(LAST.fetch_add(1, Ordering::Relaxed));
        let begun = epoch.compare_exchange(0, next.get(), Ordering::Relaxed, Ordering::Relaxed);
        Ok(begun.err().and_then(NonZeroU32::new).unwrap_or(next))
    }

    /// Makes the page, or takes that which another thread has made meanwhile.
    fn map() -> io::Result<*mut AtomicU32> {
        const LEN: usize = size_of::<AtomicU32>(); // the kernel's page
        let mut memory = MmapOptions::new().len(LEN).map_anon()?;
        let page: *mut AtomicU32 = memory.as_mut_ptr().cast();
        // SAFETY: advice for a mapping of our own that nobody uses yet.
        if unsafe { libc::madvise(page.cast(), LEN, libc::MADV_WIPEONFORK) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let none = (&raw const NONE).cast_mut();
        // Relaxed: the kernel has filled the page with zeros before there was a pointer.
        match PAGE.compare_exchange(none, page, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => {
                std::mem::forget(memory);
                Ok(page)
            }
            Err(first) => Ok(first),
        }
    }
}

/// While it lives, the kernel knows that this thread may hold a lock, or be about to: for locks that are
/// held for the length of a function of this crate, one at a time, and need no entry in the list. No
/// robust mutex of libc, and no other lock of ours, may be used meanwhile: they announce themselves.
pub(crate) struct Announcement {
    thread_id: u32,
    epoch: NonZeroU32,
    /// It belongs to this thread, so it is neither `Send` nor `Sync`.
    of_this_thread: PhantomData<*mut ()>,
}

impl Announcement {
    /// Announces the lock whose word this is.
    ///
    /// # Errors
    ///
    /// Those of [`Thread::current`].
    pub(crate) fn new(word: &RobustWord) -> io::Result<Self> {
        let thread = Thread::current()?;
        thread.mark(thread.entry_of(word));
        let (thread_id, epoch) = (thread.id(), thread.epoch());
        Ok(Self { thread_id, epoch, of_this_thread: PhantomData })
    }

    /// The id of this thread, as the lock's word must hold it.
    pub(crate) fn thread_id(&self) -> u32 {
        self.thread_id
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        if let Some(thread) = Thread::of_epoch(self.epoch.get()) {
            thread.end_announcement();
        }
    }
}
