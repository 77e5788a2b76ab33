//! Who in this process receives which signals: each signal one receiver, and none while a thread leaves
//! it unblocked. Leaves out the receiving.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::{OpenError, OpenErrorKind, Resource};

use crate::Signal;
use crate::errors::{check_receivable, invalid};
use crate::proc::{self, Exposed};

/// Signals that this process has a receiver for, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    /// One bit for each, the lowest for number 1.
    bits: u64,
}

/// The bits of all claims.
static CLAIMED: AtomicU64 = AtomicU64::new(0);

impl Claim {
    /// Claims signals, all of which every thread must block. May wait ten seconds for threads that
    /// are just starting others.
    pub(crate) fn of(signals: &[Signal], link: &Resource) -> Result<Self, OpenError> {
        for &signal in signals {
            check_receivable("open", link, signal)?;
        }
        let bits = signals.iter().fold(0, |bits, signal| bits | 1 << (signal.number() - 1));
        // Relaxed: the bits guard no memory, only the numbers.
        let claim = CLAIMED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |claimed| {
            (claimed & bits == 0).then_some(claimed | bits)
        });
        if claim.is_err() {
            let cause = "this process has a receiver of this signal already";
            let cause = io::Error::new(io::ErrorKind::AddrInUse, cause);
            return Err(OpenError::new("open", link, OpenErrorKind::InUse(cause)));
        }
        let claim = Self { bits };
        for &signal in signals {
            refuse_exposed(signal, link)?;
        }
        Ok(claim)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        CLAIMED.fetch_and(!self.bits, Ordering::Relaxed); // as in `of`
    }
}

fn refuse_exposed(signal: Signal, link: &Resource) -> Result<(), OpenError> {
    let exposed = proc::exposed_thread(signal)
        .map_err(|error| OpenError::from_os("read /proc/self/task for", link, error))?;
    let Some(Exposed { thread, what }) = exposed else { return Ok(()) };
    let consequence = match signal {
        Signal::CHLD | Signal::URG | Signal::WINCH | Signal::CONT => "which would be lost there",
        _ => "which would kill this process",
    };
    let requirement = format!(
        "thread {thread} {what} {signal}, {consequence}; create a MaskGuard in main before other \
         threads start"
    );
    Err(invalid("open", link, "signal mask", requirement))
}
