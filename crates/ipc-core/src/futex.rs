//! Sleeping on a word in shared memory, and waking who sleeps (`futex(2)`).
//!
//! These are **shared** futexes: the kernel identifies the word by the memory object and the offset
//! in it, so that two processes meet that have mapped it at different addresses. A futex knows
//! nothing of the other process's death; where that matters, sleep on something that does (a pipe
//! hangs up).
//!
//! Under `--cfg ipc_loom` the kernel is replaced by a model: a table of sleepers, and a compare that
//! is atomic with going to sleep.

use std::io;

use crate::Deadline;
use crate::sync::AtomicU32;

/// How a [`wait`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Somebody called [`wake`], or nobody did (a signal, a spurious wake-up): look at the word
    /// again.
    Woken,
    /// The word did not have the expected value, so there was no sleep.
    Changed,
    /// The deadline passed.
    TimedOut,
}

/// Sleeps while `word` has the value `expected`, until [`wake`] or the deadline.
///
/// The kernel compares and goes to sleep in one step, so that a wake-up after a change of the word is
/// never lost. The mapping may be read-only.
///
/// # Errors
///
/// Those of `futex(2)` but `EINTR`, `EAGAIN` and `ETIMEDOUT`: in practice `EFAULT`, if the memory
/// has no page to back it.
#[cfg(not(ipc_loom))]
pub fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> io::Result<Wake> {
    use rustix::io::Errno;
    use rustix::thread::futex;
    use std::num::NonZeroU32;

    const ANY: NonZeroU32 = NonZeroU32::MAX;
    // FUTEX_WAIT_BITSET takes an absolute time of CLOCK_MONOTONIC, the clock of `Instant`. The clock
    // is read after the remaining time was taken, so the sum is never too early.
    let until = deadline.remaining().and_then(|remaining| {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        rustix::time::Timespec::try_from(remaining).ok().and_then(|left| now.checked_add(left))
    });
    match futex::wait_bitset(word, futex::Flags::empty(), expected, until.as_ref(), ANY) {
        Ok(()) | Err(Errno::INTR) => Ok(Wake::Woken),
        Err(Errno::AGAIN) => Ok(Wake::Changed),
        Err(Errno::TIMEDOUT) => Ok(Wake::TimedOut),
        Err(error) => Err(error.into()),
    }
}

/// Wakes at most `count` sleepers of `word`; returns how many there were.
///
/// # Errors
///
/// Those of `futex(2)`: in practice `EFAULT`.
#[cfg(not(ipc_loom))]
pub fn wake(word: &AtomicU32, count: u32) -> io::Result<usize> {
    use rustix::thread::futex;
    // The kernel takes the count as a signed number.
    let count = count.min(i32::MAX as u32);
    Ok(futex::wake(word, futex::Flags::empty(), count)?)
}

/// What [`change_and_wake`] does to the word. Operands are those that the kernel has bits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Adds this, at most 2047; it wraps around.
    Add(u16),
    /// Stores this, at most 2047.
    Store(u16),
    /// Sets these bits, at most 2047.
    Set(u16),
    /// Stores a word with this one bit, numbered 0 to 31.
    StoreBit(u8),
}

/// Changes `word` and wakes at most `count` of its sleepers, in **one** step: being killed cannot part
/// the two, and nobody falls asleep between them. What came before is visible to whoever acquires the
/// new value. Returns how many were woken.
///
/// # Errors
///
/// Those of `futex(2)` (`FUTEX_WAKE_OP`): `EINVAL` for a larger operand, in practice `EFAULT`.
#[cfg(not(ipc_loom))]
pub fn change_and_wake(word: &AtomicU32, change: Change, count: u32) -> io::Result<usize> {
    use crate::sync::{Ordering, fence};
    use rustix::thread::futex::{self, WakeOp, WakeOpCmp};

    let (operation, operand, most) = match change {
        // The kernel takes 12 bits with a sign.
        Change::Add(operand) => (WakeOp::Add, operand, 2047),
        Change::Store(operand) => (WakeOp::Set, operand, 2047),
        Change::Set(operand) => (WakeOp::Or, operand, 2047),
        // The shift is of a 1, by the operand (the man page has it right, rustix's comment has not).
        Change::StoreBit(bit) => (WakeOp::SetShift, bit.into(), 31),
    };
    if operand > most {
        return Err(rustix::io::Errno::INVAL.into());
    }
    // The kernel changes the word by an instruction that the language knows nothing of.
    fence(Ordering::Release);
    // The kernel takes the count as a signed number. The word serves as both words of the call; under
    // the comparison the second one's wake-up is of 0 sleepers.
    let (flags, count) = (futex::Flags::empty(), count.min(i32::MAX as u32));
    Ok(futex::wake_op(word, flags, count, 0, word, operation, WakeOpCmp::Eq, operand, 0)?)
}

/// Adds `addend` to `word` (at most 2047; it wraps around) and wakes all its sleepers, in one step. See
/// [`change_and_wake`].
///
/// # Errors
///
/// Those of [`change_and_wake`].
pub fn add_and_wake_all(word: &AtomicU32, addend: u16) -> io::Result<usize> {
    change_and_wake(word, Change::Add(addend), u32::MAX)
}

/// Stores `value` (at most 2047) in `word` and wakes all its sleepers, in one step. See
/// [`change_and_wake`].
///
/// # Errors
///
/// Those of [`change_and_wake`].
pub fn store_and_wake_all(word: &AtomicU32, value: u16) -> io::Result<usize> {
    change_and_wake(word, Change::Store(value), u32::MAX)
}

#[cfg(ipc_loom)]
pub use model::{change_and_wake, wait, wake};

/// The kernel's side of a futex for loom: who sleeps on which word.
#[cfg(ipc_loom)]
mod model {
    use super::{AtomicU32, Change, Deadline, Wake, io};
    use crate::sync::Ordering;
    use loom::sync::{Condvar, Mutex};
    use std::collections::HashMap;

    #[derive(Default)]
    struct Sleepers {
        /// For each word, by address: sleepers, and wake-ups granted to them.
        words: HashMap<usize, (usize, usize)>,
    }

    loom::lazy_static! {
        static ref KERNEL: (Mutex<Sleepers>, Condvar) =
            (Mutex::new(Sleepers::default()), Condvar::new());
    }

    /// See the function of this name outside the model. Deadlines other than `Never` give up at once
    /// instead of sleeping, which is one of the outcomes that a real clock allows.
    pub fn wait(word: &AtomicU32, expected: u32, deadline: Deadline) -> io::Result<Wake> {
        let address = std::ptr::from_ref(word).addr();
        let (table, changed) = &*KERNEL;
        let mut sleepers = table.lock().expect("no panic while held");
        // A read-modify-write reads the newest value, as the kernel does under its own lock.
        if word.fetch_add(0, Ordering::Relaxed) != expected {
            return Ok(Wake::Changed);
        }
        if deadline != Deadline::Never {
            return Ok(Wake::TimedOut);
        }
        sleepers.words.entry(address).or_default().0 += 1;
        loop {
            sleepers = changed.wait(sleepers).expect("no panic while held");
            let entry = sleepers.words.entry(address).or_default();
            if entry.1 > 0 {
                entry.0 -= 1;
                entry.1 -= 1;
                return Ok(Wake::Woken);
            }
        }
    }

    /// See the function of this name outside the model.
    pub fn wake(word: &AtomicU32, count: u32) -> io::Result<usize> {
        wake_after(word, count, || {})
    }

    /// See the function of this name outside the model.
    pub fn change_and_wake(word: &AtomicU32, change: Change, count: u32) -> io::Result<usize> {
        wake_after(word, count, || {
            match change {
                Change::Add(operand) => word.fetch_add(operand.into(), Ordering::Release),
                Change::Store(operand) => word.swap(operand.into(), Ordering::Release),
                Change::Set(operand) => word.fetch_or(operand.into(), Ordering::Release),
                Change::StoreBit(bit) => word.swap(1 << bit, Ordering::Release),
            };
        })
    }

    fn wake_after(word: &AtomicU32, count: u32, change: impl FnOnce()) -> io::Result<usize> {
        let address = std::ptr::from_ref(word).addr();
        let (table, changed) = &*KERNEL;
        let mut sleepers = table.lock().expect("no panic while held");
        change();
        let entry = sleepers.words.entry(address).or_default();
        let granted = (entry.0 - entry.1).min(count as usize);
        entry.1 += granted;
        drop(sleepers);
        changed.notify_all();
        Ok(granted)
    }
}

#[cfg(all(test, not(ipc_loom)))]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn a_word_is_changed_and_its_sleepers_woken_in_one_step() {
        let word = AtomicU32::new(1);
        std::thread::scope(|scope| {
            let sleep_while = |value| {
                let word = &word;
                move || {
                    while word.load(Ordering::Acquire) == value {
                        wait(word, value, Deadline::Never).expect("an ordinary word");
                    }
                }
            };
            let sleepers = [scope.spawn(sleep_while(1)), scope.spawn(sleep_while(1))];
            add_and_wake_all(&word, 2047).expect("the largest addend");
            for sleeper in sleepers {
                sleeper.join().expect("woken");
            }
            assert_eq!(word.load(Ordering::Relaxed), 2048);
            let sleeper = scope.spawn(sleep_while(2048));
            store_and_wake_all(&word, 0).expect("the least value");
            sleeper.join().expect("woken");
            assert_eq!(word.load(Ordering::Relaxed), 0);
            for (change, value) in [
                (Change::Set(0x7ff), 0x7ff),
                (Change::StoreBit(31), 1 << 31),
                (Change::Add(2047), (1 << 31) + 2047),
                (Change::StoreBit(0), 1),
            ] {
                let sleeper = scope.spawn(sleep_while(word.load(Ordering::Relaxed)));
                change_and_wake(&word, change, 1).expect("an operand that fits");
                sleeper.join().expect("woken");
                assert_eq!(word.load(Ordering::Relaxed), value, "{change:?}");
            }
        });
        for change in
            [Change::Add(2048), Change::Store(2048), Change::Set(2048), Change::StoreBit(32)]
        {
            let error = change_and_wake(&word, change, 1).expect_err("more than the kernel takes");
            assert_eq!(error.raw_os_error(), Some(22));
        }
    }
}
