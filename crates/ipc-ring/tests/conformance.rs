//! The conformance suite on rings, with each way of waiting, and with the fences at the sleeper.

use ipc_core::WaitStrategy;
use ipc_ring::testing::Ring;

ipc_testing::conformance!(adaptive, Ring::default());
ipc_testing::conformance!(
    park,
    Ring { strategy: WaitStrategy::Park, capacity_bytes: 4096, ..Ring::default() }
);
ipc_testing::conformance!(
    spin,
    Ring { strategy: WaitStrategy::Spin, capacity_bytes: 1 << 16, ..Ring::default() }
);
ipc_testing::conformance!(
    asymmetric,
    Ring { strategy: WaitStrategy::Park, capacity_bytes: 4096, asymmetric_fences: true }
);
