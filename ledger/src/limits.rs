//! Every bound of this crate in one place: what is read from disk or handed in by a stranger is refused
//! above these before any work is done with it.

/// Leaves a tree may hold. Far above any real shard, and low enough that no index arithmetic can overflow.
pub const MAX_TREE_SIZE: u64 = 1 << 48;

/// Leaves that may be appended beyond the last checkpoint: about 32 MiB of hashes waiting in memory.
/// A caller that catches up on more commits in between.
pub const MAX_UNCOMMITTED_LEAVES: u64 = 1 << 20;

/// Hashes in a proof that is looked at; a tree of [`MAX_TREE_SIZE`] never needs more.
pub const MAX_PROOF_HASHES: usize = 64;

/// Bytes of a checkpoint, including the signatures of witnesses.
pub const MAX_CHECKPOINT_BYTES: usize = 64 * 1024;

/// The latest time that a cosignature may carry, in seconds since 1970.
pub const MAX_COSIGNATURE_TIME: u64 = i64::MAX as u64;

/// Bytes of the largest file a tile store reads: a checkpoint; a tile has 8 KiB.
pub const MAX_FILE_BYTES: usize = MAX_CHECKPOINT_BYTES;

/// Bytes of an origin or of a key name.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of a private key file.
pub const MAX_KEY_FILE_BYTES: usize = 4096;

/// Checkpoints one verification pass compares with.
pub const MAX_EXPECTED_CHECKPOINTS: usize = 100_000;

/// Files of a mirror that may be no checkpoints before it is called unusable: crashes leave one each.
pub const MAX_MIRROR_JUNK: usize = 1_000;
