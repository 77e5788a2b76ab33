//! Aeron over its IPC transport, by the C driver and client that `rusteron` builds: a log of three terms
//! in shared memory, which a media driver makes, watches and tells the publisher how far it may go in.
//!
//! At its best for one link (its performance guide, and `embedded_ping_pong` and
//! `embedded_exclusive_ipc_throughput` of the bindings): an exclusive publication, since there is one
//! sender; term files that are not sparse, and touched beforehand; the greatest fragments that there are;
//! terms as long as every ring's room here, since longer ones only leave the caches; messages put in by
//! `offer`, which copies once, and got by polling for one fragment at a time, put together again where
//! the message has several. It can only be polled.
//!
//! The driver is embedded in the host, and its thread and those of the clients may run anywhere. **It
//! wants a core of its own**: where both are taken by the two processes that look, the publisher waits
//! whenever it has used up its window until the driver is let run. Given three cores it has one.

// Lets clients, which count their references without atomics, change threads.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_benches::{kernel_mechanism, machine};
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, Received, Receiver,
    RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rusteron_media_driver::testing::EmbeddedDriver;
use rusteron_media_driver::{
    Aeron, AeronContext, AeronExclusivePublication, AeronFragmentClosureAssembler, AeronHeader,
    AeronSubscription, Handlers, bindings,
};

use crate::common::{ask_until, deliver, failed, not_made, properties};

const NAME: &str = "aeron";

/// Polled.
pub const MECHANISM: Mechanism = Mechanism {
    peer: true,
    cores_wanted: 3,
    waits: &[Wait::Spin],
    ..kernel_mechanism!(NAME, AeronIpc::new)
};

/// How long to wait for the driver's answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// The greatest there is: what a datagram carries, by whose rules the fragments of IPC go too.
const MTU_BYTES: usize = 65_504;
/// All of the driver's work in one thread.
const SHARED: bindings::aeron_threading_mode_enum =
    bindings::aeron_threading_mode_enum::AERON_THREADING_MODE_SHARED;

/// Logs with terms of one length.
#[derive(Clone, Copy, Debug)]
pub struct AeronIpc {
    term_bytes: usize,
}

/// The end with the publication.
pub struct Publishing {
    publication: AeronExclusivePublication,
    client: Client,
}

/// The end with the subscription.
pub struct Subscribing {
    subscription: AeronSubscription,
    assembler: AeronFragmentClosureAssembler,
    client: Client,
}

/// What both ends have, dropped after what was made of it.
struct Client {
    aeron: Aeron,
    _driver: Option<Arc<Driver>>,
    shape: AeronIpc,
    stream: i32,
    link: Resource,
}

/// A media driver in this process.
struct Driver(EmbeddedDriver);

// SAFETY: it is a handle of a thread, and a context that nobody uses any more.
unsafe impl Send for Driver {}
// SAFETY: shared, only its directory's name is asked for.
unsafe impl Sync for Driver {}
// SAFETY: the client and all that was made from it are in this one value; so nobody in the thread that
// it leaves shares their counts.
unsafe impl Send for Publishing {}
// SAFETY: as for `Publishing`.
unsafe impl Send for Subscribing {}

/// The driver of the links that this process has made, while there are any.
static DRIVER: Mutex<Weak<Driver>> = Mutex::new(Weak::new());
/// The last stream that this process has made.
static LAST_STREAM: AtomicI32 = AtomicI32::new(1000);

/// Any error of the library, as text.
trait Told<T> {
    fn told(self, operation: &'static str, link: &Resource) -> Result<T, OpenError>;
}

impl<T, E: std::fmt::Display> Told<T> for Result<T, E> {
    fn told(self, operation: &'static str, link: &Resource) -> Result<T, OpenError> {
        self.map_err(|error| not_made(operation, link, error.to_string()))
    }
}

fn link() -> Resource {
    Resource::unnamed(NAME)
}

impl AeronIpc {
    /// With terms as long as every ring's room, and at least eight times the message.
    fn new(setting: &Setting) -> Self {
        let least = (8 * setting.size_bytes).next_power_of_two();
        Self { term_bytes: setting.capacity_bytes().max(least) }
    }

    /// Makes this process's driver, unless it is there.
    fn driver(self, scope: &Scope) -> Result<Arc<Driver>, OpenError> {
        let mut place = DRIVER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(driver) = place.upgrade() {
            return Ok(driver);
        }
        let directory = format!("/dev/shm/{}", scope.name());
        let launched = machine::unpinned(|| {
            EmbeddedDriver::launch_with(|context| {
                let directory = CString::new(directory).expect("no zero in it");
                context.set_dir(&directory)?;
                // One thread, as there is no network to serve.
                context.set_threading_mode(SHARED)?;
                context.set_term_buffer_sparse_file(false)?;
                context.set_ipc_mtu_length(MTU_BYTES)?;
                context.set_ipc_term_buffer_length(self.term_bytes)?;
                Ok(())
            })
        });
        let launched = launched.told("unpin", &link())?.told("launch a driver", &link())?;
        let driver = Arc::new(Driver(launched));
        *place = Arc::downgrade(&driver);
        Ok(driver)
    }

    fn client(
        self,
        directory: &str,
        stream: i32,
        driver: Option<Arc<Driver>>,
    ) -> Result<Client, OpenError> {
        let connect = || {
            let context = AeronContext::new()?;
            context.set_dir(&CString::new(directory).expect("no zero in it"))?;
            context.set_pre_touch_mapped_memory(true)?;
            let aeron = Aeron::new(&context)?;
            aeron.start()?;
            Ok::<_, rusteron_media_driver::AeronCError>(aeron)
        };
        let aeron = machine::unpinned(connect).told("unpin", &link())?;
        let aeron = aeron.told("connect to the driver", &link())?;
        Ok(Client { aeron, _driver: driver, shape: self, stream, link: link() })
    }

    /// A client of our driver, for a new link; and the invitation to it.
    fn host(self, scope: &Scope) -> Result<(Invitation, Client), OpenError> {
        let driver = self.driver(scope)?;
        let stream = LAST_STREAM.fetch_add(1, Ordering::Relaxed) + 1;
        let directory = driver.0.dir().to_owned();
        let client = self.client(&directory, stream, Some(driver))?;
        Ok((Invitation::of_text(format!("{stream} {directory}")), client))
    }

    /// A client of the host's driver.
    fn guest(self, invitation: &Invitation) -> Result<Client, OpenError> {
        let parts = invitation.text.split_once(' ');
        let parts = parts.and_then(|(stream, dir)| Some((stream.parse().ok()?, dir)));
        let (stream, directory) =
            parts.ok_or_else(|| not_made("join", &link(), "no invitation of ours"))?;
        self.client(directory, stream, None)
    }
}

const CHANNEL: &std::ffi::CStr = c"aeron:ipc";

impl Client {
    fn publishing(self) -> Result<Publishing, OpenError> {
        let adding = self.aeron.async_add_exclusive_publication(CHANNEL, self.stream);
        let publication = adding.and_then(|adding| adding.poll_blocking(PATIENCE));
        let publication = publication.told("add a publication", &self.link)?;
        Ok(Publishing { publication, client: self })
    }

    fn subscribing(self) -> Result<Subscribing, OpenError> {
        let none = (Handlers::NONE, Handlers::NONE);
        let adding = self.aeron.async_add_subscription(CHANNEL, self.stream, none.0, none.1);
        let subscription = adding.and_then(|adding| adding.poll_blocking(PATIENCE));
        let subscription = subscription.told("add a subscription", &self.link)?;
        let assembler = AeronFragmentClosureAssembler::new().told("assemble", &self.link)?;
        Ok(Subscribing { subscription, assembler, client: self })
    }

    fn properties(&self) -> LinkProperties {
        let capacity = Capacity::Bytes(self.shape.term_bytes);
        let lengths = MessageLength::up_to(self.shape.term_bytes / 8);
        properties(NAME, Carrier::SharedMemory, capacity, lengths)
    }
}

impl Publishing {
    /// Waits until there is a subscriber.
    fn connected(self) -> Result<Self, OpenError> {
        let deadline = Deadline::after(PATIENCE);
        while !self.publication.is_connected() {
            if deadline.has_passed() {
                return Err(not_made("connect", &self.client.link, "no subscriber came"));
            }
            std::thread::yield_now();
        }
        Ok(self)
    }
}

impl Sender for Publishing {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let sent = ask_until(deadline, || match self.publication.offer(message) {
            Ok(_position) => Ok(Some(())),
            Err(error) if error.is_retryable() => Ok(None),
            Err(error) => Err(failed("offer", &self.client.link, error.to_string())),
        })?;
        sent.ok_or_else(|| SendError::no_room(deadline))
    }

    fn properties(&self) -> LinkProperties {
        self.client.properties()
    }
}

/// Where a message goes, and whether it has.
struct Delivery<'a> {
    buffer: &'a mut [u8],
    link: &'a Resource,
    delivered: Option<Result<Received, RecvError>>,
}

impl Delivery<'_> {
    fn take(&mut self, message: &[u8], _header: AeronHeader) {
        self.delivered = Some(deliver(message, self.buffer, self.link));
    }
}

impl Receiver for Subscribing {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { subscription, assembler, client } = self;
        let link = &client.link;
        let mut delivery = Delivery { buffer, link, delivered: None };
        let received = ask_until(deadline, || {
            let polled = assembler.poll(subscription, &mut delivery, Delivery::take, 1);
            polled.map_err(|error| failed("poll", link, error.to_string()))?;
            Ok(delivery.delivered.take())
        })?;
        received.ok_or_else(|| RecvError::no_message(deadline))?
    }

    fn properties(&self) -> LinkProperties {
        self.client.properties()
    }
}

impl Transport for AeronIpc {
    type Sender = Publishing;
    type Receiver = Subscribing;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Publishing>), OpenError> {
        let (invitation, client) = self.host(scope)?;
        let end = client.publishing()?;
        Ok((invitation, Pending::new(|_| end.connected())))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<Subscribing>), OpenError> {
        let (invitation, client) = self.host(scope)?;
        Ok((invitation, Pending::ready(client.subscribing()?)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Subscribing, OpenError> {
        self.guest(&invitation)?.subscribing()
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Publishing, OpenError> {
        self.guest(&invitation)?.publishing()?.connected()
    }
}
