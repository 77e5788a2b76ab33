//! `iceoryx2`: publish and subscribe in shared memory, without copies of its own.
//!
//! At its best for messages that must all arrive (docs of `service::builder::publish_subscribe` and
//! `port::publisher`): payloads of `[u8]` of which the greatest length is given beforehand
//! (`initial_max_slice_len`), loaned uninitialised, written once and sent; safe overflow off, so that
//! nothing is lost, and a publisher that retries until delivered; one publisher, one subscriber and no
//! history. Its receiver polls. To block it needs a second service (docs of `port::listener`): the
//! sender notifies an event after each message, and the receiver waits for one if there is no message. It
//! waits for a while at a time, as the library's examples do: 0.10 can lose a wake-up, since a notifier that
//! has sent its datagram says so only afterwards, and a listener may have emptied the socket and come back
//! in between (`event/common.rs` of `iceoryx2-cal`; issue 1811 there). What that costs is in the figures.
//!
//! Its files go into the scope's directory; they and its shared memory have names that begin with one of
//! the scope's. The receiver sleeps on a Unix socket among those files, whose path has no room for more.

// Lets ports, which count their references without atomics, change threads.
#![allow(unsafe_code)]

use std::time::Duration;

use iceoryx2::port::listener::Listener;
use iceoryx2::port::notifier::Notifier;
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{
    BackpressureStrategy, Config, FileName, LogLevel, Node, NodeBuilder, Path, SemanticString,
    SignalHandlingMode, ipc, set_log_level,
};
use iceoryx2::service::port_factory::{event, publish_subscribe};
use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_benches::session::Wait;
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, OsError, Received,
    Receiver, RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::common::{ask_until, deliver, failed, not_made, properties, remove_shared_memory};

const NAME: &str = "iceoryx2";

/// How long a lost wake-up is lost for: much longer than a round trip, much shorter than a measurement.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(10);

/// Polled, or left to sleep on its event.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, ..kernel_mechanism!(NAME, PublishSubscribe::new) };

/// Services with one publisher and one subscriber, for messages of one size.
#[derive(Clone, Copy, Debug)]
pub struct PublishSubscribe {
    message_bytes: usize,
    buffered_messages: usize,
    /// Whether the sender wakes the receiver.
    notifies: bool,
}

/// The end with the publisher.
#[derive(Debug)]
pub struct PublishingEnd {
    publisher: Publisher<ipc::Service, [u8], ()>,
    notifier: Option<Notifier<ipc::Service>>,
    link: Link,
}

/// The end with the subscriber.
#[derive(Debug)]
pub struct SubscribingEnd {
    subscriber: Subscriber<ipc::Service, [u8], ()>,
    listener: Option<Listener<ipc::Service>>,
    link: Link,
}

/// What both ends have. Everything of a link is made from a node of its own, and dropped after it.
#[derive(Debug)]
struct Link {
    messages: publish_subscribe::PortFactory<ipc::Service, [u8], ()>,
    events: Option<event::PortFactory<ipc::Service>>,
    _node: Node<ipc::Service>,
    shape: PublishSubscribe,
    resource: Resource,
}

// SAFETY: the node and all that was made from it are in this one value; so nobody in the thread that it
// leaves shares their counts.
unsafe impl Send for PublishingEnd {}
// SAFETY: as for `PublishingEnd`.
unsafe impl Send for SubscribingEnd {}

impl PublishSubscribe {
    /// For messages of one size, with room for as many as every ring gets, but no more than 256: what
    /// one more costs in memory is as much as a message, and it gains nothing.
    fn new(setting: &Setting) -> Self {
        Self {
            message_bytes: setting.size_bytes,
            buffered_messages: (setting.capacity_bytes() / setting.size_bytes).min(256),
            notifies: setting.wait == Wait::Block,
        }
    }

    /// The services of a link, by the same calls in both processes: who is first makes them.
    fn link(self, place: &str) -> Result<Link, OpenError> {
        set_log_level(LogLevel::Error);
        let resource = Resource::named(NAME, place);
        let bad = |error: String| not_made("open", &resource, error);
        let (root, prefix) = place.rsplit_once('/').expect("it is a path");
        let socket_path_bytes = place.len() + "_.event".len() + u128::MAX.to_string().len();
        if self.notifies && socket_path_bytes > SOCKET_PATH_MAX_BYTES {
            let error = format!(
                "the path of its socket may have {socket_path_bytes} bytes, and there is room for \
                 {SOCKET_PATH_MAX_BYTES}: TMPDIR is too long"
            );
            return Err(bad(error));
        }
        let root = Path::new(root.as_bytes()).map_err(|e| bad(format!("{e:?}")))?;
        let prefix = FileName::new(format!("{prefix}_").as_bytes());
        let prefix = prefix.map_err(|e| bad(format!("{e:?}")))?;
        let mut config = Config::default();
        config.global.set_root_path(&root);
        config.global.prefix = prefix;
        let node = NodeBuilder::new()
            .config(&config)
            .signal_handling_mode(SignalHandlingMode::Disabled)
            .create::<ipc::Service>()
            .map_err(|e| bad(e.to_string()))?;
        let name = "link".try_into().expect("a plain name");
        let messages = node.service_builder(&name).publish_subscribe::<[u8]>();
        let messages = messages
            .enable_safe_overflow(false)
            .history_size(0)
            .max_nodes(2)
            .max_publishers(1)
            .max_subscribers(1)
            .subscriber_max_buffer_size(self.buffered_messages)
            .subscriber_max_borrowed_samples(1);
        let messages = messages.open_or_create().map_err(|e| bad(e.to_string()))?;
        let open_events = || {
            let event = node.service_builder(&name).event().max_nodes(2);
            event.open_or_create().map_err(|e| bad(e.to_string()))
        };
        let events = self.notifies.then(open_events).transpose()?;
        Ok(Link { messages, events, _node: node, shape: self, resource })
    }

    fn publishing_end(self, place: &str) -> Result<PublishingEnd, OpenError> {
        let link = self.link(place)?;
        let bad = |e: String| not_made("create", &link.resource, e);
        let publisher = link.messages.publisher_builder();
        let publisher = publisher
            .initial_max_slice_len(self.message_bytes)
            .max_loaned_samples(1)
            .backpressure_strategy(BackpressureStrategy::RetryUntilDelivered);
        let publisher = publisher.create().map_err(|e| bad(e.to_string()))?;
        let notifier = link.events.as_ref().map(|events| events.notifier_builder().create());
        let notifier = notifier.transpose().map_err(|e| bad(e.to_string()))?;
        Ok(PublishingEnd { publisher, notifier, link })
    }

    fn subscribing_end(self, place: &str) -> Result<SubscribingEnd, OpenError> {
        let link = self.link(place)?;
        let subscriber = link.messages.subscriber_builder().create();
        let bad = |e: String| not_made("create", &link.resource, e);
        let subscriber = subscriber.map_err(|e| bad(e.to_string()))?;
        let listener = link.events.as_ref().map(|events| events.listener_builder().create());
        let listener = listener.transpose().map_err(|e| bad(e.to_string()))?;
        Ok(SubscribingEnd { subscriber, listener, link })
    }
}

impl Link {
    fn properties(&self) -> LinkProperties {
        let lengths = MessageLength::up_to(self.shape.message_bytes);
        let capacity = Capacity::Messages(self.shape.buffered_messages);
        properties(NAME, Carrier::SharedMemory, capacity, lengths)
    }

    fn failed(&self, operation: &'static str, error: impl std::fmt::Display) -> OsError {
        failed(operation, &self.resource, error.to_string())
    }
}

impl Sender for PublishingEnd {
    /// Waits for room, whatever the deadline.
    #[inline]
    fn send_deadline(&mut self, message: &[u8], _deadline: Deadline) -> Result<(), SendError> {
        let Self { publisher, notifier, link } = self;
        loop {
            let sample = publisher.loan_slice_uninit(message.len());
            let sample = sample.map_err(|e| link.failed("loan_slice_uninit", e))?;
            let sample = sample.write_from_slice(message);
            let subscribers = sample.send().map_err(|e| link.failed("send", e))?;
            if subscribers > 0 {
                break;
            }
            // It waits only for a subscriber that has looked once; before that, who finds no room drops
            // the message.
            std::thread::yield_now();
        }
        if let Some(notifier) = notifier {
            notifier.notify().map_err(|e| link.failed("notify", e))?;
        }
        Ok(())
    }

    fn properties(&self) -> LinkProperties {
        self.link.properties()
    }
}

impl Receiver for SubscribingEnd {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let Self { subscriber, listener, link } = self;
        let sample = ask_until(deadline, || {
            let sample = subscriber.receive().map_err(|e| link.failed("receive", e))?;
            if let (None, Some(listener), Deadline::Never) = (&sample, &listener, deadline) {
                let waited = listener.timed_wait(|_| {}, LOOK_AGAIN_AFTER);
                waited.map_err(|e| link.failed("timed_wait", e))?;
            }
            Ok(sample)
        })?;
        let sample = sample.ok_or_else(|| RecvError::no_message(deadline))?;
        deliver(&sample, buffer, &link.resource)
    }

    fn properties(&self) -> LinkProperties {
        self.link.properties()
    }
}

/// The room for a path in the address of a Unix socket (unix(7)).
const SOCKET_PATH_MAX_BYTES: usize = 107;

/// What the paths of a link's files begin with: the last part is what the names of its shared memory begin
/// with too.
fn place(scope: &Scope) -> String {
    let name = scope.name();
    let unique = name.as_str().trim_start_matches(|c: char| !c.is_ascii_digit());
    let prefix = format!("i.{unique}");
    let place = scope.path(&prefix).display().to_string();
    // The library keeps one object of shared memory for whoever comes next.
    scope.defer(move || remove_shared_memory(&format!("{prefix}_")));
    place
}

impl Transport for PublishSubscribe {
    type Sender = PublishingEnd;
    type Receiver = SubscribingEnd;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<PublishingEnd>), OpenError> {
        let place = place(scope);
        let end = Pending::ready(self.publishing_end(&place)?);
        Ok((Invitation::of_text(place), end))
    }

    fn invite_sender(
        &self,
        scope: &Scope,
    ) -> Result<(Invitation, Pending<SubscribingEnd>), OpenError> {
        let place = place(scope);
        let end = self.subscribing_end(&place)?;
        Ok((Invitation::of_text(place), Pending::ready(end)))
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<SubscribingEnd, OpenError> {
        self.subscribing_end(&invitation.text)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<PublishingEnd, OpenError> {
        self.publishing_end(&invitation.text)
    }
}
