//! What the tests of queues share.
#![allow(dead_code)] // no test file uses everything

use ipc_core::{Name, OpenErrorKind};
use ipc_mq::posix::{self, OpenOptions, QueueReceiver};
use ipc_testing::{Host, Scope};
use rustix::process::Uid;

/// A name for a queue of one test. At its end, panic or not, the queue is unlinked, and the name is
/// checked to be gone.
pub(crate) struct TestQueue {
    pub(crate) name: Name,
}

impl TestQueue {
    pub(crate) fn new() -> Self {
        Self { name: Scope::new().name() }
    }

    /// Options to create it, small: the queues of all tests come out of one user's limit.
    pub(crate) fn options(&self) -> OpenOptions {
        let mut options = OpenOptions::new();
        options.create_new(true).capacity_messages(4).max_message_bytes(64);
        options
    }
}

impl Drop for TestQueue {
    fn drop(&mut self) {
        // A test may have unlinked it, or never made it.
        let _ = posix::unlink(&self.name);
        if std::thread::panicking() {
            return; // the first failure is the one to report
        }
        let error = QueueReceiver::open(&self.name).expect_err("nothing is left of the queue");
        assert!(matches!(error.kind(), OpenErrorKind::NotFound(_)), "{error}");
    }
}

/// In the guest: the queue's name, which the host tells first.
pub(crate) fn told_name(host: &mut Host) -> Name {
    Name::new(&host.hear()).expect("a valid name")
}

/// Makes this thread one of an ordinary user without capabilities, whose rights on what root made
/// are those of "others". Does nothing for a process that is not root's to begin with.
pub(crate) fn drop_privileges() {
    if rustix::process::geteuid().is_root() {
        let nobody = 65_534;
        let gid = rustix::process::Gid::from_raw(nobody);
        rustix::thread::set_thread_groups(&[]).expect("root may");
        rustix::thread::set_thread_res_gid(gid, gid, gid).expect("root may");
        let uid = Uid::from_raw(nobody);
        rustix::thread::set_thread_res_uid(uid, uid, uid).expect("root may");
    }
}
