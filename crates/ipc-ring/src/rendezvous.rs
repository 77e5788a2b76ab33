//! How two processes that know one name come by a link: one listens, the other connects.
//!
//! A name is a socket in the user's own directory, `$XDG_RUNTIME_DIR/ipc-ring` or, where there is no
//! such variable, `/tmp/ipc-ring-<uid>`. The directory must belong to the user and be closed to others,
//! or it is refused. A name whose listener died is taken over by the next one; a live listener never
//! loses its name.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ipc_core::{Deadline, Name, OpenError, OpenErrorKind, Resource, poll};
use ipc_socket::{UnixAddress, UnixSeqpacketConnection, UnixSeqpacketListener};
use rustix::event::{PollFd, PollFlags};

use crate::{Link, Options};

/// How many clients may have connected without having said hello. One more, and the one that has
/// been silent for longest is turned away.
const MAX_SILENT_CLIENTS: usize = 64;

/// Listens under `name` for processes of the same user that [`connect`].
///
/// # Errors
///
/// [`OpenErrorKind::InUse`] while somebody alive listens under that name;
/// [`OpenErrorKind::PermissionDenied`] if the user's directory belongs to somebody else or is open to
/// others; those of the system calls.
pub fn listen(name: &Name) -> Result<Listener, OpenError> {
    listen_at(&user_directory()?.join(name.as_str()))
}

/// Listens at a path, for whom its directory's permissions let in.
///
/// # Errors
///
/// [`OpenErrorKind::InUse`] while somebody alive listens at that path; those of the system calls.
pub fn listen_at(path: &Path) -> Result<Listener, OpenError> {
    let listener = UnixSeqpacketListener::bind(UnixAddress::path(path))?;
    let resource = Resource::named("ring listener", path.display());
    Ok(Listener { listener, silent: Vec::new(), resource })
}

/// Makes a link with the process that listens under `name`, waiting until `deadline` for it to
/// accept.
///
/// # Errors
///
/// [`OpenErrorKind::NotFound`] if nobody ever listened under that name since the system started,
/// [`OpenErrorKind::Refused`] if who did is gone; those of [`Link::over`].
pub fn connect(name: &Name, options: &Options, deadline: Deadline) -> Result<Link, OpenError> {
    connect_at(&user_directory()?.join(name.as_str()), options, deadline)
}

/// Makes a link with the process that listens at a path. See [`connect`].
///
/// # Errors
///
/// Those of [`connect`].
pub fn connect_at(path: &Path, options: &Options, deadline: Deadline) -> Result<Link, OpenError> {
    let connection = UnixSeqpacketConnection::connect(UnixAddress::path(path), deadline)?;
    Link::over(connection.receiver.as_fd(), options, deadline)
}

/// Makes links with those who [`connect`] to its name. Dropping it removes the name.
#[derive(Debug)]
pub struct Listener {
    listener: UnixSeqpacketListener,
    /// Connected, and not yet said hello; who has waited for longest is first.
    silent: Vec<UnixSeqpacketConnection>,
    resource: Resource,
}

impl Listener {
    /// Makes a link with the next client that says hello, waiting for one until `deadline`. A client
    /// that connects and is silent delays no other.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`], also under [`Deadline::Now`]. Those of [`Link::over`] when a
    /// client broke the handshake: it is turned away, and the next call serves the others.
    pub fn accept(&mut self, options: &Options, deadline: Deadline) -> Result<Link, OpenError> {
        loop {
            let ready = self.poll(deadline)?;
            let Some(index) = ready else { continue };
            let client = self.silent.remove(index);
            // It has said hello, in one packet, and there is room for our answer: none of this waits.
            match Link::over(client.receiver.as_fd(), options, Deadline::Now) {
                Err(error) if matches!(error.kind(), OpenErrorKind::PeerGone) => {} // thought better
                other => return other,
            }
        }
    }

    /// Waits for a connection, which it takes, or for a hello, of which it tells the index.
    fn poll(&mut self, deadline: Deadline) -> Result<Option<usize>, OpenError> {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let clients = self.silent.iter().map(|client| client.receiver.as_fd());
        fds.extend(clients.map(|client| PollFd::from_borrowed_fd(client, PollFlags::IN)));
        let ready = poll::poll_until(&mut fds, deadline);
        let ready = ready.map_err(|e| OpenError::from_os("poll", &self.resource, e))?;
        if ready == 0 {
            return Err(OpenError::new("accept", &self.resource, OpenErrorKind::TimedOut));
        }
        let hello = fds[1..].iter().position(|fd| !fd.revents().is_empty());
        if !fds[0].revents().is_empty() {
            match self.listener.accept(Deadline::Now) {
                Ok(client) => {
                    self.silent.push(client);
                    if self.silent.len() > MAX_SILENT_CLIENTS {
                        self.silent.remove(0);
                        return Ok(None); // indices have moved
                    }
                }
                // It went away again.
                Err(error) if matches!(error.kind(), OpenErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(hello)
    }
}

/// To poll: readable when a client has connected. It is not told when one that did says hello.
impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// The user's own directory for names, made if it is not there.
fn user_directory() -> Result<PathBuf, OpenError> {
    let user = rustix::process::geteuid().as_raw();
    let path = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) if !directory.is_empty() => Path::new(&directory).join("ipc-ring"),
        _ => PathBuf::from(format!("/tmp/ipc-ring-{user}")),
    };
    let resource = Resource::named("directory", path.display());
    match DirBuilder::new().mode(0o700).create(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(OpenError::from_os("mkdir", &resource, error));
        }
        _ => {}
    }
    // Not followed, if it is a link.
    let metadata = std::fs::symlink_metadata(&path)
        .map_err(|error| OpenError::from_os("lstat", &resource, error))?;
    if metadata.is_dir() && metadata.uid() == user && metadata.mode() & 0o077 == 0 {
        return Ok(path);
    }
    let what = format!(
        "must be a directory of user {user} with mode 700; it is of user {} with mode {:o}",
        metadata.uid(),
        metadata.mode() & 0o7777
    );
    let error = io::Error::new(io::ErrorKind::PermissionDenied, what);
    Err(OpenError::from_os("check", &resource, error))
}
