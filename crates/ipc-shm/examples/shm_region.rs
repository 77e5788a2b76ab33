//! A typed region: whoever comes first makes it, everybody counts in it, and a program that means another
//! type by the name is refused. Run it in several terminals, then remove it:
//!
//! `cargo run -p ipc-shm --example shm_region`
//! `cargo run -p ipc-shm --example shm_region -- --remove`

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::Name;
use ipc_shm::{Region, Segment};

ipc_shm::shared! {
    /// Who has been here.
    struct Visits("ipc-shm-example.Visits/1") {
        total: AtomicU64,
        by_parity: [AtomicU64; 2],
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let argument = std::env::args().nth(1).unwrap_or("ipc-shm-visits".into());
    if argument == "--remove" {
        Segment::unlink_name(&Name::new("ipc-shm-visits")?)?;
        return Ok(());
    }
    let name = Name::new(&argument)?;
    let visits = Region::open_or_create(&name, || Visits {
        total: AtomicU64::new(0),
        by_parity: Default::default(),
    })?;
    let earlier = visits.total.fetch_add(1, Ordering::Relaxed); // counts; orders nothing
    let pid = std::process::id();
    visits.by_parity[pid as usize % 2].fetch_add(1, Ordering::Relaxed);
    println!("process {pid} is visitor {} of /dev/shm/{name}", earlier + 1);
    Ok(())
}
