//! The program `ipc-bench` with other libraries among its mechanisms. See [`ipc_benches`] for the
//! measuring, which is the same for all.

use std::process::ExitCode;

fn main() -> ExitCode {
    let all = [ipc_benches::mechanisms::MECHANISMS, ipc_bench_peers::PEERS].concat();
    ipc_benches::cli::main(&all)
}
