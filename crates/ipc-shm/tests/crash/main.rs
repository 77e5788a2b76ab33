//! Kills and stops a process at every instruction of each operation on shared memory, and looks at what
//! it leaves to the others. `cargo xtask crash` runs it, in the release profile. How it works:
//! `ipc_testing::crash`.

mod buffer;
mod heap;
mod place;
mod segments;
mod snapshot;
mod sync;

use std::process::ExitCode;

use ipc_testing::crash::Suite;

fn main() -> ExitCode {
    // The C library installs a signal handler of its own with the first thread. It is to be there when
    // the kit looks what a survivor has.
    std::thread::spawn(|| {}).join().expect("no panic");
    let scenes =
        [segments::scenes(), sync::scenes(), snapshot::scenes(), heap::scenes(), buffer::scenes()];
    Suite::start(scenes.into_iter().flatten().collect()).run()
}
