//! The program `ipc-bench`. See [`ipc_benches`].

use std::process::ExitCode;

fn main() -> ExitCode {
    ipc_benches::cli::main(ipc_benches::mechanisms::MECHANISMS)
}
