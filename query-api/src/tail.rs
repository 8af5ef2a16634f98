//! What is stored, as it is stored: each shard is followed from a leaf on. Who reads too slowly is told how much was passed
//! over, and goes on with what is newest; nothing is held back for them in memory.

use crate::engine::Session;
use crate::error::Error;
use crate::events::EventFilter;
use crate::export::read;
use crate::rows::rows;
use crate::views::EventView;
use ambit_schemas::Shard;
use ambit_schemas::columns::names;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most events of one look.
const LOOK_MAX: u64 = 500;
/// Leaves of a shard that somebody may be behind. Beyond that, what is older is passed over.
const BEHIND_MAX: u64 = 20_000;

/// Where somebody is in each shard: the next leaf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places(BTreeMap<Shard, u64>);

impl Places {
    /// `ambit.events/0:17,ambit.findings/0:3`.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        for (shard, leaf) in &self.0 {
            if !text.is_empty() {
                text.push(',');
            }
            // Writing to a string does not fail.
            write!(text, "{shard}:{leaf}").unwrap_or_default();
        }
        text
    }

    /// Reads it back. What it says of shards that there are not is passed over.
    pub fn decode(text: &str, shards: &[Shard]) -> Result<Self, Error> {
        let wrong = || Error::Bad("the last event's id is not one that this API has given".into());
        let mut places = BTreeMap::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (shard, leaf) = part.rsplit_once(':').ok_or_else(wrong)?;
            let shard: Shard = shard.parse().map_err(|_| wrong())?;
            let leaf: u64 = leaf.parse().map_err(|_| wrong())?;
            if shards.contains(&shard) {
                places.insert(shard, leaf);
            }
        }
        Ok(Self(places))
    }
}

/// What a look found.
#[derive(Debug, Default)]
pub struct Look {
    /// Events, each shard's in their order.
    pub events: Vec<EventView>,
    /// Stored records that were passed over because the reader was too far behind.
    pub passed_over: u64,
    /// Whether there is more already.
    pub more: bool,
}

/// Follows what is stored.
#[derive(Debug)]
pub struct Tail {
    session: Session,
    filter: EventFilter,
    shards: Vec<Shard>,
    places: Places,
    version: Option<u64>,
}

impl Tail {
    /// Follows shards from these places on; a shard without one from its end.
    pub async fn begin(
        session: Session,
        filter: EventFilter,
        shards: &[Shard],
        places: Places,
    ) -> Result<Self, Error> {
        let ends = session.store().positions(shards).await?;
        let mut places = places;
        for shard in shards {
            let end = ends.get(shard).map_or(0, |position| position.tree_size);
            let place = places.0.entry(*shard).or_insert(end);
            // A store that was restored from a backup has less than somebody saw.
            *place = (*place).min(end);
        }
        Ok(Self { session, filter, shards: shards.to_vec(), places, version: None })
    }

    /// Where it is.
    pub const fn places(&self) -> &Places {
        &self.places
    }

    /// What is new since the last look.
    pub async fn look(&mut self) -> Result<Look, Error> {
        let version = self.session.version().await?;
        if self.version == Some(version) {
            return Ok(Look::default());
        }
        let ends = self.session.store().positions(&self.shards).await?;
        let mut look = Look::default();
        for shard in self.shards.clone() {
            let end = ends.get(&shard).map_or(0, |position| position.tree_size);
            let mut from = self.places.0.get(&shard).copied().unwrap_or(end);
            if end.saturating_sub(from) > BEHIND_MAX {
                let newest = end - LOOK_MAX;
                look.passed_over += newest - from;
                from = newest;
            }
            let room = LOOK_MAX.saturating_sub(look.events.len() as u64);
            if room == 0 {
                look.more = true;
                break;
            }
            let next = if from < end { self.read(shard, from..end, room, &mut look).await? } else { end };
            self.places.0.insert(shard, next);
        }
        self.version = (!look.more).then_some(version);
        Ok(look)
    }

    /// Reads some leaves of a shard; where to go on.
    async fn read(
        &self,
        shard: Shard,
        leaves: std::ops::Range<u64>,
        room: u64,
        look: &mut Look,
    ) -> Result<u64, Error> {
        let end = leaves.end;
        let batches = read(&self.session, &self.filter, shard, leaves, room).await?;
        let (mut count, mut last) = (0, None);
        for row in rows(&batches) {
            count += 1;
            last = row.number(names::LEAF_INDEX);
            look.events.push(self.session.view(&row)?.0);
        }
        if count < room {
            return Ok(end);
        }
        look.more = true;
        Ok(last.map_or(end, |leaf| leaf + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::Topic;

    #[test]
    fn places_are_read_back_and_others_refused() {
        let shards = [Shard::new(Topic::Events, 0), Shard::new(Topic::Findings, 1)];
        let places = Places(BTreeMap::from([(shards[0], 17), (shards[1], 3)]));
        assert_eq!(places.encode(), "ambit.events/0:17,ambit.findings/1:3");
        assert_eq!(Places::decode(&places.encode(), &shards).unwrap(), places);
        assert_eq!(Places::decode("ambit.events/9:1", &shards).unwrap(), Places::default());
        for bad in ["x", "ambit.events/0", "ambit.events/0:-1", "ambit.events/0:1;", "other/0:1"] {
            assert!(Places::decode(bad, &shards).is_err(), "{bad}");
        }
    }
}
