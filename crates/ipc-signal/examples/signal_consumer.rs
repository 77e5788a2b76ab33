//! Receives values by signal and prints them with their senders, up to a value of 0:
//! `signal_consumer`, then in another terminal the line that it prints.

use ipc_core::Deadline;
use ipc_signal::{MaskGuard, RealtimeSignal, SignalReceiver};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let signal = RealtimeSignal::from_offset(1)?;
    // First of all, so that every later thread inherits the mask.
    let _mask = MaskGuard::block([signal])?;
    let mut receiver = SignalReceiver::open(signal)?;

    let pid = std::process::id();
    println!("waiting for values; in another terminal run:");
    println!("  cargo run -p ipc-signal --example signal_producer {pid}");
    println!("  kill -{} {pid}    # a signal without a value", signal.number());

    loop {
        let message = receiver.recv_signal(Deadline::Never)?;
        let sender = message.sender.map_or("somebody".to_owned(), |peer| peer.to_string());
        match message.value {
            Some(0) => break println!("0 from {sender}: that is all"),
            Some(value) => println!("{value} from {sender}"),
            None => println!("no value, from {sender}"),
        }
    }
    Ok(())
}
