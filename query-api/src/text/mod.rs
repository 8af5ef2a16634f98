//! Full text: what the words of an event are, how they are asked for, and an index of them beside each data file.
//!
//! Words, queries and their meaning are pure functions of a row's `data`. The index only answers the same question
//! sooner: with it, without it, or with it for some files only, an answer is the same. INVARIANT Q-2

mod bits;
mod build;
mod condition;
mod function;
mod index;
mod keeper;
mod matcher;
mod query;
mod shelf;
mod walk;
mod words;

pub(crate) use bits::Bits;
pub(crate) use condition::Condition;
pub(crate) use function::{FUNCTION, match_function};
pub use keeper::{IndexOptions, Keeper, Kept};
pub(crate) use query::{InvalidText, Phrase};
pub(crate) use shelf::Shelf;
pub(crate) use walk::Place;
