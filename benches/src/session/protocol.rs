//! What host and guest of a session say to each other, as JSON over the control channel of
//! `ipc-testing`. Leaves out the measured links.

use anyhow::Context;
use ipc_testing::{Guest, Host};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::usage::Usage;
use crate::measure::oneway::{Arrived, Stream};

/// What the host asks of the guest. Each is answered by one [`Answer`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Take part in a probe of the cache line.
    Probe,
    /// Get ready for links with messages of this size, and tell what this process uses.
    Prepare { size_bytes: usize },
    /// Join the link of the invitation that follows, as its receiver.
    JoinAsReceiver,
    /// Join the link of the invitation that follows, as its sender.
    JoinAsSender,
    /// Answer these many messages.
    Pong { first: u64, rounds: u64 },
    /// Receive a stream.
    Receive(Stream),
    /// Send a stream.
    Send(Stream),
    /// Tell what this process uses, and drop the links.
    Leave,
    /// Take part in the cache-line limit.
    LinePong { rounds: u64 },
    /// Take part in the futex limit.
    FutexPong { rounds: u32 },
    /// Take part in the eventfd limit, by the eventfds in the invitation that follows.
    EventfdPong { rounds: u32 },
}

/// What the guest answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// It is done.
    Done,
    /// The stream has arrived.
    Arrived(Arrived),
    /// What the guest uses.
    Usage(Usage),
    /// It could not be done.
    Failed(String),
}

/// The control channel, from either end.
pub(super) trait Channel {
    fn tell_text(&mut self, text: &str);
    fn hear_text(&mut self) -> String;

    /// Says something to the other side.
    fn say(&mut self, words: &impl Serialize) -> anyhow::Result<()> {
        self.tell_text(&serde_json::to_string(words)?);
        Ok(())
    }

    /// Waits for the other side to say something.
    fn listen<T: DeserializeOwned>(&mut self) -> anyhow::Result<T> {
        let text = self.hear_text();
        serde_json::from_str(&text).with_context(|| format!("not understood: {text}"))
    }
}

impl Channel for Guest {
    fn tell_text(&mut self, text: &str) {
        self.tell(text);
    }
    fn hear_text(&mut self) -> String {
        self.hear()
    }
}

impl Channel for Host {
    fn tell_text(&mut self, text: &str) {
        self.tell(text);
    }
    fn hear_text(&mut self) -> String {
        self.hear()
    }
}
