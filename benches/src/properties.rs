//! What links are like, as a table for the README: asked of live links, so that it cannot lie.

use std::thread;

use ipc_core::{LinkProperties, OpenError, Sender};
use ipc_testing::{Scope, Transport};

use crate::mechanisms::{Mechanism, Setting};

/// The properties of a link of this transport, made within this process.
///
/// # Errors
///
/// If none can be made.
pub fn of_link<T: Transport>(transport: &T) -> Result<LinkProperties, OpenError> {
    let scope = Scope::new();
    let (invitation, pending) = transport.invite_receiver(&scope)?;
    thread::scope(|threads| {
        let guest = threads.spawn(|| transport.join_as_receiver(invitation));
        let sender = pending.complete(std::process::id())?;
        let _receiver = guest.join().expect("joining does not panic")?;
        Ok(sender.properties())
    })
}

/// Makes a transport; helps the compiler to see what the function is about.
pub fn make<T>(setting: Setting, transport: impl FnOnce(&Setting) -> T) -> T {
    transport(&setting)
}

/// A table in Markdown: a row for each property, a column for each mechanism.
///
/// # Errors
///
/// If a mechanism cannot be made ready, or a link not be made.
pub fn table(mechanisms: &[Mechanism]) -> anyhow::Result<String> {
    // A link between threads is like the one between processes.
    let mechanisms: Vec<_> = mechanisms.iter().filter(|m| !m.limit && !m.threads).collect();
    for mechanism in &mechanisms {
        mechanism.prepare()?; // before there are threads
    }
    let mut columns = Vec::new();
    for mechanism in &mechanisms {
        columns.push((mechanism.properties)()?.rows());
    }
    let names = mechanisms.iter().map(|mechanism| format!(" {} |", mechanism.name));
    let mut text =
        format!("| |{}\n|---|{}\n", names.collect::<String>(), "---|".repeat(columns.len()));
    for (row, (question, _)) in columns[0].iter().enumerate() {
        let answers = columns.iter().map(|column| format!(" {} |", column[row].1));
        text += &format!("| {question} |{}\n", answers.collect::<String>());
    }
    Ok(text)
}
