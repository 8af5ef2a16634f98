//! Rules about where values came from: whom and what a call reaches, and who decided it.

use crate::compile::Compiled;
use crate::describe::{Verdict, abridge};
use crate::effect::Reach;
use crate::origin::{Found, Memory, Origin, words_of};
use crate::rules::{self, RuleInfo};
use crate::target::{Target, TargetKind, named_in};
use ambit_schemas::finding::Severity;
use ambit_schemas::fingerprint::FingerprintKey;
use serde_json::Value;

/// Windows of words of a command that are looked for in what was read.
const WINDOWS_MAX: usize = 64;
/// Words of one window: fewer stand in a text by chance.
const WINDOW_WORDS: usize = 4;
/// Words of a title that are enough to say that it was taken over: one word stands in a text by chance.
const TITLE_WORDS_MIN: usize = 2;
/// Words of the arguments that are compared with secrets.
const LEAVING_WORDS_MAX: usize = 4_096;

/// A target with where it came from.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) target: Target,
    pub(crate) found: Found,
}

/// What the rules need to know of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) who: &'a str,
    pub(crate) tool: &'a str,
    pub(crate) reach: Reach,
    pub(crate) grants: &'a [usize],
    pub(crate) compiled: &'a Compiled,
    pub(crate) memory: &'a Memory,
    /// The task has read something that its envelope does not name.
    pub(crate) has_strayed: bool,
    pub(crate) arguments: &'a Value,
}

/// The origin of every target of a call.
pub(crate) fn trace(targets: Vec<Target>, call: &Subject<'_>, key: Option<&FingerprintKey>) -> Vec<Traced> {
    let compiled = call.compiled;
    targets
        .into_iter()
        .map(|target| {
            let plain = |origin| Found { origin, texts: Vec::new(), on_subject: None };
            let found = match compiled.grantor_of(&target.value, call.grants) {
                Some(origin) => plain(origin),
                None if target.kind == TargetKind::Email && compiled.said.names_mailbox(&target.value) => {
                    plain(Origin::Name)
                }
                None => {
                    let found =
                        call.memory.trace(&target.value, &compiled.said, || print_of(&target.value, key));
                    if target.kind == TargetKind::Email
                        && found.origin == Origin::Untrusted
                        && is_introduced(&target.value, call)
                    {
                        Found { origin: Origin::Delegated, ..found }
                    } else {
                        found
                    }
                }
            };
            Traced { target, found }
        })
        .collect()
}

/// Whether a message from or about a person whom the purpose names mentions the owner of a mailbox by first and last
/// name: "share it with Alice Miller", for `alice.miller@x.example`.
fn is_introduced(address: &str, call: &Subject<'_>) -> bool {
    let name = address.split('@').next().unwrap_or_default();
    words_of(name).len() >= 2
        && call.memory.trace(name, &call.compiled.said, || None).origin == Origin::Delegated
}

fn print_of(value: &str, key: Option<&FingerprintKey>) -> Option<u64> {
    print_number(&key?.of_value(value)?)
}

/// The number that is remembered of a fingerprint: its first 8 bytes.
pub(crate) fn print_number(print: &str) -> Option<u64> {
    u64::from_str_radix(print.get(..16)?, 16).ok()
}

impl Traced {
    /// How bad it is that nobody named this target. `None` when somebody has.
    pub(crate) fn severity(&self, call: &Subject<'_>) -> Option<Severity> {
        let origin = self.found.origin;
        if origin.is_granted() {
            return None;
        }
        let stop = match self.target.kind {
            TargetKind::Host => origin.is_untrusted(),
            TargetKind::Email | TargetKind::Secret | TargetKind::Path => {
                origin.is_untrusted() && call.reach.leaves_workspace()
            }
            TargetKind::Account => self.is_foreign_payee(call),
            TargetKind::Record => self.is_foreign_record(call),
            TargetKind::Title => origin.is_untrusted() && self.is_foreign_title(call),
            // Who is let in must be named; whom an agent writes to, and where, is often looked up.
            TargetKind::Person => {
                origin.is_untrusted()
                    && call.reach == Reach::Account
                    && !self.target.pointer.contains("channel")
            }
            TargetKind::Repository => origin.is_untrusted() && call.reach.leaves_workspace(),
        };
        Some(if stop { Severity::High } else { Severity::Medium })
    }

    /// Whether a title was taken over from a text and has nothing to do with the purpose.
    fn is_foreign_title(&self, call: &Subject<'_>) -> bool {
        let words = words_of(&self.target.value);
        words.len() >= TITLE_WORDS_MIN && !words.iter().any(|word| call.compiled.said.is_about(*word))
    }

    /// Whether a text that may have been planted says whom or what the call reaches. A record's number always comes
    /// from a result: there it counts whether the record has to do with the task.
    pub(crate) fn is_steered(&self, call: &Subject<'_>) -> bool {
        match self.target.kind {
            TargetKind::Record | TargetKind::Title => self.severity(call) == Some(Severity::High),
            TargetKind::Host
            | TargetKind::Email
            | TargetKind::Account
            | TargetKind::Person
            | TargetKind::Path
            | TargetKind::Secret
            | TargetKind::Repository => self.found.origin.is_untrusted(),
        }
    }

    /// Where money goes must be said by whoever approves. A payment that was approved without saying to whom may
    /// follow a bill: payee and amount from one text.
    fn is_foreign_payee(&self, call: &Subject<'_>) -> bool {
        let found = &self.found;
        if matches!(found.origin, Origin::Invented | Origin::Name | Origin::FirstParty) {
            return false;
        }
        let is_planned = !call.grants.is_empty() && !call.compiled.lists_accounts();
        !(is_planned
            && found.texts.iter().any(|text| {
                amounts_in(call.arguments).iter().any(|amount| call.memory.text_holds(*text, amount))
            }))
    }

    /// A record is out when the envelope lists others like it; when it lists none, it must have to do with the purpose.
    fn is_foreign_record(&self, call: &Subject<'_>) -> bool {
        if call.compiled.lists_records_like(&self.target.value) {
            return true;
        }
        let subject = self.found.on_subject;
        let free_text_only = subject.is_none() && self.found.origin.is_untrusted();
        free_text_only || (subject == Some(false) && call.reach == Reach::Money)
    }

    /// Whether what was read outside of the envelope may leave with the call.
    fn carries_out(&self, call: &Subject<'_>) -> bool {
        let is_outside =
            matches!(self.target.kind, TargetKind::Host | TargetKind::Email | TargetKind::Person);
        let sends = matches!(call.reach, Reach::Outbound | Reach::Fetch | Reach::Execute | Reach::Unknown);
        call.has_strayed && is_outside && sends
    }

    fn rule(&self) -> &'static RuleInfo {
        if self.target.kind == TargetKind::Record { &rules::RECORD } else { &rules::STEER }
    }

    fn shown(&self) -> String {
        match self.target.kind {
            TargetKind::Secret => "a value that nobody granted".to_owned(),
            TargetKind::Host
            | TargetKind::Email
            | TargetKind::Account
            | TargetKind::Person
            | TargetKind::Path
            | TargetKind::Record
            | TargetKind::Repository
            | TargetKind::Title => self.target.value.clone(),
        }
    }
}

/// How an amount among the arguments may be written: `20.5` also as `20.50`.
fn amounts_in(arguments: &Value) -> Vec<String> {
    let mut written = Vec::new();
    for (_, value) in arguments.as_object().into_iter().flatten() {
        let amount = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse::<f64>().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        };
        let Some(amount) = amount.filter(|amount| amount.is_finite() && *amount > 0.0) else { continue };
        written.extend([format!("{amount:.2}"), format!("{amount:.1}"), format!("{amount}")]);
    }
    written
}

/// Targets that nobody named: the worst one is told under E-DEST, and the worst that an untrusted text decided under
/// F-STEER or F-RECORD.
pub(crate) fn destinations(traced: &[Traced], call: &Subject<'_>, verdicts: &mut Vec<Verdict>) {
    let bounded = call.compiled.bounds_destinations();
    let outside = traced
        .iter()
        .filter(|traced| matters(call.reach, traced.target.kind))
        .filter(|traced| bounded || is_never_free(traced.target.kind))
        .filter_map(|traced| Some((traced, traced.severity(call)?)));
    // The first of the worst: the order of the arguments decides between equals.
    let worst = outside.reduce(|worst, next| if next.1 > worst.1 { next } else { worst });
    let Some((traced, severity)) = worst else { return };
    let (kind, shown, origin) = (traced.target.kind.name(), traced.shown(), traced.found.origin);
    let observed = format!("{} = {shown}", traced.target.pointer);
    if bounded {
        let granted =
            call.compiled.envelope.destinations.iter().flatten().take(8).cloned().collect::<Vec<_>>();
        let expected = if granted.is_empty() { "no destination".to_owned() } else { granted.join(", ") };
        let carries = traced.carries_out(call);
        let after = if carries { "; it had read what its envelope does not name" } else { "" };
        let reason = format!(
            "{} called {} with {kind} that nobody approved: {}, which {}{after}",
            call.who,
            call.tool,
            abridge(&shown),
            origin.phrase()
        );
        let severity = if carries { severity.max(Severity::High) } else { severity };
        let verdict = Verdict::new(&rules::DESTINATION, severity, "/destinations", reason);
        verdicts.push(verdict.seen(expected, observed.clone()));
    }
    if severity >= Severity::High {
        let reason = format!(
            "{} called {} with {kind} which {}: {}",
            call.who,
            call.tool,
            origin.phrase(),
            abridge(&shown)
        );
        let verdict = Verdict::new(traced.rule(), severity, "/purpose", reason);
        let expected = "a value from the purpose, the envelope or the principal";
        verdicts.push(verdict.seen(expected, format!("{observed} ({origin:?})").to_lowercase()));
    }
}

/// Which kinds of targets decide for a call of that reach.
pub(crate) const fn matters(reach: Reach, kind: TargetKind) -> bool {
    match reach {
        Reach::Read => false,
        // What stays in the workspace may name people freely; where it fetches from, or logs in to, counts.
        Reach::Fetch | Reach::Local => matches!(kind, TargetKind::Host),
        Reach::Plan
        | Reach::Outbound
        | Reach::Destroy
        | Reach::Account
        | Reach::Money
        | Reach::Execute
        | Reach::Unknown => true,
    }
}

/// Kinds that count even where the envelope does not bound destinations: what cannot be taken back.
const fn is_never_free(kind: TargetKind) -> bool {
    matches!(kind, TargetKind::Account | TargetKind::Secret | TargetKind::Path | TargetKind::Record)
}

/// A secret that a result told leaves with a call whose destination nobody named.
pub(crate) fn secret_out(traced: &[Traced], call: &Subject<'_>, verdicts: &mut Vec<Verdict>) {
    let carries_text = matches!(call.reach, Reach::Outbound | Reach::Unknown | Reach::Execute);
    if !carries_text || !call.memory.has_secrets() {
        return;
    }
    let addressees = || {
        traced.iter().filter(|traced| {
            matches!(traced.target.kind, TargetKind::Host | TargetKind::Email | TargetKind::Person)
        })
    };
    let Some(to) = addressees()
        .filter(|traced| !traced.found.origin.is_granted())
        .max_by_key(|traced| traced.found.origin.is_untrusted())
    else {
        return;
    };
    let mut budget = LEAVING_WORDS_MAX;
    if !holds_secret(call.arguments, call.memory, &mut budget) {
        return;
    }
    let severity = if to.found.origin.is_untrusted() { Severity::High } else { Severity::Medium };
    let reason = format!(
        "{} called {} with a secret that it read before, for {} which {}",
        call.who,
        call.tool,
        abridge(&to.target.value),
        to.found.origin.phrase()
    );
    let verdict = Verdict::new(&rules::SECRET_OUT, severity, "/destinations", reason);
    verdicts.push(verdict.seen(
        "no secret, or a named destination",
        format!("a secret, {} = {}", to.target.pointer, to.target.value),
    ));
}

fn holds_secret(value: &Value, memory: &Memory, budget: &mut usize) -> bool {
    match value {
        Value::String(text) => words_of(text).into_iter().any(|word| {
            *budget = budget.saturating_sub(1);
            *budget > 0 && memory.is_secret(word)
        }),
        Value::Array(items) => items.iter().any(|item| holds_secret(item, memory, budget)),
        Value::Object(fields) => fields.values().any(|field| holds_secret(field, memory, budget)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Code is run that stands in an untrusted text: an address in it, or several words in a row.
pub(crate) fn execution(call: &Subject<'_>, verdicts: &mut Vec<Verdict>) {
    if call.reach != Reach::Execute {
        return;
    }
    let (compiled, memory) = (call.compiled, call.memory);
    let untrusted = |value: &str| {
        compiled.grantor_of(value, call.grants).is_none()
            && memory.trace(value, &compiled.said, || None).origin == Origin::Untrusted
    };
    let texts = call
        .arguments
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name, value.as_str()?)));
    for (name, text) in texts {
        let pieces: Vec<&str> = text.split_whitespace().collect();
        let addresses = named_in(text);
        let windows = pieces.windows(WINDOW_WORDS).take(WINDOWS_MAX).map(|window| window.join(" "));
        let Some(found) = addresses.into_iter().chain(windows).find(|piece| untrusted(&piece.to_lowercase()))
        else {
            continue;
        };
        let reason = format!(
            "{} called {} with code that came from the result of an earlier call",
            call.who, call.tool
        );
        let verdict = Verdict::new(&rules::EXECUTION, Severity::High, "/purpose", reason);
        verdicts.push(verdict.seen("code of the agent's own", format!("/{name} holds {found}")));
        return;
    }
}
