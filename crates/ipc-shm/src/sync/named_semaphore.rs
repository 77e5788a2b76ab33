//! Named semaphores of POSIX, as C programs have them (`sem_overview(7)`). Leaves out the semaphores that
//! live in a segment: see [`super::semaphore`].
//!
//! They are libc's own, by libc's own functions, so that other programs can share them: where libc keeps them
//! (glibc: `/dev/shm/sem.NAME`) and what it writes there is its business.

// C functions that take pointers to a semaphore.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fmt;
use std::io;
use std::ptr::NonNull;

use ipc_core::{Deadline, Name, OpenError, OpenErrorKind, OsError, Resource};

/// A named POSIX semaphore, shared with whoever opens the same name: by `sem_open(3)` in C, by
/// `posix_ipc.Semaphore` in Python. Dropping it closes it (`sem_close(3)`); the name stays until somebody
/// [`unlink`](Self::unlink)s it, and the semaphore until the last process has closed it as well.
///
/// The name `orders` is `"/orders"` there.
///
/// It has no owner: units that a process held when it died stay taken. For a semaphore that loses no wake-up
/// whoever is killed, and for locks that know their owner, see [`Semaphore`](crate::Semaphore) and
/// [`Mutex`](crate::Mutex).
///
/// ```
/// use ipc_core::{Deadline, Name};
/// use ipc_shm::NamedSemaphore;
///
/// let name = Name::new(&format!("doc-semaphore.{}", std::process::id()))?;
/// let semaphore = NamedSemaphore::create_new(&name, 1, 0o600)?;
/// let same = NamedSemaphore::open(&name)?; // in any process
/// assert!(same.try_acquire()?);
/// assert!(!semaphore.acquire(Deadline::Now)?);
/// same.release()?;
/// assert_eq!(semaphore.count()?, 1);
/// NamedSemaphore::unlink(&name)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct NamedSemaphore {
    semaphore: NonNull<libc::sem_t>,
    resource: Resource,
}

// SAFETY: a semaphore is for use by all threads of a process, and `sem_close` by any of them.
unsafe impl Send for NamedSemaphore {}
// SAFETY: as above.
unsafe impl Sync for NamedSemaphore {}

impl NamedSemaphore {
    /// The highest count (`SEM_VALUE_MAX`).
    pub const MAX: u32 = i32::MAX as u32;

    /// Creates a semaphore with this count, for those whom the mode lets in; as with every file, the umask
    /// takes bits from the mode. See `sem_open(3)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::AlreadyExists`] if there is one of this name; [`OpenErrorKind::InvalidOption`] for a
    /// count above [`MAX`](Self::MAX); others of `sem_open(3)`.
    pub fn create_new(name: &Name, count: u32, mode: u32) -> Result<Self, OpenError> {
        if count > Self::MAX {
            let requirement = format!("{count}; it must be at most {}", Self::MAX);
            let kind = OpenErrorKind::InvalidOption { option: "count", requirement };
            return Err(OpenError::new("sem_open", &resource(name), kind));
        }
        let path = path(name);
        let flags = libc::O_CREAT | libc::O_EXCL;
        // SAFETY: a string that ends in a zero, and the two further arguments that O_CREAT asks for.
        let semaphore = unsafe { libc::sem_open(path.as_ptr(), flags, mode, count) };
        Self::from_raw(semaphore, name)
    }

    /// Opens the semaphore of this name. See `sem_open(3)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`], [`OpenErrorKind::PermissionDenied`]; others of `sem_open(3)`.
    pub fn open(name: &Name) -> Result<Self, OpenError> {
        let path = path(name);
        // SAFETY: a string that ends in a zero.
        let semaphore = unsafe { libc::sem_open(path.as_ptr(), 0) };
        Self::from_raw(semaphore, name)
    }

    /// Removes a name. Those who have the semaphore open keep it. See `sem_unlink(3)`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`], [`OpenErrorKind::PermissionDenied`].
    pub fn unlink(name: &Name) -> Result<(), OpenError> {
        // SAFETY: a string that ends in a zero.
        if unsafe { libc::sem_unlink(path(name).as_ptr()) } == 0 {
            return Ok(());
        }
        Err(OpenError::from_os("sem_unlink", &resource(name), io::Error::last_os_error()))
    }

    /// The count. It may be stale on return. See `sem_getvalue(3)`.
    ///
    /// # Errors
    ///
    /// In practice none.
    pub fn count(&self) -> Result<u32, OsError> {
        let mut count = 0;
        // SAFETY: open until `self` is dropped; writes a number.
        let result = unsafe { libc::sem_getvalue(self.semaphore.as_ptr(), &raw mut count) };
        self.check("sem_getvalue", result)?;
        // POSIX allows a negative number of waiters instead of 0; Linux never gives one.
        Ok(u32::try_from(count).unwrap_or(0))
    }

    /// Takes a unit if there is one. Never blocks. See `sem_trywait(3)`.
    ///
    /// # Errors
    ///
    /// In practice none.
    pub fn try_acquire(&self) -> Result<bool, OsError> {
        self.acquire(Deadline::Now)
    }

    /// Takes a unit, waiting for one until `deadline`; tells whether it got one. Signals do not end the wait,
    /// and setting the system's clock does not change it. See `sem_wait(3)`, `sem_clockwait(3)`.
    ///
    /// # Errors
    ///
    /// In practice none.
    pub fn acquire(&self, deadline: Deadline) -> Result<bool, OsError> {
        let semaphore = self.semaphore.as_ptr();
        loop {
            let (operation, result) = match deadline {
                // SAFETY: open until `self` is dropped.
                Deadline::Now => ("sem_trywait", unsafe { libc::sem_trywait(semaphore) }),
                // SAFETY: as above.
                Deadline::Never => ("sem_wait", unsafe { libc::sem_wait(semaphore) }),
                Deadline::At(_) => ("sem_clockwait", self.wait_until(deadline)),
            };
            match self.check(operation, result) {
                Ok(()) => return Ok(true),
                Err(error) => match error.source.raw_os_error() {
                    Some(libc::EINTR) => {}
                    Some(libc::EAGAIN | libc::ETIMEDOUT) => return Ok(false),
                    _ => return Err(error),
                },
            }
        }
    }

    /// Gives a unit, and wakes who waits for one. Never blocks. See `sem_post(3)`.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` at [`MAX`](Self::MAX).
    pub fn release(&self) -> Result<(), OsError> {
        // SAFETY: open until `self` is dropped.
        self.check("sem_post", unsafe { libc::sem_post(self.semaphore.as_ptr()) })
    }

    /// Waits until an instant of the monotonic clock.
    #[cfg(target_env = "gnu")]
    fn wait_until(&self, deadline: Deadline) -> libc::c_int {
        unsafe extern "C" {
            /// `sem_clockwait(3)`, since glibc 2.30.
            fn sem_clockwait(
                semaphore: *mut libc::sem_t,
                clock: libc::clockid_t,
                until: *const libc::timespec,
            ) -> libc::c_int;
        }
        let until = until(deadline, rustix::time::ClockId::Monotonic);
        // SAFETY: open until `self` is dropped; reads the time.
        unsafe { sem_clockwait(self.semaphore.as_ptr(), libc::CLOCK_MONOTONIC, &raw const until) }
    }

    /// Waits for a moment at most, and so until the deadline: other libcs know no other clock for this than
    /// the system's, which may be set meanwhile.
    #[cfg(not(target_env = "gnu"))]
    fn wait_until(&self, deadline: Deadline) -> libc::c_int {
        const MOMENT: std::time::Duration = std::time::Duration::from_millis(100);
        loop {
            let moment = crate::spin::nap_until(deadline, MOMENT);
            let until = until(moment, rustix::time::ClockId::Realtime);
            // SAFETY: open until `self` is dropped; reads the time.
            let result = unsafe { libc::sem_timedwait(self.semaphore.as_ptr(), &raw const until) };
            let timed_out = io::Error::last_os_error().raw_os_error() == Some(libc::ETIMEDOUT);
            if result == 0 || !timed_out || deadline.has_passed() {
                return result;
            }
        }
    }

    fn from_raw(semaphore: *mut libc::sem_t, name: &Name) -> Result<Self, OpenError> {
        let resource = resource(name);
        // SEM_FAILED is null on Linux.
        match NonNull::new(semaphore) {
            Some(semaphore) => Ok(Self { semaphore, resource }),
            None => Err(OpenError::from_os("sem_open", &resource, io::Error::last_os_error())),
        }
    }

    fn check(&self, operation: &'static str, result: libc::c_int) -> Result<(), OsError> {
        match result {
            0 => Ok(()),
            _ => Err(OsError::new(operation, &self.resource, io::Error::last_os_error())),
        }
    }
}

/// The deadline on a clock that is read now.
fn until(deadline: Deadline, clock: rustix::time::ClockId) -> libc::timespec {
    // The clock is read after the remaining time was taken, so the sum is never too early.
    let remaining = deadline.remaining().unwrap_or_default();
    let now = rustix::time::clock_gettime(clock);
    let sum =
        rustix::time::Timespec::try_from(remaining).ok().and_then(|left| now.checked_add(left));
    let sum = sum.unwrap_or(rustix::time::Timespec { tv_sec: i64::MAX, tv_nsec: 0 });
    libc::timespec { tv_sec: sum.tv_sec, tv_nsec: sum.tv_nsec }
}

impl Drop for NamedSemaphore {
    fn drop(&mut self) {
        // SAFETY: open, and not used any more: each opening is closed once. Fails for nothing else.
        unsafe { libc::sem_close(self.semaphore.as_ptr()) };
    }
}

impl fmt::Debug for NamedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamedSemaphore").field("resource", &self.resource).finish_non_exhaustive()
    }
}

fn path(name: &Name) -> CString {
    CString::new(format!("/{name}")).expect("a name has no zeros")
}

fn resource(name: &Name) -> Resource {
    Resource::named("POSIX semaphore", format!("/{name}"))
}
