//! What can go wrong in the store.

#![allow(clippy::wildcard_enum_match_arm, reason = "the kinds of I/O errors are an open list")]

use ambit_schemas::Shard;
use deltalake::DeltaTableError;
use std::io;
use std::path::{Path, PathBuf};

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory of the table cannot be read or written.
    #[error("cannot {doing} {}: {}", path.display(), advice(cause))]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The table cannot be created or opened.
    #[error("the table in {} cannot be opened: if it was made by another program, choose another data directory", path.display())]
    Open {
        /// Where it is.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: Box<DeltaTableError>,
    },
    /// The table lacks a column that this version writes, or has it with another type.
    #[error("the table in {} has another layout (column `{column}`): it was made by another version of Ambit", path.display())]
    Layout {
        /// Where it is.
        path: PathBuf,
        /// The first column that differs.
        column: String,
    },
    /// Rows cannot be written as Parquet, or read from it.
    #[error("cannot {doing} Parquet file {}", path.display())]
    Parquet {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: parquet::errors::ParquetError,
    },
    /// Rows cannot be taken apart or put together.
    #[error("a batch of rows cannot be handled")]
    Arrow(#[from] arrow::error::ArrowError),
    /// Another writer has moved the shard on: this one must discard what it holds and read its position again.
    #[error("shard {shard} stands at offset {found}, not at {expected}: another process owns it now")]
    Fenced {
        /// The shard.
        shard: Shard,
        /// Where this writer thought it stands.
        expected: u64,
        /// Where it stands.
        found: u64,
    },
    /// A commit failed.
    #[error("commit {version} of {files} files to the table failed: check the disk, then it is tried again")]
    Commit {
        /// How many files.
        files: usize,
        /// Which version it would have been.
        version: u64,
        /// Why.
        #[source]
        cause: Box<DeltaTableError>,
    },
    /// A commit is visible, but the disk could not confirm that it will stay.
    #[error(
        "commit {version} may not outlast a power cut: the disk failed to sync `_delta_log`; check the disk, then restart the process"
    )]
    Doubtful {
        /// Which version.
        version: u64,
    },
    /// Others commit so often that no version could be had.
    #[error("other processes commit faster than this one: run fewer of them")]
    Crowded,
    /// Another process is looking after the table.
    #[error("another process is looking after the table and does not come to an end: try again later")]
    Busy,
    /// A file has waited for its commit so long that it may be gone.
    #[error("{} has waited too long to be committed and is discarded: the process was stopped meanwhile", path.display())]
    Stale {
        /// Which file.
        path: PathBuf,
    },
    /// An entry of the table's log is not JSON.
    #[error("`_delta_log/{version:020}.json` is damaged: restore it from a copy, or run `ambit store fsck`")]
    Entry {
        /// Which version.
        version: u64,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// An entry of the table's log is not the one that was written.
    #[error(
        "`_delta_log/{version:020}.json` is not what was committed: restore it from a copy, or run `ambit store fsck`"
    )]
    Altered {
        /// Which version.
        version: u64,
    },
    /// Another program has upgraded the table.
    #[error(
        "version {version} of the table needs a newer Delta writer than this: another program has upgraded it"
    )]
    Protocol {
        /// From which version on.
        version: u64,
    },
    /// Something in the table is damaged.
    #[error("{} is damaged: {what}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// In what way, for people.
        what: String,
    },
    /// An object of the table cannot be read or written.
    #[error(
        "the table's objects cannot be reached: check the disk, or the object store's address and credentials"
    )]
    Objects(#[source] object_store::Error),
    /// A request to change what is kept cannot be granted.
    #[error("{0}")]
    Refused(String),
    /// The table's log cannot be read.
    #[error("the table's log cannot be read: check that `_delta_log` is intact")]
    Log(#[source] Box<DeltaTableError>),
    /// A task was cancelled while it worked.
    #[error("work on the store was cancelled")]
    Cancelled,
}

fn advice(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "the disk is full, make room and it goes on by itself"
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "check who owns the data directory and its mode"
        }
        io::ErrorKind::NotFound => "it is not there",
        _ => "the disk refused",
    }
}

impl Error {
    pub(crate) fn io(doing: &'static str, path: &Path, cause: io::Error) -> Self {
        Self::Io { doing, path: path.to_owned(), cause }
    }

    pub(crate) fn parquet(doing: &'static str, path: &Path, cause: parquet::errors::ParquetError) -> Self {
        Self::Parquet { doing, path: path.to_owned(), cause }
    }

    /// Whether a file of the table is not where it should be.
    pub fn is_missing_file(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound)
    }

    /// Whether the bytes of a file could be had and make no sense: a damaged file, not an unreachable disk.
    pub const fn is_damage(&self) -> bool {
        matches!(self, Self::Parquet { .. } | Self::Arrow(_) | Self::Damaged { .. })
    }

    /// Whether the same work may succeed later without anybody changing the program: the disk is full or away.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Io { .. } | Self::Commit { .. } | Self::Parquet { .. } | Self::Log(_) | Self::Objects(_)
        )
    }
}
