//! From one event: what led to it, and what it led to.

use super::builder::{Builder, Show};
use super::tree::TREE_MAX;
use super::{ChainView, EdgeView, check_limit, is_finding, plain};
use crate::engine::Session;
use crate::error::Error;
use crate::events::parse_reference;
use std::collections::{HashMap, HashSet, VecDeque};

/// Most steps away from the event.
const DEPTH_MAX: u32 = 100;

/// Which way to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// What led to it.
    Up,
    /// What it led to.
    Down,
    /// Both.
    Both,
}

impl Direction {
    /// Reads `up`, `down` or `both`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            "both" => Ok(Self::Both),
            _ => Err(Error::Bad("`direction` must be `up`, `down` or `both`".into())),
        }
    }
}

impl Session {
    /// The part of its tree's chain that leads to an event or follows from it, at most `depth` steps away and at most
    /// `limit` events.
    pub async fn chain_of(
        &self,
        reference: &str,
        direction: Direction,
        depth: u32,
        limit: usize,
    ) -> Result<ChainView, Error> {
        if depth == 0 || depth > DEPTH_MAX {
            return Err(Error::Bad(format!("`depth` must be from 1 to {DEPTH_MAX}, got {depth}")));
        }
        check_limit(limit)?;
        let (shard, offset) = parse_reference(reference)?;
        let (event, _) = self.event_at(shard, offset).await?;
        let Some(root) = event.root_task else {
            return Err(Error::NotFound(format!("{reference} belongs to no task, so it stands in no chain")));
        };
        // First only what led to what, of the whole tree; then the events that are reached.
        let (mut builder, mut tree) = (Builder::of(&root), self.tree(&root));
        while let Some(piece) = tree.next().await? {
            self.take(&mut builder, &plain(piece), Show::Edges).await?;
        }
        let (edges, mut cut) = (builder.all_edges(), builder.cut || tree.has_more());
        let mut kept = HashSet::from([event.reference.clone()]);
        for up in [true, false] {
            if direction == Direction::Both || (direction == Direction::Up) == up {
                cut |= walk(&edges, &event.reference, up, depth, limit, &mut kept);
            }
        }
        drop(edges);
        let (mut builder, mut tree, mut found) = (Builder::of(&root), self.tree(&root), Vec::new());
        while let Some(piece) = tree.next().await? {
            let piece = plain(piece);
            self.take(&mut builder, &piece, Show::These(&kept)).await?;
            found.extend(
                piece.into_iter().filter(|event| is_finding(event) && kept.contains(&event.reference)),
            );
        }
        let mut chain = builder.finish();
        if !chain.nodes.iter().any(|node| node.id == event.reference) {
            return Err(Error::NotFound(format!(
                "{reference} is not among the first {TREE_MAX} events of `{root}`, or is a duplicate"
            )));
        }
        chain.edges.retain(|edge| kept.contains(&edge.from) && kept.contains(&edge.to));
        chain.findings = self.with_responses(found).await?.0;
        chain.truncated |= cut;
        Ok(chain)
    }
}

/// Adds what is reached. Returns whether a bound cut something off.
fn walk(
    edges: &[EdgeView],
    start: &str,
    up: bool,
    depth: u32,
    limit: usize,
    kept: &mut HashSet<String>,
) -> bool {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for edge in edges {
        let (from, to) = if up { (&edge.to, &edge.from) } else { (&edge.from, &edge.to) };
        next.entry(from).or_default().push(to);
    }
    let mut seen = HashSet::from([start]);
    let mut queue = VecDeque::from([(start, 0)]);
    let mut cut = false;
    while let Some((at, steps)) = queue.pop_front() {
        for other in next.get(at).into_iter().flatten() {
            if seen.contains(other) {
                continue;
            }
            if steps >= depth || (kept.len() >= limit && !kept.contains(*other)) {
                cut = true;
                continue;
            }
            seen.insert(other);
            kept.insert((*other).to_owned());
            queue.push_back((other, steps + 1));
        }
    }
    cut
}
