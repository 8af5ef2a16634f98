//! A seeded fleet of agents: the same seed, run and start give the same events, bit for bit.
//!
//! Agents get tasks, credentials and approvals, delegate, and do what they should; now and then one is attacked, and
//! what happened is told beside the events as ground truth. Demo, tests and benches are driven by it.

mod attack;
mod fleet;
mod script;

mod play;

pub use attack::{Attack, Truth};
pub use play::{Pace, Played, Told, now, play};

use ambit_schemas::id::TaskId;
use ambit_schemas::{Event, Timestamp};
use ed25519_dalek::SigningKey;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use script::Script;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

/// What to simulate.
#[derive(Debug, Clone)]
pub struct Options {
    /// The seed of every choice.
    pub seed: u64,
    /// Which run of that seed: makes ids differ from start to start.
    pub run: String,
    /// The tenant.
    pub tenant: String,
    /// How many instances of each blueprint there are.
    pub instances: u32,
    /// Tasks begun per minute of simulated time.
    pub tasks_per_minute: u32,
    /// Of this many tasks one is attacked; 0 for never.
    pub attack_every: u32,
    /// The number of the first task that is attacked, from 0.
    pub first_attack: u32,
    /// When the first task begins.
    pub start: Timestamp,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            run: "run-0".into(),
            tenant: "acme".into(),
            instances: 3,
            tasks_per_minute: 60,
            attack_every: 20,
            first_attack: 6,
            start: Timestamp::from_micros(1_795_683_600_000_000),
        }
    }
}

/// One event of the simulation. The truth stands beside the event that completes the breach.
#[derive(Debug, Clone)]
pub struct Simulated {
    /// The event.
    pub event: Event,
    /// What it is, if it is not what a human approved.
    pub truth: Option<Truth>,
}

/// An endless stream of events in order of time.
#[derive(Debug)]
pub struct Simulation {
    options: Options,
    approver: SigningKey,
    rng: SmallRng,
    next_task: u32,
    next_start: Timestamp,
    queue: BinaryHeap<Reverse<Queued>>,
    revoked: HashSet<TaskId>,
    sequence: u64,
}

#[derive(Debug)]
struct Queued {
    time: Timestamp,
    sequence: u64,
    simulated: Simulated,
}

impl PartialEq for Queued {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Queued {}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.time, self.sequence).cmp(&(other.time, other.sequence))
    }
}

impl Simulation {
    /// A simulation whose envelopes are signed with `approver`.
    pub fn new(options: Options, approver: SigningKey) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(options.seed),
            next_start: options.start,
            options,
            approver,
            next_task: 0,
            queue: BinaryHeap::new(),
            revoked: HashSet::new(),
            sequence: 0,
        }
    }

    /// What an agent does when its task is taken from it: its remaining events do not happen, its credentials are
    /// revoked, it is paused. `next` is the event that was taken out last and has not happened yet. Returns what
    /// happens instead, dated `now`.
    pub fn revoke(&mut self, root: &TaskId, next: &Event, now: Timestamp) -> Vec<Event> {
        if !self.revoked.insert(root.clone()) {
            return Vec::new();
        }
        let of_task =
            |queued: &Queued| queued.simulated.event.task.as_ref().is_some_and(|task| task.root == *root);
        let (cut, rest): (Vec<_>, Vec<_>) = self.queue.drain().partition(|Reverse(queued)| of_task(queued));
        self.queue = rest.into();
        let earliest = cut.into_iter().map(|Reverse(queued)| queued).min();
        let of_root = next.task.as_ref().is_some_and(|task| task.root == *root);
        let first =
            if of_root { Some(next) } else { earliest.as_ref().map(|queued| &queued.simulated.event) };
        first.map_or_else(Vec::new, |event| script::after_revocation(event, now))
    }

    fn begin_task(&mut self) {
        let number = self.next_task;
        self.next_task += 1;
        let start = self.next_start;
        let every = 60_000_000 / i64::from(self.options.tasks_per_minute.max(1));
        self.next_start = start.plus_micros(every * self.rng.random_range(50..150) / 100);
        let attack = (self.options.attack_every > 0
            && number >= self.options.first_attack
            && (number - self.options.first_attack).is_multiple_of(self.options.attack_every))
        .then(|| Attack::nth((number - self.options.first_attack) / self.options.attack_every));
        let instance = self.rng.random_range(0..self.options.instances.max(1));
        let mut script = Script::new(&self.options, &self.approver, number, instance, start);
        let mut rng = SmallRng::seed_from_u64(self.options.seed ^ (u64::from(number) << 20));
        match attack {
            Some(attack) => attack::write(attack, &mut script, &mut rng),
            None => fleet::write(&mut script, &mut rng),
        }
        for simulated in script.finish() {
            self.sequence += 1;
            let time = simulated.event.time;
            self.queue.push(Reverse(Queued { time, sequence: self.sequence, simulated }));
        }
    }
}

impl Iterator for Simulation {
    type Item = Simulated;

    fn next(&mut self) -> Option<Simulated> {
        // A task's events are never earlier than its start: what is queued before the next start is complete.
        while self.queue.peek().is_none_or(|Reverse(queued)| queued.time >= self.next_start) {
            self.begin_task();
        }
        self.queue.pop().map(|Reverse(queued)| queued.simulated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::{Kind, Record, Shard, Topic, decode, encode};

    fn take(seed: u64, count: usize) -> Vec<Simulated> {
        let options = Options { seed, attack_every: 4, first_attack: 1, ..Options::default() };
        Simulation::new(options, SigningKey::from_bytes(&[7; 32])).take(count).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
        let bytes = |seed| take(seed, 500).iter().map(|one| encode(&one.event).unwrap()).collect::<Vec<_>>();
        assert_eq!(bytes(3), bytes(3));
        assert_ne!(bytes(3), bytes(4));
    }

    #[test]
    fn every_event_is_valid_unique_and_in_order() {
        let mut seen = HashSet::new();
        let mut last = Timestamp::from_micros(0);
        for one in take(5, 5_000) {
            let outgoing = encode(&one.event).unwrap();
            let record = Record {
                shard: Shard::new(Topic::Events, 0),
                offset: 0,
                timestamp_us: one.event.time.micros(),
                key: Some(outgoing.key),
                headers: outgoing.headers,
                value: Some(outgoing.value),
            };
            decode(&record).unwrap();
            assert!(seen.insert(one.event.id.clone()), "{} twice", one.event.id);
            assert!(one.event.time >= last);
            last = one.event.time;
        }
    }

    #[test]
    fn all_attacks_and_the_kinds_of_a_fleet_appear() {
        let all = take(9, 5_000);
        for attack in Attack::ALL {
            assert!(
                all.iter().any(|one| one.truth.as_ref().is_some_and(|truth| truth.attack == attack)),
                "{attack:?}"
            );
        }
        for kind in [
            Kind::AgentCreated,
            Kind::CredentialIssued,
            Kind::CredentialUsed,
            Kind::EnvelopeApproved,
            Kind::EnvelopeClosed,
            Kind::ToolCallRequested,
            Kind::ToolCallCompleted,
            Kind::ApprovalApproved,
            Kind::DelegationGranted,
        ] {
            assert!(all.iter().any(|one| one.event.kind() == kind), "{kind}");
        }
    }

    #[test]
    fn nobody_is_told_of_a_fleet_that_does_as_it_should_whoever_it_belongs_to() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let options = ambit_analytics::Options {
            approver_keys: vec![key.verifying_key()],
            ..ambit_analytics::Options::default()
        };
        let shard = ambit_schemas::Shard::new(ambit_schemas::Topic::Events, 0);
        let mut analyzer = ambit_analytics::Analyzer::new(shard, std::sync::Arc::new(options));
        let fleet = Options { tenant: "globex".into(), attack_every: 0, ..Options::default() };
        for one in Simulation::new(fleet, key).take(3_000) {
            let offset = analyzer.next_offset();
            let findings = analyzer.observe(&ambit_schemas::Sequenced { shard, offset, item: one.event });
            assert!(findings.is_empty(), "{findings:?}");
        }
    }

    #[test]
    fn a_revoked_task_does_nothing_more() {
        let options = Options { attack_every: 1, first_attack: 0, ..Options::default() };
        let mut simulation = Simulation::new(options, SigningKey::from_bytes(&[7; 32]));
        let bad = simulation.find(|one| one.truth.is_some()).unwrap();
        let root = bad.event.task.clone().unwrap().root;
        let after = simulation.revoke(&root, &bad.event, bad.event.time);
        assert!(after.iter().any(|event| event.kind() == Kind::CredentialRevoked));
        assert!(simulation.revoke(&root, &bad.event, bad.event.time).is_empty());
        assert!(simulation.take(2_000).all(|one| one.event.task.is_none_or(|task| task.root != root)));
    }
}
