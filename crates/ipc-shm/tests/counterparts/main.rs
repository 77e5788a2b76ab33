//! Objects shared with programs that are not ours, in C and Python.
//!
//! They take a C compiler, Python, and Python's module posix_ipc. Where one is missing, the tests say so
//! and pass: on standard error, and in the file that `IPC_TEST_SKIPPED_FILE` names. With
//! `IPC_TEST_COUNTERPARTS=require` they fail.

mod programs;
mod segments;
mod semaphores;
