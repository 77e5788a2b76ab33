//! A link without a name: for a parent and the child that it starts, or for two threads. Leaves out
//! how one child alone inherits: see [`ipc_core::handover`].

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;

use ipc_core::handover::{self, ChildEnd};
use ipc_core::{Deadline, OpenError, OpenErrorKind, Resource};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use super::{Handshake, Link, LinkOptions, PeerUser};

/// Two ends that can become a link.
///
/// One end goes to another process with [`PairEnd::give_to`]; then each process makes its side of the
/// link, this one with [`PairEnd::join`], the child with [`Link::inherited`]. (An end of the link
/// itself cannot be inherited: the kernel lets nobody but its maker map the memory writable.)
///
/// ```standalone_crate
/// use ipc_core::{Deadline, Receiver, Sender};
/// use ipc_ring::{Link, Options};
/// use std::process::Command;
///
/// # if std::env::var_os("LINK").is_none() {
/// // The parent:
/// let (ours, theirs) = ipc_ring::pair()?;
/// let mut command = Command::new(std::env::current_exe()?);
/// let given = theirs.give_to(&mut command, "LINK")?;
/// let mut child = command.spawn()?;
/// drop(given); // now only the child holds it
/// let mut link = ours.join(&Options::new().receive_only(), Deadline::Never)?;
/// assert_eq!(link.peer().pid.map(u32::from), Some(child.id()));
/// let mut buffer = [0; 16];
/// let received = link.receiver.as_mut().expect("it sends").recv(&mut buffer)?;
/// assert_eq!(&buffer[..received.len], b"hello");
/// # child.wait()?;
/// # } else {
///
/// // The child:
/// let link = Link::inherited("LINK", &Options::new(), Deadline::Never)?;
/// link.sender.expect("this side sends").send(b"hello")?;
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// Those of `socketpair(2)`.
pub fn pair() -> Result<(PairEnd, PairEnd), OpenError> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    let (one, other) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)
        .map_err(|error| OpenError::from_os("socketpair", &resource(), error))?;
    Ok((PairEnd(one), PairEnd(other)))
}

fn resource() -> Resource {
    Resource::unnamed("ring of a pair")
}

/// One end of a [`pair`], not yet a link.
#[derive(Debug)]
pub struct PairEnd(OwnedFd);

impl PairEnd {
    /// Makes this side of the link, waiting until `deadline` for the other to do the same.
    ///
    /// # Errors
    ///
    /// Those of [`Link::over`]; [`OpenErrorKind::PeerGone`] if the child ends without having made its
    /// side, as long as nobody here holds its [`ChildEnd`].
    pub fn join<O: LinkOptions>(
        self,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        self.handshake(&resource()).offer(options, deadline)
    }

    /// Gives this end to the child that `command` will start, and only to it. The child finds the
    /// descriptor's number in the environment variable `variable`, and calls [`Link::inherited`] with
    /// the same name.
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::Limit`] when descriptors are exhausted. The end is then closed.
    pub fn give_to(self, command: &mut Command, variable: &str) -> Result<ChildEnd, OpenError> {
        handover::give(self.0, command, variable, &resource())
    }

    fn handshake<'a>(&'a self, resource: &'a Resource) -> Handshake<'a> {
        Handshake { socket: self.0.as_fd(), usual_user: PeerUser::Any, resource }
    }
}

/// To pass it on in another way: it is a connected Unix socket, for [`Link::over`].
impl From<PairEnd> for OwnedFd {
    fn from(end: PairEnd) -> Self {
        end.0
    }
}

impl Link {
    /// In a child: makes its side of the link whose socket's number is in the environment variable
    /// `variable`, where [`PairEnd::give_to`] put it. Call it early, before the process starts children
    /// of its own.
    ///
    /// The variable is trusted as the program's arguments are: see [`ipc_core::handover::take`].
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::NotFound`] without such a variable; [`OpenErrorKind::InvalidOption`] if it does
    /// not name a connected Unix socket; [`OpenErrorKind::InUse`] if that is taken already; those of
    /// [`Link::over`].
    pub fn inherited<O: LinkOptions>(
        variable: &str,
        options: &O,
        deadline: Deadline,
    ) -> Result<O::Link, OpenError> {
        let resource = Resource::named("ring of environment variable", variable);
        let socket = handover::take(variable, &resource, |end| check_socket(end, &resource))?;
        PairEnd(socket).handshake(&resource).offer(options, deadline)
    }

    /// Both ends of a link within this process, for two threads: `here` and `there` are what each side
    /// brings. Does not block.
    ///
    /// ```
    /// use ipc_core::{Receiver, Sender};
    /// use ipc_ring::{Link, Options};
    ///
    /// let receiver = Options::new().receive_only();
    /// let (here, there) = Link::between_threads(&Options::new(), &receiver)?;
    /// let (mut sender, mut receiver) = (here.sender.unwrap(), there.receiver.unwrap());
    /// std::thread::spawn(move || sender.send(b"hello").expect("sent"));
    /// assert_eq!(receiver.recv(&mut [0; 16])?.len, 5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`OpenErrorKind::InvalidOption`] for a capacity that cannot be; those of the system calls.
    pub fn between_threads<H: LinkOptions, T: LinkOptions>(
        here: &H,
        there: &T,
    ) -> Result<(H::Link, T::Link), OpenError> {
        let (one, other) = pair()?;
        let resource = &resource();
        let (one, other) = (one.handshake(resource), other.handshake(resource));
        // None of it waits: each hello is there before the other side listens for it.
        let said = one.say(here.options(), Deadline::Now)?;
        let there = other.answer(there, Deadline::Now)?;
        let here = said.join(one.hear(here.options(), Deadline::Now)?);
        Ok((H::finish(here), there))
    }
}

fn check_socket(end: BorrowedFd<'_>, resource: &Resource) -> Result<(), OpenError> {
    if sockopt::socket_domain(end) == Ok(AddressFamily::UNIX)
        && rustix::net::getpeername(end).is_ok()
    {
        return Ok(());
    }
    let requirement = "it must be a connected Unix socket".into();
    let kind = OpenErrorKind::InvalidOption { option: "descriptor", requirement };
    Err(OpenError::new("inherit", resource, kind))
}
