//! The kernel's limits on queues, and which of them an error of `mq_open(3)` is about: it tells four
//! limits by three error numbers, one of which ("too many open files") it also has for another.
//! See `mq_overview(7)` and `getrlimit(2)`.

use std::fs;
use std::io;

use ipc_core::OpenErrorKind;
use rustix::event::EventfdFlags;
use rustix::io::Errno;
use rustix::process::Resource;

use super::sys::Creation;

/// The most messages in a queue that the kernel allows anyone (`HARD_MSGMAX`, Linux 3.5).
pub(super) const CEILING_MESSAGES: usize = 65_536;
/// The longest message that the kernel allows anyone, in bytes (`HARD_MSGSIZEMAX`, Linux 3.5).
pub(super) const CEILING_MESSAGE_BYTES: usize = 16 << 20;

const MSG_MAX: &str = "/proc/sys/fs/mqueue/msg_max";
const MSG_DEFAULT: &str = "/proc/sys/fs/mqueue/msg_default";
const MSGSIZE_MAX: &str = "/proc/sys/fs/mqueue/msgsize_max";
const MSGSIZE_DEFAULT: &str = "/proc/sys/fs/mqueue/msgsize_default";
const QUEUES_MAX: &str = "/proc/sys/fs/mqueue/queues_max";
const BYTES_MAX: &str = "RLIMIT_MSGQUEUE (ulimit -q)";

/// What the kernel would give a queue that is made without attributes.
pub(super) fn default_capacity_messages() -> usize {
    read(MSG_DEFAULT).unwrap_or(10).min(read(MSG_MAX).unwrap_or(usize::MAX))
}

/// What the kernel would give a queue that is made without attributes.
pub(super) fn default_max_message_bytes() -> usize {
    read(MSGSIZE_DEFAULT).unwrap_or(8_192).min(read(MSGSIZE_MAX).unwrap_or(usize::MAX))
}

/// Sorts an error of `mq_open(3)`. The values of limits in its text are those of this moment.
pub(super) fn explain(errno: Errno, creation: Option<Creation>) -> OpenErrorKind {
    let source = io::Error::from(errno);
    match (errno, creation) {
        (Errno::INVAL, Some(asked)) => {
            let settings = [
                (asked.capacity_messages, "messages", MSG_MAX),
                (asked.max_message_bytes, "bytes in a message", MSGSIZE_MAX),
            ];
            for (asked, unit, setting) in settings {
                if let Some(limit) = read(setting).filter(|&limit| asked > limit) {
                    return limit_reached(
                        setting,
                        source,
                        format!("{asked} {unit}, the most is {limit}"),
                    );
                }
            }
            source.into()
        }
        // The same error number says that the process has too many descriptors.
        (Errno::MFILE, Some(asked)) if descriptors_are_left() => {
            let (messages, bytes) = (asked.capacity_messages, asked.max_message_bytes);
            let limit = rustix::process::getrlimit(Resource::Msgqueue).current;
            let limit = limit.map_or("?".into(), |limit| limit.to_string());
            let detail = format!(
                "{messages} messages of {bytes} bytes, the most for all queues of a user is {limit} bytes"
            );
            limit_reached(BYTES_MAX, source, detail)
        }
        (Errno::NOSPC, Some(_)) => {
            let limit = read(QUEUES_MAX).map_or("?".into(), |limit| limit.to_string());
            limit_reached(QUEUES_MAX, source, format!("one more queue, the most is {limit}"))
        }
        (Errno::NOSYS, _) => OpenErrorKind::Unsupported("the kernel has no CONFIG_POSIX_MQUEUE"),
        _ => source.into(),
    }
}

/// The system's error, with what was asked and what there is.
#[derive(Debug, thiserror::Error)]
#[error("{source}: asked for {asked}")]
struct LimitReached {
    asked: String,
    source: io::Error,
}

fn limit_reached(setting: &'static str, source: io::Error, asked: String) -> OpenErrorKind {
    let kind = source.kind();
    OpenErrorKind::Limit { setting, source: io::Error::new(kind, LimitReached { asked, source }) }
}

/// Whether this process could open another descriptor of any kind.
fn descriptors_are_left() -> bool {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC).is_ok()
}

/// The value of a setting; `None` where there is no `/proc`, or nothing to read there.
fn read(setting: &str) -> Option<usize> {
    fs::read_to_string(setting).ok()?.trim().parse().ok()
}
