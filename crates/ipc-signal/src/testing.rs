//! How the conformance suite and the benchmark make links of this crate.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::{OpenError, OpenErrorKind, Resource};
use ipc_testing::{Invitation, Pending, Scope, Transport};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::{MaskGuard, RealtimeSignal, SignalReceiver, SignalSender, SigwaitReceiver};

/// Blocks all real-time signals in the calling thread, and in the threads and processes that it
/// starts from now on, for good.
///
/// A process that is to hold a receiver of [`Signal`] calls this at the start of `main`, or is
/// started by a process that has; otherwise the receiver refuses with an error that says so.
///
/// # Errors
///
/// Those of `pthread_sigmask(3)`: none in practice.
pub fn prepare_process() -> io::Result<()> {
    // Not to be restored: what came too late for a receiver would be delivered, and kill.
    std::mem::forget(MaskGuard::block(RealtimeSignal::all())?);
    Ok(())
}

/// Real-time signals, a number for each receiver, which reads a signalfd. Both processes must be
/// [prepared](prepare_process).
#[derive(Clone, Copy, Debug, Default)]
pub struct Signal;

/// The same with a receiver that waits by `sigtimedwait(2)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sigwait;

/// Makes a transport of a receiver.
macro_rules! transport {
    ($transport:ident, $receiver:ident, $name:literal) => {
        impl Transport for $transport {
            type Sender = SignalSender;
            type Receiver = $receiver;

            fn name(&self) -> &'static str {
                $name
            }

            /// The host chooses a number for the guest, which must not use it for another link.
            fn invite_receiver(
                &self,
                _: &Scope,
            ) -> Result<(Invitation, Pending<SignalSender>), OpenError> {
                let signal = next_signal();
                let invitation = Invitation::of_text(signal.number().to_string());
                Ok((invitation, Pending::new(move |guest| SignalSender::open(guest, signal))))
            }

            /// The guest gets our pidfd with the number, so that it cannot mistake another process
            /// for us.
            fn invite_sender(
                &self,
                _: &Scope,
            ) -> Result<(Invitation, Pending<$receiver>), OpenError> {
                let receiver = open_any($receiver::open)?;
                let pidfd = pidfd_open(getpid(), PidfdFlags::empty()).map_err(|error| {
                    OpenError::from_os("pidfd_open", &Resource::unnamed("this process"), error)
                })?;
                let text = receiver.signal().number().to_string();
                Ok((Invitation { text, descriptors: vec![pidfd] }, Pending::ready(receiver)))
            }

            fn join_as_receiver(&self, invitation: Invitation) -> Result<$receiver, OpenError> {
                $receiver::open(invited_signal(&invitation)?)
            }

            fn join_as_sender(
                &self,
                mut invitation: Invitation,
            ) -> Result<SignalSender, OpenError> {
                let signal = invited_signal(&invitation)?;
                match invitation.descriptors.pop() {
                    Some(pidfd) => SignalSender::from_pidfd(pidfd, signal),
                    None => Err(invalid(&invitation, "it must come with the receiver's pidfd")),
                }
            }
        }
    };
}

transport!(Signal, SignalReceiver, "signal-rt");
transport!(Sigwait, SigwaitReceiver, "signal-rt-sigwait");

/// Opens a receiver of the next signal that this process has none of.
fn open_any<R>(open: fn(RealtimeSignal) -> Result<R, OpenError>) -> Result<R, OpenError> {
    let mut tries_left = RealtimeSignal::count();
    loop {
        tries_left -= 1;
        match open(next_signal()) {
            Err(error) if tries_left > 0 && matches!(error.kind(), OpenErrorKind::InUse(_)) => {}
            other => return other,
        }
    }
}

/// The real-time signals in turn, so that links of two processes have different ones.
fn next_signal() -> RealtimeSignal {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed); // only its uniqueness matters
    RealtimeSignal::from_offset(call % RealtimeSignal::count()).expect("below the count")
}

fn invited_signal(invitation: &Invitation) -> Result<RealtimeSignal, OpenError> {
    let number = invitation.text.parse().map_err(|_| invalid(invitation, "it must be a number"))?;
    RealtimeSignal::from_number(number).map_err(|error| invalid(invitation, &error.to_string()))
}

fn invalid(invitation: &Invitation, requirement: &str) -> OpenError {
    let kind =
        OpenErrorKind::InvalidOption { option: "signal", requirement: requirement.to_owned() };
    OpenError::new("join", &Resource::named("signal", &invitation.text), kind)
}
