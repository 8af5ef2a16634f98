//! Sequences over history: one thing after another, by the same agent, task or credential, within a time.
//!
//! Each event that fits the last step ends at most one match: the chain of events before it that starts latest. So a
//! match is found if and only if there is one, every end is told once, and what is remembered of a key is one chain for
//! each step.

use crate::cursor::{Place, sort};
use crate::engine::{AT, Session};
use crate::error::Error;
use crate::events::LIMIT_MAX;
use crate::language::SequenceQuery;
use crate::rows::{RowView, rows};
use crate::views::{EventView, Page};
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Timestamp, Topic};
use arrow::array::AsArray;
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{Expr, ident, lit};
use serde::Serialize;
use std::collections::HashMap;
use utoipa::ToSchema;

/// Most agents, tasks or credentials that are followed at once.
const KEYS_MAX: usize = 100_000;

/// A sequence that happened.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct SequenceView {
    /// The agent, task or credential.
    pub key: String,
    /// Seconds from the first step to the last.
    pub seconds: f64,
    /// One event for each step.
    pub events: Vec<EventView>,
}

/// Follows keys through events in order.
#[derive(Debug)]
pub(crate) struct Follower {
    steps: usize,
    within_micros: i64,
    /// For each key and step, the chain up to that step that starts latest.
    chains: HashMap<String, Vec<Option<Vec<Place>>>>,
    /// Whether there were more keys than can be followed.
    pub(crate) overflowed: bool,
}

impl Follower {
    pub(crate) fn new(steps: usize, within_micros: i64) -> Self {
        Self { steps, within_micros, chains: HashMap::new(), overflowed: false }
    }

    /// Takes the next event, in order of time. Returns the match that it ends.
    pub(crate) fn take(&mut self, key: &str, place: Place, fits: &[bool]) -> Option<Vec<Place>> {
        if !self.chains.contains_key(key) {
            if fits.first() != Some(&true) {
                return None;
            }
            if self.chains.len() >= KEYS_MAX && !self.make_room(place.at) {
                self.overflowed = true;
                return None;
            }
        }
        let steps = self.steps;
        let chains = self.chains.entry(key.to_owned()).or_insert_with(|| vec![None; steps]);
        let mut ended = None;
        // From the last step to the first: an event does not follow itself.
        for (step, _) in fits.iter().enumerate().take(steps).rev().filter(|(_, fits)| **fits) {
            let mut chain = match step.checked_sub(1) {
                None => Vec::with_capacity(steps),
                // What started later before this event than at any event before is what starts latest now.
                Some(before) => match chains.get(before).cloned().flatten() {
                    Some(chain) => chain,
                    None => continue,
                },
            };
            chain.push(place);
            if step + 1 == steps {
                ended = Some(chain);
            } else if let Some(kept) = chains.get_mut(step) {
                *kept = Some(chain);
            }
        }
        ended.filter(|chain| {
            chain.first().is_some_and(|first| place.at.micros_since(first.at) <= self.within_micros)
        })
    }

    /// Forgets keys whose chains are over.
    fn make_room(&mut self, now: Timestamp) -> bool {
        let within = self.within_micros;
        self.chains.retain(|_, chains| {
            let first = chains.iter().flatten().filter_map(|chain| chain.first()).map(|place| place.at).max();
            first.is_some_and(|first| now.micros_since(first) <= within)
        });
        self.chains.len() < KEYS_MAX
    }
}

fn step_column(step: usize) -> String {
    format!("step_{step}")
}

/// Where an event stands among all, for comparison.
fn order(place: &Place) -> (Timestamp, &'static str, u32, u64) {
    (place.at, place.shard.topic.name(), place.shard.partition, place.offset)
}

impl Session {
    /// Sequences that happened, in order of their ends.
    pub async fn sequences(
        &self,
        query: &SequenceQuery,
        now: Timestamp,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<SequenceView>, Error> {
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {LIMIT_MAX}, got {limit}")));
        }
        let after = cursor.map(Place::decode).transpose()?;
        let mut follower = Follower::new(query.steps.len(), query.within.micros());
        let mut matches: Vec<(String, Vec<Place>)> = Vec::new();
        let wanted = limit as usize + 1;
        let frame = self.steps(query, now).await?;
        self.stream(frame, |batch| {
            for row in rows(std::slice::from_ref(batch)) {
                let (Some(key), Some(place)) = (row.text("key"), place_of(&row)) else { continue };
                let fits: Vec<bool> =
                    (0..query.steps.len()).map(|step| row.flag(&step_column(step))).collect();
                let ended = follower.take(&key, place, &fits);
                let is_next = after.as_ref().is_none_or(|after| order(&place) > order(after));
                matches.extend(ended.filter(|_| is_next).map(|chain| (key, chain)));
                if matches.len() >= wanted {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await?;
        let more = matches.len() > limit as usize;
        matches.truncate(limit as usize);
        let last = matches.last().and_then(|(_, chain)| chain.last());
        let next_cursor = last.filter(|_| more).map(|place| place.encode());
        let incomplete = follower.overflowed.then(|| format!("only {KEYS_MAX} were followed at once"));
        Ok(Page { items: self.shown(matches).await?, next_cursor, incomplete })
    }

    /// All events that fit a step, in order, with the steps that they fit.
    async fn steps(
        &self,
        query: &SequenceQuery,
        now: Timestamp,
    ) -> Result<datafusion::dataframe::DataFrame, Error> {
        let steps: Vec<Expr> =
            query.steps.iter().map(|step| step.node.filter(now).unwrap_or_else(|| lit(true))).collect();
        let mut frame =
            self.frame(query.span.span(now)).await?.filter(ident(query.key.name()).is_not_null())?;
        if let Some(any) = disjunction(steps.iter().cloned()) {
            frame = frame.filter(any)?;
        }
        let mut columns = vec![ident(query.key.name()).alias("key")];
        columns.extend([AT, names::TOPIC, names::PARTITION, names::OFFSET].map(ident));
        columns.extend(steps.into_iter().enumerate().map(|(at, step)| step.is_true().alias(step_column(at))));
        Ok(frame.select(columns)?.sort(sort(false))?)
    }

    async fn shown(&self, matches: Vec<(String, Vec<Place>)>) -> Result<Vec<SequenceView>, Error> {
        let mut places: Vec<(Shard, u64)> = matches
            .iter()
            .flat_map(|(_, chain)| chain.iter().map(|place| (place.shard, place.offset)))
            .collect();
        places.sort_unstable();
        places.dedup();
        let found = self.events_at(&places).await?;
        let events: HashMap<String, EventView> =
            found.into_iter().map(|(event, _)| (event.reference.clone(), event)).collect();
        let view = |(key, chain): (String, Vec<Place>)| {
            let taken =
                chain.first().zip(chain.last()).map_or(0, |(first, last)| last.at.micros_since(first.at));
            #[allow(clippy::cast_precision_loss, reason = "microseconds of a month are exact in a float")]
            let seconds = taken as f64 / 1e6;
            let shown =
                chain.iter().filter_map(|place| events.get(&crate::views::reference(*place)).cloned());
            SequenceView { key, seconds, events: shown.collect() }
        };
        Ok(matches.into_iter().map(view).collect())
    }
}

fn place_of(row: &RowView<'_>) -> Option<Place> {
    let topic = Topic::from_name(&row.text(names::TOPIC)?)?;
    let partition = u32::try_from(row.number(names::PARTITION)?).ok()?;
    Some(Place { at: row.time(AT)?, shard: Shard::new(topic, partition), offset: row.number(names::OFFSET)? })
}

impl RowView<'_> {
    /// A truth value; false when it is null.
    fn flag(&self, column: &str) -> bool {
        self.cell(column)
            .is_some_and(|array| array.as_boolean_opt().is_some_and(|flags| flags.value(self.row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place(at: i64, offset: u64) -> Place {
        Place { at: Timestamp::from_micros(at), shard: Shard::new(Topic::Events, 0), offset }
    }

    /// The definition: of all chains that end here, the latest start.
    fn latest_start(events: &[(i64, Vec<bool>)], end: usize, step: usize) -> Option<i64> {
        let (at, fits) = &events[end];
        if !fits[step] {
            return None;
        }
        let Some(before) = step.checked_sub(1) else { return Some(*at) };
        (0..end).filter_map(|earlier| latest_start(events, earlier, before)).max()
    }

    proptest! {
        #[test]
        fn matches_are_those_of_the_definition(
            steps in 2_usize..4,
            events in prop::collection::vec((0_i64..4, prop::collection::vec(any::<bool>(), 4), 0_u8..2), 0..14),
            within in 0_i64..12,
        ) {
            let mut follower = Follower::new(steps, within);
            let mut seen: [Vec<(i64, Vec<bool>)>; 2] = Default::default();
            let mut now = 0;
            for (offset, (ahead, fits, key)) in events.into_iter().enumerate() {
                now += ahead;
                let mine = &mut seen[usize::from(key)];
                mine.push((now, fits.clone()));
                let start = latest_start(mine, mine.len() - 1, steps - 1).filter(|start| now - start <= within);
                let told = follower.take(&key.to_string(), place(now, offset as u64), &fits[..steps]);
                prop_assert_eq!(told.as_ref().map(|chain| chain[0].at.micros()), start);
                if let Some(chain) = told {
                    prop_assert_eq!(chain.len(), steps);
                    prop_assert!(chain.windows(2).all(|pair| pair[0].offset < pair[1].offset));
                }
            }
        }
    }
}
