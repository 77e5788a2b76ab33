//! The suite passes on transports that keep the contract.

mod reference;

use reference::Reference;

ipc_testing::conformance!(any_length, Reference::HONEST);
ipc_testing::conformance!(eight_bytes, Reference::OF_EIGHT_BYTES);
