//! The store: one Delta table of everything that was in Kafka, append-only, on local disk.
//!
//! Who writes: any number of [`Writer`]s turn batches into Parquet files, each on a thread of its own; one
//! [`Store::commit`] makes their files visible together with the offsets they cover (INVARIANT L-2). A file that was
//! written but not committed is invisible and of no consequence. What may be lost: nothing that was committed, for
//! every file and directory entry is fsynced before `commit` returns (INVARIANT L-3). What happens twice: a commit
//! from a position that has been left is refused ([`Error::Fenced`]), so neither a crash nor a second process doubles
//! a row.

mod commit;
mod durable;
mod error;
mod layout;
mod open_file;
mod scan;
mod snapshot;
mod store;
mod writer;

pub use commit::Advance;
pub use durable::DurableStore;
pub use error::Error;
pub use open_file::{OpenFile, Rows};
pub use snapshot::{FileEntry, Snapshot};
pub use store::{Options, Position, Store};
pub use writer::{DataFile, Writer};
