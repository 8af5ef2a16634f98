//! From a recorded run to canonical events: envelope approved, calls requested and completed, task closed.

use crate::runs::dataset::{APPROVED_INJECTION, Call, Dataset, Run, TaskEnvelope};
use crate::runs::fingerprints::Fingerprints;
use ambit_schemas::Timestamp;
use ambit_schemas::envelope::{
    ArgumentConstraint, Budgets, Check, DelegationBounds, Envelope, FlowBounds, Principal, SignedEnvelope,
    ToolGrant, Window,
};
use ambit_schemas::event::{AgentRef, Body, Effect, EnvelopeClosed, Event, TaskRef, ToolCall};
use ambit_schemas::fingerprint::FingerprintKey;
use ambit_schemas::limits::{ENVELOPE_LIST_MAX, ID_BYTES_MAX, TEXT_BYTES_MAX};
use anyhow::Context;
use ed25519_dalek::SigningKey;
use serde_json::Value;
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, BTreeSet};

/// Who says so.
const SOURCE: &str = "ambit/recorded-runs";
/// Longest argument value that an approver would write into an envelope.
const TARGET_CHARS_MAX: usize = 300;
/// Arguments that say what a call is charged to or acts on: worth a constraint of their own.
const CONSTRAINED: &[&str] = &["account_id", "payment_id", "payment_methods", "reservation_id", "user_id"];

/// What stands in a run's envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Envelopes {
    /// Tools and targets of the authors' own solution.
    Oracle,
    /// Tools that planners listed beforehand; targets only from the prompt.
    Planned,
    /// Nothing but the prompt and the principal.
    None,
}

impl Envelopes {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oracle => "oracle",
            Self::Planned => "planned",
            Self::None => "none",
        }
    }
}

fn id<T>(text: &str) -> anyhow::Result<T>
where
    T: for<'a> TryFrom<&'a str, Error = ambit_schemas::id::InvalidId>,
{
    let short: String = text.chars().take(ID_BYTES_MAX / 4).collect();
    T::try_from(short.trim()).with_context(|| "a recorded run names something that is no id".to_owned())
}

/// The events of a run in their order, with fingerprints under the installation's `secret`; `None` when there is nothing to judge: no calls, or no such envelope.
pub fn events_of(
    dataset: &Dataset,
    run: &Run,
    envelopes: Envelopes,
    approver: &SigningKey,
    secret: &[u8],
) -> anyhow::Result<Option<Vec<Event>>> {
    let Some(first) = run.calls.first() else { return Ok(None) };
    // Nobody wrote a solution or a plan for an approved injection.
    let is_injection = run.label.kind.as_deref() == Some(APPROVED_INJECTION);
    if is_injection && envelopes != Envelopes::None {
        return Ok(None);
    }
    let Some(task) = dataset.task_of(run) else { return Ok(None) };
    let Some(tools) = tools_of(&task, envelopes) else { return Ok(None) };
    let start = Timestamp::parse(&first.ts).with_context(|| format!("run {}", run.label.run_id))?;
    let frame = Frame::new(dataset, run, first)?;
    let envelope = envelope(dataset, &task, tools, envelopes, &frame)?;
    let signed =
        SignedEnvelope::sign(&envelope, approver).with_context(|| format!("envelope of {}", task.task_id))?;
    let mut events = vec![frame.event(
        "envelope",
        start.plus_micros(-1_000_000),
        Body::EnvelopeApproved(Box::new(signed)),
    )?];
    let mut last = start;
    let prints = Fingerprints::of(run, &FingerprintKey::new(secret, &frame.tenant));
    for call in &run.calls {
        let at =
            Timestamp::parse(&call.ts).with_context(|| format!("run {}, step {}", call.run_id, call.step))?;
        last = last.max(at);
        let (requested, completed) = bodies(run, call, &prints)?;
        events.push(frame.event(&format!("{}-requested", call.step), last, requested)?);
        events.push(frame.event(&format!("{}-completed", call.step), last.plus_micros(1_000), completed)?);
    }
    let closed = EnvelopeClosed { envelope_id: envelope.id, outcome: "completed".into(), reason: None };
    events.push(frame.event("closed", last.plus_micros(2_000), Body::EnvelopeClosed(closed))?);
    Ok(Some(events))
}

/// The tool call id of a step, from which [`step_of`] reads it back.
fn call_id(run: &str, step: u32) -> String {
    format!("{run}/{step}")
}

/// The step that a tool call id names.
pub fn step_of(call_id: &str) -> Option<u32> {
    call_id.rsplit_once('/')?.1.parse().ok()
}

struct Frame {
    tenant: ambit_schemas::id::TenantId,
    agent: AgentRef,
    task: TaskRef,
    run: String,
}

impl Frame {
    fn new(dataset: &Dataset, run: &Run, first: &Call) -> anyhow::Result<Self> {
        let run_id = run.label.run_id.clone();
        let task: ambit_schemas::id::TaskId = id(&run_id)?;
        let uid = id(&format!("agent://{}/{}", dataset.name, first.agent_id))?;
        // What the agents of a suite are copies of, whatever model drives them.
        let blueprint = Some(id(&format!("{}@1", run.label.suite))?);
        let agent = AgentRef { uid, instance_uid: None, blueprint, name: Some(first.agent_id.clone()) };
        let task = TaskRef { id: task.clone(), root: task, parent: None };
        Ok(Self { tenant: id(&dataset.name)?, agent, task, run: run_id })
    }

    fn event(&self, what: &str, time: Timestamp, body: Body) -> anyhow::Result<Event> {
        Ok(Event {
            agent: Some(self.agent.clone()),
            task: Some(self.task.clone()),
            ..Event::new(id(&format!("{}-{what}", self.run))?, id(SOURCE)?, time, self.tenant.clone(), body)
        })
    }
}

fn bodies(run: &Run, call: &Call, prints: &Fingerprints) -> anyhow::Result<(Body, Body)> {
    let requested = ToolCall {
        arguments: Some(to_raw_value(&call.arguments)?),
        ..ToolCall::new(id(&call_id(&call.run_id, call.step))?, &call.tool)
    };
    let result = run.result_of(call);
    let completed = ToolCall {
        arguments: None,
        result: result.cloned(),
        result_bytes: call.result_len.map(|chars| whole_bytes(result, chars)),
        result_fingerprints: prints.of_step(call.step),
        is_error: call.error.is_some(),
        error_type: call.error.as_ref().map(|error| error.split(':').next().unwrap_or(error).to_owned()),
        ..requested.clone()
    };
    Ok((Body::ToolCallRequested(Box::new(requested)), Body::ToolCallCompleted(Box::new(completed))))
}

/// Length of a whole result in bytes; the recording counts characters, and what is cut off is taken to be ASCII.
fn whole_bytes(result: Option<&String>, chars: u64) -> u64 {
    let (bytes, kept) = result.map_or((0, 0), |text| (text.len() as u64, text.chars().count() as u64));
    bytes + chars.saturating_sub(kept)
}

fn tools_of(task: &TaskEnvelope, envelopes: Envelopes) -> Option<Vec<String>> {
    match envelopes {
        Envelopes::Oracle => Some(task.allowed_tools.clone()),
        Envelopes::Planned => task.planned_tools_majority.clone(),
        // No tool is granted: the purpose's own words say what may be done.
        Envelopes::None => Some(Vec::new()),
    }
}

/// What an approver would have signed for the task.
fn envelope(
    dataset: &Dataset,
    task: &TaskEnvelope,
    tools: Vec<String>,
    envelopes: Envelopes,
    frame: &Frame,
) -> anyhow::Result<Envelope> {
    let oracle = envelopes == Envelopes::Oracle;
    let constraints = if oracle { constraints(task) } else { BTreeMap::new() };
    let tools = tools.into_iter().map(|name| ToolGrant {
        server: None,
        arguments: constraints.get(&name).cloned().unwrap_or_default(),
        max_calls: None,
        description_sha256: None,
        name,
    });
    let principal = dataset.principal.as_ref();
    Ok(Envelope {
        id: id(&format!("env-{}", frame.run))?,
        version: 1,
        task_id: frame.task.id.clone(),
        agent_uid: frame.agent.uid.clone(),
        purpose: cut(&task.prompt, TEXT_BYTES_MAX),
        principal: principal.map(|principal| Principal {
            name: principal.name.clone(),
            addresses: principal.addresses.clone(),
        }),
        approved_by: id(principal.map_or("the-user", |principal| principal.name.as_str()))?,
        tools: tools.collect(),
        unlisted_effects: vec![Effect::Read],
        effects: None,
        destinations: Some(if oracle { destinations(task) } else { Vec::new() }),
        resources: None,
        data_classes: None,
        credentials: Vec::new(),
        budgets: Budgets::default(),
        window: Window::default(),
        delegation: DelegationBounds::default(),
        approvals: Vec::new(),
        flow: FlowBounds::default(),
    })
}

fn cut(text: &str, bytes: usize) -> String {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// Every value of the solution that could be a target. Texts in full sentences are none.
fn destinations(task: &TaskEnvelope) -> Vec<String> {
    let mut found = BTreeSet::new();
    for value in task.allowed_targets.values().flatten() {
        collect(value, &mut found);
    }
    for (_, arguments) in &task.gt_calls {
        collect(arguments, &mut found);
    }
    found.into_iter().take(ENVELOPE_LIST_MAX).collect()
}

fn collect(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) if !text.trim().is_empty() && text.chars().count() <= TARGET_CHARS_MAX => {
            // A pattern would grant more than the solution uses.
            found.insert(text.replace(['*', '?', '[', '{'], " ").trim().to_owned());
        }
        Value::Number(number) => drop(found.insert(number.to_string())),
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, found)),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// For arguments that say what is charged or acted on: exactly the solution's values.
fn constraints(task: &TaskEnvelope) -> BTreeMap<String, Vec<ArgumentConstraint>> {
    let mut values: BTreeMap<(String, String), Vec<Value>> = BTreeMap::new();
    for (tool, arguments) in &task.gt_calls {
        for (name, value) in arguments.as_object().into_iter().flatten() {
            if CONSTRAINED.contains(&name.as_str()) {
                let all = values.entry((tool.clone(), name.clone())).or_default();
                if let Value::Array(items) = value {
                    all.extend(items.iter().cloned());
                } else {
                    all.push(value.clone());
                }
            }
        }
    }
    let mut constraints: BTreeMap<String, Vec<ArgumentConstraint>> = BTreeMap::new();
    for ((tool, name), values) in values {
        let constraint =
            ArgumentConstraint { pointer: format!("/{name}"), check: Check::In(values), optional: true };
        constraints.entry(tool).or_default().push(constraint);
    }
    constraints
}
