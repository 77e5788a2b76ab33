//! What is to be tried: one operation, in one state, with one kind of survivor.

use std::fmt;

use super::{Survivor, Victim};

type Play<P, R> = Box<dyn Fn(&mut P) -> R + Send + Sync>;

/// One operation in one state, played by two processes. See the [module](super) for an example.
pub struct Scene {
    pub(super) operation: String,
    pub(super) state: String,
    pub(super) survivor_is: String,
    pub(super) is_busy: bool,
    pub(super) is_cued: bool,
    pub(super) takes_effect: bool,
    pub(super) varies: bool,
    pub(super) victim: Play<Victim, ()>,
    pub(super) survivor: Play<Survivor, u64>,
}

impl Scene {
    /// A scene of an operation and a state, whose names are for the report. The victim's part calls
    /// [`Victim::operation`] once; the survivor's part returns the operation's effect, a number that
    /// may only grow from point to point.
    ///
    /// The parts run in processes of their own, made from this executable: what they capture is what
    /// the program computes anew in each.
    pub fn new(
        (operation, state): (impl Into<String>, impl Into<String>),
        victim: impl Fn(&mut Victim) + Send + Sync + 'static,
        survivor: impl Fn(&mut Survivor) -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            operation: operation.into(),
            state: state.into(),
            survivor_is: "idle".into(),
            is_busy: false,
            is_cued: false,
            takes_effect: false,
            varies: false,
            victim: Box::new(victim),
            survivor: Box::new(survivor),
        }
    }

    /// Says in the scene's name what the survivor does; "idle" if nobody says otherwise.
    #[must_use]
    pub fn survivor_is(mut self, what: impl Into<String>) -> Self {
        self.survivor_is = what.into();
        self
    }

    /// The survivor is in an operation of its own, and not told when the victim is stopped: it goes on
    /// by itself.
    #[must_use]
    pub fn busy(mut self) -> Self {
        self.is_busy = true;
        self
    }

    /// The victim sleeps in the operation until the survivor, which waits for that by
    /// [`Survivor::cue`], does something.
    #[must_use]
    pub fn cued(mut self) -> Self {
        self.is_cued = true;
        self
    }

    /// Insists that the effect is more at the end of the operation than at its beginning: so that a scene
    /// which does not do what it says is seen.
    #[must_use]
    pub fn takes_effect(mut self) -> Self {
        self.takes_effect = true;
        self
    }

    /// The victim's way through the operation depends on how quick the survivor is, or on how many digits
    /// the number of a process has that it prints, even where two recordings happen to be the same.
    #[must_use]
    pub fn varies(mut self) -> Self {
        self.varies = true;
        self
    }

    /// Operation, state, and what the survivor does: what a filter is compared with.
    pub fn name(&self) -> String {
        format!("{} / {} / {}", self.operation, self.state, self.survivor_is)
    }
}

impl fmt::Debug for Scene {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scene").field("name", &self.name()).finish_non_exhaustive()
    }
}
