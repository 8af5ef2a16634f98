//! Search: events by time, agent, task, tool, kind, severity and text.

use crate::cursor::{Place, sort};
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::language::Query;
use crate::provenance::{Provenance, digest};
use crate::rows::rows;
use crate::views::{EventView, Page};
use ambit_schemas::columns::{Stored, names};
use ambit_schemas::{Shard, Timestamp, Topic};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::utils::disjunction;
use datafusion::logical_expr::{Expr, ident, lit};
use std::collections::{BTreeMap, HashMap};

/// Most items of a page.
pub const LIMIT_MAX: u32 = 500;
/// Items of a page when nobody says.
pub const LIMIT_DEFAULT: u32 = 50;
/// Longest text that is searched for, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// The order of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    Descending,
    /// Oldest first.
    Ascending,
}

/// What to look for. What is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// When it happened.
    pub span: Span,
    /// Who did it.
    pub agent: Option<String>,
    /// In which task.
    pub task: Option<String>,
    /// In which delegation tree.
    pub root_task: Option<String>,
    /// In this task, or in any below it when it is a root task.
    pub within: Option<String>,
    /// With which tool.
    pub tool: Option<String>,
    /// Which kind; a prefix when it ends with a dot or `*`.
    pub kind: Option<String>,
    /// Findings of which severity.
    pub severity: Option<String>,
    /// Findings of which rule.
    pub rule: Option<String>,
    /// A text that stands in the event, whatever its case.
    pub text: Option<String>,
    /// A query in the query language, and the time from which `since:24h` is seen.
    pub query: Option<(Query, Timestamp)>,
}

impl EventFilter {
    /// When it may have happened, by everything that is asked.
    fn whole_span(&self) -> Span {
        let Some((query, now)) = &self.query else { return self.span };
        let asked = query.span(*now);
        let to = match (self.span.to, asked.to) {
            (Some(to), Some(other)) => Some(to.min(other)),
            (to, other) => to.or(other),
        };
        Span { from: self.span.from.max(asked.from), to }
    }

    fn expressions(&self) -> Result<Vec<Expr>, Error> {
        let equals = [
            (names::AGENT, &self.agent),
            (names::TASK, &self.task),
            (names::ROOT_TASK, &self.root_task),
            (names::TOOL, &self.tool),
            (names::SEVERITY, &self.severity),
            (names::RULE, &self.rule),
        ];
        let mut all: Vec<Expr> =
            equals.into_iter().filter_map(|(column, text)| Some(is(column, text.as_ref()?))).collect();
        if let Some(task) = &self.within {
            all.push(is(names::TASK, task).or(is(names::ROOT_TASK, task)));
        }
        if let Some(kind) = &self.kind {
            let prefix = kind.strip_suffix('*').or_else(|| kind.ends_with('.').then_some(kind.as_str()));
            all.push(match prefix {
                Some(prefix) => ident(names::KIND).like(lit(format!("{}%", escape(prefix)))),
                None => is(names::KIND, kind),
            });
        }
        if let Some(text) = &self.text {
            if text.len() > TEXT_BYTES_MAX {
                return Err(Error::Bad(format!(
                    "`text` has {} bytes, more than {TEXT_BYTES_MAX}",
                    text.len()
                )));
            }
            all.push(ident(names::DATA).ilike(lit(format!("%{}%", escape(text)))));
        }
        if let Some((query, now)) = &self.query {
            all.extend(query.node.filter(*now));
        }
        Ok(all)
    }
}

/// A text as it stands, for LIKE.
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

impl Session {
    pub(crate) async fn filtered(&self, filter: &EventFilter) -> Result<(DataFrame, u64), Error> {
        let (mut frame, version) = self.versioned_frame(filter.whole_span()).await?;
        for expression in filter.expressions()? {
            frame = frame.filter(expression)?;
        }
        Ok((frame, version))
    }

    /// A page of events.
    pub async fn events(
        &self,
        filter: &EventFilter,
        order: Order,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<EventView>, Error> {
        Ok(self.versioned_events(filter, order, limit, cursor).await?.0)
    }

    /// A page of events that a query finds, and from what it was made.
    pub async fn search(
        &self,
        filter: &EventFilter,
        order: Order,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<(Page<EventView>, Provenance), Error> {
        let (page, table_version) = self.versioned_events(filter, order, limit, cursor).await?;
        let query = filter.query.as_ref().map(|(query, _)| query.to_string()).unwrap_or_default();
        Ok((page, Provenance { query_sha256: digest(&query), query, table_version }))
    }

    async fn versioned_events(
        &self,
        filter: &EventFilter,
        order: Order,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<(Page<EventView>, u64), Error> {
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {LIMIT_MAX}, got {limit}")));
        }
        let descending = order == Order::Descending;
        let (mut frame, version) = self.filtered(filter).await?;
        if let Some(cursor) = cursor {
            frame = frame.filter(Place::decode(cursor)?.after(descending))?;
        }
        // One more than asked for says whether there is a next page.
        let frame = frame.sort(sort(descending))?.limit(0, Some(limit as usize + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(self.view(&row)?);
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next_cursor = found.last().filter(|_| more).map(|(_, place)| place.encode());
        let items = found.into_iter().map(|(view, _)| view).collect();
        Ok((Page { items, next_cursor, incomplete: None }, version))
    }

    /// Up to `most` events of a filter, oldest first, and whether there are more.
    pub(crate) async fn all_events(
        &self,
        filter: &EventFilter,
        most: usize,
    ) -> Result<(Vec<EventView>, bool), Error> {
        let (frame, _) = self.filtered(filter).await?;
        let frame = frame.sort(sort(false))?.limit(0, Some(most + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(self.view(&row)?.0);
        }
        let more = found.len() > most;
        found.truncate(most);
        Ok((found, more))
    }

    /// The event at a place, with its record.
    pub(crate) async fn event_at(&self, shard: Shard, offset: u64) -> Result<(EventView, Stored), Error> {
        let place = is(names::TOPIC, shard.topic.name())
            .and(ident(names::PARTITION).eq(lit(shard.partition.cast_signed())))
            .and(ident(names::OFFSET).eq(lit(offset.cast_signed())));
        let frame = self.frame(Span::default()).await?.filter(place)?.limit(0, Some(1))?;
        let batches = self.run(frame).await?;
        let row = rows(&batches).next();
        let row =
            row.ok_or_else(|| Error::NotFound(format!("there is no event at {shard}, offset {offset}")))?;
        Ok((self.view(&row)?.0, row.record()?))
    }
}

/// The most events that are looked up at once.
const LOOKUP_MAX: usize = 5_000;

impl Session {
    /// The events at these places, as far as they are there, in the order in which they are asked for.
    pub(crate) async fn events_at(&self, places: &[(Shard, u64)]) -> Result<Vec<(EventView, Stored)>, Error> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        if places.len() > LOOKUP_MAX {
            return Err(Error::Bad(format!("at most {LOOKUP_MAX} events are looked up at once")));
        }
        let mut shards: BTreeMap<Shard, Vec<Expr>> = BTreeMap::new();
        for (shard, offset) in places {
            shards.entry(*shard).or_default().push(lit(offset.cast_signed()));
        }
        let among = disjunction(shards.into_iter().map(|(shard, offsets)| {
            is(names::TOPIC, shard.topic.name())
                .and(ident(names::PARTITION).eq(lit(shard.partition.cast_signed())))
                .and(ident(names::OFFSET).in_list(offsets, false))
        }));
        let frame = self.frame(Span::default()).await?.filter(among.unwrap_or_else(|| lit(false)))?;
        let batches = self.run(frame).await?;
        let mut found = HashMap::new();
        for row in rows(&batches) {
            let (view, place) = self.view(&row)?;
            found.insert((place.shard, place.offset), (view, row.record()?));
        }
        Ok(places.iter().filter_map(|place| found.get(place).cloned()).collect())
    }

    /// The records of events, each named as `topic:partition:offset`.
    pub(crate) async fn stored_at(&self, references: &[String]) -> Result<Vec<(String, Stored)>, Error> {
        let places = references.iter().map(|reference| parse_reference(reference));
        let places = places.collect::<Result<Vec<_>, _>>()?;
        let found = self.events_at(&places).await?;
        Ok(found.into_iter().map(|(event, stored)| (event.reference, stored)).collect())
    }
}

/// Reads `topic:partition:offset`.
pub(crate) fn parse_reference(text: &str) -> Result<(Shard, u64), Error> {
    let wrong = || Error::Bad("an event is named like `ambit.events:0:17`".into());
    let mut parts = text.split(':');
    let topic = parts.next().and_then(Topic::from_name).ok_or_else(wrong)?;
    let partition = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    let offset = parts.next().and_then(|part| part.parse().ok()).ok_or_else(wrong)?;
    if parts.next().is_some() { Err(wrong()) } else { Ok((Shard::new(topic, partition), offset)) }
}
