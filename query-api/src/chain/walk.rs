//! From one event: what led to it, and what it led to.

use super::{ChainView, NODES_MAX};
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
        if limit == 0 || limit > NODES_MAX {
            return Err(Error::Bad(format!("`limit` must be from 1 to {NODES_MAX}, got {limit}")));
        }
        let (shard, offset) = parse_reference(reference)?;
        let (event, _) = self.event_at(shard, offset).await?;
        let Some(root) = event.root_task else {
            return Err(Error::NotFound(format!("{reference} belongs to no task, so it stands in no chain")));
        };
        let mut chain = self.chain(&root).await?;
        if !chain.nodes.iter().any(|node| node.id == event.reference) {
            return Err(Error::NotFound(format!(
                "{reference} is not among the first {NODES_MAX} events of `{root}`, or is a duplicate"
            )));
        }
        let mut kept = HashSet::from([event.reference.clone()]);
        let mut cut = false;
        for up in [true, false] {
            if direction == Direction::Both || (direction == Direction::Up) == up {
                cut |= walk(&chain, &event.reference, up, depth, limit, &mut kept);
            }
        }
        chain.nodes.retain(|node| kept.contains(&node.id));
        chain.edges.retain(|edge| kept.contains(&edge.from) && kept.contains(&edge.to));
        chain.findings.retain(|finding| kept.contains(&finding.reference));
        let tasks: HashSet<String> = chain.nodes.iter().filter_map(|node| node.task.clone()).collect();
        chain.tasks.retain(|task| tasks.contains(&task.id));
        chain.truncated |= cut;
        Ok(chain)
    }
}

/// Adds what is reached. Returns whether a bound cut something off.
fn walk(
    chain: &ChainView,
    start: &str,
    up: bool,
    depth: u32,
    limit: usize,
    kept: &mut HashSet<String>,
) -> bool {
    let mut next: HashMap<&str, Vec<&str>> = HashMap::new();
    for edge in &chain.edges {
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
