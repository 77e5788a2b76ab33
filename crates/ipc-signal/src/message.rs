//! One received signal, decoded from what a signalfd or `sigtimedwait(2)` delivers. Leaves out the
//! receiving.

use std::mem::offset_of;
use std::num::NonZeroU32;

use ipc_core::{Evidence, PeerId, ProcessPeer};
use libc::signalfd_siginfo;

use crate::Signal;
use crate::sys::SignalInfo;

/// Length of what a signalfd delivers for one signal, in bytes.
pub(crate) const RECORD_LEN: usize = size_of::<signalfd_siginfo>();

/// A signal, as its receiver sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SignalMessage {
    /// Which signal it is.
    pub signal: Signal,
    /// The value that it carries: the eight bytes of C's `union sigval` as a number. A C program's
    /// `sival_ptr` is the whole; its `sival_int` is the first four bytes
    /// (`value.to_ne_bytes()[..4]`), and the others are then whatever they happened to be.
    ///
    /// `None` if the signal carries none, as those from `kill(2)` and `tgkill(2)` do not.
    pub value: Option<u64>,
    /// How it came about: `si_code` in `sigaction(2)`. −1 (`SI_QUEUE`) is a signal queued with a
    /// value, 0 (`SI_USER`) one from `kill`, −2 (`SI_TIMER`) one of a timer.
    pub code: i32,
    /// Of a timer's signal: how many expiries it stands for beyond the first, because they came while
    /// it was pending. `None` for all other signals. Like a value it could be forged.
    pub overruns: Option<u32>,
    /// Who sent it; `None` where the kernel did not say.
    ///
    /// With a value, this is what the sender **claims**: the kernel passes on the process and user
    /// id that it was given, so that any process that may signal this one can name another, in
    /// numbers of its own PID namespace. Without a value it is the kernel's word.
    pub sender: Option<ProcessPeer>,
}

/// What the two ways of receiving have in common.
struct Particulars {
    signo: i32,
    code: i32,
    pid: u32,
    uid: u32,
    value: u64,
    overruns: u32,
}

impl SignalMessage {
    /// Decodes what `read(2)` of a signalfd gave.
    pub(crate) fn decode(record: &[u8; RECORD_LEN]) -> Self {
        let number = |offset| u32::from_ne_bytes(bytes(record, offset));
        Self::of(Particulars {
            signo: number(offset_of!(signalfd_siginfo, ssi_signo)) as i32,
            code: number(offset_of!(signalfd_siginfo, ssi_code)) as i32,
            pid: number(offset_of!(signalfd_siginfo, ssi_pid)),
            uid: number(offset_of!(signalfd_siginfo, ssi_uid)),
            value: u64::from_ne_bytes(bytes(record, offset_of!(signalfd_siginfo, ssi_ptr))),
            overruns: number(offset_of!(signalfd_siginfo, ssi_overrun)),
        })
    }

    /// Decodes what `sigtimedwait(2)` gave.
    pub(crate) fn from_info(info: &SignalInfo) -> Self {
        let value = u64::from_ne_bytes(info.value);
        let &SignalInfo { signo, code, pid, uid, .. } = info;
        Self::of(Particulars { signo, code, pid, uid, value, overruns: info.overruns() })
    }

    fn of(particulars: Particulars) -> Self {
        let Particulars { signo, code, pid, uid, value, overruns } = particulars;
        let peer = |evidence| ProcessPeer { pid: NonZeroU32::new(pid), uid, gid: None, evidence };
        let (value, sender) = match code {
            // What the kernel leaves of a `kill` for which it had no room. Not a word from root.
            libc::SI_USER if (pid, uid) == (0, 0) => (None, None),
            // The kernel lets nobody else's process give these two codes.
            libc::SI_USER | libc::SI_TKILL => (None, Some(peer(Evidence::Kernel))),
            libc::SI_SIGIO => (None, None),
            libc::SI_TIMER => (Some(value), None),
            _ if code < 0 => (Some(value), Some(peer(Evidence::Claimed))),
            // From the kernel itself.
            _ => (None, None),
        };
        let overruns = (code == libc::SI_TIMER).then_some(overruns);
        Self { signal: Signal::reported(signo), value, code, overruns, sender }
    }

    /// The sender, as byte endpoints report it.
    pub(crate) fn peer(&self) -> Option<PeerId> {
        self.sender.map(PeerId::Process)
    }
}

fn bytes<const N: usize>(record: &[u8; RECORD_LEN], offset: usize) -> [u8; N] {
    std::array::from_fn(|index| record[offset + index])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(code: i32, pid: u32, uid: u32, value: u64) -> [u8; RECORD_LEN] {
        let mut record = [0; RECORD_LEN];
        let mut put = |offset: usize, bytes: &[u8]| {
            record[offset..offset + bytes.len()].copy_from_slice(bytes);
        };
        put(8, &code.to_ne_bytes());
        put(12, &pid.to_ne_bytes());
        put(16, &uid.to_ne_bytes());
        put(48, &value.to_ne_bytes());
        record
    }

    #[test]
    fn a_queued_signal_has_a_value_and_a_claimed_sender() {
        let message = SignalMessage::decode(&record(libc::SI_QUEUE, 17, 1000, u64::MAX));
        assert_eq!(message.value, Some(u64::MAX));
        let sender = message.sender.expect("claimed");
        assert_eq!((sender.pid, sender.uid), (NonZeroU32::new(17), 1000));
        assert_eq!(sender.evidence, Evidence::Claimed);
    }

    #[test]
    fn a_killed_signal_has_no_value_and_the_kernels_word_for_its_sender() {
        for code in [libc::SI_USER, libc::SI_TKILL] {
            let message = SignalMessage::decode(&record(code, 17, 1000, 5));
            assert_eq!(message.value, None);
            assert_eq!(message.sender.map(|sender| sender.evidence), Some(Evidence::Kernel));
        }
    }

    #[test]
    fn a_signal_whose_particulars_were_lost_is_not_taken_for_roots() {
        let message = SignalMessage::decode(&record(libc::SI_USER, 0, 0, 0));
        assert_eq!((message.value, message.sender), (None, None));
    }
}
