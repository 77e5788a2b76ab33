//! The outcomes of a model, to be compared with the list of those that may be.

use std::collections::BTreeSet;
use std::sync::Mutex;

/// What one execution after another came to.
#[derive(Clone, Default)]
pub(super) struct Outcomes<T>(std::sync::Arc<Mutex<BTreeSet<T>>>);

impl<T: Ord> Outcomes<T> {
    pub(super) fn add(&self, outcome: T) {
        self.0.lock().expect("no panic while held").insert(outcome);
    }

    pub(super) fn all(self) -> BTreeSet<T> {
        std::mem::take(&mut self.0.lock().expect("no panic while held"))
    }
}
