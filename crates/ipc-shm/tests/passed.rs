//! Memfds passed over a Unix socket by `ipc-socket`, as programs do.

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use ipc_core::Deadline;
use ipc_shm::{Access, Backing, Memfd, Region, Seals};
use ipc_socket::{recv_with_descriptors, send_with_descriptors};
use ipc_testing::{Invitation, between_processes};

#[test]
fn a_memfd_and_a_region_go_over_a_socket() {
    between_processes!(
        |guest| {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().expect("sockets");
            guest.invite(Invitation::of_descriptors(vec![theirs.into()]));
            let memory = Memfd::create("numbers", 5000, Backing::Reserved).expect("created");
            let mine = memory.map(Access::ReadWrite).expect("writable before the seals");
            memory.seal_for_peer().expect("sealed");
            mine.write_at(4990, b"0123456789");
            let (region, shared) =
                Region::create_memfd("counter", AtomicU64::new(1), Seals::SIZE).expect("created");
            let both = [memory.as_fd(), shared.as_fd()];
            send_with_descriptors(ours.as_fd(), b"!", &both, Deadline::Never).expect("sent");
            assert_eq!(guest.hear(), "added");
            assert_eq!(region.load(Ordering::Acquire), 42);
        },
        |host| {
            let socket = host.invitation().descriptors.pop().expect("a socket");
            let arrival = recv_with_descriptors(socket.as_fd(), &mut [0], 2, Deadline::Never);
            let [memory, shared] = <[_; 2]>::try_from(arrival.expect("received").descriptors)
                .expect("two descriptors");
            let memory = Memfd::receive(memory, Seals::ONE_WRITER, 1..=65536).expect("sealed");
            memory.map(Access::ReadWrite).expect_err("there is one writer");
            let mut bytes = [0; 10];
            memory.map(Access::ReadOnly).expect("mapped").read_at(4990, &mut bytes);
            assert_eq!(&bytes, b"0123456789");
            let region = Region::<AtomicU64, _>::receive(shared).expect("received");
            region.fetch_add(41, Ordering::Release);
            host.tell("added");
        },
    );
}
