//! ipc-mq
