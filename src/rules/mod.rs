//! The customer's rules outside of judgement: their folder, and who looks at it.

mod folder;
mod watch;

pub use folder::{Folder, read};
pub use watch::{Seen, Watch};
