//! The synchronisation between processes: what each lock promises, asked of real processes that are killed,
//! stopped, late, or of bad intent.

mod barrier;
mod condvar;
mod event;
#[path = "../common/fork.rs"]
mod fork;
mod hostile;
mod mutex;
mod named_semaphore;
mod once;
mod place;
mod robust_list;
mod rwlock;
mod semaphore;
