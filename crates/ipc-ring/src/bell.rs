//! Doorbells: how a sleeping endpoint is woken, and learns that its peer is gone.
//!
//! A doorbell is a pipe of which only the ringing side holds the write end. Sleeping is reading from
//! it, so that the peer's death, which closes the write end, wakes the sleeper with the end of file
//! as surely as a ring does with a byte. It costs what a futex costs, and it can be polled with other
//! descriptors; a futex knows of no death.

use std::io;

use ipc_core::Deadline;

/// What a sleeper heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A ring, or nothing: look again.
    Ring,
    /// The peer is gone.
    HangUp,
    /// The deadline passed.
    Silence,
}

/// The two doorbells of one endpoint: the one it rings, and the one it hears.
pub(crate) trait Bell {
    /// Wakes the peer, if it sleeps or as soon as it does. Never blocks.
    fn ring(&self);

    /// Sleeps until the peer rings or is gone, or the deadline passes.
    fn wait(&self, deadline: Deadline) -> io::Result<Heard>;

    /// Whether the peer is gone. Never blocks; may look less often than it is asked.
    fn is_hung_up(&mut self) -> bool;

    /// Takes back rings that nobody waits for.
    fn quiet(&self);
}

#[cfg(not(ipc_loom))]
pub(crate) use pipe::{PipeBell, RingEnd, pipe_bell};

#[cfg(not(ipc_loom))]
mod pipe {
    // Reads from a pipe without blocking by `vmsplice`, which is unsafe in rustix.
    #![allow(unsafe_code)]

    use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

    use super::{Bell, Deadline, Heard, io};
    use ipc_core::{Interest, poll};
    use rustix::event::{PollFd, PollFlags, Timespec};
    use rustix::fs::OFlags;
    use rustix::io::Errno;
    use rustix::pipe::{IoSliceRaw, PipeFlags, SpliceFlags};
    use rustix::time::ClockId;

    /// The ringing end of a doorbell.
    #[derive(Debug)]
    pub(crate) struct RingEnd {
        /// Non-blocking: a full pipe holds rings enough.
        write: OwnedFd,
        /// Keeps the pipe from having no reader, so that ringing for a dead peer raises no SIGPIPE.
        _reader: OwnedFd,
    }

    /// A new doorbell: the end to ring, and the end to send to the peer.
    pub(crate) fn pipe_bell() -> io::Result<(RingEnd, OwnedFd)> {
        let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&write, OFlags::NONBLOCK)?;
        let reader = rustix::io::fcntl_dupfd_cloexec(&read, 0)?;
        Ok((RingEnd { write, _reader: reader }, read))
    }

    /// Doorbells made of two pipes.
    #[derive(Debug)]
    pub(crate) struct PipeBell {
        outgoing: RingEnd,
        incoming: OwnedFd,
        /// When the peer was last looked for, by the coarse clock.
        last_look: Option<Timespec>,
        hung_up: bool,
    }

    impl PipeBell {
        pub(crate) fn new(outgoing: RingEnd, incoming: OwnedFd) -> Self {
            Self { outgoing, incoming, last_look: None, hung_up: false }
        }

        /// Reads without blocking, whatever the flags of the description, which the peer shares and
        /// could change under way: `vmsplice(2)` has a flag of its own for that.
        fn read_now(&self) -> rustix::io::Result<usize> {
            let mut bytes = [0_u8; 64];
            let slice = IoSliceRaw::from_slice_mut(&mut bytes);
            // SAFETY: reading from a pipe, vmsplice copies into `bytes`, which outlives the call.
            unsafe { rustix::pipe::vmsplice(&self.incoming, &[slice], SpliceFlags::NONBLOCK) }
        }
    }

    impl AsFd for PipeBell {
        /// The descriptor that becomes readable when the peer rings or is gone.
        fn as_fd(&self) -> BorrowedFd<'_> {
            self.incoming.as_fd()
        }
    }

    impl Bell for PipeBell {
        fn ring(&self) {
            // A full pipe (EAGAIN) holds rings enough, and nothing else can fail.
            let _ = rustix::io::retry_on_intr(|| rustix::io::write(&self.outgoing.write, &[1]));
        }

        fn wait(&self, deadline: Deadline) -> io::Result<Heard> {
            if deadline == Deadline::Never {
                let mut bytes = [0_u8; 64];
                match rustix::io::read(&self.incoming, &mut bytes) {
                    Ok(0) => return Ok(Heard::HangUp),
                    Ok(_) | Err(Errno::INTR) => return Ok(Heard::Ring),
                    // Somebody made the description non-blocking: poll instead.
                    Err(Errno::AGAIN) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if !poll::wait_ready(self.incoming.as_fd(), Interest::Readable, deadline)? {
                return Ok(Heard::Silence);
            }
            match self.read_now() {
                Ok(0) => Ok(Heard::HangUp),
                Ok(_) | Err(Errno::INTR | Errno::AGAIN) => Ok(Heard::Ring),
                Err(error) => Err(error.into()),
            }
        }

        /// Looks at most once a millisecond.
        fn is_hung_up(&mut self) -> bool {
            if self.hung_up {
                return true;
            }
            let now = rustix::time::clock_gettime(ClockId::MonotonicCoarse);
            if self.last_look == Some(now) {
                return false; // the coarse clock ticks every 1 to 10 ms
            }
            self.last_look = Some(now);
            let mut fds = [PollFd::new(&self.incoming, PollFlags::empty())];
            // An error of poll (no memory, say) tells nothing about the peer.
            self.hung_up = poll::poll_until(&mut fds, Deadline::Now).is_ok_and(|ready| ready > 0);
            self.hung_up
        }

        fn quiet(&self) {
            while matches!(self.read_now(), Ok(1..)) {}
        }
    }
}
