//! An envelope compiled once into tables, so that checking a call costs lookups.

use crate::origin::{Origin, Purpose};
use crate::patterns::{Patterns, is_glob};
use crate::target::{as_host, is_account, named_in, normalise};
use ambit_schemas::Timestamp;
use ambit_schemas::envelope::{Check, Envelope, InvalidEnvelope, SignedEnvelope, ToolGrant};
use ambit_schemas::event::Effect;
use globset::GlobSet;
use regex::Regex;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// A compiled envelope.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) envelope: Envelope,
    pub(crate) digest: String,
    /// The candidate whose bounds these are, when history is judged under candidates.
    pub(crate) candidate: Option<Arc<str>>,
    /// Grants by the tool's exact name.
    by_name: HashMap<String, Vec<usize>>,
    /// Grants whose name is a pattern, with the grant's index.
    patterns: Arc<GlobSet>,
    pattern_grants: Vec<usize>,
    pub(crate) grants: Vec<Grant>,
    pub(crate) destinations: Option<Names>,
    pub(crate) resources: Option<Names>,
    delegates: Names,
    /// The purpose in lower case, for the targets that it names.
    purpose: String,
    /// What else the purpose says.
    pub(crate) said: Purpose,
    /// The principal's own names, addresses, accounts and hosts.
    own: HashSet<String>,
    /// Targets that the purpose names.
    named: HashSet<String>,
    /// Forms of the record numbers that the envelope lists.
    forms: HashSet<String>,
    /// Whether it lists any account.
    lists_accounts: bool,
    /// Tools that need approvals, with the rule's index.
    approvals: Vec<(Names, usize)>,
    /// Who may issue credentials, and with which scopes.
    pub(crate) credentials: Vec<CredentialBound>,
    /// Classes of data that may be handled.
    pub(crate) classes: Option<HashSet<String>>,
}

/// A compiled credential grant.
#[derive(Debug)]
pub(crate) struct CredentialBound {
    issuer: Names,
    scopes: Names,
    /// Whether scopes are bounded at all.
    bounds_scopes: bool,
}

impl CredentialBound {
    pub(crate) fn is_of(&self, issuer: &str) -> bool {
        self.issuer.contains(issuer)
    }

    pub(crate) fn allows(&self, scope: &str) -> bool {
        !self.bounds_scopes || self.scopes.contains(scope)
    }
}

/// A compiled tool grant.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) arguments: Vec<Constraint>,
    /// Texts that the grant's own constraints allow: they are granted destinations too.
    named: HashSet<String>,
}

/// A compiled constraint.
#[derive(Debug)]
pub(crate) struct Constraint {
    pub(crate) pointer: String,
    pub(crate) optional: bool,
    pub(crate) test: Test,
    pub(crate) expected: String,
}

/// A compiled check.
#[derive(Debug)]
pub(crate) enum Test {
    Equals(Value),
    In(Vec<Value>),
    InTexts(HashSet<String>),
    Prefix(String),
    Glob(Arc<GlobSet>),
    Regex(Regex),
    Range(Option<f64>, Option<f64>),
    Length(Option<u64>, Option<u64>),
}

/// Names and patterns of names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    exact: HashSet<String>,
    patterns: Arc<GlobSet>,
}

impl Names {
    fn new(names: &[String], made: &mut Patterns) -> Result<Self, InvalidEnvelope> {
        let (mut exact, mut patterns) = (HashSet::new(), Vec::new());
        for name in names {
            let plain = normalise(name);
            if is_glob(&plain) {
                patterns.push(plain);
                continue;
            }
            exact.extend(as_host(&plain, ""));
            let without_spaces: String = plain.split(' ').collect();
            exact.insert(without_spaces);
            exact.insert(plain);
        }
        Ok(Self { exact, patterns: made.globs(patterns)? })
    }

    /// Names that are told apart by case and are no hosts: issuers, scopes.
    fn as_written(names: &[String], made: &mut Patterns) -> Result<Self, InvalidEnvelope> {
        let (patterns, exact): (Vec<String>, Vec<String>) =
            names.iter().cloned().partition(|name| is_glob(name));
        Ok(Self { exact: exact.into_iter().collect(), patterns: made.globs(patterns)? })
    }

    /// Names of one tool, which are told apart by case and are no hosts.
    fn of_tool(name: &str, made: &mut Patterns) -> Result<Self, InvalidEnvelope> {
        if is_glob(name) || name.contains('\\') {
            return Ok(Self { exact: HashSet::new(), patterns: made.globs(vec![name.to_owned()])? });
        }
        Ok(Self { exact: [name.to_owned()].into(), patterns: made.globs(Vec::new())? })
    }

    /// Whether a normalised name is among them.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.exact.contains(name) || self.patterns.is_match(name)
    }
}

impl Compiled {
    /// Reads and compiles a document; says nothing about who signed it.
    pub(crate) fn new(signed: &SignedEnvelope, made: &mut Patterns) -> Result<Self, InvalidEnvelope> {
        let envelope = signed.parse()?;
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let (mut patterns, mut pattern_grants) = (Vec::new(), Vec::new());
        let mut grants = Vec::with_capacity(envelope.tools.len());
        for (index, tool) in envelope.tools.iter().enumerate() {
            if is_glob(&tool.name) {
                patterns.push(tool.name.clone());
                pattern_grants.push(index);
            } else {
                by_name.entry(tool.name.clone()).or_default().push(index);
            }
            grants.push(Grant::new(tool, made)?);
        }
        let patterns = made.globs(patterns)?;
        let destinations = match &envelope.destinations {
            Some(list) => Some(Names::new(list, made)?),
            None => None,
        };
        let resources = match &envelope.resources {
            Some(list) => Some(Names::new(list, made)?),
            None => None,
        };
        let delegates = Names::new(&envelope.delegation.delegates, made)?;
        let mut approvals = Vec::new();
        for (index, rule) in envelope.approvals.iter().enumerate() {
            approvals.push((Names::of_tool(&rule.tool, made)?, index));
        }
        let mut credentials = Vec::with_capacity(envelope.credentials.len());
        for grant in &envelope.credentials {
            credentials.push(CredentialBound {
                issuer: Names::as_written(std::slice::from_ref(&grant.issuer), made)?,
                scopes: Names::as_written(&grant.scopes, made)?,
                bounds_scopes: !grant.scopes.is_empty(),
            });
        }
        let classes =
            envelope.data_classes.as_ref().map(|list| list.iter().map(|class| normalise(class)).collect());
        let (digest, purpose) = (signed.digest(), normalise(&envelope.purpose));
        let listed = || envelope.destinations.iter().flatten().map(|name| normalise(name));
        let granted = || grants.iter().flat_map(|grant| grant.named.iter().cloned());
        let forms = listed().chain(granted()).filter_map(|name| form_of(&name)).collect();
        let lists_accounts = listed().chain(granted()).any(|name| is_account(&name));
        let mut named = HashSet::new();
        if envelope.flow.purpose_grants_targets {
            named.extend(named_in(&envelope.purpose));
        }
        Ok(Self {
            said: Purpose::new(&envelope.purpose),
            own: own_names(&envelope),
            named,
            forms,
            lists_accounts,
            envelope,
            digest,
            candidate: None,
            by_name,
            patterns,
            pattern_grants,
            grants,
            destinations,
            resources,
            delegates,
            purpose,
            approvals,
            credentials,
            classes,
        })
    }

    /// The grants that name a tool.
    pub(crate) fn grants_of(&self, tool: &str) -> Vec<usize> {
        let mut found = self.by_name.get(tool).cloned().unwrap_or_default();
        if !self.pattern_grants.is_empty() {
            let matched = self.patterns.matches(tool);
            found.extend(matched.into_iter().filter_map(|index| self.pattern_grants.get(index)));
        }
        found
    }

    /// Whether a moment lies in the task's time.
    pub(crate) fn is_in_time(&self, at: Timestamp) -> bool {
        let window = &self.envelope.window;
        window.not_before.is_none_or(|from| at >= from) && window.not_after.is_none_or(|until| at < until)
    }

    /// Whether the task may have an effect at all.
    pub(crate) fn may_have(&self, effect: Effect) -> bool {
        self.envelope.effects.as_ref().is_none_or(|allowed| allowed.contains(&effect))
    }

    /// Whether a call on a server is one that a grant is about.
    pub(crate) fn is_on_server(&self, grant: usize, server: Option<&str>) -> bool {
        let named = self.envelope.tools.get(grant).and_then(|grant| grant.server.as_deref());
        named.is_none_or(|named| Some(named) == server)
    }

    /// Whether a tool that no grant names is tolerated for its effect.
    pub(crate) fn tolerates(&self, grants: &[usize], effect: Effect) -> bool {
        grants.is_empty() && self.envelope.unlisted_effects.contains(&effect)
    }

    /// Whether destinations are bounded at all.
    pub(crate) const fn bounds_destinations(&self) -> bool {
        self.destinations.is_some()
    }

    /// Who has named a normalised target: the purpose, the envelope (or one of these grants), or the principal, whose
    /// own it is. `None` when nobody has.
    pub(crate) fn grantor_of(&self, value: &str, grants: &[usize]) -> Option<Origin> {
        if self.named.contains(value) || self.purpose_names(value) {
            return Some(Origin::Purpose);
        }
        if self.own.contains(value) {
            return Some(Origin::Own);
        }
        let by_grant =
            |index: &usize| self.grants.get(*index).is_some_and(|grant| grant.named.contains(value));
        let listed = self.destinations.as_ref().is_some_and(|names| names.contains(value));
        (listed || grants.iter().any(by_grant)).then_some(Origin::Envelope)
    }

    /// Whether the envelope lists records with numbers of that form, so that others are out.
    pub(crate) fn lists_records_like(&self, value: &str) -> bool {
        form_of(value).is_some_and(|form| self.forms.contains(&form))
    }

    /// Whether the envelope lists any account, so that others are out.
    pub(crate) const fn lists_accounts(&self) -> bool {
        self.lists_accounts
    }

    /// Whether the purpose names a target in so many words.
    fn purpose_names(&self, value: &str) -> bool {
        if !self.envelope.flow.purpose_grants_targets || value.len() < 2 {
            return false;
        }
        let purpose = &self.purpose;
        let boundary = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        purpose.match_indices(value).any(|(at, found)| {
            let before = purpose.get(..at).and_then(|text| text.chars().next_back());
            let after = purpose.get(at + found.len()..).and_then(|text| text.chars().next());
            boundary(before) && boundary(after)
        })
    }

    /// Whether work may be handed to that agent.
    pub(crate) fn may_delegate_to(&self, agent: &str) -> bool {
        self.delegates.contains(&normalise(agent))
    }

    /// The approval rules that a tool falls under.
    pub(crate) fn approvals_for(&self, tool: &str) -> impl Iterator<Item = usize> {
        self.approvals.iter().filter(move |(names, _)| names.contains(tool)).map(|(_, index)| *index)
    }
}

/// What belongs to the principal.
fn own_names(envelope: &Envelope) -> HashSet<String> {
    let mut own = HashSet::new();
    if let Some(principal) = &envelope.principal {
        own.insert(normalise(&principal.name));
        for address in &principal.addresses {
            own.extend(as_host(address, ""));
            own.insert(normalise(address));
        }
    }
    own
}

/// The form of a record's number, `P007` as `a999`; `None` for a number of digits alone, which has no form to tell it
/// by, and for what is no such number.
fn form_of(value: &str) -> Option<String> {
    let has = |test: fn(&char) -> bool| value.chars().any(|c| test(&c));
    let fine = value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !fine || !has(char::is_ascii_digit) || !has(char::is_ascii_alphabetic) {
        return None;
    }
    let form = |c: char| {
        if c.is_ascii_digit() {
            '9'
        } else if c.is_ascii_alphabetic() {
            'a'
        } else {
            c
        }
    };
    Some(value.chars().map(form).collect())
}

impl Grant {
    fn new(tool: &ToolGrant, made: &mut Patterns) -> Result<Self, InvalidEnvelope> {
        let (mut arguments, mut named) = (Vec::new(), HashSet::new());
        for constraint in &tool.arguments {
            if !constraint.pointer.is_empty() && !constraint.pointer.starts_with('/') {
                let text = format!("`{}` is not a JSON pointer", constraint.pointer);
                return Err(InvalidEnvelope::Content(text));
            }
            named.extend(texts_of(&constraint.check));
            arguments.push(Constraint {
                pointer: constraint.pointer.clone(),
                optional: constraint.optional,
                test: compile_check(&constraint.check, made)?,
                expected: describe_check(&constraint.check),
            });
        }
        Ok(Self { arguments, named })
    }
}

fn texts_of(check: &Check) -> Vec<String> {
    let values: &[Value] = match check {
        Check::Equals(value) => std::slice::from_ref(value),
        Check::In(values) => values,
        Check::Prefix(_) | Check::Glob(_) | Check::Regex(_) | Check::Range { .. } | Check::Length { .. } => {
            &[]
        }
    };
    let mut texts = Vec::new();
    for value in values {
        if let Value::String(text) = value {
            texts.extend(as_host(text, ""));
            texts.push(normalise(text).split(' ').collect());
            texts.push(normalise(text));
        } else {
            texts.push(value.to_string());
        }
    }
    texts
}

fn compile_check(check: &Check, made: &mut Patterns) -> Result<Test, InvalidEnvelope> {
    Ok(match check {
        Check::Equals(value) => Test::Equals(value.clone()),
        Check::In(values) => {
            let texts: Option<HashSet<String>> =
                values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
            texts.map_or_else(|| Test::In(values.clone()), Test::InTexts)
        }
        Check::Prefix(prefix) => Test::Prefix(prefix.clone()),
        Check::Glob(pattern) => Test::Glob(made.globs(vec![pattern.clone()])?),
        Check::Regex(pattern) => Test::Regex(made.regex(pattern)?),
        Check::Range { min, max } => Test::Range(*min, *max),
        Check::Length { min, max } => Test::Length(*min, *max),
    })
}

fn describe_check(check: &Check) -> String {
    let edge = |edge: Option<f64>| edge.map_or_else(|| "any".to_owned(), |number| number.to_string());
    let size = |edge: Option<u64>| edge.map_or_else(|| "any".to_owned(), |number| number.to_string());
    match check {
        Check::Equals(value) => format!("{value}"),
        Check::In(values) => {
            let shown: Vec<String> = values.iter().take(5).map(Value::to_string).collect();
            let more =
                if values.len() > 5 { format!(" and {} more", values.len() - 5) } else { String::new() };
            format!("one of {}{more}", shown.join(", "))
        }
        Check::Prefix(prefix) => format!("a text that begins with `{prefix}`"),
        Check::Glob(pattern) => format!("a text like `{pattern}`"),
        Check::Regex(pattern) => format!("a text that matches /{pattern}/"),
        Check::Range { min, max } => format!("a number from {} to {}", edge(*min), edge(*max)),
        Check::Length { min, max } => format!("a length from {} to {}", size(*min), size(*max)),
    }
}
