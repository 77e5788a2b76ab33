//! Boost.Interprocess's `message_queue`: messages of at most one size in a named shared memory, under a
//! mutex and two conditions.
//!
//! At its best (its documentation, "Synchronization mechanisms", "Message Queue"): a queue made for
//! exactly the size of the messages at hand, since it takes its whole memory when it is made, slots of
//! the largest size, and asks for a buffer of that size; one priority, which puts each message at the
//! end of its index. Polled by `try_send` and `try_receive`, or left to sleep in `send` and `receive`.
//! The guest removes the name as soon as it has opened it. See also `boost_queue.cpp`.

// Calls functions written in C++.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;

use ipc_benches::kernel_mechanism;
use ipc_benches::mechanisms::{Mechanism, Setting};
use ipc_core::{
    Capacity, Carrier, Deadline, LinkProperties, MessageLength, OpenError, OsError, Received,
    Receiver, RecvError, Resource, SendError, Sender,
};
use ipc_testing::{Invitation, Pending, Scope, Transport};

use crate::common::{ask_until, failed, not_made, properties, too_small};

const NAME: &str = "boost-message-queue";

/// Polled, or left to sleep on its conditions.
pub const MECHANISM: Mechanism =
    Mechanism { peer: true, ..kernel_mechanism!(NAME, BoostQueue::new) };

/// Queues for messages of one size.
#[derive(Clone, Copy, Debug)]
pub struct BoostQueue {
    messages: usize,
    message_bytes: usize,
}

/// Either end of a queue.
#[derive(Debug)]
pub struct Queue {
    queue: NonNull<c_void>,
    shape: BoostQueue,
    link: Resource,
}

// SAFETY: a message_queue is an address in a mapping and its length; any thread may use it, and this
// end is used by one at a time.
unsafe impl Send for Queue {}

type Raw = *mut c_void;
type Why = *mut c_char;

unsafe extern "C" {
    fn peer_queue_create(
        name: *const c_char,
        messages: usize,
        message_bytes: usize,
        queue: *mut Raw,
        why: Why,
    ) -> c_int;
    fn peer_queue_open(name: *const c_char, queue: *mut Raw, why: Why) -> c_int;
    fn peer_queue_close(queue: Raw);
    fn peer_queue_remove(name: *const c_char) -> c_int;
    fn peer_queue_try_send(queue: Raw, message: *const c_void, len: usize, why: Why) -> c_int;
    fn peer_queue_send(queue: Raw, message: *const c_void, len: usize, why: Why) -> c_int;
    fn peer_queue_try_receive(
        queue: Raw,
        buffer: Raw,
        room: usize,
        len: *mut usize,
        why: Why,
    ) -> c_int;
    fn peer_queue_receive(queue: Raw, buffer: Raw, room: usize, len: *mut usize, why: Why)
    -> c_int;
}

/// Calls one of these functions with room for the reason of a failure.
#[inline]
fn call(
    operation: &'static str,
    link: &Resource,
    function: impl FnOnce(Why) -> c_int,
) -> Result<bool, OsError> {
    let mut why = [0_u8; 256]; // `why_bytes` there
    match function(why.as_mut_ptr().cast()) {
        -1 => {
            let why = CStr::from_bytes_until_nul(&why).unwrap_or_default();
            Err(failed(operation, link, why.to_string_lossy()))
        }
        done => Ok(done == 1),
    }
}

impl BoostQueue {
    /// A queue for messages of one size, of as many as fit the room that every ring gets, but no more
    /// than 1,000: its time to send does not depend on how many there may be.
    fn new(setting: &Setting) -> Self {
        let messages = (setting.capacity_bytes() / setting.size_bytes).min(1000);
        Self { messages, message_bytes: setting.size_bytes }
    }

    fn create(self, scope: &Scope) -> Result<(Invitation, Queue), OpenError> {
        let text = scope.name().to_string();
        let (name, link) = (c_name(&text), Resource::named(NAME, &text));
        let mut queue = std::ptr::null_mut();
        let made = call("create", &link, |why| {
            let BoostQueue { messages, message_bytes } = self;
            // SAFETY: the pointers are good for the call, and `why` has the length that it expects.
            unsafe { peer_queue_create(name.as_ptr(), messages, message_bytes, &mut queue, why) }
        });
        let queue = self.opened(made, queue, link)?;
        scope.defer(move || {
            // SAFETY: the pointer is good for the call. That the guest has removed it is no error.
            unsafe { peer_queue_remove(name.as_ptr()) };
        });
        Ok((Invitation::of_text(text), queue))
    }

    fn open(self, invitation: &Invitation) -> Result<Queue, OpenError> {
        let text = &invitation.text;
        let (name, link) = (c_name(text), Resource::named(NAME, text));
        let mut queue = std::ptr::null_mut();
        let made = call("open", &link, |why| {
            // SAFETY: the pointers are good for the call, and `why` has the length that it expects.
            unsafe { peer_queue_open(name.as_ptr(), &mut queue, why) }
        });
        // SAFETY: the pointer is good for the call.
        unsafe { peer_queue_remove(name.as_ptr()) };
        self.opened(made, queue, link)
    }

    fn opened(
        self,
        made: Result<bool, OsError>,
        queue: *mut c_void,
        link: Resource,
    ) -> Result<Queue, OpenError> {
        made.map_err(|error| not_made(error.operation, &link, error.source))?;
        let queue = NonNull::new(queue).ok_or_else(|| not_made("open", &link, "it is null"))?;
        Ok(Queue { queue, shape: self, link })
    }
}

fn c_name(text: &str) -> CString {
    CString::new(text).expect("names of a scope have no zero in them")
}

impl Queue {
    fn link_properties(&self) -> LinkProperties {
        let BoostQueue { messages, message_bytes } = self.shape;
        let lengths = MessageLength::up_to(message_bytes);
        properties(NAME, Carrier::SharedMemory, Capacity::Messages(messages), lengths)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: it was opened, and nobody uses it any more.
        unsafe { peer_queue_close(self.queue.as_ptr()) };
    }
}

impl Sender for Queue {
    #[inline]
    fn send_deadline(&mut self, message: &[u8], deadline: Deadline) -> Result<(), SendError> {
        let (queue, bytes, len) = (self.queue.as_ptr(), message.as_ptr().cast(), message.len());
        if deadline == Deadline::Never {
            call("send", &self.link, |why| {
                // SAFETY: the queue is open, and the pointers are good for these lengths.
                unsafe { peer_queue_send(queue, bytes, len, why) }
            })?;
            return Ok(());
        }
        let sent = ask_until(deadline, || {
            let sent = call("try_send", &self.link, |why| {
                // SAFETY: as above.
                unsafe { peer_queue_try_send(queue, bytes, len, why) }
            })?;
            Ok(sent.then_some(()))
        })?;
        sent.ok_or_else(|| SendError::no_room(deadline))
    }

    fn properties(&self) -> LinkProperties {
        self.link_properties()
    }
}

impl Receiver for Queue {
    #[inline]
    fn recv_deadline(
        &mut self,
        buffer: &mut [u8],
        deadline: Deadline,
    ) -> Result<Received, RecvError> {
        let (room, needed) = (buffer.len(), self.shape.message_bytes);
        if room < needed {
            return Err(too_small(needed, room, &self.link));
        }
        let (queue, bytes) = (self.queue.as_ptr(), buffer.as_mut_ptr().cast());
        let mut len = 0;
        if deadline == Deadline::Never {
            call("receive", &self.link, |why| {
                // SAFETY: the queue is open, and the pointers are good for these lengths.
                unsafe { peer_queue_receive(queue, bytes, room, &mut len, why) }
            })?;
            return Ok(Received::of_len(len));
        }
        let received = ask_until(deadline, || {
            let received = call("try_receive", &self.link, |why| {
                // SAFETY: as above.
                unsafe { peer_queue_try_receive(queue, bytes, room, &mut len, why) }
            })?;
            Ok(received.then_some(()))
        })?;
        received.ok_or_else(|| RecvError::no_message(deadline))?;
        Ok(Received::of_len(len))
    }

    fn properties(&self) -> LinkProperties {
        self.link_properties()
    }
}

impl Transport for BoostQueue {
    type Sender = Queue;
    type Receiver = Queue;

    fn name(&self) -> &'static str {
        NAME
    }

    fn invite_receiver(&self, scope: &Scope) -> Result<(Invitation, Pending<Queue>), OpenError> {
        let (invitation, queue) = self.create(scope)?;
        Ok((invitation, Pending::ready(queue)))
    }

    fn invite_sender(&self, scope: &Scope) -> Result<(Invitation, Pending<Queue>), OpenError> {
        self.invite_receiver(scope)
    }

    fn join_as_receiver(&self, invitation: Invitation) -> Result<Queue, OpenError> {
        self.open(&invitation)
    }

    fn join_as_sender(&self, invitation: Invitation) -> Result<Queue, OpenError> {
        self.open(&invitation)
    }
}
