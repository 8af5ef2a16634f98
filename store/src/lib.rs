//! The store: one Delta table of everything that was in Kafka, append-only, on local disk.
//!
//! Who writes: any number of [`Writer`]s turn batches into Parquet files, each on a thread of its own; one
//! [`Store::commit`] makes their files visible together with the offsets they cover (INVARIANT L-2). A file that was
//! written but not committed is invisible and of no consequence. What may be lost: nothing that was committed, for
//! every file and directory entry is fsynced before `commit` returns (INVARIANT L-3). What happens twice: a commit
//! from a position that has been left is refused ([`Error::Fenced`]), so neither a crash nor a second process doubles
//! a row.

mod commit;
mod compact;
mod control;
mod datafile;
mod disk;
mod durable;
mod error;
mod evolve;
mod fsck;
mod head;
mod hold;
mod layout;
mod maintenance;
mod open_file;
mod payloads;
mod ranges;
mod retention;
mod retired;
mod rows;
mod s3;
mod scan;
mod seal;
mod snapshot;
mod store;
mod vacuum;
mod writer;

pub use commit::Advance;
pub use compact::Compacted;
pub use datafile::DataFile;
pub use disk::{Disk, DiskFile, RealDisk};
pub use error::Error;
pub use fsck::{Checked, Fault, fsck};
pub use hold::{Cover, Hold, Release};
pub use maintenance::Maintenance;
pub use open_file::{OpenFile, Rows};
pub use payloads::Payloads;
pub use retention::{Retained, Retention, Signed};
pub use retired::{Ranges, Retired, Run};
pub use s3::S3;
pub use snapshot::{FileEntry, Snapshot};
pub use store::{HISTORY, Options, Position, Store};
pub use vacuum::Vacuumed;
pub use writer::Writer;
