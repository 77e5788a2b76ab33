//! The oracle for what is attached to: bytes of whatever content and length, which a region is found in
//! only if they are one.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::OpenErrorKind;

use crate::region::{HEADER_LEN, Header};
use crate::{Mapping, Memfd, Region, Seals, Shared};

crate::shared! {
    /// What the oracle looks for.
    struct Wanted("ipc-shm.oracle.Wanted/1") {
        words: [AtomicU64; 3],
    }
}

/// Bytes of the region that is looked for.
const LEN: usize = HEADER_LEN + 24;

/// Makes a memfd as the script says: a true header with some bytes changed, or noise, cut or lengthened.
/// Attaches to it, and panics where the answer is not that of the plain rule: each field, in order, must be
/// equal to what this program would have written.
///
/// # Panics
///
/// Then.
pub fn region_header(script: &[u8]) {
    let bytes = file_of(script);
    let memfd =
        rustix::fs::memfd_create("oracle", rustix::fs::MemfdFlags::ALLOW_SEALING).expect("a memfd");
    rustix::fs::ftruncate(&memfd, bytes.len() as u64).expect("any size");
    let written = rustix::io::pwrite(&memfd, &bytes, 0).expect("written");
    assert_eq!(written, bytes.len(), "a few bytes go at once");
    let found = attach(memfd);
    assert_eq!(found, expected(&bytes), "{bytes:?}");
}

/// What is wrong with the file, or nothing; and then the value is used.
fn attach(memfd: OwnedFd) -> Option<&'static str> {
    let region = Memfd::receive(memfd, Seals::NONE, 1..=usize::MAX).and_then(|memfd| {
        memfd.seal(Seals::SIZE)?;
        Region::<Wanted, Mapping>::attach(&memfd)
    });
    match region {
        Ok(region) => {
            for word in &region.words {
                let before = word.fetch_add(1, Ordering::Relaxed); // nobody else is there
                assert_eq!(word.load(Ordering::Relaxed), before.wrapping_add(1));
            }
            None
        }
        Err(error) => match error.kind() {
            OpenErrorKind::Mismatch { what, .. } => Some(*what),
            other => panic!("an answer that cannot be: {other}"),
        },
    }
}

/// The plain rule.
fn expected(bytes: &[u8]) -> Option<&'static str> {
    if bytes.len() < HEADER_LEN {
        return Some("size in bytes");
    }
    let right = Header::new(Wanted::IDENTITY, bytes.len());
    let fields = [
        (0..8, "magic number"),
        (8..12, "byte order"),
        (12..16, "version of the header"),
        (24..32, "size of the type in bytes"),
        (16..24, "layout hash"),
        (32..40, "length in the header"),
    ];
    for (place, name) in fields {
        if bytes[place.clone()] != right.bytes()[place] {
            return Some(name);
        }
    }
    (bytes.len() < LEN).then_some("size in bytes")
}

/// The first byte says how long it is, and how many pairs of place and byte follow; the rest is noise to
/// begin with, if it says so.
fn file_of(script: &[u8]) -> Vec<u8> {
    let (&first, rest) = script.split_first().unwrap_or((&0, &[]));
    let len = match first % 4 {
        0 => LEN,
        1 => usize::from(first),
        2 => LEN + usize::from(first) * 17,
        _ => HEADER_LEN + usize::from(first) % 32,
    };
    let mut bytes = Header::new(Wanted::IDENTITY, len).bytes().to_vec();
    if first & 0x80 != 0 {
        bytes = rest.to_vec();
    } else {
        for change in rest.chunks_exact(2).take(usize::from(first >> 4)) {
            let place = usize::from(change[0]) % HEADER_LEN;
            bytes[place] ^= change[1];
        }
    }
    bytes.resize(len.max(1), 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_comes_about() {
        for (script, answer) in [
            (&[0][..], None),
            (&[2], None),
            (&[0x10, 3, 1], Some("magic number")),
            (&[0x10, 8, 1], Some("byte order")),
            (&[0x10, 12, 1], Some("version of the header")),
            (&[0x10, 16, 1], Some("layout hash")),
            (&[0x10, 24, 1], Some("size of the type in bytes")),
            (&[0x10, 32, 1], Some("length in the header")),
            (&[3], Some("size in bytes")),
            (&[1], Some("size in bytes")),
            (&[0x80, 1, 2, 3], Some("magic number")),
        ] {
            region_header(script);
            assert_eq!(expected(&file_of(script)), answer, "{script:?}");
        }
    }
}
