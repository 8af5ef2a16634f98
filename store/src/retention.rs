//! Retention: rows are deleted when their tenant's time is over, unless a hold covers them.
//!
//! The table is `appendOnly`, so that no Delta writer deletes from it by mistake. To delete on purpose, retention opens
//! the table in one commit and, in the next, deletes and closes it again; both commits say who and why. Appends go on
//! between and after. What was deleted is written down before (`_ambit/retired-*.json`): for each shard the leaves that
//! are gone, so that a verifier can tell what was let go from what was taken away. Only rows go whose leaves are under a
//! signed checkpoint: of others nothing would be left that says they were there.

use crate::commit::milliseconds;
use crate::compact::{Sorter, remove};
use crate::control::{digest_of, property};
use crate::datafile::DataFile;
use crate::error::Error;
use crate::head::{Head, RACES_MAX, log_error};
use crate::hold::{Held, Holds};
use crate::retired::{Ranges, Retired, Run};
use crate::rows::{Reader, conform, damaged, without};
use crate::scan::unreadable;
use crate::snapshot::FileEntry;
use crate::store::Store;
use ambit_schemas::columns::{PARTITION_COLUMN, names};
use ambit_schemas::{Shard, Timestamp};
use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::{filter_record_batch, not};
use arrow::datatypes::{Int32Type, Int64Type, SchemaRef, TimestampMicrosecondType};
use deltalake::kernel::{Action, MetadataExt};
use deltalake::protocol::DeltaOperation;
use object_store::path::PathPart;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use uuid::Uuid;

/// The table property that forbids deleting.
pub(crate) const APPEND_ONLY: &str = "delta.appendOnly";

/// How long rows are kept, by tenant. Zero days is forever.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Days for rows of tenants that are not named, and of none.
    pub default_days: u32,
    /// Days by tenant.
    pub tenants: BTreeMap<String, u32>,
}

impl Retention {
    fn days(&self, tenant: Option<&str>) -> u32 {
        tenant.and_then(|tenant| self.tenants.get(tenant)).copied().unwrap_or(self.default_days)
    }

    /// Whether rows of a tenant that were recorded on a day have been kept long enough.
    fn is_over(&self, tenant: Option<&str>, day: i32, today: i32) -> bool {
        let days = self.days(tenant);
        days > 0 && i64::from(today) - i64::from(day) > i64::from(days)
    }

    /// The same for a tenant as it is written in the name of an object.
    pub(crate) fn is_over_encoded(&self, encoded: &str, day: i32, today: i32) -> bool {
        let named = self.tenants.keys().find(|tenant| PathPart::from(tenant.as_str()).as_ref() == encoded);
        self.is_over(named.map(String::as_str), day, today)
    }

    /// Days that may hold rows whose time is over.
    fn may_be_over(&self, day: i32, today: i32) -> bool {
        let all = self.tenants.values().copied().chain([self.default_days]);
        let least = all.filter(|days| *days > 0).min();
        least.is_some_and(|least| i64::from(today) - i64::from(day) > i64::from(least))
    }
}

/// How many leaves of each shard are under a signed checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed(HashMap<String, u64>);

impl FromIterator<(Shard, u64)> for Signed {
    fn from_iter<T: IntoIterator<Item = (Shard, u64)>>(shards: T) -> Self {
        Self(shards.into_iter().map(|(shard, size)| (shard.to_string(), size)).collect())
    }
}

impl Signed {
    fn holds(&self, shard: &str, leaf: u64) -> bool {
        self.0.get(shard).is_some_and(|size| leaf < *size)
    }
}

/// What retention did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Retained {
    /// Rows that were deleted.
    pub deleted: u64,
    /// Rows whose time is over, but which a hold covers.
    pub held: u64,
    /// Rows whose time is over, but whose leaves no checkpoint covers yet.
    pub unsigned: u64,
    /// Files that are gone as a whole.
    pub files_removed: usize,
    /// Files that were written again without some of their rows.
    pub files_rewritten: usize,
    /// Deleted rows by tenant; `-` for those of none.
    pub tenants: BTreeMap<String, u64>,
}

/// What is to be done with one file.
struct Verdict {
    retired: BTreeMap<String, Ranges>,
    tenants: BTreeMap<String, u64>,
    deleted: u64,
    held: u64,
    unsigned: u64,
    /// What stays of it.
    rest: Option<Sorter>,
}

/// By what a file is judged.
struct Rules {
    policy: Retention,
    signed: Signed,
    holds: Holds,
    today: i32,
}

/// What one commit of retention changes.
struct Step<'a> {
    entry: &'a FileEntry,
    rest: Option<DataFile>,
    verdict: &'a Verdict,
    holds: Option<String>,
    author: &'a str,
    policy: &'a Retention,
}

impl Store {
    /// Deletes rows whose time is over, whose leaves are signed and which no hold covers; with `dry_run` only counts them.
    pub async fn retain(
        &self,
        policy: &Retention,
        signed: &Signed,
        now: Timestamp,
        author: &str,
        dry_run: bool,
    ) -> Result<Retained, Error> {
        let _one = self.maintaining.lock().await;
        let _turn = self.take_turn().await?;
        let snapshot = self.snapshot().await?;
        let layout = without(self.columns().await?.as_ref(), PARTITION_COLUMN);
        let mut done = Retained::default();
        for entry in snapshot.files.iter().filter(|entry| policy.may_be_over(entry.day, now.day())) {
            // A hold that is placed meanwhile is seen when its turn comes: the commit is refused, and it is looked at
            // again.
            loop {
                let metadata = self.newest().await?.snapshot().map_err(log_error)?.metadata().clone();
                let holds: Holds = self.document(&metadata).await?;
                let (entry, policy, layout) = (entry.clone(), policy.clone(), Arc::clone(&layout));
                let (of, reader) = (entry.clone(), self.reader());
                let rules = Rules { policy: policy.clone(), signed: signed.clone(), holds, today: now.day() };
                let judged = tokio::task::spawn_blocking(move || judge(&reader, &of, &rules, &layout)).await;
                let mut verdict = judged.map_err(|_| Error::Cancelled)??;
                if verdict.deleted > 0 && !dry_run {
                    let rest = self.write_rest(&entry, verdict.rest.take()).await?;
                    let holds = digest_of::<Holds>(&metadata);
                    let rewritten = rest.is_some();
                    let step =
                        Step { entry: &entry, rest, verdict: &verdict, holds, author, policy: &policy };
                    if !self.delete(&step).await? {
                        continue;
                    }
                    done.files_rewritten += usize::from(rewritten);
                    done.files_removed += usize::from(!rewritten);
                }
                done.deleted += verdict.deleted;
                done.held += verdict.held;
                done.unsigned += verdict.unsigned;
                for (tenant, rows) in verdict.tenants {
                    *done.tenants.entry(tenant).or_default() += rows;
                }
                break;
            }
        }
        Ok(done)
    }

    async fn write_rest(&self, entry: &FileEntry, rest: Option<Sorter>) -> Result<Option<DataFile>, Error> {
        let Some(rest) = rest else { return Ok(None) };
        let (files, table, day) = (self.files.clone(), self.options.path.clone(), entry.day);
        let layout = without(self.columns().await?.as_ref(), PARTITION_COLUMN);
        let written = tokio::task::spawn_blocking(move || rest.write(&files, &table, day, &layout)).await;
        written.map_err(|_| Error::Cancelled)?.map(Some)
    }

    /// Deletes in two commits. `false` when the holds or the file have changed: then it must be judged again.
    async fn delete(&self, step: &Step<'_>) -> Result<bool, Error> {
        let new: Vec<DataFile> = step.rest.iter().cloned().collect();
        self.check_age(&new)?;
        self.upload(&new).await?;
        let mut head = self.head.lock().await;
        for _ in 0..RACES_MAX {
            self.follow(&mut head).await?;
            let metadata = self.metadata(&head).await?;
            let unchanged = digest_of::<Holds>(&metadata) == step.holds
                && self.all_active(head.version, std::slice::from_ref(step.entry)).await?;
            let closed = metadata.configuration().get(APPEND_ONLY).is_some_and(|value| value == "true");
            let note = json!({"retention": {"by": step.author, "policy": step.policy}});
            if !unchanged {
                if closed || self.set_append_only(&mut head, true, &note).await? {
                    return Ok(false);
                }
                continue;
            }
            if closed {
                self.set_append_only(&mut head, false, &note).await?;
                continue;
            }
            let mut retired: Retired = self.document(&metadata).await?;
            retired.add(&step.verdict.retired, run_of(step));
            let metadata = self.put_document(metadata, retired).await?;
            let metadata = metadata.add_config_key(APPEND_ONLY.into(), "true".into()).map_err(log_error)?;
            let now = milliseconds();
            let mut actions = vec![Action::Metadata(metadata), Action::Remove(remove(step.entry, now, true))];
            actions.extend(new.iter().map(|file| Action::Add(file.add(now, true))));
            let operation = DeltaOperation::Delete { predicate: Some("retention".into()) };
            let notes = [("ambitNote", note)];
            if self.put_entry(&mut head, actions, operation, Vec::new(), &notes).await?.is_some() {
                self.uploaded(&new);
                return Ok(true);
            }
        }
        Err(Error::Crowded)
    }

    /// Opens the table for deletion, or closes it. `false` when another was first.
    pub(crate) async fn set_append_only(
        &self,
        head: &mut Head,
        closed: bool,
        note: &serde_json::Value,
    ) -> Result<bool, Error> {
        let metadata = self.metadata(head).await?;
        let changed = metadata.add_config_key(APPEND_ONLY.into(), closed.to_string()).map_err(log_error)?;
        let operation = DeltaOperation::SetTableProperties {
            properties: HashMap::from([(APPEND_ONLY.to_owned(), closed.to_string())]),
        };
        let notes = [("ambitNote", note.clone())];
        let actions = vec![Action::Metadata(changed)];
        Ok(self.put_entry(head, actions, operation, Vec::new(), &notes).await?.is_some())
    }

    /// What retention has deleted.
    pub async fn retired(&self) -> Result<Retired, Error> {
        let metadata = self.newest().await?.snapshot().map_err(log_error)?.metadata().clone();
        debug_assert!(property::<Retired>().starts_with("ambit."), "properties of ours have our prefix");
        self.document(&metadata).await
    }
}

fn run_of(step: &Step<'_>) -> Run {
    Run {
        id: Uuid::now_v7().to_string(),
        at: Timestamp::from_micros(milliseconds() * 1_000),
        author: step.author.to_owned(),
        policy: step.policy.clone(),
        holds: step.holds.clone(),
        file: step.entry.name.clone(),
        rows: step.verdict.deleted,
        tenants: step.verdict.tenants.clone(),
    }
}

/// Looks at every row of a file.
fn judge(reader: &Reader, entry: &FileEntry, rules: &Rules, layout: &SchemaRef) -> Result<Verdict, Error> {
    let (retired, tenants) = (BTreeMap::new(), BTreeMap::new());
    let mut verdict = Verdict { retired, tenants, deleted: 0, held: 0, unsigned: 0, rest: None };
    let mut rest = Sorter::new(layout)?;
    for batch in reader.open_checked(entry)?.reader {
        let batch = conform(&batch.map_err(|cause| unreadable(&entry.path, &cause))?, layout, &entry.path)?;
        let expired = expired(&batch, entry, rules, &mut verdict)?;
        let kept = filter_record_batch(&batch, &not(&expired)?)?;
        if kept.num_rows() > 0 {
            rest.add(kept)?;
        }
    }
    for ranges in verdict.retired.values_mut() {
        ranges.settle();
    }
    verdict.rest = (!rest.is_empty()).then_some(rest);
    Ok(verdict)
}

fn expired(
    batch: &RecordBatch,
    entry: &FileEntry,
    rules: &Rules,
    verdict: &mut Verdict,
) -> Result<BooleanArray, Error> {
    let lacks = |name: &str| damaged(&entry.path, format!("it lacks column `{name}`"));
    let text = |name: &'static str| -> Result<&StringArray, Error> {
        batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>()).ok_or_else(|| lacks(name))
    };
    let column = |name: &str| batch.column_by_name(name);
    let (topics, tenants) = (text(names::TOPIC)?, text(names::TENANT)?);
    let (agents, roots) = (text(names::AGENT)?, text(names::ROOT_TASK)?);
    let partitions = column(names::PARTITION).and_then(|column| column.as_primitive_opt::<Int32Type>());
    let leaves = column(names::LEAF_INDEX).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let recorded =
        column(names::RECORDED_AT).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let (Some(partitions), Some(leaves), Some(recorded)) = (partitions, leaves, recorded) else {
        return Err(lacks(names::LEAF_INDEX));
    };
    let value = |column: &'_ StringArray, row: usize| -> Option<String> {
        (!column.is_null(row)).then(|| column.value(row).to_owned())
    };
    let mut expired = Vec::with_capacity(batch.num_rows());
    for row in 0..batch.num_rows() {
        let tenant = value(tenants, row);
        if !rules.policy.is_over(tenant.as_deref(), entry.day, rules.today) {
            expired.push(false);
            continue;
        }
        let (agent, root_task) = (value(agents, row), value(roots, row));
        let held = rules.holds.cover(Held {
            tenant: tenant.as_deref(),
            agent: agent.as_deref(),
            root_task: root_task.as_deref(),
            recorded_at: recorded.value(row),
        });
        let (shard, leaf) =
            (format!("{}/{}", topics.value(row), partitions.value(row)), leaves.value(row).cast_unsigned());
        let signed = rules.signed.holds(&shard, leaf);
        expired.push(!held && signed);
        verdict.held += u64::from(held);
        verdict.unsigned += u64::from(!held && !signed);
        if held || !signed {
            continue;
        }
        verdict.retired.entry(shard).or_default().push(leaf);
        *verdict.tenants.entry(tenant.unwrap_or_else(|| "-".into())).or_default() += 1;
        verdict.deleted += 1;
    }
    Ok(BooleanArray::from(expired))
}
