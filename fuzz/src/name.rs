//! The oracle for names: what [`ipc_core::Name`] takes and refuses, decided a second time by a table
//! of bytes.

use ipc_core::{Name, NameError};

/// Gives `data` to [`Name::new`], and panics where its answer is not that of the plain rule: 1 to 64
/// of `[A-Za-z0-9._-]`, and neither `.` nor `..`.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let bytes = text.as_bytes();
    let first_bad = bytes.iter().position(|byte| !ALLOWED.contains(byte));
    match Name::new(&text) {
        Ok(name) => {
            assert!((1..=64).contains(&bytes.len()), "took {} bytes", bytes.len());
            assert_eq!(first_bad, None, "took {text:?}");
            assert!(*bytes != *b"." && *bytes != *b"..", "took a directory");
            assert_eq!(name.as_str(), text, "kept another name than it was given");
        }
        Err(NameError::Empty) => assert!(bytes.is_empty()),
        Err(NameError::Dots) => assert!(*bytes == *b"." || *bytes == *b".."),
        Err(NameError::TooLong { len, max }) => {
            assert_eq!((len, max), (bytes.len(), 64));
            assert!(len > max);
        }
        Err(error @ NameError::Character { index, found, .. }) => {
            assert_eq!(first_bad, Some(index));
            assert_eq!(text[index..].chars().next(), Some(found));
            assert!(
                !error.to_string().contains('\0'),
                "a message must not hold what it complains of"
            );
        }
    }
}

const ALLOWED: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
