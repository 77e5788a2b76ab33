//! ipc-socket
