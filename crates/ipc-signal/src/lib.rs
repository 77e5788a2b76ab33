//! ipc-signal
