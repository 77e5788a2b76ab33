//! Every kind of socket, held to the contracts of `ipc-core` between two processes.

ipc_testing::conformance!(unix_stream, ipc_socket::testing::UnixStream);
ipc_testing::conformance!(unix_stream_abstract, ipc_socket::testing::AbstractStream);
ipc_testing::conformance!(unix_seqpacket_abstract, ipc_socket::testing::AbstractSeqpacket);
ipc_testing::conformance!(unix_seqpacket, ipc_socket::testing::UnixSeqpacket);
ipc_testing::conformance!(unix_datagram, ipc_socket::testing::UnixDatagram);
ipc_testing::conformance!(unix_datagram_abstract, ipc_socket::testing::AbstractDatagram);
ipc_testing::conformance!(tcp, ipc_socket::testing::Tcp);
ipc_testing::conformance!(tcp_over_v6, ipc_socket::testing::TcpOverV6);
ipc_testing::conformance!(udp, ipc_socket::testing::Udp);
ipc_testing::conformance!(udp_over_v6, ipc_socket::testing::UdpOverV6);
ipc_testing::conformance!(direct, ipc_socket::testing::Direct);
ipc_testing::conformance!(direct_one_way, ipc_socket::testing::DirectOneWay);
