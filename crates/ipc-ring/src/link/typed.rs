//! Links of values: how a program says of which types, and what it gets. Leaves out how the two sides
//! compare the types: see `hello.rs`.

use std::fmt;
use std::marker::PhantomData;

use ipc_core::{Identified, ProcessPeer, TypeIdentity};

use super::{Link, Options};
use crate::{TypedRingReceiver, TypedRingSender};

/// What one side brings to a link: [`Options`] for a [`Link`] of bytes, [`TypedOptions`] for a
/// [`TypedLink`]. Only these two have it.
pub trait LinkOptions: sealed::Sealed {
    /// The link that comes of them.
    type Link;
    #[doc(hidden)]
    fn options(&self) -> &Options;
    #[doc(hidden)]
    fn finish(link: Link) -> Self::Link;
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Options {}
    impl<S, R> Sealed for super::TypedOptions<S, R> {}
}

impl LinkOptions for Options {
    type Link = Link;

    fn options(&self) -> &Options {
        self
    }

    fn finish(link: Link) -> Link {
        link
    }
}

/// [`Options`] for a link on which this side sends values of `S` and receives values of `R`. See
/// [`Options::typed`].
pub struct TypedOptions<S, R> {
    options: Options,
    types: PhantomData<fn(S) -> R>,
}

impl Options {
    /// The link carries values: this side sends values of `S` and receives values of `R`. For a side
    /// that does only one of the two, the other type is `()`.
    ///
    /// The handshake compares the types of each ring that there is, by name, size and alignment
    /// ([`TypeIdentity`]). Where they differ, both sides' error is
    /// [`Mismatch`](ipc_core::OpenErrorKind::Mismatch), and no value was ever sent. A side without types
    /// is of another type, too.
    ///
    /// ```
    /// use ipc_core::Identified;
    /// use ipc_ring::{Link, Options, TypedLink};
    /// use zerocopy::{FromBytes, Immutable, IntoBytes};
    ///
    /// #[derive(FromBytes, IntoBytes, Immutable)]
    /// #[repr(C)]
    /// struct Order {
    ///     item: u32,
    ///     count: u32,
    /// }
    /// impl Identified for Order {
    ///     const NAME: &'static str = "shop.Order/1";
    /// }
    /// /// The price in cents.
    /// type Price = u64;
    ///
    /// let shop = Options::new().typed::<Price, Order>();
    /// let customer = Options::new().typed::<Order, Price>();
    /// // Or `connect`, `Listener::accept`, `PairEnd::join` …, in two processes.
    /// let (shop, customer) = Link::between_threads(&shop, &customer)?;
    ///
    /// let TypedLink { sender, receiver, .. } = customer;
    /// sender.unwrap().send(&Order { item: 17, count: 2 })?;
    /// let order = shop.receiver.unwrap().recv()?;
    /// shop.sender.unwrap().send(&(u64::from(order.count) * 250))?;
    /// assert_eq!(receiver.unwrap().recv()?, 500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub const fn typed<S: Identified, R: Identified>(mut self) -> TypedOptions<S, R> {
        self.sends = TypeIdentity::of::<S>();
        self.receives = TypeIdentity::of::<R>();
        TypedOptions { options: self, types: PhantomData }
    }
}

impl<S: Identified, R: Identified> LinkOptions for TypedOptions<S, R> {
    type Link = TypedLink<S, R>;

    fn options(&self) -> &Options {
        &self.options
    }

    fn finish(link: Link) -> TypedLink<S, R> {
        TypedLink {
            sender: link.sender.map(TypedRingSender::new),
            receiver: link.receiver.map(TypedRingReceiver::new),
            peer: link.peer,
        }
    }
}

/// A [`Link`] of values: this side sends values of `S` and receives values of `R`, by copy.
pub struct TypedLink<S, R> {
    /// The ring to the peer; `None` if this side only receives.
    pub sender: Option<TypedRingSender<S>>,
    /// The ring from the peer; `None` if the peer only receives.
    pub receiver: Option<TypedRingReceiver<R>>,
    peer: ProcessPeer,
}

impl<S, R> TypedLink<S, R> {
    /// The process that made the link with this one. See [`Link::peer`].
    pub fn peer(&self) -> ProcessPeer {
        self.peer
    }
}

impl<S, R> fmt::Debug for TypedLink<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedLink")
            .field("sender", &self.sender)
            .field("receiver", &self.receiver)
            .field("peer", &self.peer)
            .finish()
    }
}

impl<S, R> Clone for TypedOptions<S, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S, R> Copy for TypedOptions<S, R> {}

impl<S, R> fmt::Debug for TypedOptions<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TypedOptions").field(&self.options).finish()
    }
}
