//! What correlations remember: for each rule and group the latest events, by event time. Bounded, and a function of the
//! shard's events alone (INVARIANT A-2).
//!
//! A window is `(t - span, t]` before any remembered event at `t`. An event that comes late is put where it belongs, and
//! the windows that it lies in are looked at again. Once a group was told, it is not told again for one span.

use super::correlation::{Asks, Correlation, compare};
use ambit_schemas::Timestamp;
use ambit_schemas::finding::EventRef;
use ambit_schemas::id::TenantId;
use ambit_schemas::limits::FINDING_EVENTS_MAX;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Most rules that a correlation refers to.
pub(super) const STEPS_MAX: usize = 16;
/// Most events that are remembered of a group: twice what a condition may count to.
pub(super) const ENTRIES_MAX: usize = 1_000;
/// Most events that are remembered of a shard: about 200 bytes each. The tenant that has most forgets first, its
/// groups that were touched longest ago (INVARIANT Q-3).
const SHARD_ENTRIES_MAX: usize = 400_000;

/// The windows of a shard's correlations.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Windows {
    tenants: BTreeMap<TenantId, Groups>,
    entries: usize,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Groups {
    /// By the correlation's key and a hash over the group's values.
    groups: BTreeMap<(u64, u128), Group>,
    entries: usize,
}

/// The latest events of a group, by time and offset.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Group {
    /// The offset of the event that came last.
    touched: u64,
    /// The end of the window that was told last.
    told: Option<Timestamp>,
    entries: Vec<Entry>,
}

/// An event that matched one of a correlation's rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) time: Timestamp,
    /// Which of the correlation's rules.
    pub(super) step: u8,
    /// A hash over the values that are counted.
    pub(super) value: u64,
    pub(super) event: EventRef,
}

impl Entry {
    fn place(&self) -> (Timestamp, u64, Reverse<u8>) {
        // Of one event that matches several rules the last step stands first: it is no sequence by itself.
        (self.time, self.event.offset, Reverse(self.step))
    }
}

/// A window that is as its correlation asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// How many events, values or rules there were.
    pub(super) count: u64,
    /// Its events in the order of time, the one that came last at the end.
    pub(super) events: Vec<EventRef>,
}

impl Windows {
    /// Takes an event in. `Some` when it completes a window.
    pub(super) fn take(
        &mut self,
        correlation: &Correlation,
        tenant: &TenantId,
        group: u128,
        entry: &Entry,
    ) -> Option<Told> {
        if !self.tenants.contains_key(tenant) {
            self.tenants.insert(tenant.clone(), Groups::default());
        }
        let groups = self.tenants.get_mut(tenant)?;
        let found = groups.groups.entry((correlation.info.key, group)).or_default();
        let before = found.entries.len();
        found.put(entry.clone(), correlation);
        let told = found.told(correlation, entry);
        let grown = found.entries.len().saturating_sub(before);
        groups.entries += grown;
        self.entries += grown;
        self.make_room(SHARD_ENTRIES_MAX);
        told
    }

    /// Forgets what belongs to correlations that are no longer in force.
    pub(super) fn keep_only(&mut self, keys: &BTreeSet<u64>) {
        for groups in self.tenants.values_mut() {
            groups.groups.retain(|(key, _), _| keys.contains(key));
            groups.entries = groups.groups.values().map(|group| group.entries.len()).sum();
        }
        self.tenants.retain(|_, groups| !groups.groups.is_empty());
        self.entries = self.tenants.values().map(|groups| groups.entries).sum();
    }

    /// Whoever has most forgets an eighth of all, so that room is made once for many events.
    fn make_room(&mut self, most: usize) {
        while self.entries > most {
            let Some((_, largest)) = self.tenants.iter_mut().max_by_key(|(_, groups)| groups.entries) else {
                return;
            };
            let mut by_age: Vec<(u64, (u64, u128))> =
                largest.groups.iter().map(|(key, group)| (group.touched, *key)).collect();
            by_age.sort_unstable();
            let goal = largest.entries.saturating_sub((most / 8).max(1));
            for (_, key) in by_age {
                if largest.entries <= goal {
                    break;
                }
                let gone = largest.groups.remove(&key).map_or(0, |group| group.entries.len());
                largest.entries = largest.entries.saturating_sub(gone);
                self.entries = self.entries.saturating_sub(gone);
            }
        }
    }
}

impl Group {
    fn put(&mut self, entry: Entry, correlation: &Correlation) {
        self.touched = entry.event.offset;
        let at = self.entries.partition_point(|other| other.place() < entry.place());
        self.entries.insert(at, entry);
        if self.entries.len() <= ENTRIES_MAX {
            return;
        }
        // Many events of one sort push out none of another.
        let sort = |entry: &Entry| match correlation.asks {
            Asks::Events(_) => 0,
            Asks::Values(..) => entry.value,
            Asks::Rules(_) | Asks::InOrder => u64::from(entry.step),
        };
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(sort(entry)).or_default() += 1;
        }
        let fullest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(sort, _)| sort);
        let of_it = self.entries.iter().enumerate().filter(|(_, entry)| Some(sort(entry)) == fullest);
        if let Some((at, _)) = of_it.min_by_key(|(_, entry)| entry.event.offset) {
            self.entries.remove(at);
        }
    }

    fn told(&mut self, correlation: &Correlation, entry: &Entry) -> Option<Told> {
        let span = correlation.span_us;
        let is_fresh =
            |end: Timestamp| self.told.is_none_or(|told| end.micros_since(told).saturating_abs() >= span);
        let (from, to, count) = self.window(correlation, entry, &is_fresh)?;
        let window = self.entries.get(from..=to)?;
        self.told = window.last().map(|last| last.time);
        let mut events: Vec<EventRef> = Vec::new();
        for other in window.iter().filter(|other| other.event.offset != entry.event.offset) {
            if events.last() != Some(&other.event) {
                events.push(other.event.clone());
            }
        }
        let spare = events.len().saturating_sub(FINDING_EVENTS_MAX - 1);
        events.drain(..spare);
        events.push(entry.event.clone());
        Some(Told { count, events })
    }

    /// The first window with the event in it that is as asked: where it begins and ends, and what was counted.
    fn window(
        &self,
        correlation: &Correlation,
        entry: &Entry,
        is_fresh: &dyn Fn(Timestamp) -> bool,
    ) -> Option<(usize, usize, u64)> {
        let mut slide = Slide::new(correlation);
        let mut from = 0;
        for (to, last) in self.entries.iter().enumerate() {
            slide.enter(last);
            while let Some(first) = self.entries.get(from)
                && last.time.micros_since(first.time) >= correlation.span_us
            {
                slide.leave(first);
                from += 1;
            }
            let since = last.time.micros_since(entry.time);
            if since >= correlation.span_us {
                break;
            }
            // Ends before the event were looked at when they came.
            if last.place() >= entry.place()
                && is_fresh(last.time)
                && let Some(count) = slide.holds(last)
            {
                return Some((from, to, count));
            }
        }
        None
    }
}

/// What lies in a window that slides over the events.
struct Slide<'a> {
    correlation: &'a Correlation,
    events: u64,
    values: BTreeMap<u64, u32>,
    steps: Vec<u32>,
    /// For each step the latest beginning of a sequence that has come so far.
    begun: Vec<Option<Timestamp>>,
}

impl<'a> Slide<'a> {
    fn new(correlation: &'a Correlation) -> Self {
        let steps = correlation.steps.len();
        Self {
            correlation,
            events: 0,
            values: BTreeMap::new(),
            steps: vec![0; steps],
            begun: vec![None; steps],
        }
    }

    fn enter(&mut self, entry: &Entry) {
        self.events += 1;
        let step = usize::from(entry.step);
        match self.correlation.asks {
            Asks::Events(_) => {}
            Asks::Values(..) => *self.values.entry(entry.value).or_default() += 1,
            Asks::Rules(_) => {
                if let Some(count) = self.steps.get_mut(step) {
                    *count += 1;
                }
            }
            Asks::InOrder => {
                let before = match step.checked_sub(1) {
                    None => Some(entry.time),
                    Some(previous) => self.begun.get(previous).copied().flatten(),
                };
                if let Some(begun) = self.begun.get_mut(step) {
                    *begun = (*begun).max(before);
                }
            }
        }
    }

    fn leave(&mut self, entry: &Entry) {
        self.events = self.events.saturating_sub(1);
        if let Some(count) = self.values.get_mut(&entry.value) {
            *count -= 1;
            if *count == 0 {
                self.values.remove(&entry.value);
            }
        }
        if let Some(count) = self.steps.get_mut(usize::from(entry.step)) {
            *count = count.saturating_sub(1);
        }
    }

    /// What was counted, if the window that ends with this event is as asked.
    fn holds(&self, last: &Entry) -> Option<u64> {
        let steps = self.steps.len() as u64;
        match &self.correlation.asks {
            Asks::Events(asked) => compare(asked, self.events).then_some(self.events),
            Asks::Values(asked, _) => {
                let count = self.values.len() as u64;
                compare(asked, count).then_some(count)
            }
            Asks::Rules(asked) => {
                let there = self.steps.iter().filter(|count| **count > 0).count() as u64;
                asked.holds(&self.steps).then_some(there)
            }
            Asks::InOrder => {
                let is_last = usize::from(last.step) + 1 == self.steps.len();
                let begun = self.begun.last().copied().flatten().filter(|_| is_last)?;
                (last.time.micros_since(begun) < self.correlation.span_us).then_some(steps)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::{Shard, Topic};

    fn entry(offset: u64) -> Entry {
        let (source, id) = ("gateway".try_into().unwrap(), format!("e-{offset}").try_into().unwrap());
        let event = EventRef { source, id, shard: Shard::new(Topic::Events, 0), offset };
        Entry { time: Timestamp::default(), step: 0, value: 0, event }
    }

    #[test]
    fn who_has_most_forgets_first_and_what_was_touched_longest_ago() {
        let mut windows = Windows::default();
        for (tenant, count) in [("small", 5_u64), ("large", 100)] {
            let groups = windows.tenants.entry(tenant.try_into().unwrap()).or_default();
            for offset in 0..count {
                let group = Group { touched: offset, told: None, entries: vec![entry(offset)] };
                groups.groups.insert((1, u128::from(offset ^ 0x55)), group);
                groups.entries += 1;
                windows.entries += 1;
            }
        }
        windows.make_room(80);
        assert!(windows.entries <= 80 && windows.entries >= 70, "{}", windows.entries);
        let of = |tenant: &str| &windows.tenants.get(tenant).unwrap().groups;
        assert_eq!(of("small").len(), 5, "another tenant's flood costs it nothing");
        let oldest = of("large").values().map(|group| group.touched).min();
        assert_eq!(oldest, Some(100 - of("large").len() as u64));
        windows.keep_only(&BTreeSet::new());
        assert!(windows.entries == 0 && windows.tenants.is_empty());
    }
}
