//! What a process may do.

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Takes events over HTTP.
    Gateway,
    /// Stores.
    Ingest,
    /// Judges.
    Analyze,
    /// Acts.
    Enforce,
    /// Answers.
    Serve,
    /// Cosigns logs of others.
    Witness,
}

impl Role {
    /// Whether it keeps something of its own in the data directory. The others read what these write.
    pub(super) const fn writes(self) -> bool {
        matches!(self, Self::Ingest | Self::Analyze | Self::Enforce | Self::Witness)
    }
}
