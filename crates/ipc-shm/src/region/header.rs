//! What stands before the value of a region, so that nobody takes other bytes for it.
//!
//! All fields have a fixed width and, but for the magic number, the byte order of the machine that made
//! the region. Offsets in bytes:
//!
//! ```text
//!    0  magic number    8 bytes   "ipc-rgn", 0
//!    8  byte order      u32       0x0102_0304, as the creator's machine stores it
//!   12  version         u32       1: of this header
//!   16  layout hash     u64       of the value's type: TypeIdentity::hash
//!   24  size            u64       of the value's type in bytes
//!   32  length          u64       of the whole region in bytes
//!   40  unused          24 bytes  zeros
//!   64  value                     at its alignment, if that is more than 64
//! ```
//!
//! The header never changes after creation, and nobody looks at it again after attaching. It is checked in
//! a copy, read once, by a system call: the file may be anybody's, and shortened at the same moment.

use std::mem::offset_of;
use std::os::fd::BorrowedFd;

use ipc_core::{OpenError, OpenErrorKind, Resource, TypeIdentity};
use rustix::io::Errno;

/// Bytes of a header.
pub(crate) const HEADER_LEN: usize = 64;

/// The first eight bytes, in this order on every machine.
const MAGIC: [u8; 8] = *b"ipc-rgn\0";
/// Each byte differs, so that it tells the order.
const BYTE_ORDER: u32 = 0x0102_0304;
/// Of this layout of the header.
const VERSION: u32 = 1;

#[repr(C)]
struct Layout {
    magic: [u8; 8],
    byte_order: u32,
    version: u32,
    hash: u64,
    size: u64,
    len: u64,
    unused: [u8; 24],
}

const _: () = {
    assert!(size_of::<Layout>() == HEADER_LEN);
    assert!(offset_of!(Layout, byte_order) == 8);
    assert!(offset_of!(Layout, version) == 12);
    assert!(offset_of!(Layout, hash) == 16);
    assert!(offset_of!(Layout, size) == 24);
    assert!(offset_of!(Layout, len) == 32);
    assert!(offset_of!(Layout, unused) == 40);
};

/// The bytes of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header([u8; HEADER_LEN]);

impl Header {
    /// That of a region of `len` bytes with a value of this type.
    pub(crate) fn new(identity: TypeIdentity, len: usize) -> Self {
        let mut header = Self([0; HEADER_LEN]);
        header.put(offset_of!(Layout, magic), MAGIC);
        header.put(offset_of!(Layout, byte_order), BYTE_ORDER.to_ne_bytes());
        header.put(offset_of!(Layout, version), VERSION.to_ne_bytes());
        header.put(offset_of!(Layout, hash), identity.hash.to_ne_bytes());
        header.put(offset_of!(Layout, size), identity.size_bytes.to_ne_bytes());
        header.put(offset_of!(Layout, len), (len as u64).to_ne_bytes());
        header
    }

    pub(crate) fn bytes(&self) -> &[u8; HEADER_LEN] {
        &self.0
    }

    /// Reads the header of a file, and checks that it is that of a region of `len` bytes, which the file
    /// has, with a value of this type, which begins at `value_at`.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Mismatch`] for the first thing that differs; those of `pread(2)`.
    pub(crate) fn check_file(
        file: BorrowedFd<'_>,
        len: usize,
        expected: (TypeIdentity, usize),
        resource: &Resource,
    ) -> Result<(), OpenError> {
        let mut bytes = [0; HEADER_LEN];
        let mut done = 0;
        while done < HEADER_LEN {
            match rustix::io::pread(file, &mut bytes[done..], done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(Errno::INTR) => {}
                Err(error) => return Err(OpenError::from_os("pread", resource, error)),
            }
        }
        // One that has been shortened meanwhile is as short as it is.
        let len = if done < HEADER_LEN { done } else { len };
        let checked = Self(bytes).check(len, expected);
        checked.map_err(|kind| OpenError::new("attach to", resource, kind))
    }

    /// Checks it against the length of the file and the value that shall be there.
    pub(crate) fn check(
        &self,
        file_len: usize,
        (identity, value_at): (TypeIdentity, usize),
    ) -> Result<(), OpenErrorKind> {
        let check = |what, expected: u64, found: u64| {
            let mismatch = || OpenErrorKind::Mismatch { what, expected, found };
            if expected == found { Ok(()) } else { Err(mismatch()) }
        };
        let needed = (value_at as u64).saturating_add(identity.size_bytes);
        if file_len < HEADER_LEN {
            return check("size in bytes", needed, file_len as u64);
        }
        let magic = u64::from_be_bytes(self.get(offset_of!(Layout, magic)));
        let byte_order = u32::from_ne_bytes(self.get(offset_of!(Layout, byte_order)));
        let version = u32::from_ne_bytes(self.get(offset_of!(Layout, version)));
        let hash = u64::from_ne_bytes(self.get(offset_of!(Layout, hash)));
        let size = u64::from_ne_bytes(self.get(offset_of!(Layout, size)));
        let len = u64::from_ne_bytes(self.get(offset_of!(Layout, len)));
        check("magic number", u64::from_be_bytes(MAGIC), magic)?;
        check("byte order", BYTE_ORDER.into(), byte_order.into())?;
        check("version of the header", VERSION.into(), version.into())?;
        check("size of the type in bytes", identity.size_bytes, size)?;
        check("layout hash", identity.hash, hash)?;
        check("length in the header", file_len as u64, len)?;
        // More room than the value needs is nobody's, and harmless.
        if len < needed { check("size in bytes", needed, len) } else { Ok(()) }
    }

    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn get<const N: usize>(&self, at: usize) -> [u8; N] {
        *self.0[at..].first_chunk().expect("within the header")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shared;
    use std::sync::atomic::AtomicU64;

    /// Programs that were built at another time compare these bytes.
    #[test]
    fn the_bytes_are_those_of_the_diagram() {
        let identity = TypeIdentity { size_bytes: 0x18, hash: 0x1112_1314_1516_1718 };
        let header = Header::new(identity, 0x58);
        let words = [
            u64::from_ne_bytes(*b"ipc-rgn\0"),
            if cfg!(target_endian = "little") { 0x1_0102_0304 } else { 0x0102_0304_0000_0001 },
            0x1112_1314_1516_1718,
            0x18,
            0x58,
            0,
            0,
            0,
        ];
        let expected: Vec<u8> = words.iter().flat_map(|word: &u64| word.to_ne_bytes()).collect();
        assert_eq!(header.bytes().as_slice(), expected);
    }

    #[test]
    fn each_field_that_differs_is_named() {
        let identity = AtomicU64::IDENTITY;
        let (len, expected) = (72, (identity, HEADER_LEN));
        let header = Header::new(identity, len);
        assert!(header.check(len, expected).is_ok());
        let what = |header: Header, len| match header.check(len, expected) {
            Err(OpenErrorKind::Mismatch { what, .. }) => what,
            other => panic!("{other:?}"),
        };
        for (at, name) in [
            (0, "magic number"),
            (7, "magic number"),
            (8, "byte order"),
            (11, "byte order"),
            (12, "version of the header"),
            (16, "layout hash"),
            (23, "layout hash"),
            (24, "size of the type in bytes"),
            (32, "length in the header"),
        ] {
            let mut wrong = header;
            wrong.0[at] ^= 0x40;
            assert_eq!(what(wrong, len), name, "byte {at}");
        }
        assert_eq!(what(header, 63), "size in bytes");
        assert_eq!(what(header, 71), "length in the header");
        assert_eq!(what(Header::new(identity, 71), 71), "size in bytes");
        assert!(Header::new(identity, 4096).check(4096, expected).is_ok(), "room to spare");
    }

    /// A machine of the other byte order has made it.
    #[test]
    fn the_other_byte_order_is_told_as_such() {
        let mut header = Header::new(AtomicU64::IDENTITY, 72);
        header.0[8..12].reverse();
        header.0[12..16].reverse();
        for field in [16, 24, 32] {
            header.0[field..field + 8].reverse();
        }
        let kind = header.check(72, (AtomicU64::IDENTITY, HEADER_LEN)).expect_err("refused");
        let expected = "byte order is 67305985, expected 16909060"; // 0x0403_0201, 0x0102_0304
        assert_eq!(kind.to_string(), expected);
    }
}
