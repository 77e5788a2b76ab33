//! The once-cell: one initialises, all see it; and if that one dies, the next.

use loom::sync::Arc;

use super::{Watched, model, spawn};
use crate::death;
use crate::sync::OnceCell;
use crate::sync::robust::set_thread_id;

type Cell = OnceCell<Watched>;

fn initialise(cell: &Watched) {
    cell.set(cell.get() + 7);
}

#[track_caller]
fn assert_initialised(cell: &Cell) {
    let value = cell.get_or_init(initialise).expect("no error");
    assert_eq!(value.get(), 7);
}

#[test]
fn one_initialises_and_all_see_it() {
    model(3, || {
        let cell = Arc::new(Cell::new(Watched::new(0)));
        let others = [1, 2].map(|id| spawn(id, &cell, assert_initialised));
        set_thread_id(3);
        if let Some(value) = cell.get() {
            assert_eq!(value.get(), 7);
        }
        for other in others {
            other.join().expect("no panic");
        }
        assert!(cell.get().is_some());
    });
}

/// The dead one may have initialised it: then the next one finds it so, and overwrites it.
#[test]
fn the_next_one_initialises_it_if_the_first_dies_at_any_step() {
    for point in 0..=4 {
        model(2, move || {
            let cell = Arc::new(Cell::new(Watched::new(0)));
            let doomed = spawn(1, &cell, move |cell| {
                death::die_after(point);
                let _ = cell.get_or_init(|cell| cell.set(7));
            });
            let others = [2, 3].map(|id| {
                spawn(id, &cell, |cell| {
                    let overwrite = |cell: &Watched| {
                        cell.set(7);
                    };
                    let value = cell.get_or_init(overwrite).expect("no error");
                    assert_eq!(value.get(), 7);
                })
            });
            for thread in [doomed].into_iter().chain(others) {
                thread.join().expect("no panic");
            }
        });
    }
}
