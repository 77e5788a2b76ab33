//! Where a segment is found: by a name, or as a file. Leaves out what is done there.

use std::fmt;
use std::path::{Path, PathBuf};

use ipc_core::{Name, Resource};

/// Where a segment is found. `&Name` and `&Path` convert to it.
///
/// ```
/// use ipc_core::Name;
/// use ipc_shm::Location;
/// use std::path::Path;
///
/// let name = Name::new("orders")?;
/// assert_eq!(Location::from(&name).path(), Path::new("/dev/shm/orders"));
/// assert_eq!(Location::from(Path::new("/var/lib/orders")).to_string(), "/var/lib/orders");
/// # Ok::<(), ipc_core::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    path: PathBuf,
    /// As a file, rather than by a name.
    is_file: bool,
}

/// Where the C library keeps named segments.
const DIRECTORY: &str = "/dev/shm";

impl Location {
    /// The file. That of a name is in `/dev/shm`, as `shm_open(3)` has it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was given as a file, so that the data shall outlive the system.
    pub(crate) fn is_file(&self) -> bool {
        self.is_file
    }

    /// The folder of the file.
    pub(crate) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    pub(crate) fn resource(&self) -> Resource {
        let kind = if self.is_file { "segment file" } else { "shared memory segment" };
        Resource::named(kind, self)
    }
}

/// The name as C programs write it, or the path.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.strip_prefix(DIRECTORY) {
            Ok(name) if !self.is_file => write!(f, "/{}", name.display()),
            _ => self.path.display().fmt(f),
        }
    }
}

impl From<&Name> for Location {
    fn from(name: &Name) -> Self {
        Self { path: Path::new(DIRECTORY).join(name.as_str()), is_file: false }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self { path: path.into(), is_file: true }
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        path.as_path().into()
    }
}

impl From<&Self> for Location {
    fn from(location: &Self) -> Self {
        location.clone()
    }
}
