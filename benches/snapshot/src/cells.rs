//! What is measured: our cell, `mmap-sync`, and our algorithm with other numbers of slots.

// Reads of mmap-sync trust whoever writes its files.
#![allow(unsafe_code)]

use std::ffi::OsString;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use ipc_core::Name;
use ipc_shm::{Segment, Snapshot, SnapshotReader};
use mmap_sync::locks::LockDisabled;
use mmap_sync::synchronizer::Synchronizer;
use wyhash::WyHash;

/// Writes values whose bytes are all the same.
pub(crate) trait Writer {
    fn write(&mut self, byte: u8);
}

/// Reads values into its own memory.
pub(crate) trait Reader {
    /// The first byte and the last; nothing if the writer was quicker.
    fn read(&mut self) -> Option<(u8, u8)>;
}

/// Calls a generic function for a size that is known at run time.
macro_rules! of_size {
    ($size:expr, $call:ident($($argument:expr),*)) => {
        match $size {
            8 => $call::<8>($($argument),*),
            64 => $call::<64>($($argument),*),
            1024 => $call::<1024>($($argument),*),
            65536 => $call::<65536>($($argument),*),
            size => panic!("no values of {size} bytes here"),
        }
    };
}

pub(crate) fn writer(cell: &str, name: &str, size: usize) -> Box<dyn Writer> {
    of_size!(size, writer_of(cell, name))
}

pub(crate) fn reader(cell: &str, name: &str, size: usize) -> Box<dyn Reader> {
    of_size!(size, reader_of(cell, name))
}

fn writer_of<const N: usize>(cell: &str, name: &str) -> Box<dyn Writer> {
    match cell {
        "ours" => {
            let segment = create(name, size_of::<Snapshot<[u8; N]>>());
            // The segment is never unmapped: a few, in a program that soon ends.
            let segment: &'static Segment = Box::leak(Box::new(segment));
            let cell = Snapshot::<[u8; N]>::at(segment.mapping(), 0);
            Box::new(Ours { writer: cell.claim().expect("nobody else") })
        }
        "mmap-sync" => Box::new(Theirs::<N>::new(name)),
        slots => Box::new(Slots::<N>::new(create(name, 64 + 8 * N.max(64)), slots)),
    }
}

fn reader_of<const N: usize>(cell: &str, name: &str) -> Box<dyn Reader> {
    match cell {
        "ours" => {
            let segment: &'static Segment = Box::leak(Box::new(open(name)));
            let reader = SnapshotReader::<[u8; N]>::at(segment.mapping(), 0);
            Box::new(OurReader { reader, value: Box::new([0; N]) })
        }
        "mmap-sync" => Box::new(Theirs::<N>::new(name)),
        slots => Box::new(Slots::<N>::new(open(name), slots)),
    }
}

fn create(name: &str, len: usize) -> Segment {
    Segment::create_new(&Name::new(name).expect("a name"), len).expect("a free name")
}

fn open(name: &str) -> Segment {
    Segment::open(&Name::new(name).expect("a name")).expect("there")
}

/// Removes whatever files a cell of this name had.
pub(crate) fn remove(name: &str) {
    for suffix in ["", "_state", "_data_0", "_data_1"] {
        let _ = std::fs::remove_file(format!("/dev/shm/{name}{suffix}"));
    }
}

struct Ours<const N: usize> {
    writer: ipc_shm::SnapshotWriter<'static, [u8; N]>,
}

impl<const N: usize> Writer for Ours<N> {
    fn write(&mut self, byte: u8) {
        self.writer.publish(&[byte; N]);
    }
}

struct OurReader<const N: usize> {
    reader: SnapshotReader<'static, [u8; N]>,
    value: Box<[u8; N]>,
}

impl<const N: usize> Reader for OurReader<N> {
    fn read(&mut self) -> Option<(u8, u8)> {
        self.reader.read_into(&mut self.value).ok()?;
        Some((self.value[0], self.value[N - 1]))
    }
}

/// `mmap-sync` at its best: bytes as they are (`write_raw`), no lock among writers, no check of the bytes, and
/// when a reader holds it up it looks again after a microsecond rather than, as it does of itself, a second.
struct Theirs<const N: usize> {
    cell: Synchronizer<WyHash, LockDisabled, 1024, 1_000>,
    value: Box<[u8; N]>,
}

impl<const N: usize> Theirs<N> {
    fn new(name: &str) -> Self {
        let prefix = OsString::from(format!("/dev/shm/{name}"));
        Self { cell: Synchronizer::with_params(&prefix), value: Box::new([0; N]) }
    }
}

impl<const N: usize> Writer for Theirs<N> {
    fn write(&mut self, byte: u8) {
        let written = self.cell.write_raw::<[u8; N]>(&[byte; N], Duration::from_secs(1));
        written.expect("written");
    }
}

impl<const N: usize> Reader for Theirs<N> {
    fn read(&mut self) -> Option<(u8, u8)> {
        // SAFETY: the writer is this very program, and writes values of this type.
        let read = unsafe { self.cell.read::<[u8; N]>(false) };
        self.value.copy_from_slice(&*read.expect("one was written"));
        Some((self.value[0], self.value[N - 1]))
    }
}

/// Our algorithm with any number of slots; with one it is the plain sequence lock, whose number is odd while the
/// value is written.
struct Slots<const N: usize> {
    segment: Segment,
    slots: u64,
    version: u64,
    value: Box<[u8; N]>,
}

impl<const N: usize> Slots<N> {
    fn new(segment: Segment, slots: &str) -> Self {
        let slots = slots.parse().expect("a number of slots, at most eight");
        Self { segment, slots, version: 0, value: Box::new([0; N]) }
    }

    fn at(&self, version: u64) -> usize {
        // In the line of the version, as ours, if they are small.
        16 + (version % self.slots) as usize * N
    }
}

impl<const N: usize> Writer for Slots<N> {
    fn write(&mut self, byte: u8) {
        let memory = self.segment.mapping();
        let published = memory.atomic_u64(0);
        let next = self.version + 1;
        if self.slots == 1 {
            published.store(2 * next - 1, Ordering::Relaxed);
        }
        fence(Ordering::Release);
        memory.write_at(self.at(next), &[byte; N]);
        let number = if self.slots == 1 { 2 * next } else { next };
        published.store(number, Ordering::Release);
        self.version = next;
    }
}

impl<const N: usize> Reader for Slots<N> {
    fn read(&mut self) -> Option<(u8, u8)> {
        let memory = self.segment.mapping();
        let published = memory.atomic_u64(0);
        let before = published.load(Ordering::Acquire);
        if self.slots == 1 && before % 2 == 1 {
            return None;
        }
        memory.read_at(self.at(before), &mut self.value[..]);
        fence(Ordering::Acquire);
        let overtaken_by = published.load(Ordering::Relaxed) - before;
        let is_whole = overtaken_by <= self.slots.saturating_sub(2);
        is_whole.then(|| (self.value[0], self.value[N - 1]))
    }
}
