//! What can go wrong with a question.

/// What can go wrong with a question.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The question is not well put.
    #[error("{0}")]
    Bad(String),
    /// The query is not well put.
    #[error("the query cannot be read: {0}")]
    Query(#[from] crate::language::QueryError),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Whoever asks may not have the answer.
    #[error("{0}")]
    Forbidden(String),
    /// Too many questions at once.
    #[error("too many questions run at once: ask again in a moment")]
    Busy,
    /// It took too long.
    #[error("the question took longer than {0} ms: narrow the time range or add a filter")]
    Timeout(u64),
    /// The store.
    #[error("the store cannot be read")]
    Store(#[from] ambit_store::Error),
    /// The engine.
    #[error("the question cannot be answered")]
    Engine(#[from] datafusion::error::DataFusionError),
    /// The ledger.
    #[error("the ledger cannot be read")]
    Ledger(#[from] ambit_ledger::LedgerError),
    /// A file of the ledger.
    #[error("a file of the ledger cannot be read: check that its directory is mounted and readable")]
    Tiles(#[source] std::io::Error),
    /// The folder of the text indexes.
    #[error(
        "the text indexes' folder {path} cannot be read or written: check that it may be, and that there is room"
    )]
    IndexFolder {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// A stored row.
    #[error("a stored row cannot be read: run `ambit verify`")]
    Row(#[from] ambit_schemas::columns::UnreadableRow),
    /// An export.
    #[error("the export cannot be written")]
    Unwritable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Work was cancelled.
    #[error("the work was cancelled")]
    Cancelled,
}
