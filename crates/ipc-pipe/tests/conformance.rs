//! The conformance suite, on pipes and on FIFOs, one way and both ways, and with a receiver that looks before it sleeps.

use ipc_core::WaitStrategy;
use ipc_pipe::testing::{Duplex, DuplexFifo, Fifo, HalfDuplex, Pipe, SharedFifo, WaitingPipe};

ipc_testing::conformance!(pipe, Pipe);
ipc_testing::conformance!(pipe_adaptive, WaitingPipe(WaitStrategy::adaptive()));
ipc_testing::conformance!(pipe_duplex, Duplex);
ipc_testing::conformance!(pipe_half_duplex, HalfDuplex);
ipc_testing::conformance!(fifo, Fifo);
ipc_testing::conformance!(fifo_shared, SharedFifo);
ipc_testing::conformance!(fifo_duplex, DuplexFifo);
