//! What ends ingest. The supervisor starts it again; it goes on from what is durable.

use ambit_schemas::Shard;

/// What ends ingest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Kafka.
    #[error("ingest cannot read from Kafka")]
    Bus(#[from] ambit_bus::Error),
    /// The store.
    #[error("ingest cannot write to the store")]
    Store(#[from] ambit_store::Error),
    /// The ledger.
    #[error("the ledger of shard {shard} cannot be kept")]
    Ledger {
        /// The shard.
        shard: Shard,
        /// Why.
        #[source]
        cause: ambit_ledger::LedgerError,
    },
    /// The ledger has signed more than the store holds (INVARIANT L-1).
    #[error(
        "the ledger of shard {shard} has signed {signed} leaves, the store holds {stored}: the store was rolled back \
         or replaced; restore it, or move the ledger's directory aside and keep it as evidence"
    )]
    RolledBack {
        /// The shard.
        shard: Shard,
        /// Leaves under the newest checkpoint.
        signed: u64,
        /// Leaves in the store.
        stored: u64,
    },
    /// The ledger does not hold what is remembered of it elsewhere (INVARIANT L-1).
    #[error(
        "the ledger of shard {shard} is not the one that it was: {what}; stop writing, find out who copied an older \
         data directory back, and restore the newest; to go on from an old backup on purpose, give the log a new \
         `ledger.log_name`"
    )]
    Contradicted {
        /// The shard.
        shard: Shard,
        /// What is wrong: sizes, times and where it is remembered.
        what: String,
    },
    /// The mirror of checkpoints.
    #[error("cannot {doing} the mirror of checkpoints {}: is it mounted?", path.display())]
    Mirror {
        /// What was being done.
        doing: &'static str,
        /// The directory.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// A checkpoint with the signature of a witness.
    #[error(
        "{} is not a checkpoint of this ledger with a valid cosignature: remove the file, the witness is asked again",
        path.display()
    )]
    Cosigned {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        #[source]
        cause: ambit_ledger::CheckpointError,
    },
    /// The file of a checkpoint with the signature of a witness.
    #[error("cannot {doing} {}: check the disk", path.display())]
    CosignedFile {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: std::path::PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// The ledger's origin cannot be made from the configured log name.
    #[error("`ledger.log_name` cannot be part of a checkpoint's origin")]
    Origin(#[from] ambit_ledger::OriginError),
    /// The group gave our shards to others while this process was not heard.
    #[error(
        "this process was not heard for longer than Kafka's session timeout and its shards went to others: what was \
         buffered is dropped, and it joins again"
    )]
    Lost,
    /// A thread's disk failed.
    #[error("a file of ingest cannot be written")]
    Io(#[from] std::io::Error),
    /// A leaf is neither stored nor signed.
    #[error(
        "leaf {leaf} of shard {shard} is not in the store and under no signed checkpoint here: restore the ledger's \
         directory of that shard from a copy; without it the rows that retention deleted cannot be proved"
    )]
    LeafGone {
        /// The shard.
        shard: Shard,
        /// The leaf.
        leaf: u64,
    },
    /// A stored row cannot be read back.
    #[error("a stored row of shard {shard} cannot be read back: run `ambit verify`")]
    Row {
        /// The shard.
        shard: Shard,
        /// Why.
        #[source]
        cause: ambit_schemas::columns::UnreadableRow,
    },
    /// Rows cannot be put together.
    #[error("rows cannot be put together")]
    Rows(#[from] arrow::error::ArrowError),
    /// Files were replaced again and again while they were verified.
    #[error(
        "the table's files were replaced while they were read, several times: verify again when it is calmer"
    )]
    Moving,
    /// A verification was ended by whoever watched it.
    #[error("the verification was stopped")]
    Stopped,
    /// A part of ingest has ended before the others.
    #[error("a part of ingest ended: {0}")]
    Ended(&'static str),
}
