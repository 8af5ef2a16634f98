//! The watches that are looked at, found by what an event is about: however many there are, an event is compared with
//! those only that may concern it. Pure.

use crate::alive::{Watch, WatchState};
use crate::outbox::{News, WatchKey};
use ambit_schemas::event::{Body, Event};
use ambit_schemas::id::{AgentId, CredentialId, TaskId};
use ambit_schemas::response::Action;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a watch may be met by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Subject {
    Credential(CredentialId),
    Task(TaskId),
    Root(TaskId),
    Agent(AgentId),
}

/// A watch and how far it is.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) watch: Watch,
    pub(crate) state: WatchState,
}

/// The watches.
#[derive(Debug, Default)]
pub(crate) struct Watchlist {
    /// By number, in the order in which they became known.
    watches: BTreeMap<u64, Watched>,
    numbers: HashMap<WatchKey, u64>,
    by_subject: HashMap<Subject, BTreeSet<u64>>,
    last: u64,
}

impl Watchlist {
    /// Takes in what the outbox says. What was seen of a watch since it was written down stays; when a pause is over,
    /// the outbox knows better.
    pub(crate) fn learn(&mut self, news: News) {
        let news = match news {
            News::Some(news) => news,
            News::All(all) => {
                let all: HashMap<_, _> = all.into_iter().map(|one| (key(&one.0), one)).collect();
                let gone: Vec<WatchKey> =
                    self.numbers.keys().filter(|key| !all.contains_key(*key)).cloned().collect();
                let gone = gone.into_iter().map(|key| (key, None));
                gone.chain(all.into_iter().map(|(key, one)| (key, Some(one)))).collect()
            }
        };
        for (key, stored) in news {
            match stored.filter(|(_, state)| *state != WatchState::Failed) {
                None => self.forget(&key),
                Some((watch, state)) => match self.numbers.get(&key) {
                    Some(number) => {
                        if let Some(known) = self.watches.get_mut(number) {
                            known.state = state;
                            known.watch.until = watch.until;
                        }
                    }
                    None => self.insert(key, watch, state),
                },
            }
        }
    }

    fn insert(&mut self, key: WatchKey, watch: Watch, state: WatchState) {
        self.last += 1;
        for subject in subjects(&watch) {
            self.by_subject.entry(subject).or_default().insert(self.last);
        }
        self.numbers.insert(key, self.last);
        self.watches.insert(self.last, Watched { watch, state });
    }

    fn forget(&mut self, key: &WatchKey) {
        let Some(number) = self.numbers.remove(key) else { return };
        let Some(known) = self.watches.remove(&number) else { return };
        for subject in subjects(&known.watch) {
            if let Some(numbers) = self.by_subject.get_mut(&subject) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_subject.remove(&subject);
                }
            }
        }
    }

    /// Forgets what failed, and what was confirmed and cannot be valid any more.
    pub(crate) fn forget_over(&mut self, is_over: impl Fn(&Watch) -> bool) {
        let over = self.watches.values().filter(|watched| match watched.state {
            WatchState::Open => false,
            WatchState::Confirmed => is_over(&watched.watch),
            WatchState::Failed => true,
        });
        for key in over.map(|watched| key(&watched.watch)).collect::<Vec<_>>() {
            self.forget(&key);
        }
    }

    /// The watches that an event may concern.
    pub(crate) fn met_by(&self, event: &Event) -> BTreeSet<u64> {
        let mut subjects = Vec::with_capacity(5);
        subjects.extend(event.credential_used.clone().map(Subject::Credential));
        if let Body::CredentialUsed(credential) = &event.body {
            subjects.push(Subject::Credential(credential.uid.clone()));
        }
        subjects.extend(event.agent.as_ref().map(|agent| Subject::Agent(agent.uid.clone())));
        if let Some(task) = &event.task {
            subjects.push(Subject::Task(task.id.clone()));
            subjects.push(Subject::Root(task.root.clone()));
        }
        subjects.iter().filter_map(|subject| self.by_subject.get(subject)).flatten().copied().collect()
    }

    pub(crate) fn get_mut(&mut self, number: u64) -> Option<&mut Watched> {
        self.watches.get_mut(&number)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u64, &mut Watched)> {
        self.watches.iter_mut().map(|(number, watched)| (*number, watched))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// How many are open, and how many are confirmed and watched on.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let open = self.watches.values().filter(|watched| watched.state == WatchState::Open).count();
        (open, self.watches.len() - open)
    }
}

fn key(watch: &Watch) -> WatchKey {
    (watch.response_id.clone(), watch.receiver.clone())
}

/// What events must name to concern a watch: the same cases as in [`Watch::sight`], which has the last word.
fn subjects(watch: &Watch) -> Vec<Subject> {
    let target = &watch.target;
    let mut subjects: Vec<Subject> = target.credentials.iter().cloned().map(Subject::Credential).collect();
    let is_tree = watch.action == Action::RevokeTree;
    if let Some(root) = target.root_task_id.as_ref().filter(|_| is_tree) {
        subjects.push(Subject::Root(root.clone()));
    } else if watch.action != Action::RevokeCredential || target.credentials.is_empty() {
        match (&target.task_id, &target.agent_uid) {
            (Some(task), _) => subjects.push(Subject::Task(task.clone())),
            (None, agent) => subjects.extend(agent.clone().map(Subject::Agent)),
        }
    }
    subjects
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::Timestamp;
    use ambit_schemas::event::{AgentRef, Credential, TaskRef, ToolCall};
    use ambit_schemas::response::Target;
    use serde_json::json;

    fn agent(uid: &str) -> AgentRef {
        serde_json::from_value(json!({"uid": uid})).unwrap()
    }

    fn task((id, root): (&str, &str)) -> TaskRef {
        serde_json::from_value(json!({"id": id, "root_id": root})).unwrap()
    }

    fn watch(action: Action, target: Target) -> Watch {
        Watch {
            response_id: "rsp-1".parse().unwrap(),
            finding_id: "fnd-1".parse().unwrap(),
            receiver: "idp".parse().unwrap(),
            action,
            tenant: "acme".parse().unwrap(),
            target,
            agent: None,
            task: None,
            partition: 0,
            decided_at: Timestamp::from_micros(0),
            acked_at: Timestamp::from_micros(0),
            round: 0,
            last_use: None,
            refused: 0,
            valid_until: None,
            asked: Vec::new(),
            until: None,
            shown: None,
        }
    }

    /// All that a revocation may be aimed at, with few names.
    fn watches() -> Vec<Watch> {
        let mut watches = Vec::new();
        for action in [Action::Pause, Action::RevokeCredential, Action::RevokeTask, Action::RevokeTree] {
            for credentials in [&[][..], &["key-1"], &["key-1", "key-2"]] {
                for (agent_uid, task_id, root_task_id) in
                    [None, Some("robot")].into_iter().flat_map(|agent| {
                        let tasks =
                            [(None, None), (Some("t"), None), (None, Some("r")), (Some("t"), Some("r"))];
                        tasks.map(|(task, root)| (agent, task, root))
                    })
                {
                    let target = Target {
                        agent_uid: agent_uid.map(|id| id.parse().unwrap()),
                        task_id: task_id.map(|id| id.parse().unwrap()),
                        root_task_id: root_task_id.map(|id| id.parse().unwrap()),
                        credentials: credentials.iter().map(|id| id.parse().unwrap()).collect(),
                    };
                    watches.push(watch(action, target));
                }
            }
        }
        watches
    }

    /// All that an event may be about, with the same names and others.
    fn events() -> Vec<Event> {
        let credential = |uid: &str| Box::new(Credential::new(uid.parse().unwrap(), "api_key"));
        let bodies = [
            Body::CredentialUsed(credential("key-2")),
            Body::CredentialUsed(credential("key-9")),
            Body::ToolCallRequested(Box::new(ToolCall::new("call".parse().unwrap(), "pay"))),
        ];
        let mut events = Vec::new();
        for body in bodies {
            for used in [None, Some("key-1"), Some("key-9")] {
                for of in [None, Some(("t", "r")), Some(("u", "r")), Some(("u", "s"))] {
                    for by in [None, Some("robot"), Some("other")] {
                        events.push(Event {
                            credential_used: used.map(|id| id.parse().unwrap()),
                            task: of.map(task),
                            agent: by.map(agent),
                            ..Event::new(
                                "e".parse().unwrap(),
                                "gw".parse().unwrap(),
                                Timestamp::from_micros(1),
                                "acme".parse().unwrap(),
                                body.clone(),
                            )
                        });
                    }
                }
            }
        }
        events
    }

    #[test]
    fn whatever_an_event_concerns_is_found() {
        let (mut met, mut passed_over) = (0, 0);
        for watch in watches() {
            let mut list = Watchlist::default();
            list.insert(key(&watch), watch.clone(), WatchState::Open);
            for event in events() {
                let found = !list.met_by(&event).is_empty();
                let concerned = watch.sight(&event, None).is_some();
                assert!(found || !concerned, "{watch:?} is not found by {event:?}");
                met += usize::from(found);
                passed_over += usize::from(!found);
            }
        }
        assert!(met > 0 && passed_over > met / 2, "{met} met, {passed_over} passed over");
    }

    #[test]
    fn what_was_seen_stays_and_what_is_over_goes() {
        let target = Target { task_id: Some("t".parse().unwrap()), ..Target::default() };
        let mut seen = watch(Action::RevokeTask, target);
        let (stored, key) = (seen.clone(), key(&seen));
        seen.refused = 3;
        let mut list = Watchlist::default();
        list.learn(News::All(vec![(seen, WatchState::Open)]));
        list.learn(News::Some(vec![(key.clone(), Some((stored.clone(), WatchState::Confirmed)))]));
        assert_eq!(list.counts(), (0, 1));
        assert_eq!(list.iter_mut().map(|(_, watched)| watched.watch.refused).collect::<Vec<_>>(), [3]);
        list.forget_over(|_| false);
        assert!(!list.is_empty());
        list.learn(News::Some(vec![(key.clone(), Some((stored.clone(), WatchState::Failed)))]));
        assert!(list.is_empty() && list.by_subject.is_empty() && list.numbers.is_empty());
        list.learn(News::Some(vec![(key, Some((stored, WatchState::Open)))]));
        list.learn(News::All(Vec::new()));
        assert!(list.is_empty() && list.by_subject.is_empty());
    }
}
