//! POSIX timers that send a signal (`timer_create(2)`).

// The calls take pointers to C structures. The system calls themselves, since the C library's
// `timer_t` is a pointer, which could not move between threads, and the kernel's a number.
#![allow(unsafe_code)]

use std::io;
use std::ptr;

use rustix::time::Itimerspec;

/// A timer, deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct PosixTimer(libc::c_int);

impl PosixTimer {
    /// A timer that is not yet set, and sends this process the signal with the value.
    pub(crate) fn create(
        clock: libc::clockid_t,
        signo: libc::c_int,
        value: u64,
    ) -> io::Result<Self> {
        // SAFETY: a C structure of numbers and a pointer that nobody follows: zeros are valid in it.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_SIGNAL;
        event.sigev_signo = signo;
        event.sigev_value.sival_ptr = ptr::without_provenance_mut(value as usize);
        let mut id: libc::c_int = 0;
        let (event, id_pointer) = (ptr::from_ref(&event), ptr::from_mut(&mut id));
        // SAFETY: both pointers are to live memory of the kernel's types; only `id` is written.
        let result = unsafe { libc::syscall(libc::SYS_timer_create, clock, event, id_pointer) };
        check(result)?;
        Ok(Self(id))
    }

    /// Sets it, or with a first expiry of zero stops it.
    pub(crate) fn set(&self, absolute: bool, spec: &Itimerspec) -> io::Result<()> {
        let flags = if absolute { libc::TIMER_ABSTIME } else { 0 };
        let no_former = ptr::null_mut::<Itimerspec>();
        let spec = ptr::from_ref(spec);
        // SAFETY: rustix's structure is the kernel's, live and only read; null asks for no answer.
        let result =
            unsafe { libc::syscall(libc::SYS_timer_settime, self.0, flags, spec, no_former) };
        check(result)
    }

    /// How many more expiries the signal that was last taken stood for.
    pub(crate) fn overruns(&self) -> io::Result<u32> {
        // SAFETY: nothing but numbers.
        let result = unsafe { libc::syscall(libc::SYS_timer_getoverrun, self.0) };
        u32::try_from(result).map_err(|_| io::Error::last_os_error())
    }
}

impl Drop for PosixTimer {
    fn drop(&mut self) {
        // It fails only for a timer that is not ours. SAFETY: nothing but a number.
        unsafe { libc::syscall(libc::SYS_timer_delete, self.0) };
    }
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
