//! A periodic timer as a descriptor, and one whose expiries come as messages: `signal_timer`.

use std::time::Duration;

use ipc_core::Deadline;
use ipc_signal::{
    MaskGuard, RealtimeSignal, Schedule, SignalReceiver, SignalTimer, TimerClock, TimerDescriptor,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let interval = Duration::from_millis(100);

    // A descriptor: nothing else is needed, and it can be polled with others.
    let mut timer = TimerDescriptor::open(TimerClock::Monotonic)?;
    timer.set(Schedule::after(interval).every(interval))?;
    for _ in 0..3 {
        let expiries = timer.wait(Deadline::Never)?;
        println!("descriptor: {expiries} since the last look, {} of them late", expiries.get() - 1);
    }

    // A message: the signal must be blocked, first thing in `main` in earnest.
    let signal = RealtimeSignal::from_offset(1)?;
    let _mask = MaskGuard::block([signal])?;
    let mut receiver = SignalReceiver::open(signal)?;
    let mut timer = SignalTimer::open(TimerClock::Monotonic, signal, 42)?;
    timer.set(Schedule::at(TimerClock::Monotonic.now() + interval).every(interval))?;
    for _ in 0..3 {
        let expiry = receiver.recv_signal(Deadline::Never)?;
        println!("message: value {:?}, overruns {:?}", expiry.value, expiry.overruns);
    }
    Ok(())
}
