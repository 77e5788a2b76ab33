//! Messages over a stream of bytes.
//!
//! # The frame, byte for byte
//!
//! ```text
//! offset  length  what
//!      0       4  length of the message in bytes, unsigned, least significant byte first
//!      4  length  the message
//! ```
//!
//! Frames follow one another without gaps. A stream that ends between frames has ended in order; one
//! that ends within a frame lost the rest of it, and the torn message is dropped. There is no greeting
//! and no version: both ends must know that they speak this. A length above the agreed maximum breaks
//! the protocol; it is refused before any memory is set aside for it.
//!
//! Leaves out whose stream it is, and errors as the user sees them: see `stream.rs`.

mod reader;
mod writer;

pub(crate) use reader::{Frame, FrameReader};
pub(crate) use writer::FrameWriter;

/// Bytes before each message.
pub(crate) const HEADER_LEN: usize = 4;

/// Up to this length, a message passes through a buffer of the endpoint's own, so that one plain
/// `send(2)` carries header and message, and one `recv(2)` many messages. Above it, header and message
/// are gathered from two places and the message is read where the user wants it.
///
/// Measured: where the copies lie well in their pages, passing 16 KiB through a buffer at both ends costs less
/// than the gathering calls do (`benches/record/2026-11-29-stream-framing.md`).
pub(crate) const COPIED_LEN_MAX: usize = 16 * 1024;

/// The longest message that a Unix stream takes whole or not at all, if its send buffer is large enough.
pub(crate) const WHOLE_LEN_MAX: usize = 16 * 1024;
