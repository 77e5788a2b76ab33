//! The channel between host and guest: short texts, and descriptors by `SCM_RIGHTS` (unix(7)).

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
};

use super::{MAX_DESCRIPTORS, MAX_TEXT_LEN};

/// One end of the channel: a Unix socket of type seqpacket.
#[derive(Debug)]
pub(crate) struct Channel(OwnedFd);

/// What a message is, as its first byte: so that none is empty, which would look like the end.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    Text = b'T',
    Invitation = b'I',
}

impl Channel {
    /// A channel; the other end is still a plain descriptor, to become a child's standard input.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok((Self(ours), theirs))
    }

    pub(super) fn from_descriptor(descriptor: OwnedFd) -> Self {
        Self(descriptor)
    }

    /// Sends a message, with descriptors or none. Waits only if many are unread.
    ///
    /// # Panics
    ///
    /// If the text or the descriptors are too many.
    pub(crate) fn send(
        &self,
        kind: Kind,
        text: &str,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let count = descriptors.len();
        assert!(text.len() <= MAX_TEXT_LEN, "a text of {} bytes is too long", text.len());
        assert!(count <= MAX_DESCRIPTORS, "{count} descriptors are too many");
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() {
            let fits = ancillary.push(SendAncillaryMessage::ScmRights(descriptors));
            assert!(fits, "the space is that of the most descriptors");
        }
        let kind = [kind as u8];
        let parts = [IoSlice::new(&kind), IoSlice::new(text.as_bytes())];
        let flags = SendFlags::NOSIGNAL;
        rustix::io::retry_on_intr(|| rustix::net::sendmsg(&self.0, &parts, &mut ancillary, flags))?;
        Ok(())
    }

    /// Waits for a message of this kind. The end of the channel is `EPIPE`.
    pub(crate) fn receive(&self, expected: Kind) -> io::Result<(String, Vec<OwnedFd>)> {
        let invalid = |what: String| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let mut kind = [0];
        let mut text = vec![0; MAX_TEXT_LEN];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut kind), IoSliceMut::new(&mut text)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            match rustix::net::recvmsg(&self.0, &mut parts, &mut ancillary, flags) {
                // A peer that died with texts unread is reported once, before the texts it sent.
                Err(Errno::INTR | Errno::CONNRESET) => {}
                other => break other?,
            }
        };
        if received.bytes == 0 {
            return Err(Errno::PIPE.into());
        }
        let mut descriptors = Vec::new();
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return invalid("a message was cut: RLIMIT_NOFILE (ulimit -n) reached?".into());
        }
        text.truncate(received.bytes - 1);
        let text = String::from_utf8_lossy(&text).into_owned();
        if kind[0] == expected as u8 {
            Ok((text, descriptors))
        } else {
            invalid(format!("out of step: waited for {expected:?}, got {:?} {text:?}", kind[0]))
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
