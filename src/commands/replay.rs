//! `ambit replay`: judges the stored events again, with the rules of this version, and compares with the findings that
//! were given (INVARIANT A-1). After a change of rules, or with a folder of the customer's or of candidate envelopes, it
//! tells whom the new ones would have stopped.

mod candidates;
mod compare;

use crate::cli::ReplayArgs;
use crate::config::Config;
use crate::output::print;
use crate::roles::analyze::intake::Intake;
use crate::roles::parts::Parts;
use crate::rules::read;
use ambit_analytics::sigma::RuleSet;
use ambit_analytics::{Analyzer, Candidates, Options};
use ambit_schemas::columns::records_of;
use ambit_schemas::{Record, Shard, Timestamp, Topic};
use ambit_store::Store;
use anyhow::Context;
use compare::Comparison;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Exit code when the findings differ from those that were given.
const DIFFERS: u8 = 2;

/// Runs the command. Exit code 0: the same findings, 2: others; an error, 1, that it could not be told.
pub async fn run(config: &Config, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let parts = Parts { config };
    parts.must_have_store()?;
    let span = (
        super::search::time("--from", args.from.as_deref())?,
        super::search::time("--to", args.to.as_deref())?,
    );
    let within =
        |time: Timestamp| span.0.is_none_or(|from| time >= from) && span.1.is_none_or(|to| time < to);
    let candidates = args.envelopes.as_deref().map(candidates::read).transpose()?.map(Arc::new);
    let rules = args.rules.as_deref().map(|dir| candidate(config, dir, args.may_revoke)).transpose()?;
    let names = candidates.iter().flat_map(|all: &Arc<Candidates>| all.names()).map(str::to_owned);
    let mut comparison = Comparison::of_candidates(names);
    let store = parts.store().await?;
    let options = Arc::new(Options { candidates: candidates.clone(), ..parts.analyzer_options()? });
    for partition in 0..config.kafka.partitions {
        let shard = Shard::new(Topic::Findings, partition);
        each(&store, shard, |records| records.iter().for_each(|record| comparison.gave(record))).await?;
    }
    comparison.within(within);
    let mut events = 0;
    let shards: Vec<Shard> =
        (0..config.kafka.partitions).map(|partition| Shard::new(Topic::Events, partition)).collect();
    let stored = store.positions(&shards).await?;
    let bar = ProgressBar::new(stored.values().map(|position| position.tree_size).sum());
    bar.set_style(
        ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} records, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    for shard in shards {
        let mut analyzer = Analyzer::new(shard, Arc::clone(&options));
        if let Some(rules) = &rules {
            analyzer.pin_rules(Arc::clone(rules));
        }
        events += judge_again(&store, analyzer, &options, &bar, &mut comparison, within).await?;
    }
    bar.finish_and_clear();
    let differs = comparison.ends();
    if args.json {
        print(&serde_json::to_string(&comparison.json(events))?);
    } else {
        comparison.tell(events);
    }
    Ok(if differs { ExitCode::from(DIFFERS) } else { ExitCode::SUCCESS })
}

/// The rules in a folder, as if they had been in force always.
fn candidate(config: &Config, dir: &Path, may_revoke: bool) -> anyhow::Result<Arc<RuleSet>> {
    let may_revoke = may_revoke || config.analyzer.rules_may_revoke;
    let set = RuleSet::compile(&read(dir)?, may_revoke)
        .with_context(|| format!("the rules in {} cannot be used: see `ambit rules check`", dir.display()))?;
    Ok(Arc::new(set))
}

/// All records of a shard, batch by batch.
async fn each(store: &Store, shard: Shard, mut take: impl FnMut(&[Record])) -> anyhow::Result<()> {
    let mut rows = std::pin::pin!(store.scan(shard, 0));
    while let Some(batch) = rows.next().await {
        let batch = batch.with_context(|| format!("stored rows of {shard} cannot be read"))?;
        take(&records_of(&batch)?);
    }
    Ok(())
}

/// Judges a shard from its first stored event. Returns how many there are.
async fn judge_again(
    store: &Store,
    mut analyzer: Analyzer,
    options: &Arc<Options>,
    bar: &ProgressBar,
    comparison: &mut Comparison,
    within: impl Fn(Timestamp) -> bool,
) -> anyhow::Result<u64> {
    let (shard, mut intake) = (analyzer.shard(), Intake::new(options));
    let (mut events, mut is_first) = (0, true);
    each(store, shard, |records| {
        if std::mem::take(&mut is_first)
            && let Some(first) = records.first().filter(|first| first.offset > 0)
        {
            tracing::warn!(%shard, offset = first.offset, "earlier events are not stored: what they said is not known to the replay");
        }
        bar.inc(records.len() as u64);
        for (record, prepared) in records.iter().zip(intake.prepare(records)) {
            match prepared {
                None => analyzer.skip(record.offset),
                Some(prepared) => {
                    events += 1;
                    if let Some(envelope) = prepared.envelope() {
                        let tenant = &prepared.event().item.tenant;
                        comparison.approves(tenant, &envelope.task_id, prepared.candidate());
                    }
                    let told = analyzer.judge(&prepared);
                    told.iter().filter(|told| within(told.time)).for_each(|told| comparison.gives(told));
                }
            }
        }
    })
    .await?;
    Ok(events)
}
