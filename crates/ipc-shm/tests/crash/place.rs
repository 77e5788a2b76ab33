//! Where the objects of one trial are, and what else is there.

use std::fs;
use std::path::PathBuf;

use ipc_core::Name;
use ipc_shm::Location;

/// A name that both parts know and nobody else takes: made of the victim's process id, always as long,
/// since the way through the code that looks for a name's end depends on its length.
fn name(victim: u32) -> Name {
    Name::new(&format!("ipc-test.{victim:010}.crash")).expect("made of allowed characters")
}

/// The [`name`] of a new trial: removes what has it, or has it in its own, since a trial that was cut off
/// has left it, whose victim had the same process id. The survivor does, before the victim begins.
pub(crate) fn free_name(victim: u32) -> Name {
    for path in paths_at(&Location::from(&name(victim))) {
        drop(fs::remove_file(path));
    }
    name(victim)
}

/// The victim's own [`name`].
pub(crate) fn own_name() -> Name {
    name(std::process::id())
}

/// What a place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A [`name`].
    Name,
    /// A file in a folder of its own.
    File,
}

impl Kind {
    /// For scenes' names.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Name => "by name",
            Self::File => "in a file",
        }
    }

    /// The place of a trial with this victim.
    pub(crate) fn place(self, victim: u32) -> Location {
        match self {
            Self::Name => Location::from(&name(victim)),
            Self::File => Location::from(&folder(victim).join("segment")),
        }
    }

    /// The place of this victim itself.
    pub(crate) fn own_place(self) -> Location {
        match self {
            Self::Name => Location::from(&own_name()),
            Self::File => self.place(std::process::id()),
        }
    }

    /// Makes what the place is in, and removes what a trial that failed has left there, whose victim had
    /// the same process id. The survivor does, before the victim begins.
    pub(crate) fn prepare(self, victim: u32) {
        match self {
            Self::Name => drop(free_name(victim)),
            Self::File => {
                drop(fs::remove_dir_all(folder(victim)));
                fs::create_dir(folder(victim)).expect("a new folder");
            }
        }
    }

    /// Removes what the place is in, in which nothing may be left.
    #[track_caller]
    pub(crate) fn clean_up(self, victim: u32) {
        assert_eq!(files_at(&self.place(victim)), 0, "something is left");
        if self == Self::File {
            fs::remove_dir(folder(victim)).expect("it is empty");
        }
    }
}

/// How many files there are for a place: that of the name itself, and others that have it in theirs.
pub(crate) fn files_at(place: &Location) -> usize {
    paths_at(place).len()
}

fn paths_at(place: &Location) -> Vec<PathBuf> {
    let name = place.path().file_name().expect("a file's").to_string_lossy();
    let folder = place.path().parent().expect("in a folder");
    let files = fs::read_dir(folder).expect("listed").flatten();
    let ours = files.filter(|file| file.file_name().to_string_lossy().contains(&*name));
    ours.map(|file| file.path()).collect()
}

fn folder(victim: u32) -> PathBuf {
    std::env::temp_dir().join(format!("ipc-crash-{victim:010}"))
}
