//! Anonymous segments: what the seals forbid, and what a receiver refuses. Between two processes they
//! are tested by the buffer's tests.

use std::os::fd::{AsFd, OwnedFd};

use ipc_core::{OpenErrorKind, futex};
use ipc_shm::{Access, Backing, Memfd, Seals};

const LEN: usize = 10_000;

fn memfd() -> Memfd {
    Memfd::create("test", LEN, Backing::Reserved).expect("a memfd")
}

#[test]
fn one_writer_seals_leave_the_old_writable_mapping_and_allow_reading() {
    let memory = memfd();
    let writer = memory.map(Access::ReadWrite).expect("writable before the seals");
    memory.seal_for_peer().expect("sealable");
    writer.write_at(9_990, b"0123456789");

    let memory = Memfd::receive(memory.into_fd(), Seals::ONE_WRITER, LEN..=LEN).expect("sealed");
    let reader = memory.map(Access::ReadOnly).expect("readable after the seals");
    let mut bytes = [0; 10];
    reader.read_at(9_990, &mut bytes);
    assert_eq!(&bytes, b"0123456789");
    assert_eq!((reader.len(), reader.access()), (LEN, Access::ReadOnly));

    let error = memory.map(Access::ReadWrite).expect_err("no second writer");
    assert!(matches!(error.kind(), OpenErrorKind::PermissionDenied(_)), "{error}");
    let error = rustix::io::pwrite(&memory, b"x", 0).expect_err("no write(2) either");
    assert_eq!(error, rustix::io::Errno::PERM);
    memory.seal_size().expect_err("sealed against sealing");
}

#[test]
fn a_read_only_mapping_can_be_slept_on() {
    let memory = memfd();
    let writer = memory.map(Access::ReadWrite).expect("writable before the seals");
    memory.seal_for_peer().expect("sealable");
    let reader = memory.map(Access::ReadOnly).expect("readable after the seals");
    writer.atomic_u32(64).store(7, std::sync::atomic::Ordering::Release);
    #[allow(unsafe_code)] // the read-only mapping's words are unsafe to get
    // SAFETY: the word is only loaded and slept on.
    let word = unsafe { reader.atomic_u32_for_loads(64) };
    let now = ipc_core::Deadline::Now;
    assert_eq!(futex::wait(word, 7, now).expect("no fault"), futex::Wake::TimedOut);
    assert_eq!(futex::wait(word, 8, now).expect("no fault"), futex::Wake::Changed);
}

#[test]
fn a_sealed_size_cannot_change() {
    let memory = memfd();
    memory.seal_size().expect("sealable");
    for size in [0, LEN as u64 - 1, LEN as u64 + 1] {
        let error = rustix::fs::ftruncate(memory.as_fd(), size).expect_err("sealed");
        assert_eq!(error, rustix::io::Errno::PERM);
    }
    memory.map(Access::ReadWrite).expect("still writable by everybody");
}

#[test]
fn a_receiver_refuses_what_is_not_sealed_shared_memory_of_its_size() {
    let refused = |file: OwnedFd, seals: Seals, len| {
        let error = Memfd::receive(file, seals, len).expect_err("refused");
        match error.kind() {
            OpenErrorKind::Mismatch { what, .. } => *what,
            other => panic!("{other:?}"),
        }
    };
    let any = 1..=usize::MAX;
    let (socket, _other_end) = std::os::unix::net::UnixStream::pair().expect("sockets");
    assert_eq!(refused(socket.into(), Seals::NONE, any.clone()), "file type");
    let program = std::fs::File::open("/proc/self/exe").expect("our own program");
    assert_eq!(refused(program.into(), Seals::NONE, any.clone()), "file system");
    assert_eq!(refused(memfd().into_fd(), Seals::SIZE, any.clone()), "set of seals");
    let memory = memfd();
    memory.seal_size().expect("sealable");
    assert_eq!(refused(memory.into_fd(), Seals::ONE_WRITER, any.clone()), "set of seals");
    assert_eq!(refused(memfd().into_fd(), Seals::NONE, 1..=LEN - 1), "size in bytes");
    assert_eq!(refused(memfd().into_fd(), Seals::NONE, LEN + 1..=LEN + 2), "size in bytes");
    let empty = rustix::fs::memfd_create("empty", rustix::fs::MemfdFlags::CLOEXEC);
    assert_eq!(refused(empty.expect("a memfd"), Seals::NONE, 0..=9), "size in bytes");
    // More seals than were asked for are welcome.
    let memory = memfd();
    memory.seal_for_peer().expect("sealable");
    Memfd::receive(memory.into_fd(), Seals::SIZE, any).expect("sealed enough");
}

#[test]
fn impossible_lengths_and_labels_are_refused_by_name() {
    for len in [0, usize::MAX] {
        let error = Memfd::create("test", len, Backing::Lazy).expect_err("no such length");
        assert!(
            matches!(error.kind(), OpenErrorKind::InvalidOption { option: "length", .. }),
            "{error}"
        );
    }
    for label in ["x".repeat(250).as_str(), "a\0b"] {
        let error = Memfd::create(label, 1, Backing::Lazy).expect_err("no such label");
        assert!(
            matches!(error.kind(), OpenErrorKind::InvalidOption { option: "label", .. }),
            "{error}"
        );
    }
    Memfd::create(&"x".repeat(249), 1, Backing::Lazy).expect("the longest label");
}

#[test]
fn the_descriptor_is_closed_on_exec_from_birth() {
    let flags = rustix::io::fcntl_getfd(memfd()).expect("open");
    assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
}

#[test]
#[should_panic(expected = "8 bytes at offset 9993 are outside a mapping of 10000 bytes")]
fn an_access_out_of_bounds_panics() {
    memfd().map(Access::ReadWrite).expect("mapped").read_at(9_993, &mut [0; 8]);
}

#[test]
#[should_panic(expected = "outside a mapping")]
fn an_offset_that_overflows_panics() {
    memfd().map(Access::ReadWrite).expect("mapped").write_at(usize::MAX, &[0; 2]);
}

#[test]
#[should_panic(expected = "offset 4 is not aligned to 8")]
fn a_misaligned_word_panics() {
    memfd().map(Access::ReadWrite).expect("mapped").atomic_u64(4);
}

#[test]
#[should_panic(expected = "the mapping is read-only")]
fn a_word_to_write_in_a_read_only_mapping_panics() {
    memfd().map(Access::ReadOnly).expect("mapped").atomic_u32(0);
}
