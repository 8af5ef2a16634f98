//! The findings of a replay beside those that were given, and what the difference would have done.

use crate::output::print;
use ambit_analytics::finding_event;
use ambit_schemas::finding::{Finding, Maturity, Severity};
use ambit_schemas::id::{TaskId, TenantId};
use ambit_schemas::{Body, Record, Timestamp, decode, encode};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Most differences, and most tasks, that are told one by one.
const SHOWN_MAX: usize = 50;

/// A task of a tenant.
type Task = (TenantId, TaskId);

/// What is compared of a finding: when, by which rule, and all of its bytes as a hash.
struct Given {
    time: Timestamp,
    rule: String,
    digest: [u8; 32],
    line: String,
    stops: bool,
    task: Option<Task>,
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
    /// New or changed, and revoking by itself where it did not then (INVARIANT E-3), under the policy that holds when
    /// none is configured.
    stops: u64,
}

/// Lines, of which the first are kept and all are counted.
#[derive(Default)]
struct Lines {
    count: usize,
    shown: Vec<String>,
}

impl Lines {
    fn add(&mut self, line: impl FnOnce() -> String) {
        self.count += 1;
        if self.shown.len() < SHOWN_MAX {
            self.shown.push(line());
        }
    }

    fn print(&self) {
        self.shown.iter().for_each(|line| print(line));
        if self.count > self.shown.len() {
            print(&format!(
                "and {} more: narrow the span with --from and --to",
                self.count - self.shown.len()
            ));
        }
    }
}

/// A replay, compared.
#[derive(Default)]
pub(super) struct Comparison {
    given: HashMap<String, Given>,
    tallies: BTreeMap<String, Tally>,
    differences: Lines,
    /// Tasks whose bounds a human approved.
    approved: BTreeSet<Task>,
    /// Tasks that were stopped then.
    stopped: BTreeSet<Task>,
    /// Tasks that would be stopped now, with the first finding that does so.
    stopping: BTreeMap<Task, String>,
    /// For how many approvals each candidate stood in.
    candidates: BTreeMap<String, u64>,
}

impl Comparison {
    /// Tells of the candidates that are tried, so that one which is never met is told of.
    pub(super) fn of_candidates(names: impl Iterator<Item = String>) -> Self {
        Self { candidates: names.map(|name| (name, 0)).collect(), ..Self::default() }
    }

    /// A stored record: a finding that was given, if it is one.
    pub(super) fn gave(&mut self, record: &Record) {
        let Some(Body::FindingCreated(finding)) = decode(record).ok().map(|event| event.body) else { return };
        // Enforcement's own: it rests on acknowledgements, which are not judged here.
        if finding.revocation.is_some() {
            return;
        }
        let digest = Sha256::digest(record.value.as_deref().unwrap_or_default()).into();
        let given = Given { digest, ..described(&finding) };
        self.stopped.extend(given.task.clone().filter(|_| given.stops));
        self.given.insert(finding.id.to_string(), given);
    }

    /// Leaves out what was given outside the span.
    pub(super) fn within(&mut self, within: impl Fn(Timestamp) -> bool) {
        self.given.retain(|_, finding| within(finding.time));
    }

    /// A task's bounds were approved.
    pub(super) fn approves(&mut self, tenant: &TenantId, task: &TaskId, candidate: Option<&str>) {
        self.approved.insert((tenant.clone(), task.clone()));
        if let Some(count) = candidate.and_then(|name| self.candidates.get_mut(name)) {
            *count += 1;
        }
    }

    /// A finding that is given now.
    pub(super) fn gives(&mut self, finding: &Finding) {
        let now = described(finding);
        let then = self.given.remove(finding.id.as_str());
        let tally = self.tallies.entry(now.rule).or_default();
        let digest: Option<[u8; 32]> =
            encode(&finding_event(finding)).ok().map(|outgoing| Sha256::digest(&outgoing.value).into());
        if let Some(task) = now.task.filter(|_| now.stops) {
            self.stopping.entry(task).or_insert_with(|| now.line.clone());
        }
        let stops = u64::from(now.stops && then.as_ref().is_none_or(|then| !then.stops));
        match then {
            None => {
                tally.stops += stops;
                tally.new += 1;
                self.differences.add(|| format!("new      {}", now.line));
            }
            Some(then) if Some(then.digest) == digest => tally.same += 1,
            Some(_) => {
                tally.stops += stops;
                tally.changed += 1;
                self.differences.add(|| format!("changed  {}", now.line));
            }
        }
    }

    /// All was judged: what was given and was not met is gone. Whether anything differs.
    pub(super) fn ends(&mut self) -> bool {
        let mut gone: Vec<Given> = self.given.drain().map(|(_, given)| given).collect();
        gone.sort_by(|a, b| (a.time, &a.line).cmp(&(b.time, &b.line)));
        for gone in gone {
            self.tallies.entry(gone.rule).or_default().gone += 1;
            self.differences.add(|| format!("gone     {}", gone.line));
        }
        self.differences.count > 0
    }

    /// Approved tasks that ran without being stopped and would not now.
    fn broken(&self) -> impl Iterator<Item = (&Task, &String)> {
        self.stopping.iter().filter(|(task, _)| self.approved.contains(task) && !self.stopped.contains(task))
    }

    /// One JSON object.
    pub(super) fn json(&self, events: u64) -> serde_json::Value {
        let broken: Vec<serde_json::Value> = self
            .broken()
            .take(SHOWN_MAX)
            .map(|((tenant, task), line)| serde_json::json!({"tenant": tenant, "task": task, "first": line}))
            .collect();
        serde_json::json!({
            "events": events,
            "rules": self.tallies,
            "approved_tasks": self.approved.len(),
            "broken_tasks": self.broken().count(),
            "first_broken_tasks": broken,
            "candidates": self.candidates,
        })
    }

    /// Tables and lines for people.
    pub(super) fn tell(&self, events: u64) {
        let widest = self.tallies.keys().map(String::len).max().unwrap_or_default().max(14);
        print(&format!(
            "{:<widest$} {:>8} {:>8} {:>8} {:>8} {:>8}",
            "rule", "same", "changed", "new", "gone", "stops"
        ));
        for (rule, tally) in &self.tallies {
            print(&format!(
                "{rule:<widest$} {:>8} {:>8} {:>8} {:>8} {:>8}",
                tally.same, tally.changed, tally.new, tally.gone, tally.stops
            ));
        }
        let stops: u64 = self.tallies.values().map(|tally| tally.stops).sum();
        if stops > 0 {
            print(&format!("{stops} findings would revoke by themselves and did not then (column stops)"));
        }
        self.tell_candidates();
        self.tell_broken();
        self.differences.print();
        let verdict = if self.differences.count == 0 {
            "the findings that were given, byte for byte"
        } else {
            "not the findings that were given"
        };
        print(&format!("{events} events judged again: {verdict}"));
    }

    fn tell_candidates(&self) {
        for (name, count) in &self.candidates {
            match count {
                0 => print(&format!(
                    "candidate {name} stood in for nothing: no approved envelope is of its task or kind of purpose"
                )),
                count => print(&format!("candidate {name} stood in for {count} approvals and amendments")),
            }
        }
    }

    fn tell_broken(&self) {
        let (approved, broken) = (self.approved.len(), self.broken().count());
        if broken > 0 {
            print(&format!("{broken} of {approved} approved tasks ran then and would be stopped now:"));
        }
        let mut lines = Lines::default();
        for ((_, task), line) in self.broken() {
            lines.add(|| format!("stopped  {task}: {line}"));
        }
        lines.print();
    }
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
    Given {
        time: finding.time,
        rule: finding.rule.id.to_string(),
        digest: [0; 32],
        line,
        stops: finding.rule.maturity == Maturity::Stable && finding.severity >= Severity::High,
        task: finding.task.as_ref().map(|task| (finding.tenant.clone(), task.id.clone())),
    }
}
