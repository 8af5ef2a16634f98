//! A tree's events, read piece by piece, so that a long one never stands in memory as a whole.

use super::builder::{Builder, Show};
use super::credential_of;
use crate::cursor::{Place, sort};
use crate::engine::{Session, Span, is};
use crate::error::Error;
use crate::events::EventFilter;
use crate::rows::rows;
use crate::views::EventView;
use ambit_schemas::columns::names;
use ambit_schemas::{Kind, Timestamp};
use datafusion::logical_expr::{ident, lit};

/// Most events of one tree that are read for one answer.
pub(super) const TREE_MAX: usize = 100_000;
/// Events of one piece.
const PIECE: usize = 5_000;
/// Most findings of one tree that say which calls were outside.
const FINDINGS_MAX: usize = 5_000;
/// Most credentials of one piece whose events outside the tree are looked for, and most such events.
const CREDENTIALS_MAX: usize = 50;
const ELSEWHERE_MAX: usize = 500;

/// A tree that is being read, oldest event first.
pub(super) struct Tree<'a> {
    session: &'a Session,
    root_task: String,
    /// Events of one piece.
    piece: usize,
    after: Option<Place>,
    read: usize,
    more: bool,
}

impl Tree<'_> {
    /// In pieces of at most so many events.
    pub(super) fn pieces_of(mut self, events: usize) -> Self {
        self.piece = events.min(PIECE);
        self
    }

    /// The next piece; none at the end, or when as many events were read as may be.
    ///
    /// # Errors
    /// When there is no such tree, or the store cannot be read.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<(EventView, Place)>>, Error> {
        if !self.more || self.read >= TREE_MAX {
            return Ok(None);
        }
        let filter = EventFilter { root_task: Some(self.root_task.clone()), ..EventFilter::default() };
        let (mut frame, _) = self.session.filtered(&filter).await?;
        if let Some(after) = self.after {
            frame = frame.filter(after.after(false))?;
        }
        let batches = self.session.run(frame.sort(sort(false))?.limit(0, Some(self.piece + 1))?).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(self.session.view(&row)?);
        }
        if found.is_empty() && self.read == 0 {
            let root = &self.root_task;
            return Err(Error::NotFound(format!("there is no task `{root}` at the top of a tree")));
        }
        self.more = found.len() > self.piece;
        found.truncate(self.piece);
        self.read += found.len();
        self.after = found.last().map(|(_, place)| *place);
        Ok(Some(found))
    }

    /// Whether there are events that were not read.
    pub(super) const fn has_more(&self) -> bool {
        self.more
    }
}

impl Session {
    /// A tree, to be read from its beginning.
    pub(super) fn tree(&self, root_task: &str) -> Tree<'_> {
        Tree {
            session: self,
            root_task: root_task.to_owned(),
            piece: PIECE,
            after: None,
            read: 0,
            more: true,
        }
    }

    /// What was found in a tree, as far as it says which calls were outside.
    pub(super) async fn findings_of_tree(&self, root_task: &str) -> Result<Vec<EventView>, Error> {
        let filter = EventFilter {
            root_task: Some(root_task.to_owned()),
            kind: Some(Kind::FindingCreated.name().to_owned()),
            ..EventFilter::default()
        };
        Ok(self.all_events(&filter, FINDINGS_MAX).await?.0)
    }

    /// Adds a piece of a tree, with what happened in other trees with its credentials.
    pub(super) async fn take(
        &self,
        builder: &mut Builder,
        events: &[EventView],
        show: Show<'_>,
    ) -> Result<(), Error> {
        let mut used = Vec::new();
        for uid in events.iter().filter_map(credential_of) {
            if builder.credentials.insert(uid.clone()) {
                used.push(uid);
            }
        }
        let elsewhere = self.elsewhere(builder, &used).await?;
        let mut all: Vec<&EventView> =
            events.iter().chain(&elsewhere).filter(|event| !event.duplicate).collect();
        all.sort_by_cached_key(|event| event.time.as_deref().and_then(|time| Timestamp::parse(time).ok()));
        for event in all {
            builder.add(event, show);
        }
        for event in events.iter().filter(|event| !event.duplicate) {
            builder.flow(event, show);
        }
        Ok(())
    }

    /// What happened in other trees with credentials of this one.
    async fn elsewhere(&self, builder: &mut Builder, used: &[String]) -> Result<Vec<EventView>, Error> {
        if used.is_empty() {
            return Ok(Vec::new());
        }
        builder.cut |= used.len() > CREDENTIALS_MAX;
        let among = used.iter().take(CREDENTIALS_MAX).map(|uid| lit(uid.as_str())).collect();
        let frame = self
            .frame(Span::default())
            .await?
            .filter(ident(names::CREDENTIAL).in_list(among, false))?
            .filter(is(names::ROOT_TASK, builder.root_task()).is_not_true())?
            .sort(sort(false))?
            .limit(0, Some(ELSEWHERE_MAX + 1))?;
        let batches = self.run(frame).await?;
        let mut found = Vec::new();
        for row in rows(&batches) {
            found.push(self.view(&row)?.0);
        }
        builder.cut |= found.len() > ELSEWHERE_MAX;
        found.truncate(ELSEWHERE_MAX);
        Ok(found)
    }
}
