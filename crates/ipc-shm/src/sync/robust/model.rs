//! What [`super::thread`] is to loom: announcements to nobody. A thread of a model that dies says so
//! itself.

use std::cell::Cell;
use std::io;
use std::num::NonZeroU32;

use ipc_core::{SpinBudget, WaitStrategy};

use super::RobustFutex;

loom::thread_local! {
    static THREAD_ID: Cell<u32> = Cell::new(0);
}

/// As in reality.
pub(crate) const MAX_HELD: usize = 64;

/// Gives this thread of a model its id.
#[cfg(test)]
pub(crate) fn set_thread_id(thread_id: u32) {
    THREAD_ID.with(|id| id.set(thread_id));
}

/// Whatever thread it is: it asks who.
pub(crate) struct Thread(());

static CURRENT: Thread = Thread(());

impl Thread {
    pub(crate) fn current() -> io::Result<&'static Self> {
        Ok(&CURRENT)
    }

    pub(crate) fn ready() -> Option<&'static Self> {
        Some(&CURRENT)
    }

    pub(crate) fn without_locks() -> Option<&'static Self> {
        Some(&CURRENT)
    }

    pub(crate) fn with_one_lock(_epoch: u32) -> Option<&'static Self> {
        Some(&CURRENT)
    }

    pub(crate) fn of_epoch(_epoch: u32) -> Option<&'static Self> {
        Some(&CURRENT)
    }

    pub(crate) fn id(&self) -> u32 {
        THREAD_ID.with(Cell::get)
    }

    pub(crate) fn epoch(&self) -> NonZeroU32 {
        NonZeroU32::MIN
    }

    pub(crate) fn budget(&self) -> SpinBudget {
        SpinBudget::new(WaitStrategy::Park)
    }

    pub(crate) fn keep_budget(&self, _budget: SpinBudget) {}

    pub(crate) fn is_full(&self) -> bool {
        false
    }

    pub(crate) fn announce(&self, _futex: &RobustFutex) {}

    pub(crate) fn end_announcement(&self) {}

    pub(crate) fn link_only(&self, _futex: &RobustFutex) {}

    pub(crate) fn unlink_only(&self) {}

    pub(crate) fn link(&self, _futex: &RobustFutex) -> u8 {
        0
    }

    pub(crate) fn unlink(&self, _futex: &RobustFutex, _slot: u8) {}
}

/// The announcement of a lock that is only ever held alone.
pub(crate) struct Announcement {
    thread_id: u32,
}

impl Announcement {
    pub(crate) fn new(_word: &super::RobustWord) -> io::Result<Self> {
        Ok(Self { thread_id: CURRENT.id() })
    }

    pub(crate) fn thread_id(&self) -> u32 {
        self.thread_id
    }
}
