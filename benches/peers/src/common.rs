//! What the peers' endpoints have in common: properties, errors, and waiting by asking.

// Not every choice of features uses all of it.
#![allow(dead_code)]

use std::error::Error;
use std::io;

use ipc_core::{
    Boundaries, Buffering, Capacity, Carrier, Count, Deadline, DeathNotice, Direction,
    Establishment, Lifetime, LinkProperties, MessageLength, Naming, OpenError, Order, OsError,
    Received, RecvError, Resource, SenderIdentity, WhenFull,
};

/// The properties of a bounded link from one to one that keeps messages whole and in order. What the
/// measuring loops look at is given; of the rest, nothing is promised.
pub(crate) const fn properties(
    mechanism: &'static str,
    carrier: Carrier,
    capacity: Capacity,
    message_length: MessageLength,
) -> LinkProperties {
    LinkProperties {
        mechanism,
        establishment: Establishment::Name,
        naming: Naming::Indirect,
        senders: Count::One,
        receivers: Count::One,
        links_per_pair: Count::Many,
        capacity,
        message_length,
        direction: Direction::OneWay,
        carrier,
        buffering: Buffering::Automatic,
        boundaries: Boundaries::Kept,
        lifetime: Lifetime::Endpoints,
        when_full: WhenFull::Waits,
        lossy: false,
        order: Order::Fifo,
        priorities: None,
        death_notice: DeathNotice::None,
        accepted_survives_sender: false,
        sender_identity: SenderIdentity::Unknown,
        synchronous_send: false,
        waitable: false,
    }
}

/// Any error of a peer, as one of an operation on a link.
pub(crate) fn failed(
    operation: &'static str,
    link: &Resource,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> OsError {
    OsError::new(operation, link, io::Error::other(error))
}

/// Any error of a peer, as the reason for which a link was not made.
pub(crate) fn not_made(
    operation: &'static str,
    link: &Resource,
    error: impl Into<Box<dyn Error + Send + Sync>>,
) -> OpenError {
    OpenError::from_os(operation, link, io::Error::other(error))
}

/// Asks until there is an answer, or no more time; then `None`.
#[inline]
pub(crate) fn ask_until<T>(
    deadline: Deadline,
    mut ask: impl FnMut() -> Result<Option<T>, OsError>,
) -> Result<Option<T>, OsError> {
    loop {
        let answer = ask()?;
        if answer.is_some() || deadline.has_passed() {
            return Ok(answer);
        }
        std::hint::spin_loop();
    }
}

/// Copies a message to where the caller wants it.
///
/// # Errors
///
/// If it does not fit there; unlike on this project's links, it is lost then.
#[inline]
pub(crate) fn deliver(
    message: &[u8],
    buffer: &mut [u8],
    link: &Resource,
) -> Result<Received, RecvError> {
    let (needed, len) = (message.len(), buffer.len());
    let place = buffer.get_mut(..needed);
    let place = place.ok_or_else(|| too_small(needed, len, link))?;
    place.copy_from_slice(message);
    Ok(Received::of_len(needed))
}

/// The error for a buffer of `len` bytes that a message of `needed` bytes does not fit.
pub(crate) fn too_small(needed: usize, len: usize, link: &Resource) -> RecvError {
    RecvError::buffer_too_small(needed, len, link)
}

/// Removes what somebody left in shared memory (`shm_overview(7)`) under names that begin like this.
pub(crate) fn remove_shared_memory(prefix: &str) {
    for file in std::fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
        if file.file_name().to_string_lossy().starts_with(prefix) {
            let _ = std::fs::remove_file(file.path()); // its owner may have been faster
        }
    }
}
