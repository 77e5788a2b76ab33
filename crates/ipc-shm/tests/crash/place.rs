//! The names of one trial, and what has them.

use std::fs;

use ipc_core::Name;

/// A name that both parts know and nobody else takes: made of the victim's process id, always as long,
/// since the way through the code that looks for a name's end depends on its length.
pub(crate) fn name(victim: u32) -> Name {
    Name::new(&format!("ipc-test.{victim:010}.crash")).expect("made of allowed characters")
}

/// The victim's own [`name`].
pub(crate) fn own_name() -> Name {
    name(std::process::id())
}

/// How many files of `/dev/shm` have the name in theirs.
pub(crate) fn files_of(name: &Name) -> usize {
    let files = fs::read_dir("/dev/shm").expect("listed").flatten();
    files.filter(|file| file.file_name().to_string_lossy().contains(name.as_str())).count()
}
