//! What baselines are made of: the stored events of a period, in the order in which they are judged; and the baselines that
//! were approved.

use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::rows::rows;
use ambit_schemas::baseline::SignedBaseline;
use ambit_schemas::columns::names;
use ambit_schemas::{Body, Event, Kind, Sequenced, Topic, decode};
use datafusion::logical_expr::{ident, lit};
use futures::StreamExt;

/// Most approved baselines that are read.
const BASELINES_MAX: usize = 100_000;

impl Session {
    /// Hands over all events of the span, shard by shard, each in its order; duplicates once. Holds
    /// no more than a batch of them, and sorts on disk what does not fit into memory; so it may take its time, unlike
    /// other questions. Returns how many events there were.
    ///
    /// # Errors
    /// When the store cannot be read, or too many questions run.
    pub async fn each_event(&self, span: Span, mut take: impl FnMut(Sequenced<Event>)) -> Result<u64, Error> {
        let frame = self
            .frame(span)
            .await?
            .filter(is(names::TOPIC, Topic::Events.name()))?
            .filter(ident(names::DUPLICATE).eq(lit(false)))?
            .sort(vec![ident(names::PARTITION).sort(true, false), ident(names::OFFSET).sort(true, false)])?;
        let _permit = self.permit()?;
        let (mut batches, mut count) = (frame.execute_stream().await?, 0);
        while let Some(batch) = batches.next().await {
            for row in rows(&[batch?]) {
                let record = row.record()?.record;
                if let Ok(item) = decode(&record) {
                    count += 1;
                    take(Sequenced { shard: record.shard, offset: record.offset, item });
                }
            }
        }
        Ok(count)
    }

    /// Every version of every baseline that was approved, the oldest first. What stands in several shards is here once.
    ///
    /// # Errors
    /// When the store cannot be read, too many questions run, or it takes too long.
    pub async fn approved_baselines(&self) -> Result<Vec<SignedBaseline>, Error> {
        let frame = self
            .frame(Span::default())
            .await?
            .filter(is(names::KIND, Kind::BaselineApproved.name()))?
            .sort(vec![ident(names::TIME).sort(true, false)])?
            .limit(0, Some(BASELINES_MAX))?;
        let batches = self.run(frame).await?;
        let (mut found, mut seen) = (Vec::new(), std::collections::HashSet::new());
        for row in rows(&batches) {
            if let Ok(Event { body: Body::BaselineApproved(signed), .. }) = decode(&row.record()?.record)
                && seen.insert(signed.digest())
            {
                found.push(*signed);
            }
        }
        Ok(found)
    }
}
