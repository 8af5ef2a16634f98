//! Search: events by time, agent, task, tool, kind, severity and text.

use crate::cursor::{Place, sort};
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::rows::rows;
use crate::views::{EventView, Page};
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Topic};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, ident, lit};

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
}

impl EventFilter {
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
        Ok(all)
    }
}

/// A text as it stands, for LIKE.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_")
}

impl Session {
    pub(crate) async fn filtered(&self, filter: &EventFilter) -> Result<DataFrame, Error> {
        let mut frame = self.frame(filter.span).await?;
        for expression in filter.expressions()? {
            frame = frame.filter(expression)?;
        }
        Ok(frame)
    }

    /// A page of events.
    pub async fn events(
        &self,
        filter: &EventFilter,
        order: Order,
        limit: u32,
        cursor: Option<&str>,
    ) -> Result<Page<EventView>, Error> {
        if limit == 0 || limit > LIMIT_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {LIMIT_MAX}, got {limit}")));
        }
        let descending = order == Order::Descending;
        let mut frame = self.filtered(filter).await?;
        if let Some(cursor) = cursor {
            frame = frame.filter(Place::decode(cursor)?.after(descending))?;
        }
        // One more than asked for says whether there is a next page.
        let frame = frame.sort(sort(descending))?.limit(0, Some(limit as usize + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(EventView::of(&row)?);
        }
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next_cursor = found.last().filter(|_| more).map(|(_, place)| place.encode());
        let items = found.into_iter().map(|(view, _)| view).collect();
        Ok(Page { items, next_cursor, incomplete: None })
    }

    /// Up to `most` events of a filter, oldest first, and whether there are more.
    pub(crate) async fn all_events(
        &self,
        filter: &EventFilter,
        most: usize,
    ) -> Result<(Vec<EventView>, bool), Error> {
        let frame = self.filtered(filter).await?.sort(sort(false))?.limit(0, Some(most + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(EventView::of(&row)?.0);
        }
        let more = found.len() > most;
        found.truncate(most);
        Ok((found, more))
    }

    /// The event at a place, with its record.
    pub(crate) async fn event_at(
        &self,
        shard: Shard,
        offset: u64,
    ) -> Result<(EventView, ambit_schemas::columns::Stored), Error> {
        let place = is(names::TOPIC, shard.topic.name())
            .and(ident(names::PARTITION).eq(lit(shard.partition.cast_signed())))
            .and(ident(names::OFFSET).eq(lit(offset.cast_signed())));
        let frame = self.frame(Span::default()).await?.filter(place)?.limit(0, Some(1))?;
        let batches = self.run(frame).await?;
        let row = rows(&batches).next();
        let row =
            row.ok_or_else(|| Error::NotFound(format!("there is no event at {shard}, offset {offset}")))?;
        Ok((EventView::of(&row)?.0, row.record()?))
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
