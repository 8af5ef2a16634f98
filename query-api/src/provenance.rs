//! From what an answer was made: so that it can be asked again, and be compared.

use crate::engine::Session;
use crate::error::Error;
use crate::overview::Ledgers;
use crate::proof::{ProofView, prove};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use utoipa::ToSchema;

/// Most events of an answer that are proved.
pub const PROOFS_MAX: usize = 500;

/// From what an answer was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Provenance {
    /// The question in its normal form.
    pub query: String,
    /// SHA-256 of that form, hexadecimal.
    pub query_sha256: String,
    /// The version of the Delta table that was read.
    pub table_version: u64,
}

/// An event with its inclusion proof.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProvedView {
    /// `topic:partition:offset`.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The proof; null while the newest checkpoint does not cover the event.
    pub proof: Option<ProofView>,
}

/// SHA-256 of a text, hexadecimal.
pub(crate) fn digest(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text) {
        // Writing to a string does not fail.
        write!(hex, "{byte:02x}").unwrap_or_default();
    }
    hex
}

impl Session {
    /// Inclusion proofs of events, named as `topic:partition:offset`.
    pub async fn prove(&self, references: &[String], ledgers: &Ledgers) -> Result<Vec<ProvedView>, Error> {
        if references.len() > PROOFS_MAX {
            return Err(Error::Bad(format!(
                "at most {PROOFS_MAX} events are proved at once: ask for smaller pages"
            )));
        }
        let stored = self.stored_at(references).await?;
        let ledgers = ledgers.clone();
        let proving = tokio::task::spawn_blocking(move || {
            let prove_one = |(reference, stored)| {
                Ok::<_, Error>(ProvedView { reference, proof: prove(&ledgers, &stored)? })
            };
            stored.into_iter().map(prove_one).collect()
        });
        proving.await.map_err(|_| Error::Cancelled)?
    }
}
