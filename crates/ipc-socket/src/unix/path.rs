//! Sockets at paths: taken, reclaimed from the dead, given back. Leaves out what is done with them.
//!
//! The file that `bind(2)` makes stays behind when its process is killed, and keeps the next from
//! binding there. To tell a dead file from a living one we connect to it, with a **datagram** socket:
//!
//! - `ECONNREFUSED`: no socket stands behind the file any more; it is dead for good;
//! - `EPROTOTYPE`: a socket of another type does, even if it does not listen yet;
//! - success, or anything else: somebody is there, or we cannot know.
//!
//! So a stream listener never sees the question in its queue, and is safe between its `bind` and its
//! `listen`. Two processes that find the same dead file must not both remove what is there: the second
//! would remove the first one's new socket. Everyone who binds here does so under a lock (`flock(2)`)
//! on the directory, which leaves no lock file behind and which the kernel releases at any death. Only
//! the `bind` and the question happen under it, so nobody holds it for long; but any process that may
//! read the directory may lock it, so keep sockets in a directory of your own, not in `/tmp`.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Gid, Mode, Stat, Uid};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The file of a socket bound here. Dropping it removes the file, if it is still that one.
///
/// To be dropped while the socket is open: as long as that is so, nobody reclaims the path, and the
/// number of its inode is not used again.
#[derive(Debug)]
pub(crate) struct BoundPath {
    path: PathBuf,
    file: FileId,
    /// The process that bound it. A forked copy of it does not remove the path.
    process: u32,
}

/// What tells one file from any other that exists at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Binds `socket` to `path`, with permission bits `mode`, reclaiming the path from a dead socket.
pub(crate) fn bind(
    socket: BorrowedFd<'_>,
    path: &Path,
    address: &SocketAddrUnix,
    mode: u32,
    resource: &Resource,
) -> Result<BoundPath, OpenError> {
    let mode = Mode::from_raw_mode(mode);
    // Linux makes the file with the mode of the socket's own inode, so there is no moment at which it
    // allows more than it should; the umask may take more away, which the chmod below gives back.
    rustix::fs::fchmod(socket, mode).map_err(|e| OpenError::from_os("fchmod", resource, e))?;
    let lock = lock_directory(path);
    match rustix::net::bind(socket, address) {
        // Without the lock, on a directory that we cannot read, say, nothing is reclaimed.
        Err(Errno::ADDRINUSE) if lock.is_some() && is_dead(path, address) => {
            remove(path).map_err(|e| OpenError::from_os("unlink", resource, e))?;
            rustix::net::bind(socket, address)
        }
        other => other,
    }
    .map_err(|errno| OpenError::from_os("bind", resource, errno))?;
    let stat =
        rustix::fs::lstat(path).map_err(|errno| OpenError::from_os("stat", resource, errno))?;
    let bound = BoundPath {
        // So that a change of directory meanwhile does not hide it from us.
        path: std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
        file: FileId::of(&stat),
        process: std::process::id(),
    };
    if Mode::from_raw_mode(stat.st_mode) != mode {
        rustix::fs::chmodat(CWD, path, mode, AtFlags::empty())
            .map_err(|errno| OpenError::from_os("chmod", resource, errno))?;
    }
    Ok(bound)
}

/// Locks the directory of `path` against others who bind here; `None` if that cannot be done.
fn lock_directory(path: &Path) -> Option<File> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(parent.unwrap_or(Path::new("."))).ok()?;
    rustix::io::retry_on_intr(|| rustix::fs::flock(&directory, FlockOperation::LockExclusive))
        .ok()?;
    Some(directory)
}

/// Whether `path` is a socket's file without a socket behind it.
fn is_dead(path: &Path, address: &SocketAddrUnix) -> bool {
    let is_socket = |stat: Stat| FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
    if !rustix::fs::lstat(path).is_ok_and(is_socket) {
        return false;
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let probe = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None);
    probe.is_ok_and(|probe| rustix::net::connect(&probe, address) == Err(Errno::CONNREFUSED))
}

/// Removes a file; it is no error if it is gone already.
fn remove(path: &Path) -> Result<(), Errno> {
    match rustix::fs::unlink(path) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}

impl FileId {
    fn of(stat: &Stat) -> Self {
        Self { device: stat.st_dev, inode: stat.st_ino }
    }
}

impl BoundPath {
    /// Changes the owner of the file. Nothing is left of it if that fails.
    pub(super) fn give_to(&self, uid: u32, gid: u32, resource: &Resource) -> Result<(), OpenError> {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(CWD, &self.path, Some(uid), Some(gid), flags)
            .map_err(|errno| OpenError::from_os("chown", resource, errno))
    }
}

impl Drop for BoundPath {
    fn drop(&mut self) {
        let is_ours =
            rustix::fs::lstat(&self.path).is_ok_and(|stat| FileId::of(&stat) == self.file);
        if self.process == std::process::id() && is_ours {
            let _ = remove(&self.path); // there is nobody to tell, and the next to bind reclaims it
        }
    }
}

/// Refuses permission bits that are none.
pub(crate) fn check_mode(mode: u32, resource: &Resource) -> Result<(), OpenError> {
    if mode <= 0o777 {
        return Ok(());
    }
    let requirement = format!("permission bits are at most 0o777, not {mode:#o}");
    let kind = OpenErrorKind::InvalidOption { option: "mode", requirement };
    Err(OpenError::new("bind", resource, kind))
}
