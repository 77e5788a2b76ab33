//! ipc-shm
