//! What can go wrong in enforcement.

use std::path::PathBuf;

/// What can go wrong in enforcement.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox cannot be opened or written.
    #[error("the outbox {} cannot be {doing}: check the disk; if another process holds it, stop that one", path.display())]
    Outbox {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: rusqlite::Error,
    },
    /// The outbox was written by a newer version.
    #[error("the outbox {} has layout {found}, this version knows {known}: use the newer program, or delete the file (it is rebuilt)", path.display())]
    OutboxVersion {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The response policy is not valid.
    #[error("the response policy is not valid: {0}")]
    Policy(String),
    /// The response policy in a file is not valid.
    #[error("the response policy {} is not valid: {why}", path.display())]
    PolicyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to write.
        why: String,
    },
    /// The file with the response policy cannot be read.
    #[error("the response policy {} cannot be read: is `enforcement.policy_file` right?", path.display())]
    PolicyUnreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// A receiver is not configured as it must be.
    #[error("receiver `{id}`: {why}")]
    Receiver {
        /// Which.
        id: String,
        /// What is wrong, and what to write.
        why: String,
    },
    /// Kafka.
    #[error("enforcement cannot reach Kafka")]
    Bus(#[from] ambit_bus::Error),
    /// An event about a response cannot be written.
    #[error("an event about a response cannot be written")]
    Event(#[from] ambit_schemas::codec::EncodeError),
    /// A notice cannot be written.
    #[error("a notice cannot be written")]
    Notice(#[from] ambit_schemas::id::InvalidId),
    /// The HTTP client cannot be set up.
    #[error("the HTTP client cannot be set up: check the CA bundle")]
    Client(#[source] reqwest::Error),
    /// A part of enforcement has ended before the others.
    #[error("a part of enforcement ended: {0}")]
    Ended(&'static str),
}
