//! The whole at a glance, and the ledgers behind it.

use crate::engine::{AT, Session, Span, is, moment};
use crate::error::Error;
use crate::rows::rows;
use crate::views::text_of;
use ambit_ledger::{CheckpointKey, FsTiles, LedgerError, Origin, PublishedTree};
use ambit_schemas::columns::{DEAD_LETTER, names};
use ambit_schemas::{Kind, Shard, Timestamp, Topic};
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, max};
use datafusion::logical_expr::{ident, lit, when};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use utoipa::ToSchema;

/// Where ledgers are and how their checkpoints are checked. A cheap clone.
#[derive(Debug, Clone)]
pub struct Ledgers {
    /// The directory.
    pub dir: PathBuf,
    /// First part of every origin.
    pub log_name: String,
    /// Who signs.
    pub key: Arc<CheckpointKey>,
    /// The shards there are.
    pub shards: Vec<Shard>,
}

impl Ledgers {
    /// The files of a shard's ledger.
    pub(crate) fn tiles(&self, shard: Shard) -> FsTiles {
        FsTiles::new(self.dir.join(shard.topic.name()).join(shard.partition.to_string()))
    }

    /// Opens a shard's tree at its newest checkpoint.
    pub(crate) fn open(&self, shard: Shard) -> Result<PublishedTree<FsTiles>, LedgerError> {
        let tiles = self.tiles(shard);
        let origin = Origin::new(&format!("{}/{shard}", self.log_name));
        // A log name that is no origin was refused when ingest started; such a ledger is empty.
        let origin =
            origin.or_else(|_| Origin::new("ambit")).unwrap_or_else(|_| unreachable!("`ambit` is an origin"));
        PublishedTree::open(origin, tiles, &self.key)
    }
}

/// How a shard stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ShardView {
    /// The shard.
    pub shard: String,
    /// The first offset that is not stored.
    pub next_offset: u64,
    /// Stored events.
    pub tree_size: u64,
    /// Signed events.
    pub checkpoint_size: u64,
}

/// What enforcement did.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ResponseCounts {
    /// Responses that were decided.
    pub decided: u64,
    /// Tries.
    pub attempted: u64,
    /// Deliveries that were acknowledged.
    pub acknowledged: u64,
    /// Deliveries that were given up.
    pub dead_lettered: u64,
}

/// The whole at a glance.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OverviewView {
    /// Stored events, dead letters included.
    pub events: u64,
    /// By kind.
    pub events_by_kind: BTreeMap<String, u64>,
    /// Of the last minute.
    pub events_last_minute: u64,
    /// Agents.
    pub agents: u64,
    /// Root tasks.
    pub tasks: u64,
    /// Findings by severity.
    pub findings_by_severity: BTreeMap<String, u64>,
    /// What enforcement did.
    pub responses: ResponseCounts,
    /// Records that are no events. They belong to no tenant.
    pub dead_letters: u64,
    /// Shards; none for a token of one tenant, since their sizes count everybody's events.
    pub shards: Vec<ShardView>,
    /// The table's version; null for a token of one tenant, since everybody's events move it on.
    pub table_version: Option<u64>,
    /// The newest event.
    pub newest_event_time: Option<String>,
    /// What whoever runs this should know, though nothing is wrong: that nothing is revoked, for example. A token of one
    /// tenant gets none.
    pub notices: Vec<String>,
}

/// A signed checkpoint.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CheckpointView {
    /// The shard.
    pub shard: String,
    /// Whose log it is.
    pub origin: String,
    /// How many leaves are signed.
    pub size: u64,
    /// The root, hexadecimal.
    pub root: String,
    /// The checkpoint's text.
    pub text: String,
}

impl Session {
    /// The whole at a glance, or a tenant's part of it. `now` is the caller's time, for the last minute. INVARIANT Q-3:
    /// what counts the events of all tenants is left out for one.
    pub async fn overview(&self, ledgers: &Ledgers, now: Timestamp) -> Result<OverviewView, Error> {
        let (shards, table_version) = if self.scope().only().is_none() {
            (self.shards(ledgers).await?, Some(self.version().await?))
        } else {
            (Vec::new(), None)
        };
        let kinds = self.frame(Span::default()).await?.aggregate(
            vec![ident(names::KIND)],
            vec![count(lit(1)).alias("count"), max(ident(names::TIME)).alias("newest")],
        )?;
        let kinds = self.run(kinds).await?;
        let events_by_kind: BTreeMap<String, u64> =
            rows(&kinds).filter_map(|row| Some((row.text(names::KIND)?, row.count("count")))).collect();
        let newest = rows(&kinds).filter_map(|row| row.time("newest")).max();
        let minute_ago = now.plus_micros(-60_000_000);
        let is_event = is(names::TOPIC, Topic::Events.name());
        let whole = self.frame(Span::default()).await?.aggregate(
            vec![],
            vec![
                count_distinct(ident(names::AGENT)).alias("agents"),
                count_distinct(when(is_event, ident(names::ROOT_TASK)).end()?).alias("tasks"),
                count(when(ident(AT).gt_eq(moment(minute_ago)), lit(1)).end()?).alias("last_minute"),
            ],
        )?;
        let whole = self.run(whole).await?;
        let whole = rows(&whole).next();
        let severities = self
            .frame(Span::default())
            .await?
            .filter(is(names::KIND, Kind::FindingCreated.name()))?
            .aggregate(
                vec![ident(names::SEVERITY)],
                vec![count_distinct(ident(names::FINDING)).alias("count")],
            )?;
        let severities = self.run(severities).await?;
        let kind = |kind: Kind| events_by_kind.get(kind.name()).copied().unwrap_or_default();
        Ok(OverviewView {
            events: events_by_kind.values().sum(),
            events_last_minute: whole.map_or(0, |row| row.count("last_minute")),
            agents: whole.map_or(0, |row| row.count("agents")),
            tasks: whole.map_or(0, |row| row.count("tasks")),
            findings_by_severity: rows(&severities)
                .filter_map(|row| Some((row.text(names::SEVERITY)?, row.count("count"))))
                .collect(),
            responses: ResponseCounts {
                decided: kind(Kind::ResponseDecided),
                attempted: kind(Kind::ResponseAttempted),
                acknowledged: kind(Kind::ResponseAcknowledged),
                dead_lettered: kind(Kind::ResponseDeadLettered),
            },
            dead_letters: events_by_kind.get(DEAD_LETTER).copied().unwrap_or_default(),
            shards,
            table_version,
            newest_event_time: text_of(newest),
            notices: Vec::new(),
            events_by_kind,
        })
    }

    async fn shards(&self, ledgers: &Ledgers) -> Result<Vec<ShardView>, Error> {
        let positions = self.store().positions(&ledgers.shards).await?;
        let checkpoints = checkpoints(ledgers.clone()).await?;
        let signed = |shard: &Shard| {
            let name = shard.to_string();
            checkpoints
                .iter()
                .find(|checkpoint| checkpoint.shard == name)
                .map_or(0, |checkpoint| checkpoint.size)
        };
        Ok(ledgers
            .shards
            .iter()
            .map(|shard| {
                let position = positions.get(shard).copied().unwrap_or_default();
                ShardView {
                    shard: shard.to_string(),
                    next_offset: position.next_offset,
                    tree_size: position.tree_size,
                    checkpoint_size: signed(shard),
                }
            })
            .collect())
    }
}

/// The newest checkpoint of every shard that has one.
pub(crate) async fn checkpoints(ledgers: Ledgers) -> Result<Vec<CheckpointView>, Error> {
    let read = tokio::task::spawn_blocking(move || {
        let mut found = Vec::new();
        for shard in &ledgers.shards {
            let tree = ledgers.open(*shard)?;
            if let Some(signed) = tree.checkpoint() {
                found.push(CheckpointView {
                    shard: shard.to_string(),
                    origin: tree.origin().to_string(),
                    size: tree.size().0,
                    root: tree.root().to_string(),
                    text: signed.note().to_owned(),
                });
            }
        }
        Ok::<_, LedgerError>(found)
    });
    Ok(read.await.map_err(|_| Error::Cancelled)??)
}
