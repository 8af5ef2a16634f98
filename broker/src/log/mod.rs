//! The records of topics: one directory of append-only segment files per partition, holding Kafka's record batches
//! byte for byte as producers sent them.
//!
//! Why not nisshi's own SQLite tables: they hold one row per record and one per header, so that a record with eight
//! headers costs nine inserts, and they are not synced to the disk before consumers see them. Here a record becomes
//! visible to consumers only once it is synced, so that nothing downstream can ever know a record that a power
//! failure takes back (an offset that is used twice would be a hole in the evidence).

mod header;
mod partition;
mod producers;
mod segment;

pub(crate) use partition::{Failure, Partition};
