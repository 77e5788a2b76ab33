//! The eventfd round trip: the cheapest way of two processes to wake each other through descriptors.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::EventfdFlags;
use rustix::io::{read, retry_on_intr, write};

/// One eventfd each way.
#[derive(Debug)]
pub struct EventfdPair {
    ping: OwnedFd,
    pong: OwnedFd,
}

impl EventfdPair {
    /// Two new ones, blocking.
    ///
    /// # Errors
    ///
    /// Those of `eventfd(2)`.
    pub fn create() -> io::Result<Self> {
        let eventfd = || rustix::event::eventfd(0, EventfdFlags::CLOEXEC);
        Ok(Self { ping: eventfd()?, pong: eventfd()? })
    }

    /// Those that [`to_descriptors`](Self::to_descriptors) gave in the other process; `None` if they
    /// are not two.
    pub fn from_descriptors(descriptors: Vec<OwnedFd>) -> Option<Self> {
        let [ping, pong] = descriptors.try_into().ok()?;
        Some(Self { ping, pong })
    }

    /// Copies of the descriptors, for the other process.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`.
    pub fn to_descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        Ok(vec![self.ping.try_clone()?, self.pong.try_clone()?])
    }

    /// The host's part of `rounds`, after a rendezvous; returns the mean of a round in nanoseconds.
    ///
    /// # Errors
    ///
    /// Those of `read(2)` and `write(2)`.
    pub fn ping(&self, rounds: u32) -> io::Result<f64> {
        let began = Instant::now();
        for _ in 0..rounds {
            signal(&self.ping)?;
            wait(&self.pong)?;
        }
        Ok(began.elapsed().as_nanos() as f64 / f64::from(rounds))
    }

    /// The guest's part of `rounds`, after a rendezvous.
    ///
    /// # Errors
    ///
    /// Those of `read(2)` and `write(2)`.
    pub fn pong(&self, rounds: u32) -> io::Result<()> {
        for _ in 0..rounds {
            wait(&self.ping)?;
            signal(&self.pong)?;
        }
        Ok(())
    }
}

fn signal(eventfd: &OwnedFd) -> io::Result<()> {
    retry_on_intr(|| write(eventfd, &1u64.to_ne_bytes()))?;
    Ok(())
}

fn wait(eventfd: &OwnedFd) -> io::Result<()> {
    retry_on_intr(|| read(eventfd, &mut [0; 8]))?;
    Ok(())
}
