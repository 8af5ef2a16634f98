//! `ambit replay`: judges the stored events again, with the rules of this version, and compares with the findings that
//! were given (INVARIANT A-1). After a change of rules, or with a folder of the customer's, it tells whom the new ones
//! would have stopped.

use crate::cli::ReplayArgs;
use crate::config::Config;
use crate::output::print;
use crate::roles::analyze::intake::Intake;
use crate::roles::parts::Parts;
use crate::rules::read;
use ambit_analytics::sigma::RuleSet;
use ambit_analytics::{Analyzer, Options, finding_event};
use ambit_schemas::columns::records_of;
use ambit_schemas::finding::{Finding, Maturity, Severity};
use ambit_schemas::{Body, Record, Shard, Timestamp, Topic, decode, encode};
use ambit_store::Store;
use anyhow::Context;
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// Exit code when the findings differ from those that were given.
const DIFFERS: u8 = 2;
/// Most differences that are printed one by one.
const SHOWN_MAX: usize = 50;

/// What is compared of a finding: when, by which rule, and all of its bytes as a hash.
struct Given {
    time: Timestamp,
    rule: String,
    digest: [u8; 32],
    line: String,
}

/// How the findings of one rule compare.
#[derive(Debug, Default, Serialize)]
struct Tally {
    same: u64,
    /// Given then, and now with another content.
    changed: u64,
    /// Only now.
    new: u64,
    /// Only then.
    gone: u64,
    /// New or changed, and revoking by itself under the policy that holds when none is configured (INVARIANT E-3).
    stops: u64,
}

/// Runs the command. Exit code 0: the same findings, 2: others; an error, 1, that it could not be told.
pub async fn run(config: &Config, args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    Parts { config }.must_have_store()?;
    let span = (
        super::search::time("--from", args.from.as_deref())?,
        super::search::time("--to", args.to.as_deref())?,
    );
    let within =
        |time: Timestamp| span.0.is_none_or(|from| time >= from) && span.1.is_none_or(|to| time < to);
    let parts = Parts { config };
    let (store, options) = (parts.store().await?, Arc::new(parts.analyzer_options()?));
    let candidate = args.rules.as_deref().map(|dir| candidate(config, dir, args.may_revoke)).transpose()?;
    let mut given = HashMap::new();
    for partition in 0..config.kafka.partitions {
        let shard = Shard::new(Topic::Findings, partition);
        each(&store, shard, |records| given.extend(records.iter().filter_map(stored))).await?;
    }
    given.retain(|_, finding| within(finding.time));
    let (mut tallies, mut differences) = (BTreeMap::<String, Tally>::new(), Vec::new());
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
        if let Some(rules) = &candidate {
            analyzer.pin_rules(Arc::clone(rules));
        }
        let take = |finding: &Finding| {
            if within(finding.time) {
                compare(finding, &mut given, &mut tallies, &mut differences);
            }
        };
        events += judge_again(&store, analyzer, &options, &bar, take).await?;
    }
    bar.finish_and_clear();
    for gone in given.into_values() {
        tallies.entry(gone.rule.clone()).or_default().gone += 1;
        differences.push(format!("gone     {}", gone.line));
    }
    tell(args.json, events, &tallies, &differences)?;
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(DIFFERS) })
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
    mut take: impl FnMut(&Finding),
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
                    analyzer.judge(&prepared).iter().for_each(&mut take);
                }
            }
        }
    })
    .await?;
    Ok(events)
}

fn stored(record: &Record) -> Option<(String, Given)> {
    let Body::FindingCreated(finding) = decode(record).ok()?.body else { return None };
    // Enforcement's own: it rests on acknowledgements, which are not judged here.
    if finding.revocation.is_some() {
        return None;
    }
    let digest = Sha256::digest(record.value.as_deref().unwrap_or_default()).into();
    Some((finding.id.to_string(), Given { digest, ..described(&finding) }))
}

fn described(finding: &Finding) -> Given {
    let agent = finding.agent.as_ref().map_or("-", |agent| agent.uid.as_str());
    let line = format!(
        "{:<27} {:<12} {:<8} {agent}: {}",
        finding.time.to_string(),
        finding.rule.id.as_str(),
        finding.severity.name(),
        finding.reason
    );
    Given { time: finding.time, rule: finding.rule.id.to_string(), digest: [0; 32], line }
}

fn compare(
    finding: &Finding,
    given: &mut HashMap<String, Given>,
    tallies: &mut BTreeMap<String, Tally>,
    differences: &mut Vec<String>,
) {
    let now = described(finding);
    let tally = tallies.entry(now.rule).or_default();
    let digest: Option<[u8; 32]> =
        encode(&finding_event(finding)).ok().map(|outgoing| Sha256::digest(&outgoing.value).into());
    let stops = u64::from(finding.rule.maturity == Maturity::Stable && finding.severity >= Severity::High);
    match given.remove(finding.id.as_str()) {
        None => {
            tally.stops += stops;
            tally.new += 1;
            differences.push(format!("new      {}", now.line));
        }
        Some(then) if Some(then.digest) == digest => tally.same += 1,
        Some(_) => {
            tally.stops += stops;
            tally.changed += 1;
            differences.push(format!("changed  {}", now.line));
        }
    }
}

fn tell(
    json: bool,
    events: u64,
    tallies: &BTreeMap<String, Tally>,
    differences: &[String],
) -> anyhow::Result<()> {
    if json {
        print(&serde_json::to_string(&serde_json::json!({"events": events, "rules": tallies}))?);
        return Ok(());
    }
    let widest = tallies.keys().map(String::len).max().unwrap_or_default().max(14);
    print(&format!(
        "{:<widest$} {:>8} {:>8} {:>8} {:>8} {:>8}",
        "rule", "same", "changed", "new", "gone", "stops"
    ));
    for (rule, tally) in tallies {
        print(&format!(
            "{rule:<widest$} {:>8} {:>8} {:>8} {:>8} {:>8}",
            tally.same, tally.changed, tally.new, tally.gone, tally.stops
        ));
    }
    let stops: u64 = tallies.values().map(|tally| tally.stops).sum();
    if stops > 0 {
        print(&format!("{stops} findings that were not given so would revoke by themselves (column stops)"));
    }
    for line in differences.iter().take(SHOWN_MAX) {
        print(line);
    }
    if differences.len() > SHOWN_MAX {
        print(&format!("and {} more: narrow the span with --from and --to", differences.len() - SHOWN_MAX));
    }
    let verdict = if differences.is_empty() {
        "the findings that were given, byte for byte"
    } else {
        "not the findings that were given"
    };
    print(&format!("{events} events judged again: {verdict}"));
    Ok(())
}
