//! ipc-pipe
