//! Kills and stops one end of a ring at every instruction of each operation, and looks at what the
//! other makes of it: nothing lost that was committed, nothing twice, nothing altered, and the death
//! seen. `cargo xtask crash` runs it, in the release profile. How it works: `ipc_testing::crash`.

// Borrows messages, which takes trust in the sender.
#![allow(unsafe_code)]

mod attach;
mod link;
mod message;
mod names;
mod receiving;
mod sending;
mod typed;

use std::process::ExitCode;

use ipc_testing::crash::Suite;

fn main() -> ExitCode {
    // The C library installs a signal handler of its own with the first thread. It is to be there when
    // the kit looks what a survivor has.
    std::thread::spawn(|| {}).join().expect("no panic");
    let scenes = [
        sending::scenes(),
        receiving::scenes(),
        attach::scenes(),
        names::scenes(),
        typed::scenes(),
    ];
    Suite::start(scenes.into_iter().flatten().collect()).run()
}
