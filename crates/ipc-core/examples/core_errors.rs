//! What errors say: the operation, the resource, the reason, and the setting that raises a limit.

use ipc_core::{Name, OpenError, OpenErrorKind, Resource, SendError};
use std::error::Error;

fn main() {
    let queue = Resource::named("POSIX queue", "/orders");
    let missing = std::fs::File::open("/nowhere/at/all").expect_err("no such file");
    let limit = OpenErrorKind::Limit {
        setting: "/proc/sys/fs/mqueue/msg_max",
        source: std::io::Error::from(std::io::ErrorKind::InvalidInput),
    };
    let errors: [Box<dyn Error>; 4] = [
        Box::new(OpenError::from_os("mq_open", &queue, missing)),
        Box::new(OpenError::new("mq_open", &queue, limit)),
        Box::new(SendError::too_long(9_000, 8_192, &queue)),
        Box::new(Name::new("a/b").expect_err("a slash")),
    ];
    for error in errors {
        println!("{error}");
        let mut source = error.source();
        while let Some(cause) = source {
            println!("  because: {cause}");
            source = cause.source();
        }
    }
}
