//! How two processes that know one address come by a link: one listens, the other connects. Leaves out
//! how sockets take their paths, and leave them to the next: see `ipc_socket`'s `unix/path.rs`.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use ipc_core::{Deadline, Name, OpenError, OpenErrorKind, Resource, poll};
use ipc_socket::{UnixAddress, UnixOptions, UnixSeqpacketConnection, UnixSeqpacketListener};
use rustix::event::{PollFd, PollFlags};

use crate::link::Handshake;
use crate::{LinkOptions, PeerUser};

/// How many clients may have connected without having said hello. One more, and the one that has
/// been silent for longest is turned away.
const MAX_SILENT_CLIENTS: usize = 64;

/// Where a listener is found.
///
/// A `&Name` or a `&Path` is one, too: `listen(&name)`.
///
/// ```
/// use ipc_core::Name;
/// use ipc_ring::Address;
///
/// let name = Name::new("orders")?;
/// assert_eq!(Address::path("/run/shop/orders").to_string(), "/run/shop/orders");
/// assert!(Address::abstract_name(name).to_string().ends_with("/orders"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address(Place);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Place {
    Name(Name),
    Path(PathBuf),
    Abstract(Name),
}

impl Address {
    /// A name among the processes of one user: a socket in `$XDG_RUNTIME_DIR/ipc-ring` or, where there
    /// is no such variable, `/tmp/ipc-ring-<uid>`. The directory must belong to the user and be closed to
    /// others, or it is refused. It is the default.
    pub const fn name(name: Name) -> Self {
        Self(Place::Name(name))
    }

    /// A socket at a path, for whom the permissions of its file and of the directories above let in. See
    /// [`ListenOptions::mode`] and [`Options::peer_user`](crate::Options::peer_user).
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self(Place::Path(path.into()))
    }

    /// A name without a file (`unix(7)`, "abstract"), among the processes of one user and one network
    /// namespace. It is gone with its listener, however that ends.
    ///
    /// Nothing keeps another user from taking the name first, or from connecting: so each side checks by
    /// the kernel's word that the other is of its own user, unless
    /// [`Options::peer_user`](crate::Options::peer_user) says otherwise.
    pub const fn abstract_name(name: Name) -> Self {
        Self(Place::Abstract(name))
    }

    /// The socket of it.
    fn to_unix(&self) -> Result<UnixAddress, OpenError> {
        match &self.0 {
            Place::Name(name) => Ok(UnixAddress::path(user_directory()?.join(name.as_str()))),
            Place::Path(path) => Ok(UnixAddress::path(path)),
            Place::Abstract(name) => Ok(UnixAddress::abstract_name(in_user_space(name))),
        }
    }

    /// Of which user the other side must be if the options do not say.
    const fn usual_user(&self) -> PeerUser {
        match self.0 {
            Place::Name(_) | Place::Path(_) => PeerUser::Any, // the file system has let it in
            Place::Abstract(_) => PeerUser::Same,
        }
    }
}

/// An abstract name that users do not take from each other by accident.
fn in_user_space(name: &Name) -> String {
    format!("ipc-ring/{}/{name}", rustix::process::geteuid().as_raw())
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Place::Name(name) => name.fmt(f),
            Place::Path(path) => path.display().fmt(f),
            Place::Abstract(name) => write!(f, "@{}", in_user_space(name)),
        }
    }
}

impl From<&Name> for Address {
    fn from(name: &Name) -> Self {
        Self::name(name.clone())
    }
}

impl From<&Path> for Address {
    fn from(path: &Path) -> Self {
        Self::path(path)
    }
}

impl From<&Self> for Address {
    fn from(address: &Self) -> Self {
        address.clone()
    }
}

/// Listens for processes that [`connect`], with the default [`ListenOptions`]. A name or path whose
/// listener died is taken over; a live listener never loses its own.
///
/// # Errors
///
/// [`OpenErrorKind::InUse`] while somebody alive listens there;
/// [`OpenErrorKind::PermissionDenied`] if the user's directory belongs to somebody else or is open to
/// others; those of the system calls.
pub fn listen(address: impl Into<Address>) -> Result<Listener, OpenError> {
    ListenOptions::new().listen(address)
}

/// Options of a listener. What it brings to each link is said when it accepts: see [`Options`](crate::Options).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenOptions {
    mode: u32,
}

impl ListenOptions {
    /// A file of mode 0600.
    pub const fn new() -> Self {
        Self { mode: 0o600 }
    }

    /// Permission bits of the socket's file, whatever the umask says. To connect takes the right to
    /// write. Nothing to an abstract name.
    #[must_use]
    pub const fn mode(mut self, mode: u32) -> Self {
        self.mode = mode;
        self
    }

    /// See [`listen`].
    ///
    /// # Errors
    ///
    /// As there; [`OpenErrorKind::InvalidOption`] for a mode above 0777.
    pub fn listen(&self, address: impl Into<Address>) -> Result<Listener, OpenError> {
        let address = address.into();
        let listener = UnixOptions::new().mode(self.mode).listen_seqpacket(address.to_unix()?)?;
        let resource = Resource::named("ring listener", &address);
        Ok(Listener { listener, silent: Vec::new(), usual_user: address.usual_user(), resource })
    }
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes a link with the process that listens at an address, waiting until `deadline` for it to
/// accept.
///
/// # Errors
///
/// [`OpenErrorKind::NotFound`] if there is no such name or path, [`OpenErrorKind::Refused`] if who
/// listened there is gone; [`OpenErrorKind::TimedOut`]; those of
/// [`Link::over`](crate::Link::over).
pub fn connect<O: LinkOptions>(
    address: impl Into<Address>,
    options: &O,
    deadline: Deadline,
) -> Result<O::Link, OpenError> {
    let address = address.into();
    let connection = UnixSeqpacketConnection::connect(address.to_unix()?, deadline)?;
    let (socket, usual_user) = (connection.receiver.as_fd(), address.usual_user());
    let resource = &Resource::named("ring", &address);
    Handshake { socket, usual_user, resource }.offer(options, deadline)
}

/// Makes links with those who [`connect`] to its address. Dropping it removes its file.
#[derive(Debug)]
pub struct Listener {
    listener: UnixSeqpacketListener,
    /// Connected, and not yet said hello; who has waited for longest is first.
    silent: Vec<UnixSeqpacketConnection>,
    usual_user: PeerUser,
    resource: Resource,
}

/// What a listener met.
enum Event {
    /// The silent client of this index has said something, or gone.
    Client(usize),
    /// A client has connected; or had, and went again.
    Connection,
    /// The deadline has passed.
    Silence,
}

impl Listener {
    /// Makes a link with the next client that says hello, waiting for one until `deadline`. A client
    /// that connects and is silent delays no other.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::TimedOut`], also under [`Deadline::Now`]. Those of
    /// [`Link::over`](crate::Link::over) when a
    /// client broke the handshake: it is turned away, and the next call serves the others.
    pub fn accept<O: LinkOptions>(
        &mut self,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        // What is there is served even when the deadline has passed, but not without end.
        let mut overtime = 0..=2 * MAX_SILENT_CLIENTS;
        while !deadline.has_passed() || overtime.next().is_some() {
            match self.wait(deadline)? {
                Event::Connection => {}
                Event::Silence => break,
                Event::Client(index) => match self.greet(index, options) {
                    // It thought better of it.
                    Err(error) if matches!(error.kind(), OpenErrorKind::PeerGone) => {}
                    other => return other,
                },
            }
        }
        Err(OpenError::new("accept", &self.resource, OpenErrorKind::TimedOut))
    }

    /// Makes a link with a client that has said hello in one packet, and whose socket has room for our
    /// answer: none of this waits.
    fn greet<O: LinkOptions>(&mut self, index: usize, options: &O) -> Result<O::Link, OpenError> {
        let client = self.silent.remove(index);
        let (socket, resource) = (client.receiver.as_fd(), &self.resource);
        Handshake { socket, usual_user: self.usual_user, resource }.answer(options, Deadline::Now)
    }

    /// Waits for a client's word, or for a connection, which it takes.
    fn wait(&mut self, deadline: Deadline) -> Result<Event, OpenError> {
        let mut fds = vec![PollFd::new(&self.listener, PollFlags::IN)];
        let clients = self.silent.iter().map(|client| client.receiver.as_fd());
        fds.extend(clients.map(|client| PollFd::from_borrowed_fd(client, PollFlags::IN)));
        let ready = poll::poll_until(&mut fds, deadline)
            .map_err(|e| OpenError::from_os("poll", &self.resource, e))?;
        if ready == 0 {
            return Ok(Event::Silence);
        }
        if let Some(index) = fds[1..].iter().position(|fd| !fd.revents().is_empty()) {
            return Ok(Event::Client(index));
        }
        match self.listener.accept(Deadline::Now) {
            Ok(client) => self.silent.push(client),
            // It went away again.
            Err(error) if matches!(error.kind(), OpenErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
        if self.silent.len() > MAX_SILENT_CLIENTS {
            self.silent.remove(0);
        }
        Ok(Event::Connection)
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
    let path = match std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from) {
        Some(directory) if directory.is_absolute() => directory.join("ipc-ring"),
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
