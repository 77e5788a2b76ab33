//! The names and files of one test, and proof that they are gone at its end.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use ipc_core::Name;
use tempfile::TempDir;

/// Where the links of one test get their names and paths from.
///
/// Names are unique on the machine among running processes. Dropping the scope first runs what was
/// [`defer`](Scope::defer)red, last first, then removes the directory.
pub struct Scope {
    prefix: String,
    names: Cell<u32>,
    /// Made when it is first needed.
    directory: OnceCell<TempDir>,
    deferred: RefCell<Vec<Box<dyn FnOnce()>>>,
}

impl Scope {
    /// A fresh scope. Its directory is made, empty and of mode 0700, when a path is first asked for.
    pub fn new() -> Self {
        static SCOPES: AtomicU32 = AtomicU32::new(0);
        let number = SCOPES.fetch_add(1, Ordering::Relaxed); // only its uniqueness matters
        Self {
            prefix: format!("{}{number}", Self::prefix_of_process(std::process::id())),
            names: Cell::new(0),
            directory: OnceCell::new(),
            deferred: RefCell::default(),
        }
    }

    /// What the names of all scopes of a process begin with. What follows counts from 0: the scope, a dot,
    /// the name.
    pub fn prefix_of_process(pid: u32) -> String {
        format!("ipc-test.{pid}.")
    }

    /// A name that no other call has returned. It begins with [`prefix`](Scope::prefix).
    pub fn name(&self) -> Name {
        let number = self.names.replace(self.names.get() + 1);
        Name::new(&format!("{}.{number}", self.prefix)).expect("made of allowed characters")
    }

    /// What all names of this scope begin with, and no others.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The path of a file of this name in the scope's directory.
    ///
    /// # Panics
    ///
    /// If the directory cannot be made.
    pub fn path(&self, file_name: &str) -> PathBuf {
        let make = || TempDir::with_prefix("ipc-test.").expect("a temporary directory");
        self.directory.get_or_init(make).path().join(file_name)
    }

    /// Runs `clean_up` at the end of the scope: the removal of a name that outlives its users.
    pub fn defer(&self, clean_up: impl FnOnce() + 'static) {
        self.deferred.borrow_mut().push(Box::new(clean_up));
    }
}

impl Default for Scope {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        while let Some(clean_up) = self.deferred.get_mut().pop() {
            clean_up();
        }
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}
