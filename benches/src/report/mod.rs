//! What comes out: the figures of a run ([`summary`]), as the record that programs read ([`schema`])
//! and the tables that people read ([`table`]).

pub mod schema;
pub mod summary;
pub mod table;
mod text;
