//! The events of one task, written in the order in which they happen.

use super::{Options, Simulated, Truth};
use ambit_schemas::envelope::{
    ApprovalRule, Budgets, CredentialGrant, DelegationBounds, Envelope, FlowBounds, Principal,
    SignedEnvelope, ToolGrant, Window,
};
use ambit_schemas::event::{
    AgentRef, Approval, Body, Credential, Delegation, Effect, EnvelopeClosed, Lifecycle, TaskRef, ToolCall,
};
use ambit_schemas::finding::stable_id;
use ambit_schemas::id::{AgentId, CredentialId, EventId, TaskId};
use ambit_schemas::{Event, Timestamp};
use ed25519_dalek::SigningKey;
use serde_json::Value;
use serde_json::value::to_raw_value;

/// How long credentials of simulated agents live.
const CREDENTIAL_SECONDS: i64 = 900;
/// Who says so.
const SOURCE: &str = "ambit/simulator";

/// What a human approves for a task; the rest of the envelope is the same for all.
#[derive(Debug, Clone, Default)]
pub(super) struct Bounds {
    pub(super) purpose: String,
    pub(super) tools: Vec<ToolGrant>,
    pub(super) destinations: Option<Vec<String>>,
    pub(super) resources: Option<Vec<String>>,
    pub(super) scopes: Vec<String>,
    pub(super) delegates: Vec<String>,
    pub(super) approvals: Vec<String>,
    pub(super) budgets: Budgets,
}

/// A tool grant without constraints.
pub(super) fn tool(name: &str) -> ToolGrant {
    ToolGrant {
        name: name.into(),
        server: None,
        arguments: Vec::new(),
        max_calls: None,
        description_sha256: None,
    }
}

/// One task on its way to becoming events.
#[derive(Debug)]
pub(super) struct Script<'a> {
    options: &'a Options,
    approver: &'a SigningKey,
    number: u32,
    instance: u32,
    now: Timestamp,
    start: Timestamp,
    count: u32,
    calls: u32,
    blueprint: &'static str,
    agent: Option<AgentRef>,
    task: Option<TaskRef>,
    credential: Option<CredentialId>,
    events: Vec<Simulated>,
}

/// Ids made here are plain short texts, which always are ids.
pub(super) fn id<T: TryFrom<String>>(text: String) -> T {
    T::try_from(text).unwrap_or_else(|_| unreachable!("simulated ids are well-formed"))
}

impl<'a> Script<'a> {
    pub(super) fn new(
        options: &'a Options,
        approver: &'a SigningKey,
        number: u32,
        instance: u32,
        start: Timestamp,
    ) -> Self {
        Self {
            options,
            approver,
            number,
            instance,
            now: start,
            start,
            count: 0,
            calls: 0,
            blueprint: "",
            agent: None,
            task: None,
            credential: None,
            events: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Vec<Simulated> {
        self.events
    }

    /// Which task of the simulation this is.
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// Lets time pass.
    pub(super) fn wait(&mut self, milliseconds: i64) {
        self.now = self.now.plus_micros(milliseconds * 1_000);
    }

    /// All agents of a blueprint, as an envelope names them.
    pub(super) fn any_of(&self, blueprint: &str) -> String {
        format!("spiffe://{}.example/agent/{blueprint}-*", self.options.tenant)
    }

    /// Who acts from here on.
    pub(super) fn agent(&mut self, blueprint: &'static str) -> AgentId {
        self.blueprint = blueprint;
        let tenant = &self.options.tenant;
        let name = format!("{blueprint}-{}", self.instance + 1);
        let uid: AgentId = id(format!("spiffe://{tenant}.example/agent/{name}"));
        self.agent = Some(AgentRef {
            uid: uid.clone(),
            instance_uid: Some(id(format!("{name}.{}", self.options.run))),
            blueprint: Some(id(format!("{blueprint}@1"))),
            name: Some(name),
        });
        uid
    }

    fn task_id(&self, suffix: &str) -> TaskId {
        id(format!("task-{}-{}{suffix}", self.options.run, self.number))
    }

    /// A task begins: its agent is started, its envelope approved, a credential issued.
    pub(super) fn begin(&mut self, blueprint: &'static str, bounds: Bounds) {
        self.agent(blueprint);
        let task = self.task_id("");
        self.task = Some(TaskRef { id: task.clone(), root: task, parent: None });
        let owner = Some(id("emma.johnson".to_owned()));
        self.push(Body::AgentCreated(Lifecycle { owner, ..Lifecycle::default() }));
        self.wait(40);
        self.approve(bounds);
    }

    /// Approves bounds for the present task and agent, and issues the credential.
    pub(super) fn approve(&mut self, bounds: Bounds) {
        let (Some(agent), Some(task)) = (self.agent.clone(), self.task.clone()) else {
            return;
        };
        let scopes = bounds.scopes.clone();
        let envelope = Envelope {
            id: id(format!("env-{}", task.id)),
            version: 1,
            task_id: task.id,
            agent_uid: agent.uid,
            purpose: bounds.purpose,
            principal: Some(Principal {
                name: "Emma Johnson".into(),
                addresses: vec![format!("emma.johnson@{}.example", self.options.tenant)],
            }),
            approved_by: id("emma.johnson".to_owned()),
            tools: bounds.tools,
            unlisted_effects: vec![Effect::Read],
            effects: None,
            destinations: bounds.destinations,
            resources: bounds.resources,
            data_classes: None,
            credentials: vec![CredentialGrant {
                issuer: self.issuer(),
                scopes: scopes.clone(),
                max_ttl_seconds: Some(CREDENTIAL_SECONDS.unsigned_abs()),
            }],
            budgets: bounds.budgets,
            window: Window {
                not_before: Some(self.start.plus_micros(-60_000_000)),
                not_after: Some(self.start.plus_micros(3_600_000_000)),
            },
            delegation: DelegationBounds {
                max_depth: u32::from(!bounds.delegates.is_empty()),
                delegates: bounds.delegates,
            },
            approvals: bounds
                .approvals
                .into_iter()
                .map(|tool| ApprovalRule { tool, approvers: Vec::new(), valid_seconds: Some(300) })
                .collect(),
            flow: FlowBounds::default(),
        };
        let Ok(signed) = SignedEnvelope::sign(&envelope, self.approver) else {
            return;
        };
        self.push(Body::EnvelopeApproved(Box::new(signed)));
        self.wait(30);
        self.issue(scopes);
    }

    fn issuer(&self) -> String {
        format!("https://idp.{}.example", self.options.tenant)
    }

    fn issue(&mut self, scopes: Vec<String>) {
        let uid: CredentialId = id(format!("jti-{}", self.stable("credential")));
        self.credential = None;
        let mut credential = self.credential_body(uid.clone());
        credential.scopes = scopes;
        credential.not_before = Some(self.now);
        credential.expires_at = Some(self.now.plus_micros(CREDENTIAL_SECONDS * 1_000_000));
        self.push(Body::CredentialIssued(Box::new(credential)));
        self.credential = Some(uid);
        self.wait(20);
    }

    fn credential_body(&self, uid: CredentialId) -> Credential {
        Credential { issuer: Some(self.issuer()), ..Credential::new(uid, "oauth_access_token") }
    }

    /// The credential is presented to a resource.
    pub(super) fn present(&mut self, resource: &str) {
        let Some(uid) = self.credential.clone() else {
            return;
        };
        let mut credential = self.credential_body(uid);
        credential.resource = Some(resource.to_owned());
        self.push(Body::CredentialUsed(Box::new(credential)));
        self.wait(15);
    }

    /// A tool is called and answers.
    pub(super) fn call(&mut self, tool: &str, effect: Effect, arguments: &Value, result: &str) {
        self.calls += 1;
        let call = ToolCall {
            server: Some(format!("{}-tools", self.blueprint)),
            activity: Some(effect),
            arguments: to_raw_value(arguments).ok(),
            cost_micros: Some(400),
            ..ToolCall::new(id(format!("call-{}-{}-{}", self.options.run, self.number, self.calls)), tool)
        };
        let sent = arguments.to_string().len() as u64;
        self.push(Body::ToolCallRequested(Box::new(ToolCall {
            bytes_out: (effect != Effect::Read).then_some(sent),
            ..call.clone()
        })));
        self.wait(120);
        self.push(Body::ToolCallCompleted(Box::new(ToolCall {
            arguments: None,
            result: Some(result.to_owned()),
            result_bytes: Some(result.len() as u64),
            duration_ms: Some(120),
            ..call
        })));
        self.wait(180);
    }

    /// A human approves the next call of a tool.
    pub(super) fn ask(&mut self, tool: &str) {
        let approval = Approval {
            request_id: format!("apr-{}", self.stable(tool)),
            tool: tool.into(),
            tool_call_id: None,
            approver: None,
            approved_until: None,
            justification: Some("needed to finish the task".into()),
        };
        self.push(Body::ApprovalRequested(Box::new(approval.clone())));
        self.wait(900);
        self.push(Body::ApprovalApproved(Box::new(Approval {
            approver: Some(id("emma.johnson".to_owned())),
            approved_until: Some(self.now.plus_micros(300_000_000)),
            ..approval
        })));
        self.wait(50);
    }

    /// Work is handed to another agent, which acts from here on in a task of its own.
    pub(super) fn delegate(&mut self, to: &'static str, number: u32, bounds: Bounds) {
        let (Some(from), Some(task)) = (self.agent.clone(), self.task.clone()) else {
            return;
        };
        let child = self.task_id(&format!(".{number}"));
        let delegatee =
            id(format!("spiffe://{}.example/agent/{to}-{}", self.options.tenant, self.instance + 1));
        self.push(Body::DelegationGranted(Box::new(Delegation {
            child_task_id: child.clone(),
            delegator: from.uid,
            delegatee,
            depth: 1,
            tools: bounds.tools.iter().map(|grant| grant.name.clone()).collect(),
            scopes: bounds.scopes.clone(),
            expires_at: Some(self.now.plus_micros(600_000_000)),
        })));
        self.wait(30);
        self.agent(to);
        self.task = Some(TaskRef { id: child, root: task.root, parent: Some(task.id) });
        self.approve(bounds);
    }

    /// Who and what the script stands at, to come back to after a delegation.
    pub(super) fn place(&self) -> (Option<AgentRef>, Option<TaskRef>, Option<CredentialId>) {
        (self.agent.clone(), self.task.clone(), self.credential.clone())
    }

    /// Comes back to a place.
    pub(super) fn back(&mut self, place: (Option<AgentRef>, Option<TaskRef>, Option<CredentialId>)) {
        (self.agent, self.task, self.credential) = place;
    }

    /// The task ends.
    pub(super) fn close(&mut self, outcome: &str) {
        let Some(task) = self.task.clone() else { return };
        let envelope_id = id(format!("env-{}", task.id));
        self.push(Body::EnvelopeClosed(EnvelopeClosed {
            envelope_id,
            outcome: outcome.into(),
            reason: None,
        }));
        self.wait(20);
    }

    /// Says that the last tool call, or the last event if there was none, completed a breach.
    pub(super) fn breach(&mut self, truth: Truth) {
        let is_call = |one: &&mut Simulated| matches!(one.event.body, Body::ToolCallRequested(_));
        if let Some(last) = self.events.iter_mut().rev().find(is_call) {
            last.truth = Some(truth);
        }
    }

    /// Says that the last event completed a breach.
    pub(super) fn breach_here(&mut self, truth: Truth) {
        if let Some(last) = self.events.last_mut() {
            last.truth = Some(truth);
        }
    }

    fn stable(&self, what: &str) -> String {
        let number = self.number.to_string();
        let count = self.count.to_string();
        stable_id(SOURCE, &[&self.options.run, &self.options.seed.to_string(), &number, &count, what])
    }

    fn push(&mut self, body: Body) {
        let event_id: EventId = id(self.stable("event"));
        self.count += 1;
        let event = Event {
            id: event_id,
            source: id(SOURCE.to_owned()),
            time: self.now,
            tenant: id(self.options.tenant.clone()),
            agent: self.agent.clone(),
            task: self.task.clone(),
            principal: Some(id("emma.johnson".to_owned())),
            credential_used: self.credential.clone(),
            session: Some(format!("session-{}-{}", self.options.run, self.number)),
            trace: None,
            redactions: Vec::new(),
            body,
        };
        self.events.push(Simulated { event, truth: None });
    }
}

/// What follows when a receiver carries out a revocation: the credential is dead, the agent stands still.
pub(super) fn after_revocation(next: &Event, now: Timestamp) -> Vec<Event> {
    let make = |what: &str, body: Body| {
        let root = next.task.as_ref().map_or("", |task| task.root.as_str());
        Event {
            id: id(stable_id(SOURCE, &[root, what])),
            time: now,
            credential_used: None,
            body,
            ..next.clone()
        }
    };
    let reason = Some("revoked by the identity provider on request of ambit".to_owned());
    let mut events = Vec::new();
    if let Some(uid) = next.credential_used.clone() {
        events.push(make(
            "credential revoked",
            Body::CredentialRevoked(Box::new(Credential {
                reason: reason.clone(),
                ..Credential::new(uid, "oauth_access_token")
            })),
        ));
    }
    events.push(make(
        "agent paused",
        Body::AgentPaused(Lifecycle { reason: reason.clone(), ..Lifecycle::default() }),
    ));
    if let Some(task) = &next.task {
        let envelope_id = id(format!("env-{}", task.id));
        let closed = EnvelopeClosed { envelope_id, outcome: "revoked".into(), reason };
        events.push(make("task revoked", Body::EnvelopeClosed(closed)));
    }
    events
}
