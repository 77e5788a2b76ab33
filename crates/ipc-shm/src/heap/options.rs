//! Making a heap. Leaves out attaching to one and using it: [`super::memory`].

use std::hash::BuildHasher;

use ipc_core::{Deadline, Name, OpenError, OpenErrorKind, Resource};

use super::Heap;
use super::shape::{BLOCK_ALIGNMENT, MAX_POOLS, PoolShape, Shape};
use crate::{Access, Backing, Memfd, Segment, SegmentOptions, segment};

/// How to make a [`Heap`]. See [`Heap::options`].
#[derive(Clone, Debug)]
pub struct HeapOptions {
    pools: Vec<(usize, usize)>,
    processes: usize,
    names: usize,
    segment: SegmentOptions,
}

impl HeapOptions {
    pub(super) fn new() -> Self {
        let segment = Segment::options().backing(Backing::Lazy);
        Self { pools: Vec::new(), processes: 64, names: 64, segment }
    }

    /// Adds `blocks` blocks of `block_bytes`, which is rounded up to a multiple of 64. An object takes a
    /// block of the smallest size that it fits in, or of a larger one when those are taken. At most 16 sizes;
    /// one that was given before gets so many blocks more.
    ///
    /// There must be one at least. A block costs 16 bytes and an eighth beside its own.
    #[must_use]
    pub fn pool(mut self, block_bytes: usize, blocks: usize) -> Self {
        self.pools.push((block_bytes, blocks));
        self
    }

    /// How many processes may be attached at once: at least 1. The default is 64. The dead do not count.
    #[must_use]
    pub fn processes(mut self, processes: usize) -> Self {
        self.processes = processes;
        self
    }

    /// How many objects may have a name at once. The default is 64.
    #[must_use]
    pub fn names(mut self, names: usize) -> Self {
        self.names = names;
        self
    }

    /// When the memory is taken from the system. The default is [`Backing::Lazy`]: a heap that is made large
    /// costs what is used of it. With [`Backing::Reserved`] it cannot run out later.
    #[must_use]
    pub fn backing(mut self, backing: Backing) -> Self {
        self.segment = self.segment.backing(backing);
        self
    }

    /// Who may open a named heap; see [`SegmentOptions::mode`](crate::SegmentOptions::mode). Whoever uses it
    /// must be able to read and write. The default is `0o600`.
    #[must_use]
    pub fn mode(mut self, mode: u32) -> Self {
        self.segment = self.segment.mode(mode);
        self
    }

    /// Makes a heap in a new named segment, and attaches to it. It stays until it is unlinked
    /// ([`Segment::unlink_name`]), with the objects in it.
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::create_new`](crate::SegmentOptions::create_new);
    /// [`OpenErrorKind::InvalidOption`] for numbers out of range.
    pub fn create_new(&self, name: &Name) -> Result<Heap, OpenError> {
        let resource = segment::resource(name);
        let (shape, len) = self.shape(&resource)?;
        let segment = self.segment.create_new(name, len, |mapping| {
            shape.write(mapping);
            Ok(())
        })?;
        Heap::attach(segment.into_mapping(), resource, Deadline::Never)
    }

    /// Makes a heap in a new memfd of sealed size, which is gone with the last process that has it, and
    /// attaches to it. `label` is as for [`Memfd::create`]. Pass the memfd to the others, who
    /// [`receive`](Heap::receive) it.
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::create`]; [`OpenErrorKind::InvalidOption`] for numbers out of range.
    pub fn create_anonymous(&self, label: &str) -> Result<(Heap, Memfd), OpenError> {
        let resource = Resource::named("heap in memfd", label);
        let (shape, len) = self.shape(&resource)?;
        let memfd = Memfd::create(label, len, self.segment.backing)?;
        memfd.seal_size()?;
        let mapping = memfd.map(Access::ReadWrite)?;
        shape.write(&mapping);
        Ok((Heap::attach(mapping, resource, Deadline::Never)?, memfd))
    }

    /// The shape, and the length of its segment in bytes.
    fn shape(&self, resource: &Resource) -> Result<(Shape, usize), OpenError> {
        let shape = self.try_shape();
        let len = shape.as_ref().and_then(Shape::places).map(|places| places.len);
        shape.zip(len).ok_or_else(|| {
            let requirement = format!(
                "{:?} (bytes, blocks), {} processes, {} names; it must be 1 to {MAX_POOLS} sizes of 1 to \
                 {} bytes with one block at least, one process at least, and all of it fit in the \
                 address space",
                self.pools,
                self.processes,
                self.names,
                u32::MAX as usize + 1 - BLOCK_ALIGNMENT
            );
            let kind = OpenErrorKind::InvalidOption { option: "pools", requirement };
            OpenError::new("create", resource, kind)
        })
    }

    fn try_shape(&self) -> Option<Shape> {
        let mut pools: Vec<PoolShape> = Vec::new();
        for &(bytes, blocks) in &self.pools {
            let block_bytes = bytes.checked_next_multiple_of(BLOCK_ALIGNMENT)?.try_into().ok()?;
            let blocks = u32::try_from(blocks).ok()?;
            match pools.iter_mut().find(|pool| pool.block_bytes == block_bytes) {
                Some(pool) => pool.blocks = pool.blocks.checked_add(blocks)?,
                None => pools.push(PoolShape { block_bytes, blocks }),
            }
        }
        pools.sort_by_key(|pool| pool.block_bytes);
        Some(Shape {
            processes: self.processes.try_into().ok()?,
            names: self.names.try_into().ok()?,
            // Of random keys, as every hasher of the standard library's.
            first_period: std::hash::RandomState::new().hash_one(std::process::id()) as u32,
            pools,
        })
    }
}
