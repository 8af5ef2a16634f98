//! Whether what was revoked or paused is alive: what events say of it. Pure: no clock, no I/O.
//!
//! ```text
//!            acknowledged                no use within `confirm_after_seconds` of stream time
//! delivered ------------> [open] ------------------------------------------------> [confirmed]
//!                           |  a use after the acknowledgement, grace included         |
//!                           +----------------------> [failed] <------------------------+
//! ```
//! A use is a credential that was presented, a call that was answered, work that was handed on. A call that was asked for
//! is one unless it is refused soon: an agent that asks in vain has been cut off. A use within the grace was on its
//! way; it moves the moment of effect. A confirmed revocation is watched on until nothing that was revoked can be valid
//! any more, a pause until it is over. What was used in a pause counts only once a restore would have been heard of.

use ambit_schemas::Timestamp;
use ambit_schemas::event::{AgentRef, Body, Event, TaskRef};
use ambit_schemas::finding::EventRef;
use ambit_schemas::id::{CredentialId, FindingId, ReceiverId, ResponseId, TenantId, ToolCallId};
use ambit_schemas::response::{Action, Target};
use serde::{Deserialize, Serialize};

/// The rule whose findings say that a revocation had no effect.
pub const RULE_ALIVE: &str = "V-ALIVE";
/// Its version: changes whenever its verdicts may.
pub(crate) const RULE_ALIVE_VERSION: u32 = 2;
/// How long a call may have run whose end says nothing of its beginning: such an end counts as a use only later.
const CALL_MAX_US: i64 = 60_000_000;
/// How long a refusal may take, and word of a restore. A call that was neither answered nor refused by then is a use.
const REFUSAL_MAX_US: i64 = 10_000_000;
/// Most sights of one watch that wait; one of them is enough to tell.
const ASKED_MAX: usize = 32;

/// How long revocations are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WatchOptions {
    /// Seconds of stream time without a use after which a revocation counts as effective.
    pub confirm_after_seconds: u32,
    /// Seconds after the acknowledgement in which a use was on its way: clocks differ, and calls had begun.
    pub grace_seconds: u32,
    /// Seconds for which it is watched on when nobody knows how long the credentials are valid.
    pub keep_watching_seconds: u32,
}

impl Default for WatchOptions {
    fn default() -> Self {
        Self { confirm_after_seconds: 60, grace_seconds: 5, keep_watching_seconds: 86_400 }
    }
}

/// How far a revocation is, once acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchState {
    /// Nobody knows yet.
    Open,
    /// No use was seen.
    Confirmed,
    /// A use was seen.
    Failed,
}

impl WatchState {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Confirmed => "confirmed",
            Self::Failed => "failed",
        }
    }
}

/// A revocation or a pause that one receiver has acknowledged, and what was seen since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// The response.
    pub response_id: ResponseId,
    /// The finding behind it.
    pub finding_id: FindingId,
    /// Who acknowledged.
    pub receiver: ReceiverId,
    /// What was asked for.
    pub action: Action,
    /// Whose agent it is.
    pub tenant: TenantId,
    /// What was cut off.
    pub target: Target,
    /// The agent.
    pub agent: Option<AgentRef>,
    /// The task.
    pub task: Option<TaskRef>,
    /// The partition in which the tree's events stand.
    pub partition: u32,
    /// When it was decided.
    pub decided_at: Timestamp,
    /// When it was acknowledged.
    pub acked_at: Timestamp,
    /// How many revocations before it had no effect.
    pub round: u32,
    /// The latest use that was on its way.
    pub last_use: Option<Timestamp>,
    /// Actions that were refused since.
    pub refused: u32,
    /// Until when a credential of it is valid, as far as known.
    pub valid_until: Option<Timestamp>,
    /// Calls that were asked for since, and neither answered nor refused yet; and uses of what may be restored.
    #[serde(default)]
    pub asked: Vec<Asked>,
    /// When a pause is over, of itself or because it was lifted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    /// What the receiver saw when it looked for the effect itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<String>,
}

/// A call that was asked for, or a use that waits to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Which call; none: it was used, whatever becomes of calls.
    pub call: Option<ToolCallId>,
    /// When.
    pub at: Timestamp,
    /// The event that says so.
    pub event: EventRef,
}

/// What an event says of something that was revoked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// It was used then.
    Use(Timestamp),
    /// It was asked for then.
    Asked(&'a ToolCallId, Timestamp),
    /// A call was answered that began then, as far as known.
    Answered(&'a ToolCallId, Timestamp),
    /// A use was refused, or had no success: a sign of effect.
    Refused(Option<&'a ToolCallId>),
}

/// It is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// When it was used.
    pub at: Timestamp,
    /// The event that shows it.
    pub event: EventRef,
}

impl Watch {
    /// What an event says of this revocation. `broker_time` is when Kafka had the record: nobody uses later than that
    /// what is told then, so a producer whose clock is ahead does not make a revocation fail.
    pub fn sight<'a>(&self, event: &'a Event, broker_time: Option<Timestamp>) -> Option<Sight<'a>> {
        // INVARIANT Q-3
        if event.tenant != self.tenant || !self.concerns(event) {
            return None;
        }
        let at = broker_time.map_or(event.time, |broker| broker.min(event.time));
        #[allow(clippy::wildcard_enum_match_arm, reason = "only actions are uses")]
        match &event.body {
            Body::DelegationGranted(_) | Body::CredentialUsed(_) => Some(Sight::Use(at)),
            Body::ToolCallRequested(call) => Some(Sight::Asked(&call.id, at)),
            Body::ToolCallCompleted(call) if !call.is_error => {
                let lasted = call.duration_ms.and_then(|ms| i64::try_from(ms).ok()?.checked_mul(1_000));
                Some(Sight::Answered(&call.id, at.plus_micros(-lasted.unwrap_or(CALL_MAX_US))))
            }
            Body::ToolCallDenied(call) | Body::ToolCallCompleted(call) => {
                Some(Sight::Refused(Some(&call.id)))
            }
            Body::DecisionEvaluated(decision) if !decision.decision => {
                Some(Sight::Refused(decision.tool_call_id.as_ref()))
            }
            _ => None,
        }
    }

    fn concerns(&self, event: &Event) -> bool {
        let presented = |id: &CredentialId| self.target.credentials.contains(id);
        #[allow(clippy::wildcard_enum_match_arm, reason = "only these name a credential of their own")]
        let used = match &event.body {
            Body::CredentialUsed(credential) => presented(&credential.uid),
            _ => false,
        };
        // A pause ends no credential: what others do with it is not forbidden.
        let revoked = self.action != Action::Pause;
        if revoked && (used || event.credential_used.as_ref().is_some_and(presented)) {
            return true;
        }
        let (task, target) = (event.task.as_ref(), &self.target);
        let agent = || match (&event.agent, &target.agent_uid) {
            (Some(agent), Some(wanted)) => agent.uid == *wanted,
            _ => false,
        };
        let in_task = || task.map(|task| &task.id) == target.task_id.as_ref();
        if self.action == Action::RevokeTree && target.root_task_id.is_some() {
            return task.map(|task| &task.root) == target.root_task_id.as_ref();
        }
        if self.action == Action::RevokeCredential && !target.credentials.is_empty() {
            // What it holds is known: other credentials of the agent are not revoked.
            return false;
        }
        if target.task_id.is_none() {
            return agent();
        }
        let all_of_it = matches!(self.action, Action::RevokeTask | Action::RevokeTree);
        in_task() && (all_of_it || target.agent_uid.is_none() || agent())
    }

    /// Takes a sight in; what shows that it is alive.
    pub fn take(&mut self, sight: Sight<'_>, event: EventRef, options: &WatchOptions) -> Option<Alive> {
        match sight {
            Sight::Use(at) => self.used(at, event, options),
            Sight::Answered(call, at) => {
                let asked = self.answered(call);
                let (at, event) = asked.map_or((at, event), |asked| (asked.at, asked.event));
                self.used(at, event, options)
            }
            Sight::Asked(call, at) => {
                self.wait(Some(call.clone()), at, event);
                None
            }
            Sight::Refused(call) => {
                if let Some(call) = call {
                    self.answered(call);
                }
                self.refused = self.refused.saturating_add(1);
                None
            }
        }
    }

    fn answered(&mut self, call: &ToolCallId) -> Option<Asked> {
        let at = self.asked.iter().position(|asked| asked.call.as_ref() == Some(call))?;
        Some(self.asked.remove(at))
    }

    fn wait(&mut self, call: Option<ToolCallId>, at: Timestamp, event: EventRef) {
        if at > self.acked_at && self.asked.len() < ASKED_MAX {
            self.asked.push(Asked { call, at, event });
        }
    }

    fn used(&mut self, at: Timestamp, event: EventRef, options: &WatchOptions) -> Option<Alive> {
        let alive = self.weigh(at, event, options)?;
        if self.action != Action::Pause {
            return Some(alive);
        }
        self.wait(None, alive.at, alive.event);
        None
    }

    /// Whether a use then shows that it is alive. One that was on its way moves the moment of effect.
    fn weigh(&mut self, at: Timestamp, event: EventRef, options: &WatchOptions) -> Option<Alive> {
        if at <= self.acked_at || self.until.is_some_and(|until| at >= until) {
            return None;
        }
        if at.micros_since(self.acked_at) > seconds(options.grace_seconds) {
            return Some(Alive { at, event });
        }
        self.last_use = self.last_use.max(Some(at));
        None
    }

    /// A call that was not refused in time, or a use of what was not restored, when the stream has come so far.
    pub fn overdue(&mut self, now: Timestamp, options: &WatchOptions) -> Option<Alive> {
        while let Some(at) = self.asked.iter().position(|asked| now.micros_since(asked.at) > REFUSAL_MAX_US) {
            let Asked { at, event, .. } = self.asked.remove(at);
            if let Some(alive) = self.weigh(at, event, options) {
                return Some(alive);
            }
        }
        None
    }

    /// Whether nothing is left to wait for but time.
    pub fn is_settled(&self) -> bool {
        self.asked.is_empty()
    }

    /// From when stream time the revocation counts as effective.
    pub fn ripe_at(&self, options: &WatchOptions) -> Timestamp {
        let ripe = self
            .effective_at()
            .plus_micros(seconds(options.confirm_after_seconds.max(options.grace_seconds)));
        self.until.map_or(ripe, |until| until.min(ripe))
    }

    /// When the effect began: with the acknowledgement, or with the last use that was seen.
    pub fn effective_at(&self) -> Timestamp {
        self.last_use.map_or(self.acked_at, |used| used.max(self.acked_at))
    }

    /// Until when it is watched.
    pub fn ends_at(&self, options: &WatchOptions) -> Timestamp {
        let longest = self.acked_at.plus_micros(seconds(options.keep_watching_seconds));
        let ends = self.valid_until.into_iter().chain(self.until);
        ends.fold(longest, Timestamp::min).max(self.ripe_at(options))
    }

    /// For how many seconds after the acknowledgement a credential stays valid where nobody asks its issuer.
    pub fn residual_seconds(&self) -> Option<u64> {
        let left = self.valid_until?.micros_since(self.acked_at).div_euclid(1_000_000);
        u64::try_from(left).ok().filter(|seconds| *seconds > 0)
    }

    /// What is said when no use was seen. `idle`: the stream stood still, so that the machine's clock decided.
    pub fn evidence(&self, options: &WatchOptions, idle: bool) -> String {
        let clock = if idle { "by the machine's clock, the stream being idle" } else { "of stream time" };
        let short = self.until.is_some_and(|until| until <= self.ripe_at(options));
        let mut text = if short {
            "no use until the pause was over".to_owned()
        } else {
            format!("no use in {} s {clock}", options.confirm_after_seconds)
        };
        if self.last_use.is_some() {
            text.push_str(" after the last that was on its way");
        }
        let refused = match self.refused {
            0 => String::new(),
            refused => format!("; {refused} refused since the acknowledgement"),
        };
        let shown =
            self.shown.as_ref().map_or_else(String::new, |shown| format!("; {} saw {shown}", self.receiver));
        text + &refused + &shown
    }

    /// What is said of a use.
    pub fn evidence_of_use(&self, Alive { at, event }: &Alive) -> String {
        let after = at.micros_since(self.acked_at).max(0) / 1_000;
        format!(
            "used {}.{:03} s after {} had acknowledged: event {} in {} at offset {}",
            after / 1_000,
            after % 1_000,
            self.receiver,
            event.id,
            event.shard,
            event.offset
        )
    }
}

fn seconds(seconds: u32) -> i64 {
    i64::from(seconds) * 1_000_000
}
