//! Names of links and other objects, validated once.

use std::fmt;
use std::str::FromStr;

/// A name that is valid for every named mechanism: 1 to 64 of `[A-Za-z0-9._-]`, and neither `.` nor
/// `..`, so that it can serve as a file name.
///
/// ```
/// use ipc_core::Name;
///
/// let name = Name::new("orders.v2")?;
/// assert_eq!(name.as_str(), "orders.v2");
/// assert!(Name::new("a/b").is_err());
/// # Ok::<(), ipc_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// The longest name, in bytes.
    pub const MAX_LEN: usize = 64;

    /// Checks and keeps a name.
    ///
    /// # Errors
    ///
    /// [`NameError`] says what is wrong with it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_LEN {
            return Err(NameError::TooLong { len: name.len(), max: Self::MAX_LEN });
        }
        if name == "." || name == ".." {
            return Err(NameError::Dots);
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        match name.char_indices().find(|&(_, c)| !allowed(c)) {
            Some((index, found)) => Err(NameError::Character { name: name.into(), found, index }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// What is wrong with a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name must not be empty")]
    Empty,
    /// It is `.` or `..`, which name directories.
    #[error("\".\" and \"..\" cannot be names")]
    Dots,
    /// It is too long.
    #[error("a name of {len} bytes is longer than the {max} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// It holds a character that names cannot hold.
    #[error(
        "name {name:?} has {found:?} at byte {index}; letters, digits, '.', '_', '-' may stand"
    )]
    Character {
        /// The name.
        name: Box<str>,
        /// The character.
        found: char,
        /// Where it stands, in bytes from the start.
        index: usize,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_fit_a_file_name_are_taken() {
        let longest = "x".repeat(64);
        for good in ["a", "A-Z_0.9", "..a", longest.as_str()] {
            assert_eq!(Name::new(good).map(|n| n.to_string()).as_deref(), Ok(good));
        }
    }

    #[test]
    fn names_that_could_leave_the_directory_are_refused() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("."), Err(NameError::Dots));
        assert_eq!(Name::new(".."), Err(NameError::Dots));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong { len: 65, max: 64 }));
        for bad in ["/a", "a/b", "a\0", "a b", "é", "a\n"] {
            assert!(matches!(Name::new(bad), Err(NameError::Character { .. })), "{bad:?}");
        }
    }
}
