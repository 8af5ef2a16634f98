//! The ledger: an append-only Merkle log over the bytes of stored events, one log per shard.
//!
//! This crate is what an outside auditor links to check an export without trusting whoever made it, so it
//! knows bytes and hashes and nothing else: no HTTP, no event types, no async runtime, no clock. It follows
//! open formats, so that other people's tools can check the same files: RFC 6962 hashing, C2SP tlog-tiles
//! for the stored hashes, C2SP tlog-checkpoint and signed-note for the signed head.
//!
//! Who needs what:
//! - the **store** owns a [`Ledger`]: append leaf hashes, then commit a signed checkpoint;
//! - the **query side** opens a [`PublishedTree`] over the same tiles and hands out proofs;
//! - a **witness** of other logs is a [`witness::Witness`];
//! - an **auditor** needs [`verify_inclusion`], [`verify_consistency`], a [`SignedCheckpoint`] and a
//!   [`CheckpointKey`]; with the events at hand, a [`TreeVerifier`] recomputes everything.
//!
//! A proof shows that an event is in the log and that the log only grew. It cannot show that everything
//! which happened was logged: that is the business of the offsets stored beside the events.

mod authentic;
mod checkpoint;
mod edge;
mod error;
mod fs_tiles;
mod hash;
#[cfg(unix)]
mod key_file;
mod ledger;
pub mod limits;
mod mark;
mod mirror;
mod position;
mod proof;
mod published;
mod pyramid;
mod signer;
mod tile;
mod tile_store;
mod verifier;
pub mod witness;

pub use checkpoint::{Checkpoint, CheckpointKey, SignedCheckpoint};
pub use error::{CheckpointError, KeyError, LedgerError, OriginError, ParseHashError, ProofError};
pub use fs_tiles::FsTiles;
pub use hash::{LeafHash, TreeHash, leaf_hash};
pub use ledger::{Appended, Ledger};
pub use mark::VerifiedMark;
pub use mirror::{MirrorDir, Mirrored};
pub use position::{LeafIndex, Origin, TreeSize};
pub use proof::{verify_consistency, verify_inclusion};
pub use published::{PublishedTree, StoredLeaves};
pub use signer::CheckpointSigner;
pub use tile::is_tile_path;
pub use tile_store::{CHECKPOINT_PATH, MemoryTiles, TileStore};
pub use verifier::TreeVerifier;
