//! An event as rules see it: names of fields, and what they say.

use ambit_schemas::Kind;
use ambit_schemas::event::{
    Approval, Body, Credential, Decision, Delegation, Effect, EnvelopeClosed, Event, Lifecycle, SourceRecord,
    ToolCall,
};
use rsigma_eval::EventValue;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::OnceCell;

/// The categories of `logsource`, by the first word of an event's kind.
pub const CATEGORIES: &[&str] =
    &["tool_call", "credential", "task", "approval", "agent", "delegation", "decision", "source"];

/// The category of a kind; `None` for what Ambit itself says.
pub(super) fn category_of(kind: Kind) -> Option<usize> {
    let family = kind.name().split('.').next().unwrap_or_default();
    CATEGORIES.iter().position(|category| *category == family)
}

/// A field that rules may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name. One that ends in a dot stands for all that begin with it.
    pub name: &'static str,
    /// The category of the events that have it; empty for all.
    pub category: &'static str,
    /// What it says.
    pub about: &'static str,
}

/// The field of that name, if events of the category may have it.
pub(super) fn known(name: &str, category: Option<usize>) -> bool {
    let category = category.and_then(|index| CATEGORIES.get(index));
    FIELDS.iter().any(|field| {
        let is_it = if field.name.ends_with('.') {
            name.strip_prefix(field.name).is_some_and(|rest| !rest.is_empty())
        } else {
            name == field.name
        };
        is_it && (field.category.is_empty() || category.is_none_or(|category| field.category == *category))
    })
}

/// One event, as the matcher asks for it.
#[derive(Debug)]
pub(super) struct View<'a> {
    event: &'a Event,
    effect: Option<Effect>,
    arguments: OnceCell<Option<Value>>,
    document: OnceCell<Option<Value>>,
}

macro_rules! fields {
    ($view:ident; $($name:literal [$category:literal] $about:literal => $value:expr;)*) => {
        /// Every field, as `docs/sigma.md` lists them.
        pub const FIELDS: &[Field] = &[
            $(Field { name: $name, category: $category, about: $about },)*
            Field { name: "arguments.", category: "tool_call", about: "A value in the arguments, by its path: `arguments.to`, `arguments.order.amount`" },
            Field { name: "envelope.", category: "task", about: "A value in the envelope's document: `envelope.purpose`, `envelope.tools.name`" },
            Field { name: "source.original.", category: "source", about: "A value in the record of the other system" },
        ];

        impl View<'_> {
            fn named(&self, name: &str) -> Option<EventValue<'_>> {
                let $view = self;
                match name {
                    $($name => $value,)*
                    _ => None,
                }
            }
        }
    };
}

fields! { view;
    "kind" [""] "What happened: `tool_call.requested`" => text(view.event.kind().name());
    "event.id" [""] "The event's id" => text(view.event.id.as_str());
    "event.source" [""] "Who says so" => text(view.event.source.as_str());
    "event.time" [""] "When, RFC 3339 in UTC; `|hour` and its like take it" => owned(view.event.time.to_string());
    "tenant.uid" [""] "Whose it is" => text(view.event.tenant.as_str());
    "agent.uid" [""] "The agent's workload identity" => id(view.event.agent.as_ref().map(|agent| agent.uid.as_str()));
    "agent.name" [""] "Its name for people" => id(view.event.agent.as_ref().and_then(|agent| agent.name.as_deref()));
    "agent.instance_uid" [""] "The running copy" => id(view.event.agent.as_ref().and_then(|agent| agent.instance_uid.as_ref()).map(AsRef::as_ref));
    "agent.blueprint" [""] "What it is a copy of, `name@version`" => id(view.event.agent.as_ref().and_then(|agent| agent.blueprint.as_ref()).map(AsRef::as_ref));
    "task.id" [""] "The task" => id(view.event.task.as_ref().map(|task| task.id.as_str()));
    "task.root_id" [""] "The top of its delegation tree" => id(view.event.task.as_ref().map(|task| task.root.as_str()));
    "task.parent_id" [""] "The task that delegated it" => id(view.event.task.as_ref().and_then(|task| task.parent.as_ref()).map(AsRef::as_ref));
    "principal" [""] "For whom the agent acts" => id(view.event.principal.as_ref().map(AsRef::as_ref));
    "credential_used" [""] "The credential that was presented" => id(view.event.credential_used.as_ref().map(AsRef::as_ref));
    "session" [""] "The session of the agent's host" => id(view.event.session.as_deref());
    "trace.trace_id" [""] "The distributed trace" => id(view.event.trace.as_ref().map(|trace| trace.trace_id.as_str()));
    "redactions.rule" [""] "By which rules secrets were taken out" => list(view.event.redactions.iter().map(|one| one.rule.as_str()));
    "tool.name" ["tool_call"] "The tool" => id(view.call().map(|call| call.name.as_str()));
    "tool.server" ["tool_call"] "The server that offers it" => id(view.call().and_then(|call| call.server.as_deref()));
    "tool.effect" ["tool_call"] "`read`, `create`, `update`, `delete`, `execute`: as Ambit judges it, by the tool's name and what its producer says" => id(view.effect.or(view.call()?.activity).map(effect_name));
    "tool.description_sha256" ["tool_call"] "Of the tool's description as the agent saw it" => id(view.call().and_then(|call| call.description_sha256.as_deref()));
    "tool_call.id" ["tool_call"] "The call" => id(view.call().map(|call| call.id.as_str()));
    "arguments" ["tool_call"] "All arguments, as JSON text" => id(view.call().and_then(|call| call.arguments.as_ref()).map(|raw| raw.get()));
    "result" ["tool_call"] "What the tool returned, bounded and redacted" => id(view.call().and_then(|call| call.result.as_deref()));
    "result_bytes" ["tool_call"] "Length of the whole result" => number(view.call()?.result_bytes);
    "bytes_out" ["tool_call"] "Bytes that the call sent out" => number(view.call()?.bytes_out);
    "cost_micros" ["tool_call"] "What it cost, in millionths" => number(view.call()?.cost_micros);
    "duration_ms" ["tool_call"] "How long it took" => number(view.call()?.duration_ms);
    "is_error" ["tool_call"] "Whether the tool reported an error" => Some(EventValue::Bool(view.call()?.is_error));
    "error_type" ["tool_call"] "What kind of error, or why the call was denied" => id(view.call().and_then(|call| call.error_type.as_deref()));
    "credential.uid" ["credential"] "The credential, never the secret" => id(view.credential().map(|one| one.uid.as_str()));
    "credential.type" ["credential"] "Such as `oauth_access_token`" => id(view.credential().map(|one| one.credential_type.as_str()));
    "credential.issuer" ["credential"] "Who issued it" => id(view.credential().and_then(|one| one.issuer.as_deref()));
    "credential.scopes" ["credential"] "What it allows" => list(view.credential()?.scopes.iter().map(String::as_str));
    "credential.audience" ["credential"] "For whom it is meant" => list(view.credential()?.audience.iter().map(String::as_str));
    "credential.not_before" ["credential"] "From when it is valid" => owned(view.credential()?.not_before?.to_string());
    "credential.expires_at" ["credential"] "Until when it is valid" => owned(view.credential()?.expires_at?.to_string());
    "credential.ttl_seconds" ["credential"] "Seconds from its beginning, or else from the event, to its end" => ttl(view.credential()?, view.event);
    "credential.presented_by" ["credential"] "The workload that presented it" => id(view.credential().and_then(|one| one.presented_by.as_ref()).map(AsRef::as_ref));
    "credential.parent_uid" ["credential"] "What it was derived from" => id(view.credential().and_then(|one| one.parent_uid.as_ref()).map(AsRef::as_ref));
    "credential.previous_uid" ["credential"] "What it replaces" => id(view.credential().and_then(|one| one.previous_uid.as_ref()).map(AsRef::as_ref));
    "credential.resource" ["credential"] "What was reached with it" => id(view.credential().and_then(|one| one.resource.as_deref()));
    "credential.reason" ["credential"] "Why it was revoked" => id(view.credential().and_then(|one| one.reason.as_deref()));
    "closed.outcome" ["task"] "How the task ended" => id(view.closed().map(|closed| closed.outcome.as_str()));
    "closed.reason" ["task"] "Why it ended" => id(view.closed().and_then(|closed| closed.reason.as_deref()));
    "approval.request_id" ["approval"] "The request" => id(view.approval().map(|one| one.request_id.as_str()));
    "approval.tool" ["approval"] "The tool for which it is wanted" => id(view.approval().map(|one| one.tool.as_str()));
    "approval.tool_call_id" ["approval"] "The call for which it is wanted" => id(view.approval().and_then(|one| one.tool_call_id.as_ref()).map(AsRef::as_ref));
    "approval.approver" ["approval"] "Who decided" => id(view.approval().and_then(|one| one.approver.as_ref()).map(AsRef::as_ref));
    "approval.approved_until" ["approval"] "Until when it holds" => owned(view.approval()?.approved_until?.to_string());
    "approval.justification" ["approval"] "Why" => id(view.approval().and_then(|one| one.justification.as_deref()));
    "lifecycle.owner" ["agent"] "Who answers for the agent" => id(view.lifecycle().and_then(|one| one.owner.as_ref()).map(AsRef::as_ref));
    "lifecycle.parent_agent_uid" ["agent"] "What it was copied from" => id(view.lifecycle().and_then(|one| one.parent_agent_uid.as_ref()).map(AsRef::as_ref));
    "lifecycle.previous_task_id" ["agent"] "The task it had before" => id(view.lifecycle().and_then(|one| one.previous_task_id.as_ref()).map(AsRef::as_ref));
    "lifecycle.attempt" ["agent"] "Which try this is" => number(view.lifecycle()?.attempt.map(u64::from));
    "lifecycle.reason" ["agent"] "Why" => id(view.lifecycle().and_then(|one| one.reason.as_deref()));
    "delegation.child_task_id" ["delegation"] "The task that is handed on" => id(view.delegation().map(|one| one.child_task_id.as_str()));
    "delegation.delegator" ["delegation"] "Who hands it on" => id(view.delegation().map(|one| one.delegator.as_str()));
    "delegation.delegatee" ["delegation"] "Who gets it" => id(view.delegation().map(|one| one.delegatee.as_str()));
    "delegation.depth" ["delegation"] "How many hands it has been through" => number(Some(u64::from(view.delegation()?.depth)));
    "delegation.tools" ["delegation"] "The tools the child may use" => list(view.delegation()?.tools.iter().map(String::as_str));
    "delegation.scopes" ["delegation"] "The scopes the child may use" => list(view.delegation()?.scopes.iter().map(String::as_str));
    "delegation.expires_at" ["delegation"] "Until when" => owned(view.delegation()?.expires_at?.to_string());
    "decision.evaluation_id" ["decision"] "The evaluation" => id(view.decision().map(|one| one.evaluation_id.as_str()));
    "decision.allowed" ["decision"] "Allowed or not" => Some(EventValue::Bool(view.decision()?.decision));
    "decision.tool_call_id" ["decision"] "The call it is about" => id(view.decision().and_then(|one| one.tool_call_id.as_ref()).map(AsRef::as_ref));
    "decision.policy" ["decision"] "The policy, with its version" => id(view.decision().and_then(|one| one.policy.as_deref()));
    "decision.reason" ["decision"] "Why" => id(view.decision().and_then(|one| one.reason.as_deref()));
    "decision.decided_by" ["decision"] "`config`, `hook`, `classifier`, `user`" => id(view.decision().and_then(|one| one.decided_by.as_deref()));
    "source.format" ["source"] "The format it was read as" => id(view.record().map(|one| one.format.as_str()));
    "source.record_type" ["source"] "What it calls itself there" => id(view.record().and_then(|one| one.record_type.as_deref()));
    "source.reason" ["source"] "Why it became nothing else" => id(view.record().map(|one| one.reason.as_str()));
}

#[expect(clippy::unnecessary_wraps, reason = "as fields are given")]
fn text(text: &str) -> Option<EventValue<'_>> {
    Some(EventValue::Str(Cow::Borrowed(text)))
}

#[expect(clippy::unnecessary_wraps, reason = "as fields are given")]
fn owned(text: String) -> Option<EventValue<'static>> {
    Some(EventValue::Str(Cow::Owned(text)))
}

fn id(found: Option<&str>) -> Option<EventValue<'_>> {
    found.and_then(text)
}

/// A list without members is no field.
fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Option<EventValue<'a>> {
    let members: Vec<_> = texts.filter_map(text).collect();
    if members.is_empty() { None } else { Some(EventValue::Array(members)) }
}

fn number(found: Option<u64>) -> Option<EventValue<'static>> {
    found.map(|number| EventValue::Int(i64::try_from(number).unwrap_or(i64::MAX)))
}

const fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Read => "read",
        Effect::Create => "create",
        Effect::Update => "update",
        Effect::Delete => "delete",
        Effect::Execute => "execute",
    }
}

fn ttl(credential: &Credential, event: &Event) -> Option<EventValue<'static>> {
    let begins = credential.not_before.unwrap_or(event.time);
    Some(EventValue::Int(credential.expires_at?.micros_since(begins).div_euclid(1_000_000)))
}

macro_rules! bodies {
    ($($method:ident -> $payload:ty: $($kind:ident)|+;)*) => {
        impl View<'_> {
            $(fn $method(&self) -> Option<&$payload> {
                if let $(Body::$kind(payload))|+ = &self.event.body { Some(payload) } else { None }
            })*
        }
    };
}

bodies! {
    call -> ToolCall: ToolCallRequested | ToolCallCompleted | ToolCallDenied;
    credential -> Credential: CredentialIssued | CredentialUsed | CredentialRotated | CredentialRevoked | CredentialExpired;
    closed -> EnvelopeClosed: EnvelopeClosed;
    approval -> Approval: ApprovalRequested | ApprovalApproved | ApprovalDenied | ApprovalExpired | ApprovalCancelled;
    lifecycle -> Lifecycle: AgentCreated | AgentCloned | AgentPaused | AgentResumed | AgentRetried | AgentRetasked | AgentOffboarded;
    delegation -> Delegation: DelegationGranted | DelegationRevoked;
    decision -> Decision: DecisionEvaluated;
    record -> SourceRecord: SourceRecorded;
}

impl<'a> View<'a> {
    /// `effect` is what the call does, where that was found out.
    pub(super) fn new(event: &'a Event, effect: Option<Effect>) -> Self {
        Self { event, effect, arguments: OnceCell::new(), document: OnceCell::new() }
    }

    fn arguments(&self) -> Option<&Value> {
        let read = || serde_json::from_str(self.call()?.arguments.as_ref()?.get()).ok();
        self.arguments.get_or_init(read).as_ref()
    }

    /// The document that an event carries: an envelope, or a record of another system.
    fn document(&self) -> Option<&Value> {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others carry none")]
        let raw = || match &self.event.body {
            Body::EnvelopeProposed(signed)
            | Body::EnvelopeApproved(signed)
            | Body::EnvelopeAmended(signed) => Some(signed.document.get()),
            Body::SourceRecorded(record) => record.original.as_ref().map(|raw| raw.get()),
            _ => None,
        };
        self.document.get_or_init(|| serde_json::from_str(raw()?).ok()).as_ref()
    }

    fn within(&self, path: &str) -> Option<EventValue<'_>> {
        if let Some(rest) = path.strip_prefix("arguments.") {
            return resolve(self.arguments()?, rest);
        }
        if let Some(rest) = path.strip_prefix("envelope.") {
            return resolve(self.document().filter(|_| self.record().is_none())?, rest);
        }
        let rest = path.strip_prefix("source.original.")?;
        resolve(self.document().filter(|_| self.record().is_some())?, rest)
    }
}

/// The value at a dotted path. A name with dots in it is found as it is; a list gives what its members have.
fn resolve<'v>(value: &'v Value, path: &str) -> Option<EventValue<'v>> {
    let mut found = Vec::new();
    collect(value, path, &mut found);
    if found.len() > 1 { Some(EventValue::Array(found)) } else { found.pop() }
}

fn collect<'v>(value: &'v Value, path: &str, found: &mut Vec<EventValue<'v>>) {
    match value {
        Value::Object(fields) => {
            if let Some(value) = fields.get(path) {
                found.push(EventValue::from(value));
            } else if let Some((head, rest)) = path.split_once('.')
                && let Some(value) = fields.get(head)
            {
                collect(value, rest, found);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| collect(member, path, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Every text in a value, its names left out.
fn texts<'v>(value: &EventValue<'v>, take: &mut dyn FnMut(&str)) {
    match value {
        EventValue::Str(text) => take(text),
        EventValue::Array(members) => members.iter().for_each(|member| texts(member, take)),
        EventValue::Map(fields) => fields.iter().for_each(|(_, value)| texts(value, take)),
        EventValue::Int(_) | EventValue::Float(_) | EventValue::Bool(_) | EventValue::Null => {}
    }
}

impl rsigma_eval::Event for View<'_> {
    fn get_field(&self, path: &str) -> Option<EventValue<'_>> {
        self.named(path).or_else(|| self.within(path))
    }

    fn any_string_value(&self, holds: &dyn Fn(&str) -> bool) -> bool {
        let mut any = false;
        self.visit_string_values(&mut |text| any = any || holds(text));
        any
    }

    fn all_string_values(&self) -> Vec<Cow<'_, str>> {
        let mut all = Vec::new();
        self.visit_string_values(&mut |text| all.push(Cow::Owned(text.to_owned())));
        all
    }

    fn visit_string_values(&self, visit: &mut dyn FnMut(&str)) {
        for field in FIELDS.iter().filter(|field| !field.name.ends_with('.') && field.name != "arguments") {
            if let Some(value) = self.named(field.name) {
                texts(&value, visit);
            }
        }
        for document in [self.arguments(), self.document()].into_iter().flatten() {
            texts(&EventValue::from(document), visit);
        }
    }

    fn to_json(&self) -> Value {
        let whole = FIELDS.iter().filter_map(|field| Some((field.name, self.named(field.name)?)));
        let fields = whole.map(|(name, value)| (name.to_owned(), value.to_json()));
        Value::Object(fields.collect())
    }
}
