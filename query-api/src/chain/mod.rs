//! The action chain of a root task: who delegated, which credential, which tool, what was found, what followed.

mod builder;
mod edges;
mod flow;
mod format;
mod tree;
mod walk;

pub use walk::Direction;

use crate::cursor::Place;
use crate::engine::Session;
use crate::error::Error;
use crate::views::{EventView, FindingView};
use builder::{Builder, Show};
use serde::Serialize;
use utoipa::ToSchema;

/// Most events of one page of a chain.
pub const NODES_MAX: usize = 5_000;

/// A task of the tree.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct TaskView {
    /// The task.
    pub id: String,
    /// Who handed it on.
    pub parent: Option<String>,
    /// Who does it.
    pub agent: Option<String>,
    /// Its envelope.
    pub envelope: Option<String>,
    /// When it ended.
    pub closed: Option<String>,
    /// How it ended.
    pub outcome: Option<String>,
}

/// An event of the chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct NodeView {
    /// `topic:partition:offset`.
    pub id: String,
    /// The kind.
    pub kind: String,
    /// When.
    pub time: Option<String>,
    /// Who.
    pub agent: Option<String>,
    /// In which task.
    pub task: Option<String>,
    /// With which tool.
    pub tool: Option<String>,
    /// A few words.
    pub title: String,
    /// One sentence.
    pub detail: Option<String>,
    /// The worst finding about it.
    pub severity: Option<String>,
    /// `inside` or `outside` the envelope, for calls.
    pub verdict: Option<String>,
    /// It happened in another tree, with a credential of this one.
    pub elsewhere: bool,
}

/// What led to what.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EdgeView {
    /// From this event.
    pub from: String,
    /// To this one.
    pub to: String,
    /// `calls`, `completes`, `denies`, `delegates`, `withdraws`, `asks`, `approves`, `finds`, `responds`, `delivers`,
    /// `issues`, `uses`, `rotates`, `revokes`, `expires`, `ends`, `flows` (a value from a result to a later call).
    pub kind: String,
}

/// The chain.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChainView {
    /// The root task.
    pub root_task: String,
    /// What it is for.
    pub purpose: Option<String>,
    /// Its tasks.
    pub tasks: Vec<TaskView>,
    /// Its events, oldest first.
    pub nodes: Vec<NodeView>,
    /// What led to what. An edge stands on the page of the event to which it leads; the other one may stand on a page before.
    pub edges: Vec<EdgeView>,
    /// What was found.
    pub findings: Vec<FindingView>,
    /// Whether the chain is longer than what is shown.
    pub truncated: bool,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
}

impl Session {
    /// A page of the chain of a root task, oldest events first, of at most `limit` events; after it `next_cursor` goes on.
    /// What stands before a page is read too, up to a bound, so that what led to its events is known.
    pub async fn chain(
        &self,
        root_task: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<ChainView, Error> {
        check_limit(limit)?;
        let from = cursor.map(Place::decode).transpose()?;
        let mut builder = Builder::of(root_task);
        for finding in self.findings_of_tree(root_task).await? {
            builder.judge(&finding);
        }
        let tree = self.tree(root_task);
        // Before the first page stands nothing that would have to be read.
        let mut tree = if from.is_none() { tree.pieces_of(limit) } else { tree };
        let (mut found, mut last, mut shown) = (Vec::new(), None, 0);
        let mut next = None;
        while let Some(mut known) = tree.next().await? {
            let split = from.map_or(0, |from| known.partition_point(|(_, place)| !place.is_after(&from)));
            let mut page = known.split_off(split);
            let cut = page.len() > limit - shown;
            page.truncate(limit - shown);
            shown += page.len();
            last = page.last().map(|(_, place)| *place).or(last);
            self.take(&mut builder, &plain(known), Show::Nothing).await?;
            let page = plain(page);
            self.take(&mut builder, &page, Show::All).await?;
            found.extend(page.into_iter().filter(is_finding));
            if cut || (shown == limit && tree.has_more()) {
                next = last;
                break;
            }
        }
        let truncated = next.is_some() || tree.has_more() || builder.cut;
        let (findings, _) = self.with_responses(found).await?;
        let next_cursor = next.map(Place::encode);
        Ok(ChainView { findings, truncated, next_cursor, ..builder.finish() })
    }
}

/// Refuses a number of events that no answer may have.
fn check_limit(limit: usize) -> Result<(), Error> {
    if limit == 0 || limit > NODES_MAX {
        return Err(Error::Bad(format!("`limit` must be from 1 to {NODES_MAX}, got {limit}")));
    }
    Ok(())
}

fn plain(events: Vec<(EventView, Place)>) -> Vec<EventView> {
    events.into_iter().map(|(event, _)| event).collect()
}

fn is_finding(event: &EventView) -> bool {
    event.kind == ambit_schemas::Kind::FindingCreated.name()
}

/// The credential that an event is about, or that was used.
pub(crate) fn credential_of(event: &EventView) -> Option<String> {
    let data = event.data.as_ref()?;
    let text = |pointer: &str| Some(data.pointer(pointer)?.as_str()?.to_owned());
    text("/credential/uid").or_else(|| text("/credential_uid"))
}

/// The order of severities.
pub(crate) fn rank(severity: &str) -> u8 {
    match severity {
        "info" => 1,
        "low" => 2,
        "medium" => 3,
        "high" => 4,
        "critical" => 5,
        _ => 0,
    }
}
