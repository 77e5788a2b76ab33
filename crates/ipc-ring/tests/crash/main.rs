//! Kills and stops one end of a ring at every instruction of each operation, and looks at what the
//! other makes of it: nothing lost that was committed, nothing twice, nothing altered, and the death
//! seen. `cargo xtask crash` runs it, in the release profile. How it works: `ipc_testing::crash`.

// Borrows messages, which takes trust in the sender.
#![allow(unsafe_code)]

mod attach;
mod link;
mod message;
mod receiving;
mod sending;

use std::process::ExitCode;

use ipc_testing::crash::Suite;

fn main() -> ExitCode {
    let scenes = [sending::scenes(), receiving::scenes(), attach::scenes()];
    Suite::start(scenes.into_iter().flatten().collect()).run()
}
