//! ipc-ring
