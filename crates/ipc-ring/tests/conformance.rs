//! The conformance suite on rings, with each way of waiting.

use ipc_core::WaitStrategy;
use ipc_ring::testing::Ring;

ipc_testing::conformance!(adaptive, Ring::default());
ipc_testing::conformance!(park, Ring { strategy: WaitStrategy::Park, capacity_bytes: 4096 });
ipc_testing::conformance!(spin, Ring { strategy: WaitStrategy::Spin, capacity_bytes: 1 << 16 });
