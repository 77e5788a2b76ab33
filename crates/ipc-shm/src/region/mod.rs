//! A value of one type in shared memory, with a header that says so.

// Refers to a value in mapped memory.
#![allow(unsafe_code)]

mod header;

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::os::fd::{AsFd, OwnedFd};

use ipc_core::{OpenError, OpenErrorKind, TypeIdentity};

use crate::{Access, Location, Mapping, Memfd, Seals, Segment, SegmentOptions, Shared};
pub(crate) use header::{HEADER_LEN, Header};

/// A value of type `T` that several processes use at once, in a [`Segment`] or (with `M` a [`Mapping`])
/// in a [`Memfd`]. It derefs to the value.
///
/// Before the value stands a header: magic number, version, byte order, the type's size and
/// [identity](Shared::IDENTITY), the length. Who attaches checks all of it first, so that two programs built
/// apart agree on what is there or get an error. It appears whole: nobody ever sees a value that its creator
/// has not finished, and a creator that is killed leaves nothing.
///
/// ```
/// use ipc_core::{Name, OpenErrorKind};
/// use ipc_shm::Region;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// ipc_shm::shared! {
///     /// What a weather station shows.
///     pub struct Station("weather.Station/1") {
///         /// Readings taken.
///         pub readings: AtomicU64,
///         /// Readings of each sensor.
///         pub by_sensor: [AtomicU64; 4],
///     }
/// }
///
/// let name = Name::new(&format!("doc-region.{}", std::process::id()))?;
/// let initial = || Station { readings: AtomicU64::new(7), by_sensor: Default::default() };
/// // Whichever process comes first makes it:
/// let station = Region::open_or_create(&name, initial)?;
/// station.readings.fetch_add(1, Ordering::Relaxed);
///
/// // Another one, with the same declaration:
/// let same = Region::<Station>::open(&name)?;
/// assert_eq!(same.readings.load(Ordering::Relaxed), 8);
///
/// // One with another:
/// let error = Region::<[AtomicU64; 5]>::open(&name).unwrap_err();
/// assert!(matches!(error.kind(), OpenErrorKind::Mismatch { what: "layout hash", .. }));
/// # same.segment().unlink()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// The value is never dropped, since processes die without dropping. What about a file that others shorten
/// is said at [`Segment`](Segment#sigbus): attaching itself never faults.
pub struct Region<T, M = Segment> {
    memory: M,
    value: PhantomData<fn() -> T>,
}

impl<T: Shared> Region<T> {
    /// Creates a region with this value, for processes of this user, at a name or as a file. See
    /// [`SegmentOptions::create_new_region`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::create_new`].
    pub fn create_new(location: impl Into<Location>, value: T) -> Result<Self, OpenError> {
        Segment::options().create_new_region(location, value)
    }

    /// Opens the region, or creates it with what `value` returns if there is none. See
    /// [`SegmentOptions::open_or_create_region`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::open_or_create_region`].
    pub fn open_or_create(
        location: impl Into<Location>,
        value: impl FnMut() -> T,
    ) -> Result<Self, OpenError> {
        Segment::options().open_or_create_region(location, value)
    }

    /// Opens a region. See [`SegmentOptions::open_region`].
    ///
    /// # Errors
    ///
    /// Those of [`SegmentOptions::open_region`].
    pub fn open(location: impl Into<Location>) -> Result<Self, OpenError> {
        Segment::options().open_region(location)
    }

    /// Its segment: to unlink it, to flush it.
    pub fn segment(&self) -> &Segment {
        &self.memory
    }
}

impl<T: Shared> Region<T, Mapping> {
    /// Makes a region with this value in a memfd, sealed as `seals` says: [`Seals::SIZE`] for processes
    /// that all use the value, [`Seals::ONE_WRITER`] if only this one shall write. `label` is as for
    /// [`Memfd::create`]. Pass the memfd to the others.
    ///
    /// ```
    /// use ipc_shm::{Region, Seals};
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let (ours, memfd) = Region::create_memfd("counter", AtomicU64::new(1), Seals::SIZE)?;
    /// // Passed over a socket, or to a child (`memfd.give_to`):
    /// let theirs = Region::<AtomicU64, _>::receive(memfd.into_fd())?;
    /// theirs.store(2, Ordering::Release);
    /// assert_eq!(ours.load(Ordering::Acquire), 2);
    /// # Ok::<(), ipc_core::OpenError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::create`].
    pub fn create_memfd(label: &str, value: T, seals: Seals) -> Result<(Self, Memfd), OpenError> {
        let memfd = Segment::options().create_memfd(label, Self::LEN)?;
        let mapping = memfd.map(Access::ReadWrite)?;
        place_header::<T>(&mapping);
        place_value(&mapping, value);
        memfd.seal(seals)?;
        Ok((Self::over(mapping), memfd))
    }

    /// Attaches to the region in a memfd that another process made ([`create_memfd`](Self::create_memfd))
    /// and sealed, at least, in its size.
    ///
    /// # Errors
    ///
    /// Those of [`Memfd::receive`], and of [`attach`](Self::attach).
    pub fn receive(memfd: OwnedFd) -> Result<Self, OpenError> {
        Self::attach(&Memfd::receive(memfd, Seals::SIZE, 1..=isize::MAX as usize)?)
    }

    /// Attaches to the region in a memfd.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if it holds something else, or its size is not sealed;
    /// [`OpenErrorKind::PermissionDenied`] if it is sealed against writing.
    pub fn attach(memfd: &Memfd) -> Result<Self, OpenError> {
        Self::check_memfd(memfd)?;
        Ok(Self::over(memfd.map(Access::ReadWrite)?))
    }

    /// Attaches to the region in a memfd to look only.
    ///
    /// # Safety
    ///
    /// No method of the value that may write is called: the memory cannot be written, and a store to it is
    /// a fault.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] if it holds something else, or its size is not sealed.
    pub unsafe fn attach_read_only(memfd: &Memfd) -> Result<Self, OpenError> {
        Self::check_memfd(memfd)?;
        Ok(Self::over(memfd.map(Access::ReadOnly)?))
    }

    fn check_memfd(memfd: &Memfd) -> Result<(), OpenError> {
        memfd.check_seals(Seals::SIZE)?;
        Header::check_file(memfd.as_fd(), memfd.len(), Self::EXPECTED, memfd.resource())
    }
}

impl SegmentOptions {
    /// Creates a region with this value. It is in its place before anybody can see the region.
    ///
    /// # Errors
    ///
    /// Those of [`create_new`](Self::create_new); [`OpenErrorKind::InvalidOption`] with
    /// [`read_only`](Self::read_only).
    pub fn create_new_region<T: Shared>(
        self,
        location: impl Into<Location>,
        value: T,
    ) -> Result<Region<T>, OpenError> {
        self.create_region_of(location.into(), |mapping| place_value(mapping, value))
    }

    /// Creates a region whose value is bytes of zero: what [`Shared`] types are useful as. For values that
    /// are too large to be passed.
    ///
    /// # Errors
    ///
    /// Those of [`create_new_region`](Self::create_new_region).
    pub fn create_new_zeroed_region<T: Shared>(
        self,
        location: impl Into<Location>,
    ) -> Result<Region<T>, OpenError> {
        self.create_region_of(location.into(), |_| {})
    }

    /// Opens the region if there is one, and else creates it with what `value` returns. Of several
    /// processes that do so at once, one creates it, and all get the same one, whole. (`value` may have been
    /// called in vain, even more than once.)
    ///
    /// # Errors
    ///
    /// Those of [`create_new_region`](Self::create_new_region) and [`open_region`](Self::open_region), as
    /// for [`open_or_create`](Self::open_or_create).
    pub fn open_or_create_region<T: Shared>(
        self,
        location: impl Into<Location>,
        value: impl FnMut() -> T,
    ) -> Result<Region<T>, OpenError> {
        let location = location.into();
        self.open_or_else_create(
            || self.open_region(&location),
            value,
            |value| self.create_new_region(&location, value()),
        )
    }

    /// Opens a region.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open); [`OpenErrorKind::Mismatch`] if it is no region, is of another type,
    /// version or byte order, or has another length than it should;
    /// [`OpenErrorKind::InvalidOption`] with [`read_only`](Self::read_only), which takes
    /// [`open_region_read_only`](Self::open_region_read_only).
    pub fn open_region<T: Shared>(
        self,
        location: impl Into<Location>,
    ) -> Result<Region<T>, OpenError> {
        let location = location.into();
        self.check_writable(&location)?;
        self.attach_region(location)
    }

    /// Opens a region to look only.
    ///
    /// # Safety
    ///
    /// No method of the value that may write is called: the memory cannot be written, and a store to it is
    /// a fault.
    ///
    /// # Errors
    ///
    /// Those of [`open_region`](Self::open_region).
    pub unsafe fn open_region_read_only<T: Shared>(
        self,
        location: impl Into<Location>,
    ) -> Result<Region<T>, OpenError> {
        self.read_only().attach_region(location.into())
    }

    fn attach_region<T: Shared>(self, location: Location) -> Result<Region<T>, OpenError> {
        let opened = self.open_file(&location)?;
        let expected = Region::<T>::EXPECTED;
        Header::check_file(opened.file.as_fd(), opened.len, expected, &opened.resource)?;
        Ok(Region::over(self.map(opened, location)?))
    }

    fn create_region_of<T: Shared>(
        self,
        location: Location,
        place_value: impl FnOnce(&Mapping),
    ) -> Result<Region<T>, OpenError> {
        self.check_writable(&location)?;
        let segment = self.create_new(location, Region::<T>::LEN, |mapping| {
            place_header::<T>(mapping);
            place_value(mapping);
            Ok(())
        })?;
        Ok(Region::over(segment))
    }

    fn check_writable(self, location: &Location) -> Result<(), OpenError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => {
                let requirement = "a region to look at only takes open_region_read_only".into();
                let kind = OpenErrorKind::InvalidOption { option: "read_only", requirement };
                Err(OpenError::new("attach to", &location.resource(), kind))
            }
        }
    }
}

/// Places the header in fresh memory, which is as long as a region of `T`.
fn place_header<T: Shared>(mapping: &Mapping) {
    mapping.write_at(0, Header::new(T::IDENTITY, mapping.len()).bytes());
}

/// Places the value in fresh memory that nobody else sees yet and that can be written.
fn place_value<T: Shared>(mapping: &Mapping, value: T) {
    assert!(mapping.len() >= Region::<T>::LEN, "made to be that long");
    assert_eq!(mapping.access(), Access::ReadWrite, "made to be written");
    let place = mapping.as_mut_ptr().wrapping_add(Region::<T>::VALUE_AT).cast::<T>();
    // SAFETY: in bounds and writable, as was just asserted; aligned, since the mapping is to pages and
    // `VALUE_AT` is a multiple of the alignment. Nobody else has the memory yet.
    unsafe { place.write(value) };
}

impl<T: Shared, M> Region<T, M> {
    /// Where the value begins, in bytes.
    pub const VALUE_AT: usize = {
        let align = align_of::<T>();
        assert!(align <= 4096, "mappings are aligned to pages, and no more");
        if align > HEADER_LEN { align } else { HEADER_LEN }
    };

    /// Length of header and value in bytes.
    pub const LEN: usize = Self::VALUE_AT + size_of::<T>();

    /// The type that must be there, and where.
    const EXPECTED: (TypeIdentity, usize) = (T::IDENTITY, Self::VALUE_AT);

    /// Over memory that was made or checked to hold such a region.
    fn over(memory: M) -> Self {
        Self { memory, value: PhantomData }
    }
}

impl<T: Shared, M: AsRef<Mapping>> Deref for Region<T, M> {
    type Target = T;

    fn deref(&self) -> &T {
        let value = self.memory.as_ref().as_ptr().wrapping_add(Self::VALUE_AT).cast::<T>();
        // Any bytes are a value of a `Shared` type, whatever other processes write meanwhile. If the memory
        // is read-only, who opened it has promised to write nothing.
        // SAFETY: besides, mapped as long as `self`, which only this module makes, of segments and mappings
        // that are long enough and stay where they are; aligned to pages and `VALUE_AT`.
        unsafe { &*value }
    }
}

/// Without the value, which need not be one that can be shown.
impl<T: Shared, M: fmt::Debug> fmt::Debug for Region<T, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region")
            .field("memory", &self.memory)
            .field("type", &T::IDENTITY)
            .finish_non_exhaustive()
    }
}
