//! Telling the kernel which lock this thread is about to take, so that it can speak for us if we die.
//! Leaves out the lock: see [`crate::robust_lock`].
//!
//! Every thread may register a **robust list** with the kernel (`set_robust_list(2)`, and "robust
//! futexes" in the kernel's documentation). When the thread ends, however it ends, the kernel looks at
//! each lock on the list and at the one marked as pending; where the lock's word holds the thread's
//! id, it puts "owner died" there and wakes a waiter. libc registers a list for its own robust
//! mutexes and chains the locks through pointers inside the shared memory, which a peer could garble.
//! We use only the pending mark: it lies in this thread's private memory, and one lock at a time is
//! all we hold. Two conditions follow. While the mark is set, the thread must not use a robust mutex
//! of libc, which uses the same mark: our critical sections call nothing of the kind. And the processes
//! that share a lock must be of one PID namespace, for the word holds a thread id.

// Asks the kernel for a thread's private list head, and writes the mark there.
#![allow(unsafe_code)]

#[cfg(not(ipc_loom))]
pub(crate) use kernel::Announcement;
#[cfg(ipc_loom)]
pub(crate) use model::*;

#[cfg(not(ipc_loom))]
mod kernel {
    use std::cell::Cell;
    use std::io;
    use std::marker::PhantomData;
    use std::ptr::{self, NonNull};
    use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering, compiler_fence};

    /// `struct robust_list_head` of `linux/futex.h`.
    #[repr(C)]
    struct Head {
        first: *mut Head,
        /// From an entry of the list to its lock's word, in bytes.
        futex_offset: libc::c_long,
        /// The entry that is being locked or unlocked.
        pending: AtomicPtr<u8>,
    }

    /// While it lives, the kernel knows that this thread may hold the lock, or be about to.
    pub(crate) struct Announcement {
        head: NonNull<Head>,
        thread_id: u32,
        /// It belongs to this thread, so it is neither `Send` nor `Sync`.
        of_this_thread: PhantomData<*mut ()>,
    }

    impl Announcement {
        /// Announces the lock whose word this is.
        ///
        /// # Errors
        ///
        /// Those of `get_robust_list(2)` and `set_robust_list(2)`: in practice `ENOSYS` or `EPERM` under
        /// a filter of system calls.
        pub(crate) fn new(word: &AtomicU32) -> io::Result<Self> {
            let head = head()?;
            // Asked anew each time: after a fork the child is another thread, and nothing tells us.
            let thread_id = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
            let announcement = Self { head, thread_id, of_this_thread: PhantomData };
            // SAFETY: the head is this thread's, lives as long as it, and only this thread writes it.
            let offset = unsafe { (*head.as_ptr()).futex_offset };
            // The kernel adds the offset again and looks at nothing else, so the sum need not point to
            // anything.
            let entry =
                ptr::from_ref(word).cast_mut().cast::<u8>().wrapping_offset(-(offset as isize));
            announcement.mark(entry);
            Ok(announcement)
        }

        /// The id of this thread, as the lock's word must hold it.
        pub(crate) fn thread_id(&self) -> u32 {
            self.thread_id
        }

        fn mark(&self, entry: *mut u8) {
            // The kernel looks when this thread has ended, so only the order in the program counts.
            compiler_fence(Ordering::SeqCst);
            // SAFETY: as above; the field is only ever accessed atomically.
            let pending = unsafe { &(*self.head.as_ptr()).pending };
            pending.store(entry, Ordering::Relaxed);
            compiler_fence(Ordering::SeqCst);
        }
    }

    impl Drop for Announcement {
        fn drop(&mut self) {
            self.mark(ptr::null_mut());
        }
    }

    /// This thread's list head, as the kernel knows it.
    fn head() -> io::Result<NonNull<Head>> {
        thread_local! {
            static KNOWN: Cell<*mut Head> = const { Cell::new(ptr::null_mut()) };
        }
        // glibc registers its list when the thread starts, once for all; others may change it later.
        const STAYS: bool = cfg!(target_env = "gnu");
        if let (true, Some(head)) = (STAYS, NonNull::new(KNOWN.get())) {
            return Ok(head);
        }
        let head = match NonNull::new(registered()?) {
            Some(head) => head,
            None => register_our_own()?,
        };
        KNOWN.set(head.as_ptr());
        Ok(head)
    }

    /// The head that is registered for this thread, or null.
    fn registered() -> io::Result<*mut Head> {
        let mut head: *mut Head = ptr::null_mut();
        let mut len: libc::size_t = 0;
        // SAFETY: the kernel writes a pointer and a length, which is what the two have room for; thread
        // 0 is this one.
        let result =
            unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut head, &raw mut len) };
        if result == 0 { Ok(head) } else { Err(io::Error::last_os_error()) }
    }

    /// Registers a head of our own, for a thread whose libc has not (musl, before its first use).
    fn register_our_own() -> io::Result<NonNull<Head>> {
        thread_local! {
            static OURS: Cell<Head> = const {
                Cell::new(Head {
                    first: ptr::null_mut(),
                    futex_offset: 0,
                    pending: AtomicPtr::new(ptr::null_mut()),
                })
            };
        }
        let head = OURS.with(Cell::as_ptr);
        // SAFETY: the memory is this thread's, without a destructor, and lasts as long as it; nobody
        // else has the pointer yet. A list that points to itself is empty.
        unsafe { (*head).first = head };
        // SAFETY: the kernel takes the address and the size of a head, and gets those.
        let result = unsafe { libc::syscall(libc::SYS_set_robust_list, head, size_of::<Head>()) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(NonNull::new(head).expect("the address of a static"))
    }
}

/// Announcements to nobody: a thread of a model that dies says so itself.
#[cfg(ipc_loom)]
mod model {
    use std::cell::Cell;
    use std::io;

    use ipc_core::sync::AtomicU32;

    loom::thread_local! {
        static THREAD_ID: Cell<u32> = Cell::new(0);
    }

    pub(crate) struct Announcement;

    /// Gives this thread of a model its id.
    #[cfg(test)]
    pub(crate) fn set_thread_id(thread_id: u32) {
        THREAD_ID.with(|id| id.set(thread_id));
    }

    impl Announcement {
        pub(crate) fn new(_word: &AtomicU32) -> io::Result<Self> {
            Ok(Self)
        }

        pub(crate) fn thread_id(&self) -> u32 {
            THREAD_ID.with(Cell::get)
        }
    }
}
