//! The conformance suite, on POSIX queues: small ones, so that on a machine with many cores the tests
//! together stay below one user's limit on queues.

ipc_testing::conformance!(posix, ipc_mq::testing::SmallPosixQueue);
