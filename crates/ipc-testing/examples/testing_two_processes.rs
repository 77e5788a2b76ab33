//! A test's two processes without the suite: this program starts itself anew as a guest, and the two
//! talk over the channel with which a test directs its guest.

use ipc_testing::{Guest, Host};

fn main() -> std::io::Result<()> {
    if std::env::args().nth(1).as_deref() == Some("guest") {
        let mut host = Host::from_stdin()?;
        let question = host.hear();
        host.tell(&format!("I am process {} and was asked: {question}", std::process::id()));
        return Ok(());
    }
    let none: [(&str, &str); 0] = [];
    let mut guest = Guest::start(["guest"], none)?;
    guest.tell("who are you?");
    println!("process {} heard: {}", std::process::id(), guest.hear());
    guest.finish();
    Ok(())
}
