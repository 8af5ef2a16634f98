//! Baselines in force, and the evidence against each. Part of a shard's state.

use super::episode::{Episode, Reached};
use super::evidence::{Evidence, Scheme, Test};
use super::profile::Profile;
use crate::prepare::hash;
use ambit_schemas::Timestamp;
use ambit_schemas::baseline::{Baseline, SignedBaseline};
use ambit_schemas::event::Event;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Baselines that are in force in one shard at once; those that come when there are as many are refused.
pub(crate) const BASELINES_MAX: usize = 4_096;
/// How long a test is silent after it has told: what goes on is known by then.
const SILENT_US: i64 = 86_400_000_000;

/// Baselines in force, by what they are about.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Drift {
    watches: HashMap<u128, Watch>,
}

/// A baseline in force.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Watch {
    document: String,
    /// Tasks that were compared with it in what they do.
    tasks: u32,
    /// Tasks that were asked what they reach that is new.
    tasks_new: u32,
    tracks: Vec<Track>,
    #[serde(skip)]
    profile: Option<Arc<Profile>>,
}

/// The baselines that a task is compared with. What it does is compared with that of its kind of purpose where there is
/// one. What is new is asked of the same, and counted over the whole blueprint: the tasks of one purpose are too few.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Against {
    pub(crate) purpose: Option<u128>,
    pub(crate) blueprint: Option<u128>,
}

impl Against {
    /// Whose list says what is known, and whose levels say how much a task does.
    pub(crate) fn narrow(&self) -> Option<u128> {
        self.purpose.or(self.blueprint)
    }
}

/// What one test has come to.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Track {
    evidence: Evidence,
    /// How many tasks it covers: those after them came to nothing so far.
    covers: u32,
    since: Since,
    silent_until: Option<Timestamp>,
}

/// Since when things are as they are: where a CUSUM of the same bets was last at 0 (Page, 1954).
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Since {
    cusum: f64,
    begin: Option<Timestamp>,
    tasks: u32,
    total: f64,
}

/// A test that has told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alarm {
    /// Which test.
    pub(crate) index: usize,
    /// Bits of evidence.
    pub(crate) bits: f64,
    /// Since when.
    pub(crate) since: Timestamp,
    /// How many tasks there were since then.
    pub(crate) tasks: u32,
    /// The mean over them.
    pub(crate) mean: f64,
}

/// What a baseline is about: tenant, blueprint, kind of purpose.
pub(crate) fn key(tenant: &str, blueprint: &str, purpose: Option<&str>) -> u128 {
    let (scope, purpose) = purpose.map_or(("any", ""), |purpose| ("one", purpose));
    hash(&["baseline", tenant, blueprint, scope, purpose])
}

impl Drift {
    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// The baselines for a task: that of its kind of purpose, and the blueprint's.
    pub(crate) fn of(&self, event: &Event, purpose: &str) -> Option<Against> {
        let blueprint = event.agent.as_ref()?.blueprint.as_ref()?;
        let tenant = event.tenant.as_str();
        let find = |purpose| {
            Some(key(tenant, blueprint.as_str(), purpose)).filter(|key| self.watches.contains_key(key))
        };
        let against = Against { purpose: find(Some(purpose)), blueprint: find(None) };
        (against.purpose.is_some() || against.blueprint.is_some()).then_some(against)
    }

    pub(crate) fn watch(&mut self, key: u128) -> Option<&mut Watch> {
        self.watches.get_mut(&key)
    }

    pub(crate) fn profile(&self, key: u128) -> Option<&Profile> {
        self.watches.get(&key)?.profile.as_deref()
    }

    /// The document in force about the same.
    pub(crate) fn in_force(&self, baseline: &Baseline) -> Option<(&Baseline, &str)> {
        let watch = self.watches.get(&key_of(baseline))?;
        Some((&watch.profile.as_ref()?.baseline, &watch.document))
    }

    /// Puts a baseline in force: evidence against another one counts no more. `false` when there are too many.
    pub(crate) fn take(&mut self, signed: &SignedBaseline, baseline: Baseline) -> bool {
        let key = key_of(&baseline);
        if self.watches.len() >= BASELINES_MAX && !self.watches.contains_key(&key) {
            return false;
        }
        let profile = Profile::new(baseline);
        let tracks = vec![Track::default(); profile.tests.len()];
        let document = signed.document.get().to_owned();
        self.watches.insert(
            key,
            Watch { document, tasks: 0, tasks_new: 0, tracks, profile: Some(Arc::new(profile)) },
        );
        true
    }

    /// Compiles the baselines of a restored state. What cannot be compiled was not in force.
    pub(crate) fn compile(&mut self) {
        self.watches.retain(|_, watch| {
            let document = RawValue::from_string(watch.document.clone());
            let parsed =
                document.ok().map(|document| SignedBaseline { document, signatures: Vec::new() }.parse());
            let Some(Ok(baseline)) = parsed else { return false };
            let profile = Profile::new(baseline);
            let fits = profile.tests.len() == watch.tracks.len();
            watch.profile = Some(Arc::new(profile));
            fits
        });
    }
}

fn key_of(baseline: &Baseline) -> u128 {
    key(baseline.tenant.as_str(), baseline.blueprint.as_str(), baseline.purpose.as_deref())
}

impl Watch {
    /// A task has ended, in what it does.
    pub(crate) fn end(&mut self, episode: &Episode, now: Timestamp) -> Vec<Alarm> {
        let Some(profile) = self.profile.clone() else { return Vec::new() };
        let before = self.tasks;
        self.tasks = self.tasks.saturating_add(1);
        self.take(&profile, &profile.observe(episode), before, now)
    }

    /// A task has ended, in what it has reached that is new.
    pub(crate) fn end_new(&mut self, classes: &BTreeSet<String>, now: Timestamp) -> Vec<Alarm> {
        let Some(profile) = self.profile.clone() else { return Vec::new() };
        let before = self.tasks_new;
        self.tasks_new = self.tasks_new.saturating_add(1);
        self.take(&profile, &profile.observe_new(classes), before, now)
    }

    /// What came to nothing costs nothing: it is caught up with when it comes to something.
    fn take(&mut self, profile: &Profile, seen: &[(usize, f64)], before: u32, now: Timestamp) -> Vec<Alarm> {
        let mut alarms = Vec::new();
        for (index, x) in seen.iter().copied() {
            let (Some(tested), Some(track)) = (profile.tests.get(index), self.tracks.get_mut(index)) else {
                continue;
            };
            track.catch_up(&tested.test, before);
            track.observe(&tested.test, x, now);
            if !track.evidence.reaches(tested.threshold) {
                continue;
            }
            if track.speaks(now) {
                alarms.push(track.alarm(index, now));
            }
            *track = Track { covers: before + 1, silent_until: track.silent_until, ..Track::default() };
        }
        alarms
    }

    /// A task has reached something new. When that is enough by itself, nobody needs to wait for its end: whatever else
    /// the task does, the evidence will be as large.
    pub(crate) fn reached(&mut self, reached: &Reached, now: Timestamp) -> Option<Alarm> {
        let profile = self.profile.clone()?;
        let tasks = self.tasks_new;
        reached.classes().iter().find_map(|class| {
            let index = profile.test_of_class(class)?;
            let (tested, track) = (profile.tests.get(index)?, self.tracks.get_mut(index)?);
            let mut foreseen = *track;
            foreseen.catch_up(&tested.test, tasks);
            foreseen.observe(&tested.test, 1.0, now);
            if !foreseen.evidence.reaches(tested.threshold) || !track.speaks(now) {
                return None;
            }
            Some(foreseen.alarm(index, now))
        })
    }
}

impl Track {
    fn catch_up(&mut self, test: &Test, tasks: u32) {
        let missed = tasks.saturating_sub(self.covers);
        self.evidence.skip(test, missed);
        self.since.pass(test.middle_log(0.0) * f64::from(missed), missed, 0.0, None);
        self.covers = tasks;
    }

    fn observe(&mut self, test: &Test, x: f64, now: Timestamp) {
        self.evidence.update(test, Scheme::ShiryaevRoberts, x, 1.0);
        self.since.pass(test.middle_log(x), 1, x, Some(now));
        self.covers = self.covers.saturating_add(1);
    }

    /// Whether it may tell; from then on it is silent for a while.
    fn speaks(&mut self, now: Timestamp) -> bool {
        if self.silent_until.is_some_and(|until| now < until) {
            return false;
        }
        self.silent_until = Some(now.plus_micros(SILENT_US));
        true
    }

    fn alarm(&self, index: usize, now: Timestamp) -> Alarm {
        let Since { begin, tasks, total, .. } = self.since;
        let tasks = tasks.max(1);
        Alarm {
            index,
            bits: self.evidence.bits(),
            since: begin.unwrap_or(now),
            tasks,
            mean: total / f64::from(tasks),
        }
    }
}

impl Since {
    fn pass(&mut self, gain: f64, tasks: u32, total: f64, now: Option<Timestamp>) {
        self.cusum += gain;
        if self.cusum <= 0.0 {
            *self = Self::default();
            return;
        }
        self.begin = self.begin.or(now);
        self.tasks = self.tasks.saturating_add(tasks);
        self.total += total;
    }
}
