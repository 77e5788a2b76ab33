//! The snapshot cell, its writer and its readers.

// Refers to mapped memory, and copies bytes to and from it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::mem::{MaybeUninit, offset_of};
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{Deadline, Identified, TypeIdentity, WaitStrategy};

use super::Bell;
use super::sequence::{SLOTS, Sequence};
use crate::process::ProcessToken;
use crate::{Mapping, Shared, copy};

/// One value of type `T`, which one process replaces as often as it likes and any number of others
/// read. Readers always get a whole value, the latest one that was complete.
///
/// - **The writer never waits**, for nobody. It [claims](Self::claim) the cell, and keeps it until it
///   drops the claim or dies; then another may. Killed at any instruction, it leaves the last
///   complete value.
/// - **Readers only read.** A read-only mapping is enough ([`SnapshotReader::at`]), such as that of a memfd
///   which the kernel lets nobody but its maker write ([`Memfd::seal_for_peer`](crate::Memfd::seal_for_peer)).
///   A reader begins anew if three values were completed while it copied one; it does so a bounded number
///   of times, or until a deadline, whatever the writer does.
/// - **A hostile writer** can publish nonsense, or torn values, or keep readers from getting any. Whatever
///   it does, they get some bytes, which are a value of `T`, or an error.
///
/// The memory is that of four values, and 16 bytes. Zeroed memory is a cell in which nothing was published
/// yet. All processes must be of one PID namespace, with `/proc` mounted (a reader needs neither).
///
/// Not for values of which each one matters: those are messages. And not for what several processes change:
/// take a lock.
///
/// ```
/// use ipc_shm::{Access, Backing, Memfd, Seals, Snapshot, SnapshotReader};
///
/// // The writer makes the memory, maps it, and then lets the kernel forbid everybody else to write.
/// let memory = Memfd::create("position", 4096, Backing::Reserved)?;
/// let mapping = memory.map(Access::ReadWrite)?;
/// memory.seal_for_peer()?;
/// let mut position = Snapshot::<[f64; 3]>::at(&mapping, 0).claim()?;
/// position.publish(&[1.0, 2.0, 3.0]);
///
/// // A reader in another process, which got the descriptor:
/// let memory = Memfd::receive(memory.into_fd(), Seals::ONE_WRITER, 4096..=4096)?;
/// let mapping = memory.map(Access::ReadOnly)?;
/// let reader = SnapshotReader::<[f64; 3]>::at(&mapping, 0);
/// assert_eq!(reader.read()?, [1.0, 2.0, 3.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[repr(C, align(64))]
pub struct Snapshot<T> {
    /// Written by the writer alone.
    sequence: Sequence,
    /// Who the writer is: a [`ProcessToken`], or 0.
    writer: AtomicU64,
    /// In the same cache line, where the values are small.
    slots: [Slot<T>; SLOTS],
}

/// Bytes of a value, copied by words.
#[repr(C, align(8))]
struct Slot<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: the slots are accessed by copies of relaxed atomic words only, never by reference.
unsafe impl<T: Identified> Sync for Snapshot<T> {}

// SAFETY: C's layout, of fixed width. Words are atomics; the slots are copied out by atomic accesses, and
// any bytes in them are a `T`. Zeros are a cell with nothing published. The identity has the value's.
unsafe impl<T: Identified + 'static> Shared for Snapshot<T> {
    const IDENTITY: TypeIdentity = TypeIdentity::of_struct(
        "ipc.Snapshot/1",
        size_of::<Self>(),
        align_of::<Self>(),
        &[("value", offset_of!(Self, slots), TypeIdentity::of::<T>())],
    );
}

/// Copies that a reader makes before it gives up. It needs a second one only if the writer completes three
/// values during the first.
const READ_ATTEMPTS: u32 = 1_000;

impl<T: Identified> Snapshot<T> {
    /// A cell in which nothing was published yet.
    pub fn new() -> Self {
        let slots = [const { Slot(UnsafeCell::new(MaybeUninit::zeroed())) }; SLOTS];
        Self { sequence: Sequence::new(), writer: AtomicU64::new(0), slots }
    }

    /// The cell at `offset` bytes of a mapping. All who use it must agree that it is there, and on `T`.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to its type (64 bytes), or the mapping is read-only (there,
    /// use [`SnapshotReader::at`]).
    pub fn at(mapping: &Mapping, offset: usize) -> &Self {
        mapping.atomic_u64(offset); // is it writable?
        locate(mapping, offset)
    }

    /// Makes this process the writer, until the result is dropped or the process dies, as the kernel tells.
    /// A writer that is only stopped keeps the cell.
    ///
    /// A child forked without `exec` must not use its parent's claim; the parent keeps it.
    ///
    /// # Errors
    ///
    /// [`ClaimError::Taken`] if there is a writer, in this process or another; those of asking the kernel
    /// about processes.
    pub fn claim(&self) -> Result<SnapshotWriter<'_, T>, ClaimError> {
        /// A claim that fails because somebody else's came first looks at that one next.
        const ATTEMPTS: u32 = 16;

        let own = ProcessToken::own()?;
        let mut found = self.writer.load(Ordering::Relaxed); // the exchange looks again
        for _ in 0..ATTEMPTS {
            if let Some(writer) = ProcessToken::from_bits(found) {
                if writer.is_alive()? {
                    return Err(ClaimError::Taken { process_id: writer.id() });
                }
            }
            // Acquire pairs with the Release in the drop of the writer before. If that one died, the kernel
            // has told us so, and its stores were done before.
            match self.writer.compare_exchange(
                found,
                own.bits(),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => {
                    let version = self.sequence.version();
                    return Ok(SnapshotWriter { snapshot: self, own, version });
                }
                Err(now) => found = now,
            }
        }
        Err(ClaimError::Taken {
            process_id: ProcessToken::from_bits(found).map_or(0, |it| it.id()),
        })
    }

    /// A reader. There may be any number.
    pub fn reader(&self) -> SnapshotReader<'_, T> {
        SnapshotReader { snapshot: self }
    }

    fn slot(&self, index: usize) -> *mut u8 {
        self.slots[index].0.get().cast()
    }
}

impl<T: Identified> Default for Snapshot<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Identified> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.sequence.version())
            .finish_non_exhaustive()
    }
}

/// The one who may publish values in a [`Snapshot`]. Dropping it lets another claim the cell.
#[derive(Debug)]
pub struct SnapshotWriter<'a, T: Identified> {
    snapshot: &'a Snapshot<T>,
    own: ProcessToken,
    /// The latest version. Kept here, so that nobody can confuse us.
    version: u64,
}

impl<T: Identified> SnapshotWriter<'_, T> {
    /// Replaces the value, and returns its version: one more than that of the last. Never waits, makes no
    /// system call.
    ///
    /// Wakes nobody: who has readers that wait rings their [`Bell`] afterwards.
    #[inline]
    pub fn publish(&mut self, value: &T) -> u64 {
        self.version = self.version.wrapping_add(1);
        self.snapshot.sequence.publish(self.version, |slot| {
            // SAFETY: a slot has room for a `T`, and is writable, since claiming it was a write too;
            // nobody has a reference into it.
            unsafe { copy::copy_in(self.snapshot.slot(slot), value.as_bytes()) }
        });
        self.version
    }

    /// The version of the latest value; 0 if there never was one.
    pub fn version(&self) -> u64 {
        self.version
    }
}

impl<T: Identified> Drop for SnapshotWriter<'_, T> {
    fn drop(&mut self) {
        // Not by a forked child, which does not own it.
        if self.own.is_own() {
            // Release pairs with the Acquire in `claim`. A failure is a peer's garbage, which is left alone.
            let _ = self.snapshot.writer.compare_exchange(
                self.own.bits(),
                0,
                Ordering::Release,
                Ordering::Relaxed,
            );
        }
    }
}

/// Reads a [`Snapshot`], and never writes to its memory.
pub struct SnapshotReader<'a, T> {
    snapshot: &'a Snapshot<T>,
}

impl<'a, T: Identified> SnapshotReader<'a, T> {
    /// Reads the cell at `offset` bytes of a mapping, which may be read-only. All who use it must agree
    /// that it is there, and on `T`.
    ///
    /// # Panics
    ///
    /// If it is out of bounds or not aligned to its type (64 bytes).
    pub fn at(mapping: &'a Mapping, offset: usize) -> Self {
        Self { snapshot: locate(mapping, offset) }
    }

    /// The latest value. Begins anew if the writer was too quick, a thousand times at most; never sleeps.
    ///
    /// # Errors
    ///
    /// [`SnapshotReadError`].
    #[inline]
    pub fn read(&self) -> Result<T, SnapshotReadError> {
        self.read_versioned().map(|(_, value)| value)
    }

    /// The latest value after its version.
    ///
    /// # Errors
    ///
    /// [`SnapshotReadError`].
    #[inline]
    pub fn read_versioned(&self) -> Result<(u64, T), SnapshotReadError> {
        let mut value = T::new_zeroed();
        let version = self.read_into(&mut value)?;
        Ok((version, value))
    }

    /// Copies the latest value to `value`, and returns its version: for values that are large. After an
    /// error `value` holds some value.
    ///
    /// # Errors
    ///
    /// [`SnapshotReadError`].
    #[inline]
    pub fn read_into(&self, value: &mut T) -> Result<u64, SnapshotReadError> {
        read_bounded(|| self.try_read_into(value))
    }

    /// As [`read_into`](Self::read_into), and begins anew until `deadline`, at least once. With
    /// [`Deadline::Never`] a writer that publishes without end may keep this from returning.
    ///
    /// # Errors
    ///
    /// [`SnapshotReadError`].
    pub fn read_deadline(
        &self,
        value: &mut T,
        deadline: Deadline,
    ) -> Result<u64, SnapshotReadError> {
        loop {
            match self.read_into(value) {
                Err(SnapshotReadError::Overtaken) if !deadline.has_passed() => {}
                result => return result,
            }
        }
    }

    /// The version of the latest value; 0 if there never was one. It may be stale on return. Cheaper than a
    /// read, to see whether there is anything new.
    #[inline]
    pub fn version(&self) -> u64 {
        self.snapshot.sequence.version()
    }

    /// Waits until the version is another than `seen`, at most until `deadline`; tells whether it is.
    ///
    /// The writer must ring `bell`, which lies in memory that this process can write. If the writer dies,
    /// nobody tells: wait with a deadline, and look at [`has_writer`](Self::has_writer) when it has passed.
    ///
    /// ```
    /// use ipc_core::{Deadline, WaitStrategy};
    /// use ipc_shm::{Bell, Snapshot};
    ///
    /// ipc_shm::shared! {
    ///     struct Weather("weather/1") {
    ///         celsius: Snapshot<f32>,
    ///         changed: Bell,
    ///     }
    /// }
    ///
    /// let weather = Weather { celsius: Snapshot::new(), changed: Bell::new() };
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         weather.celsius.claim()?.publish(&21.5);
    ///         weather.changed.ring()?;
    ///         Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
    ///     });
    ///     let reader = weather.celsius.reader();
    ///     reader.wait_changed(0, &weather.changed, WaitStrategy::default(), Deadline::Never)?;
    ///     assert_eq!(reader.read()?, 21.5);
    ///     Ok::<(), Box<dyn std::error::Error>>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`ipc_core::futex::wait`].
    pub fn wait_changed(
        &self,
        seen: u64,
        bell: &Bell,
        strategy: WaitStrategy,
        deadline: Deadline,
    ) -> io::Result<bool> {
        bell.wait(strategy, deadline, || self.version() != seen)
    }

    /// Whether a living process has claimed the cell. It may be stale on return.
    ///
    /// # Errors
    ///
    /// Those of asking the kernel about processes.
    pub fn has_writer(&self) -> io::Result<bool> {
        // Relaxed: nothing is read because of it.
        let writer = self.snapshot.writer.load(Ordering::Relaxed);
        ProcessToken::from_bits(writer).map_or(Ok(false), ProcessToken::is_alive)
    }

    #[inline]
    fn try_read_into(&self, value: &mut T) -> Option<u64> {
        let read = self.snapshot.sequence.try_read(|slot| {
            // SAFETY: a slot has the bytes of a `T`; nobody has a reference into it.
            unsafe { copy::copy_out(self.snapshot.slot(slot), value.as_mut_bytes()) }
        });
        read.map(|(version, ())| version)
    }
}

/// Attempts to read until one gives a version, but not for ever.
#[inline]
fn read_bounded(mut try_read: impl FnMut() -> Option<u64>) -> Result<u64, SnapshotReadError> {
    for _ in 0..READ_ATTEMPTS {
        match try_read() {
            Some(0) => return Err(SnapshotReadError::Unpublished),
            Some(version) => return Ok(version),
            None => std::hint::spin_loop(),
        }
    }
    Err(SnapshotReadError::Overtaken)
}

impl<T> Clone for SnapshotReader<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SnapshotReader<'_, T> {}

impl<T: Identified> fmt::Debug for SnapshotReader<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotReader").field("version", &self.version()).finish_non_exhaustive()
    }
}

/// Why a [`Snapshot`] gave no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotReadError {
    /// Nothing was published yet.
    #[error("read a snapshot: nothing was published yet")]
    Unpublished,
    /// The writer completed three values during each of the attempts to copy one.
    #[error("read a snapshot: the writer was quicker each time")]
    Overtaken,
}

/// Why a process did not become the writer of a [`Snapshot`].
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// There is one.
    #[error("claim a snapshot: process {process_id} is its writer")]
    Taken {
        /// Its process id.
        process_id: u32,
    },
    /// The kernel did not tell whether the last writer lives, or who we are.
    #[error("claim a snapshot: {0}")]
    Os(#[from] io::Error),
}

/// The cell at an offset, checked. Where the mapping is read-only, it may only be loaded from.
#[track_caller]
fn locate<T: Identified>(mapping: &Mapping, offset: usize) -> &Snapshot<T> {
    let len = size_of::<Snapshot<T>>();
    let in_bounds = offset.checked_add(len).is_some_and(|end| end <= mapping.len());
    assert!(
        in_bounds,
        "a cell of {len} bytes at offset {offset} is outside a mapping of {} bytes",
        mapping.len()
    );
    let address = mapping.as_ptr().wrapping_add(offset).cast::<Snapshot<T>>();
    assert!(
        address.is_aligned(),
        "offset {offset} is not aligned to {}",
        align_of::<Snapshot<T>>()
    );
    // SAFETY: in bounds and aligned, as was just checked, and mapped as long as the mapping lives, which
    // gives out no references to plain bytes. Any bytes are a cell.
    unsafe { &*address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_is_overtaken_each_time_gives_up() {
        let mut attempts = 0;
        let result = read_bounded(|| {
            attempts += 1;
            None
        });
        assert_eq!((result, attempts), (Err(SnapshotReadError::Overtaken), READ_ATTEMPTS));
        let mut left = READ_ATTEMPTS;
        let result = read_bounded(|| {
            left -= 1;
            (left == 0).then_some(7)
        });
        assert_eq!(result, Ok(7), "the last attempt counts");
    }

    #[test]
    fn a_small_value_lies_in_the_cache_line_of_its_version() {
        assert_eq!((size_of::<Snapshot<u64>>(), align_of::<Snapshot<u64>>()), (64, 64));
        assert_eq!(size_of::<Snapshot<[u8; 13]>>(), 128, "slots begin at words");
    }
}
