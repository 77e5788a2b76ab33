//! Sends the values 10 down to 0 by signal: `signal_producer PID`, with the process id that
//! `signal_consumer` prints.

use ipc_core::SendError;
use ipc_signal::{RealtimeSignal, SignalSender};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let pid = std::env::args().nth(1).ok_or("usage: signal_producer PID")?.parse()?;
    let mut sender = SignalSender::open(pid, RealtimeSignal::from_offset(1)?)?;

    for value in (0..=10).rev() {
        // The kernel cannot wait for room in a full queue: what to do is our choice. Here we let the
        // receiver run, and try again.
        while let Err(error) = sender.send_value(value) {
            match error {
                SendError::Full => std::thread::yield_now(),
                error => return Err(error.into()),
            }
        }
        println!("sent {value}");
    }
    Ok(())
}
