//! What can be found out from one event alone: its name, what the tool it calls does, whether its envelope is signed
//! and what the envelope says. No state is needed for that, so it may be done on any thread and in any order; only
//! [`crate::Analyzer::judge`], which follows, needs the events of a shard one after the other.

use crate::compile::Compiled;
use crate::effect::{Reach, classify, words};
use crate::options::Options;
use crate::patterns::Patterns;
use crate::sigma::{InvalidSet, RuleSet};
use crate::state::TreeKey;
use ambit_schemas::envelope::{Envelope, InvalidEnvelope, SignedEnvelope};
use ambit_schemas::event::{Body, Effect, Event, ToolCall};
use ambit_schemas::ruleset::RulesActivated;
use ambit_schemas::{Sequenced, encode};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Tools whose names were read that are remembered; when there are more, all are read anew.
const TOOLS_MAX: usize = 4_096;

/// An event that is ready to be judged.
#[derive(Debug)]
pub struct Prepared<'a> {
    pub(crate) event: Cow<'a, Sequenced<Event>>,
    /// Names the event: see [`hash`].
    pub(crate) key: u128,
    /// Of what it says: another event of the same name has another one.
    pub(crate) content: u64,
    /// The delegation tree that it is about.
    pub(crate) tree: Option<TreeKey>,
    /// Of a tool call.
    pub(crate) call: Option<Called>,
    /// Of an approval or amendment.
    pub(crate) envelope: Option<Result<Arc<Compiled>, InvalidEnvelope>>,
    /// Of a set of the customer's rules.
    pub(crate) rules: Option<Result<Arc<RuleSet>, InvalidSet>>,
}

impl Prepared<'_> {
    /// The event.
    pub fn event(&self) -> &Sequenced<Event> {
        &self.event
    }

    /// The bounds that the event puts in force, when it is an approval that can be used.
    pub fn envelope(&self) -> Option<&Envelope> {
        self.envelope.as_ref()?.as_ref().ok().map(|compiled| &compiled.envelope)
    }

    /// The name of the candidate whose bounds these are, if they are not the approved ones.
    pub fn candidate(&self) -> Option<&str> {
        self.envelope.as_ref()?.as_ref().ok()?.candidate.as_deref()
    }
}

/// What a tool call is.
#[derive(Debug, Clone)]
pub(crate) struct Called {
    /// Names the call: see [`hash`].
    pub(crate) key: u128,
    /// Names the call and its tool: an answer of another tool is no answer to it.
    pub(crate) answer: u128,
    pub(crate) tool: Arc<Tool>,
    /// How far it reaches and what its effect is: what its producer says, unless the tool's own name says more.
    pub(crate) reach: Reach,
    pub(crate) effect: Effect,
}

/// What a tool's name says.
#[derive(Debug)]
pub(crate) struct Tool {
    reach: Reach,
    pub(crate) words: Vec<String>,
    /// It shows what belongs to the principal, and only they can write: accounts, profiles.
    pub(crate) is_own_record: bool,
}

impl Tool {
    fn new(name: &str) -> Self {
        let (reach, words) = (classify(name), words(name));
        let has = |list: &[&str]| words.iter().any(|word| list.contains(&word.as_str()));
        let of_user = has(&["user"]) && has(&["info", "information", "profile"]);
        let is_own_record = reach == Reach::Read
            && (has(&["profile", "balance", "iban", "me", "whoami", "settings"]) || of_user);
        Self { reach, words, is_own_record }
    }

    fn effect_of(&self, call: &ToolCall) -> (Reach, Effect) {
        let reach = self.reach;
        match call.activity {
            Some(Effect::Read) if matches!(reach, Reach::Unknown | Reach::Read | Reach::Fetch) => {
                (if reach == Reach::Fetch { reach } else { Reach::Read }, Effect::Read)
            }
            Some(effect) if effect != Effect::Read && matches!(reach, Reach::Read | Reach::Fetch) => {
                (Reach::Unknown, effect)
            }
            Some(effect) if effect != Effect::Read => (reach, effect),
            _ => (reach, reach.effect()),
        }
    }
}

/// Prepares events. It remembers patterns and tools that it has seen, which changes what preparing costs and never
/// what comes out (INVARIANT A-2); each thread has its own.
#[derive(Debug)]
pub struct Preparer {
    options: Arc<Options>,
    patterns: Patterns,
    tools: HashMap<String, Arc<Tool>>,
    /// The set of rules that was compiled last: every shard is told the same.
    set: Option<Arc<RuleSet>>,
}

impl Preparer {
    /// One that has prepared nothing.
    pub fn new(options: Arc<Options>) -> Self {
        Self { options, patterns: Patterns::default(), tools: HashMap::new(), set: None }
    }

    /// Prepares one event.
    pub fn prepare<'a>(&mut self, event: Cow<'a, Sequenced<Event>>) -> Prepared<'a> {
        let item = &event.item;
        let key = hash(&["event", item.tenant.as_str(), item.source.as_str(), item.id.as_str()]);
        let (mut call, mut envelope, mut rules, content) = (None, None, None, content_of(item));
        #[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds are judged as they are")]
        match &item.body {
            Body::ToolCallRequested(made) | Body::ToolCallCompleted(made) => call = Some(self.called(made)),
            Body::EnvelopeApproved(signed) | Body::EnvelopeAmended(signed) => {
                envelope = Some(self.compile(signed));
            }
            Body::RulesActivated(activated) => rules = Some(self.set(activated)),
            _ => {}
        }
        let tree = TreeKey::of(item);
        Prepared { event, key, content, tree, call, envelope, rules }
    }

    fn called(&mut self, call: &ToolCall) -> Called {
        if !self.tools.contains_key(&call.name) && self.tools.len() >= TOOLS_MAX {
            self.tools.clear();
        }
        let tool = self.tools.entry(call.name.clone()).or_insert_with(|| Arc::new(Tool::new(&call.name)));
        let tool = Arc::clone(tool);
        let (reach, effect) = tool.effect_of(call);
        let key = hash(&["call", call.id.as_str()]);
        let answer = hash(&["answer", call.id.as_str(), &call.name]);
        Called { key, answer, tool, reach, effect }
    }

    fn set(&mut self, activated: &RulesActivated) -> Result<Arc<RuleSet>, InvalidSet> {
        let (keys, signed) = (&self.options.approver_keys, self.options.require_signature);
        if let Some(set) = self.set.as_ref().filter(|set| set.digest() == activated.digest) {
            RuleSet::trust(activated, keys, signed)?;
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(RuleSet::activated(activated, keys, signed)?);
        self.set = Some(Arc::clone(&set));
        Ok(set)
    }

    fn compile(&mut self, signed: &SignedEnvelope) -> Result<Arc<Compiled>, InvalidEnvelope> {
        let compiled = Compiled::new(signed, &mut self.patterns)?;
        if self.options.require_signature {
            signed.verify(&self.options.approver_keys)?;
        }
        let compiled = match &self.options.candidates {
            Some(candidates) => candidates.in_place_of(compiled, &mut self.patterns)?,
            None => compiled,
        };
        Ok(Arc::new(compiled))
    }
}

/// 64 bits over what an event says that judgement looks at.
fn content_of(event: &Event) -> u64 {
    let kind = event.kind().name();
    let root = event.task.as_ref().map_or("", |task| task.id.as_str());
    #[expect(clippy::wildcard_enum_match_arm, reason = "all other kinds are written out as they are")]
    let digest = match &event.body {
        Body::ToolCallRequested(call) | Body::ToolCallCompleted(call) => {
            let arguments = call.arguments.as_ref().map_or("", |arguments| arguments.get());
            let result = call.result.as_deref().unwrap_or_default();
            hash(&[kind, root, call.id.as_str(), &call.name, arguments, result])
        }
        Body::EnvelopeApproved(signed) | Body::EnvelopeAmended(signed) => {
            hash(&[kind, root, signed.document.get()])
        }
        // Rare beside the others, so that writing them out costs little.
        _ => {
            let written = encode(event).map(|outgoing| outgoing.value).unwrap_or_default();
            hash(&[kind, root, &String::from_utf8_lossy(&written)])
        }
    };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "64 of the 128 bits are enough to tell two contents apart"
    )]
    let content = digest as u64;
    content
}

/// 128 bits of SHA-256 over length-prefixed parts: nobody can make two events look like one.
pub(crate) fn hash(parts: &[&str]) -> u128 {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}
