//! What comes out: the figures of a run ([`summary`]) as the record that programs read ([`schema`]),
//! the tables ([`table`]) and the page ([`html`]) that people read, the README's figures
//! ([`markdown`]), and what has changed since another record ([`compare`]).

pub mod advice;
pub mod aside;
pub mod compare;
#[cfg(test)]
mod fixture;
pub mod html;
pub mod markdown;
mod merged;
mod ring;
pub mod schema;
pub mod summary;
pub mod table;
mod text;
pub mod view;
