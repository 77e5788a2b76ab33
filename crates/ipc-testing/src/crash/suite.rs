//! What a crash test's `main` makes: scenes, and a way to try them.

use super::{Report, Scene, Unsupported, part};

/// How many points to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Each.
    Whole,
    /// At most this many of each scene, evenly spread, with the first and the last.
    Sample(usize),
}

/// Scenes, and the processes that play them.
#[derive(Debug)]
pub struct Suite {
    pub(super) scenes: Vec<Scene>,
}

impl Suite {
    /// A suite. Call it first in `main`, with the same scenes each time: in the processes that the
    /// suite makes from this executable it plays a part and **does not return**.
    pub fn start(scenes: Vec<Scene>) -> Self {
        part::play(&scenes);
        Self { scenes }
    }

    /// Tries the scenes that `selected` takes. Shows its progress on standard error if that is a
    /// terminal.
    ///
    /// # Errors
    ///
    /// [`Unsupported`] where nothing can be tried.
    ///
    /// # Panics
    ///
    /// If a thread cannot be started.
    pub fn explore(
        &self,
        selected: impl Fn(&Scene) -> bool,
        effort: Effort,
    ) -> Result<Report, Unsupported> {
        #[cfg(target_arch = "x86_64")]
        {
            let chosen = (0..self.scenes.len()).filter(|&scene| selected(&self.scenes[scene]));
            super::explore::explore(&self.scenes, &chosen.collect::<Vec<_>>(), effort)
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            let _ = (selected, effort);
            Err(Unsupported::Processor)
        }
    }
}
