//! Everything that fulfils a filter, however much it is: shard by shard, in the order of the ledger, a bounded piece at a
//! time. Who stops reading stops it; who names the last item that they have goes on after it.

mod csv;
mod encode;
mod walk;

pub use encode::{Encoder, Format, Subject};
pub(crate) use walk::read;
pub use walk::{Piece, Walk};

use crate::engine::Session;
use crate::error::Error;
use crate::events::{EventFilter, parse_reference};
use ambit_schemas::{Kind, Shard, Timestamp};
use std::time::Duration;

/// An export on its way.
#[derive(Debug)]
pub struct Export {
    walk: Walk,
    encoder: Option<Encoder>,
    limit: Option<u64>,
    rows: u64,
    last: Option<String>,
    now: Timestamp,
}

/// What is exported.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Events, or findings with how they stand.
    pub subject: Subject,
    /// Which.
    pub filter: EventFilter,
    /// How they are written.
    pub format: Format,
    /// Where to go on: the `ref` of the last item that is there already.
    pub after: Option<String>,
    /// At most so many.
    pub limit: Option<u64>,
}

/// Bytes of an export, with the number of items in them.
#[derive(Debug)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// How many items they hold.
    pub items: u64,
}

impl Export {
    /// Begins an export of what is stored now in these shards.
    pub async fn begin(
        session: Session,
        shards: &[Shard],
        wanted: Wanted,
        now: Timestamp,
        patience: Duration,
    ) -> Result<Self, Error> {
        let Wanted { subject, mut filter, format, after, limit } = wanted;
        if subject == Subject::Findings {
            filter.kind = Some(Kind::FindingCreated.name().to_owned());
        }
        let after = after.as_deref().map(parse_reference).transpose()?;
        let encoder = Encoder::new(subject, format, session.scope())?;
        let walk = Walk::begin(session, filter, shards, after, patience).await?;
        Ok(Self { walk, encoder: Some(encoder), limit, rows: 0, last: None, now })
    }

    /// The version of the table when it began.
    pub const fn table_version(&self) -> u64 {
        self.walk.table_version()
    }

    /// The next bytes; none when all has been said. An error leaves the export without its end: nobody can take it for
    /// whole.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Ok(None) };
            let left = self.limit.map(|limit| limit.saturating_sub(self.rows));
            let piece = if left == Some(0) { None } else { self.walk.next(left).await? };
            let Some(piece) = piece else {
                let Some(encoder) = self.encoder.take() else { return Ok(None) };
                let (rows, version) = (self.rows, self.walk.table_version());
                return Ok(Some(Chunk {
                    bytes: encoder.end(rows, self.last.as_deref(), version)?,
                    items: 0,
                }));
            };
            let (bytes, items) = encoder.piece(self.walk.session(), &piece, self.now).await?;
            self.rows += items;
            self.last = piece.last();
            if !bytes.is_empty() {
                return Ok(Some(Chunk { bytes, items }));
            }
        }
    }
}
