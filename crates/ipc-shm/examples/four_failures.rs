//! The four failures that the textbook warns of, at your own speed: a circular array of ten slots that nothing
//! guards. Each process stops after it has looked and after it has chosen a slot, and goes on when you press
//! Enter. For two producers in one slot, start two, and let each choose before either goes on:
//!
//! ```sh
//! cargo run -p ipc-shm --example four_failures -- put 1      # in one terminal
//! cargo run -p ipc-shm --example four_failures -- put 2      # in another
//! cargo run -p ipc-shm --example four_failures -- show       # one item is lost
//! cargo run -p ipc-shm --example four_failures -- remove
//! ```
//!
//! | failure | with | let both | see |
//! |---|---|---|---|
//! | two producers in one slot | an empty buffer, two `put` | choose | one item is lost |
//! | two consumers of one slot | two items, two `take` | choose | both have the same item |
//! | overwriting when full | eight items, two `put` | look, and then one go on to the end | all are lost |
//! | reading when empty | one item, two `take` | look, and then one go on to the end | an item that never was |
//!
//! `fill N` puts N items in without stopping.

mod textbook;

use std::error::Error;
use std::io;

use ipc_core::{Deadline, Name};
use ipc_shm::{Heap, Segment};
use textbook::unsynchronised::{Step, Unsynchronised};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let action = arguments.next().unwrap_or_default();
    let number = arguments.next().map(|number| number.parse::<u64>()).transpose()?;
    let name = textbook::name("ipc-textbook-failures")?;
    if action == "remove" {
        return Ok(Segment::unlink_name(&name)?);
    }
    let heap = match Heap::options().pool(size_of::<Unsynchronised>(), 1).create_new(&name) {
        Ok(heap) => heap,
        Err(_) => Heap::open(&name, Deadline::Never)?,
    };
    let names = heap.names(Deadline::Never);
    let buffer = names.open_or_create::<Unsynchronised>(&Name::new("buffer")?, |_| {})?;
    match (action.as_str(), number) {
        ("put", Some(item)) => match buffer.put(item, pause) {
            Some(slot) => println!("put {item} into slot {slot}"),
            None => println!("full"),
        },
        ("take", None) => match buffer.take(pause) {
            Some((slot, item)) => println!("took {item} out of slot {slot}"),
            None => println!("empty"),
        },
        ("fill", Some(items)) => {
            let put = (1..=items).filter(|&item| buffer.put(item, |_| {}).is_some());
            println!("filled {}", put.count());
        }
        ("show", None) => println!("{:?}", buffer.items()),
        _ => return Err("put ITEM, take, fill ITEMS, show or remove".into()),
    }
    Ok(())
}

/// Says where this process stands, and waits for Enter.
fn pause(step: Step) {
    match step {
        Step::Looked => println!("looked"),
        Step::Chose(slot) => println!("chose slot {slot}"),
    }
    let _ = io::stdin().read_line(&mut String::new());
}
