//! The conformance suite over both kinds of bounded buffer and the ways to wait.

use ipc_core::WaitStrategy;
use ipc_shm::testing::{NamedSemaphoreBuffer, SemaphoreBuffer};

ipc_testing::conformance!(anonymous, SemaphoreBuffer::default());
ipc_testing::conformance!(
    anonymous_parked,
    SemaphoreBuffer { strategy: WaitStrategy::Park, ..SemaphoreBuffer::default() }
);
ipc_testing::conformance!(
    anonymous_spinning,
    SemaphoreBuffer { strategy: WaitStrategy::Spin, ..SemaphoreBuffer::default() }
);
ipc_testing::conformance!(
    one_slot,
    SemaphoreBuffer { strategy: WaitStrategy::Park, slots: 1, ..SemaphoreBuffer::default() }
);
ipc_testing::conformance!(named, NamedSemaphoreBuffer::default());
