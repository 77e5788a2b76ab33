//! The conformance suite, on pipes and on FIFOs.

ipc_testing::conformance!(pipe, ipc_pipe::testing::Pipe);
ipc_testing::conformance!(fifo, ipc_pipe::testing::Fifo);
ipc_testing::conformance!(fifo_shared, ipc_pipe::testing::SharedFifo);
