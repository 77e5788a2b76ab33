//! Message queues of the kernel, as endpoints that send and receive messages: POSIX queues in
//! [`posix`].
//!
//! A queue has a name. Any process may open it, without knowing the others; messages keep their
//! boundaries, have a priority, and stay in the queue when their sender has gone, until somebody
//! receives them or the system goes down. The two ends are [`posix::QueueSender`] and
//! [`posix::QueueReceiver`], which implement [`ipc_core::Sender`] and [`ipc_core::Receiver`].
//!
//! **When not to use it:** if a process must learn that its peer died (a queue knows no death); for
//! more than the kernel's default limits, of 10 messages of 8 KiB, where you cannot raise them; for
//! speed, as each message is two copies and two system calls. Look at `ipc-ring`.
//!
//! **Guarantees:**
//!
//! - a message arrives once, whole, by priority and then in order, or the send had no effect;
//! - deadlines are monotonic: a wall clock that is set does not touch them, though `mq_timedsend(3)`
//!   and `mq_timedreceive(3)` would;
//! - a limit's error names the setting that raises it, with its value, even where the kernel says
//!   "too many open files" and means something else;
//! - programs in C and other languages use the same queues: a message is exactly the bytes sent.
//!
//! # Example
//!
//! ```
//! use ipc_core::{Deadline, Name, Receiver, Sender};
//! use ipc_mq::posix::{self, OpenOptions, QueueSender};
//!
//! let name = Name::new(&format!("doc.orders.{}", std::process::id()))?;
//! let mut orders = OpenOptions::new().create_new(true).open_receiver(&name)?;
//!
//! // In another process, most of the time:
//! let mut sender = QueueSender::open(&name)?;
//! sender.send(b"coffee")?;
//! sender.send_priority(b"fire extinguisher", 9, Deadline::Never)?;
//!
//! let mut buffer = vec![0; orders.attributes()?.max_message_bytes];
//! let first = orders.recv(&mut buffer)?;
//! assert_eq!((&buffer[..first.len], first.priority), (&b"fire extinguisher"[..], 9));
//! let second = orders.recv(&mut buffer)?;
//! assert_eq!((&buffer[..second.len], second.priority), (&b"coffee"[..], 0));
//!
//! posix::unlink(&name)?; // or it stays until the system goes down
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod posix;
#[cfg(feature = "testing")]
pub mod testing;
