//! An attack of the suite as the events of one task tree.

use ambit_schemas::Timestamp;
use ambit_schemas::envelope::{
    Budgets, DelegationBounds, Envelope, FlowBounds, Principal, SignedEnvelope, ToolGrant, Window,
};
use ambit_schemas::event::{AgentRef, Body, Effect, Event, TaskRef, ToolCall};
use ambit_schemas::id::InvalidId;
use anyhow::Context;
use ed25519_dalek::SigningKey;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::to_raw_value;

/// Characters that are put after a value, so that it is too long to be one.
const PADDING: usize = 600;
/// When every attack begins, in microseconds since 1970.
const START_US: i64 = 1_767_600_000_000_000;

/// An attack: what the envelope says, and calls with their results. The last call does the harm.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attack {
    pub(super) name: String,
    pub(super) purpose: String,
    pub(super) tools: Vec<ToolGrant>,
    steps: Vec<Step>,
    /// How often the step before the last is taken.
    repeat: Option<usize>,
    /// The last call's argument that is made too long to be a value.
    pad: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Which agent of the tree calls: 0 is the root task's.
    #[serde(default)]
    agent: u8,
    tool: String,
    #[serde(default)]
    arguments: Value,
    result: Option<String>,
}

fn id<T: for<'a> TryFrom<&'a str, Error = InvalidId>>(text: &str) -> anyhow::Result<T> {
    T::try_from(text).with_context(|| format!("`{text}` is no id"))
}

fn task_of(agent: u8) -> String {
    if agent == 0 { "task".to_owned() } else { format!("task.{agent}") }
}

impl Attack {
    /// The steps as they are taken.
    fn steps(&self) -> Vec<Step> {
        let mut steps = self.steps.clone();
        if let Some(argument) = &self.pad
            && let Some(value) = steps.last_mut().and_then(|last| last.arguments.get_mut(argument))
        {
            let padded = format!("{} {}", value.as_str().unwrap_or_default(), "x".repeat(PADDING));
            *value = padded.into();
        }
        if let Some(at) = steps.len().checked_sub(2)
            && let Some(step) = steps.get(at).cloned()
        {
            let again = self.repeat.unwrap_or(1).saturating_sub(1);
            steps.splice(at..at, std::iter::repeat_n(step, again));
        }
        steps
    }

    /// The events before the harm, and those of the last step. `destinations` are those that the envelope grants; without
    /// them they are not bounded.
    pub(super) fn events(
        &self,
        destinations: Option<&[String]>,
        approver: &SigningKey,
    ) -> anyhow::Result<(Vec<Event>, Vec<Event>)> {
        let (steps, mut events) = (self.steps(), Vec::new());
        for agent in 0..=steps.iter().map(|step| step.agent).max().unwrap_or_default() {
            let envelope = self.envelope(agent, destinations)?;
            let signed = SignedEnvelope::sign(&envelope, approver)?;
            events.push(event(events.len(), agent, Body::EnvelopeApproved(Box::new(signed)))?);
        }
        for (number, step) in steps.iter().enumerate() {
            let asked = ToolCall {
                arguments: Some(to_raw_value(&step.arguments)?),
                ..ToolCall::new(id(&format!("c{number}"))?, &step.tool)
            };
            let answered = ToolCall {
                arguments: None,
                result: step.result.clone(),
                result_bytes: step.result.as_ref().map(|text| text.len() as u64),
                ..asked.clone()
            };
            for body in
                [Body::ToolCallRequested(Box::new(asked)), Body::ToolCallCompleted(Box::new(answered))]
            {
                events.push(event(events.len(), step.agent, body)?);
            }
        }
        let harm = events.split_off(events.len().saturating_sub(2));
        Ok((events, harm))
    }

    fn envelope(&self, agent: u8, destinations: Option<&[String]>) -> anyhow::Result<Envelope> {
        let principal =
            Principal { name: "Emma Johnson".into(), addresses: vec!["emma@acme.example".into()] };
        Ok(Envelope {
            id: id(&format!("env{agent}"))?,
            version: 1,
            task_id: id(&task_of(agent))?,
            agent_uid: id(&format!("agent://a{agent}"))?,
            purpose: self.purpose.clone(),
            principal: Some(principal),
            approved_by: id("emma")?,
            tools: self.tools.clone(),
            unlisted_effects: vec![Effect::Read],
            effects: None,
            destinations: destinations.map(<[String]>::to_vec),
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
}

fn event(number: usize, agent: u8, body: Body) -> anyhow::Result<Event> {
    let at = START_US + i64::try_from(number)? * 1_000_000;
    let uid = id(&format!("agent://a{agent}"))?;
    Ok(Event {
        agent: Some(AgentRef { uid, instance_uid: None, blueprint: None, name: None }),
        task: Some(TaskRef { id: id(&task_of(agent))?, root: id("task")?, parent: None }),
        ..Event::new(
            id(&format!("e{number}"))?,
            id("ambit/adaptive")?,
            Timestamp::from_micros(at),
            id("acme")?,
            body,
        )
    })
}
