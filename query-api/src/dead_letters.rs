//! Dead letters: records that are no events, with the bytes that came.

use crate::cursor::{Place, sort};
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::{LIMIT_MAX, parse_reference};
use crate::rows::rows;
use crate::views::{DeadLetterView, Page, reference};
use ambit_schemas::columns::{DEAD_LETTER, Stored, names};
use ambit_schemas::{MalformedReason, Record, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use datafusion::logical_expr::{ident, lit};

/// Bytes of a dead letter that a list shows.
const DEAD_LETTER_BYTES: usize = 4_096;

impl Session {
    /// A page of dead letters, newest first; of one class of fault, if that is given.
    pub async fn dead_letters(
        &self,
        limit: u32,
        cursor: Option<&str>,
        reason: Option<&str>,
    ) -> Result<Page<DeadLetterView>, Error> {
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {LIMIT_MAX}, got {limit}")));
        }
        let mut frame = self.frame(Span::default()).await?.filter(is(names::KIND, DEAD_LETTER))?;
        if let Some(reason) = reason {
            let Some(code) = MalformedReason::ALL.iter().map(|one| one.code()).find(|code| *code == reason)
            else {
                let codes: Vec<&str> = MalformedReason::ALL.iter().map(|one| one.code()).collect();
                return Err(Error::Bad(format!("`reason` must be one of {}", codes.join(", "))));
            };
            let column = || ident(names::REASON);
            frame = frame.filter(column().eq(lit(code)).or(column().like(lit(format!("{code}: %")))))?;
        }
        if let Some(cursor) = cursor {
            frame = frame.filter(Place::decode(cursor)?.after(true))?;
        }
        let frame = frame.sort(sort(true))?.limit(0, Some(limit as usize + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            let stored = row.record()?;
            let at = row.time(crate::engine::AT).unwrap_or_default();
            let place = Place { at, shard: stored.record.shard, offset: stored.record.offset };
            let text = row.text(names::REASON).unwrap_or_default();
            found.push((view(&stored, place, &text), place));
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next_cursor = found.last().filter(|_| more).map(|(_, place)| place.encode());
        Ok(Page { items: found.into_iter().map(|(view, _)| view).collect(), next_cursor, incomplete: None })
    }

    /// One dead letter, with the record as it came.
    pub async fn dead_letter(&self, named: &str) -> Result<(DeadLetterView, Record), Error> {
        let (shard, offset) = parse_reference(named)?;
        let (event, stored) = self.event_at(shard, offset).await?;
        if event.kind != DEAD_LETTER {
            return Err(Error::NotFound(format!("{named} is no dead letter but a `{}`", event.kind)));
        }
        let place = Place { at: Timestamp::default(), shard, offset };
        Ok((view(&stored, place, &event.reason.unwrap_or_default()), stored.record))
    }
}

fn view(stored: &Stored, place: Place, text: &str) -> DeadLetterView {
    let record = &stored.record;
    let value = record.value.as_deref().unwrap_or_default();
    let shown = value.get(..value.len().min(DEAD_LETTER_BYTES)).unwrap_or_default();
    let (reason, detail) = text.split_once(": ").map_or((text, None), |(code, rest)| (code, Some(rest)));
    DeadLetterView {
        reference: reference(place),
        shard: record.shard.to_string(),
        offset: record.offset,
        broker_time: Timestamp::from_micros(record.timestamp_us).to_string(),
        recorded_at: stored.recorded_at.to_string(),
        reason: reason.to_owned(),
        detail: detail.map(str::to_owned),
        size: value.len(),
        raw_base64: BASE64.encode(shown),
        truncated: value.len() > DEAD_LETTER_BYTES,
    }
}
