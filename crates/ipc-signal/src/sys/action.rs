//! What a process does on a signal (`sigaction(2)`), and the one handler of this crate. Leaves out which
//! signals may have it.
//!
//! # Why the handler is safe wherever it interrupts
//!
//! A handler may run between any two instructions, in any thread, also inside `malloc` with its lock
//! held. Ours runs no code of the user's and touches nothing but the [`Slot`] of its signal: atomics in
//! a static that is never freed, so that no handler can come too late. It adds to a counter, writes to
//! an eventfd (`write(2)` is async-signal-safe, and never blocks here), puts `errno` back, and calls the
//! handler that was there before, which was as safe before us.
//!
//! The eventfd is the one thing that goes away. Whoever closes it takes it out of the slot first and
//! then waits until no handler is inside: the two sides of Dekker's algorithm, so all four accesses are
//! sequentially consistent.

// `sigaction` takes pointers, handlers get them, and the former handler is an address.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use super::SignalSet;
use crate::Signal;

/// What a process does on a signal.
#[derive(Clone, Copy)]
pub(crate) struct Action(libc::sigaction);

impl Action {
    /// The present action of this process.
    pub(crate) fn of(signal: Signal) -> io::Result<Self> {
        exchange(signal, None)
    }

    pub(crate) fn ignores(&self) -> bool {
        self.0.sa_sigaction == libc::SIG_IGN
    }

    /// Whether the kernel forgets the end of children (`SA_NOCLDWAIT`).
    pub(crate) fn forgets_children(&self) -> bool {
        self.0.sa_flags & libc::SA_NOCLDWAIT != 0
    }

    /// Whether the kernel is silent on children that stop (`SA_NOCLDSTOP`).
    pub(crate) fn hides_stops(&self) -> bool {
        self.0.sa_flags & libc::SA_NOCLDSTOP != 0
    }

    fn is_ours(&self) -> bool {
        self.0.sa_sigaction == our_address()
    }

    /// The address of a function; `None` for the default action and for ignoring.
    fn function(&self) -> Option<usize> {
        let action = self.0.sa_sigaction;
        (action != libc::SIG_DFL && action != libc::SIG_IGN).then_some(action)
    }
}

impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (action, flags) = (self.0.sa_sigaction, self.0.sa_flags);
        write!(f, "Action({action:#x}, flags {flags:#x})")
    }
}

/// Sets a new action, if one is given; returns the one that was there.
fn exchange(signal: Signal, new: Option<&libc::sigaction>) -> io::Result<Action> {
    // SAFETY: a C structure of numbers and sets of bits: zeros are valid in it.
    let mut former: libc::sigaction = unsafe { mem::zeroed() };
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null, an action that was in force before, or our handler, which may interrupt
    // anything (see the top of this file); `former` is written.
    let result = unsafe { libc::sigaction(signal.number(), new, &mut former) };
    if result == 0 { Ok(Action(former)) } else { Err(io::Error::last_os_error()) }
}

/// What the handler of one signal knows. In a static, hence always there.
struct Slot {
    /// Whether there is a [`Catch`].
    taken: AtomicBool,
    /// How often the handler has run for the present [`Catch`].
    count: AtomicU64,
    /// The eventfd to write to, or -1.
    event: AtomicI32,
    /// Whose eventfd that is: a process that was forked shares it, and must not wake its parent.
    process: AtomicU32,
    /// Handlers that may be about to write.
    writing: AtomicUsize,
    /// The function that was there before ours, to be called after it; 0 if there was none. It stays
    /// when the [`Catch`] goes: a handler that is late, or that is called by one above it, passes on.
    former: AtomicUsize,
}

const SIGNALS_MAX: usize = 64;

static SLOTS: [Slot; SIGNALS_MAX + 1] = [const {
    Slot {
        taken: AtomicBool::new(false),
        count: AtomicU64::new(0),
        event: AtomicI32::new(NO_EVENT),
        process: AtomicU32::new(0),
        writing: AtomicUsize::new(0),
        former: AtomicUsize::new(0),
    }
}; SIGNALS_MAX + 1];

const NO_EVENT: RawFd = -1;

type Function = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);

fn our_address() -> usize {
    let function: Function = on_signal;
    function as usize
}

/// The handler.
extern "C" fn on_signal(
    signo: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let Some(slot) = usize::try_from(signo).ok().and_then(|signo| SLOTS.get(signo)) else { return };
    // SAFETY: the address of this thread's `errno`, which lives as long as the thread.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above; nobody else writes it while we run.
    let interrupted = unsafe { *errno };
    slot.count.fetch_add(1, Ordering::Relaxed); // guards no other memory
    slot.writing.fetch_add(1, Ordering::SeqCst); // before the load; pairs with `take_event_back`
    let event = slot.event.load(Ordering::SeqCst);
    if event != NO_EVENT && slot.process.load(Ordering::Relaxed) == std::process::id() {
        let one = 1_u64;
        // SAFETY: eight readable bytes; the descriptor is open, since its owner waits for us. What
        // fails is a write to a full counter, which is not 0 already.
        unsafe { libc::write(event, ptr::from_ref(&one).cast(), size_of::<u64>()) };
    }
    slot.writing.fetch_sub(1, Ordering::SeqCst);
    let former = slot.former.load(Ordering::Relaxed); // one word, written before we were installed
    if former != 0 {
        // SAFETY: the address of a handler that was installed when we came. The kernel passes three
        // arguments to every handler on 64-bit Linux, also to one that takes only the first.
        let former: Function = unsafe { mem::transmute::<usize, Function>(former) };
        former(signo, info, context);
    }
    // SAFETY: as above.
    unsafe { *errno = interrupted };
}

/// Our handler, installed for a signal; the former action is put back when this is dropped.
#[derive(Debug)]
pub(crate) struct Catch {
    signal: Signal,
    former: Action,
    event: Option<OwnedFd>,
}

impl Catch {
    /// Installs the handler; `Ok(None)` if this process has it on this signal already. With an
    /// eventfd, which must be non-blocking, it adds one to that each time.
    ///
    /// Nobody else may change the action at the same moment: the kernel cannot compare and exchange.
    pub(crate) fn install(signal: Signal, event: Option<OwnedFd>) -> io::Result<Option<Self>> {
        let slot = slot_of(signal);
        if slot.taken.swap(true, Ordering::Acquire) {
            return Ok(None);
        }
        let install = || {
            let former = Action::of(signal)?;
            // If ours is still called, by one above it, then the function below us is known already.
            if !former.is_ours() {
                slot.former.store(former.function().unwrap_or(0), Ordering::Relaxed);
            }
            slot.count.store(0, Ordering::Relaxed);
            slot.process.store(std::process::id(), Ordering::Relaxed);
            let descriptor = event.as_ref().map_or(NO_EVENT, AsRawFd::as_raw_fd);
            slot.event.store(descriptor, Ordering::SeqCst);
            exchange(signal, Some(&ours_above(&former)))
        };
        match install() {
            Ok(former) => Ok(Some(Self { signal, former, event })),
            Err(error) => {
                take_event_back(slot);
                slot.taken.store(false, Ordering::Release);
                Err(error)
            }
        }
    }

    pub(crate) fn signal(&self) -> Signal {
        self.signal
    }

    /// How often the handler has run.
    pub(crate) fn count(&self) -> u64 {
        slot_of(self.signal).count.load(Ordering::Relaxed)
    }

    pub(crate) fn event(&self) -> Option<BorrowedFd<'_>> {
        self.event.as_ref().map(std::os::fd::AsFd::as_fd)
    }
}

impl Drop for Catch {
    fn drop(&mut self) {
        // Who has installed a handler above ours calls it, or not; taking that away is not ours to do.
        if Action::of(self.signal).is_ok_and(|present| present.is_ours()) {
            let _ = exchange(self.signal, Some(&self.former.0)); // it was valid before
        }
        let slot = slot_of(self.signal);
        take_event_back(slot);
        slot.taken.store(false, Ordering::Release); // pairs with the swap in `install`
    }
}

/// On return no handler writes to the eventfd any more, nor will.
fn take_event_back(slot: &Slot) {
    slot.event.store(NO_EVENT, Ordering::SeqCst); // before the load; pairs with `on_signal`
    while slot.writing.load(Ordering::SeqCst) != 0 {
        std::thread::yield_now(); // it is between two instructions of another thread
    }
}

/// Our handler with the mask of the former one, which it calls. On the alternate stack where a thread
/// has one, and with system calls restarted, as if nothing had happened.
fn ours_above(former: &Action) -> libc::sigaction {
    let mut ours = former.0;
    if former.function().is_none() {
        ours.sa_mask = SignalSet::of([]).into_inner();
    }
    ours.sa_sigaction = our_address();
    // SA_NOCLDSTOP and SA_NOCLDWAIT are about children, and whoever has set them wants them.
    let kept = former.0.sa_flags & (libc::SA_NOCLDSTOP | libc::SA_NOCLDWAIT | libc::SA_NODEFER);
    ours.sa_flags = kept | libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK;
    ours
}

/// Signals are numbered from 1 to 64.
fn slot_of(signal: Signal) -> &'static Slot {
    &SLOTS[signal.number() as usize]
}
