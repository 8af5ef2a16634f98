//! A task envelope as Cedar policies, and a call as a Cedar request: the same bounds in another language, for tests and
//! benchmarks.
//!
//! There is one `permit` for each grant, so that what Cedar cannot evaluate for one (a text compared with a number) denies
//! by that grant and leaves the others; one `permit` for tools that no grant names; and one `forbid` for time and effects.
//! Cedar has no length of a text, no `?`, no regular expression and no "for each element": what uses them is refused here,
//! and compared with a plain reading of the document elsewhere.

use ambit_schemas::Timestamp;
use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request};
use serde_json::{Value, json};
use std::fmt::Write;
use std::str::FromStr;

/// Why an envelope or a call has no rendering.
pub type Unrendered = Box<dyn std::error::Error + Send + Sync>;

/// An envelope in Cedar.
#[derive(Debug)]
pub struct Rendered {
    policies: PolicySet,
    authorizer: Authorizer,
    entities: Entities,
}

impl Rendered {
    /// Reads the policies of [`policies`].
    ///
    /// # Errors
    /// When the document uses what Cedar does not have.
    pub fn new(document: &Value) -> Result<Self, Unrendered> {
        let policies = PolicySet::from_str(&policies(document)?)?;
        Ok(Self { policies, authorizer: Authorizer::new(), entities: Entities::empty() })
    }

    /// Cedar's decision.
    pub fn allow(&self, request: &Request) -> bool {
        let answer = self.authorizer.is_authorized(request, &self.policies, &self.entities);
        answer.decision() == Decision::Allow
    }
}

/// A call as a request. `at` is in microseconds since 1970; numbers in `arguments` are whole, and nothing is null.
///
/// # Errors
/// When the arguments have what Cedar does not.
pub fn request(
    at: i64,
    (tool, server): (&str, Option<&str>),
    effect: &str,
    arguments: &Value,
) -> Result<Request, Unrendered> {
    let mut context = json!({"now": at, "tool": tool, "effect": effect, "args": arguments});
    if let (Some(fields), Some(server)) = (context.as_object_mut(), server) {
        fields.insert("server".to_owned(), json!(server));
    }
    let context = Context::from_json_value(context, None)?;
    let agent = EntityUid::from_str("Ambit::\"agent\"")?;
    let tool = EntityUid::from_str("Ambit::\"tool\"")?;
    Ok(Request::new(agent, EntityUid::from_str("Action::\"call\"")?, tool, context, None)?)
}

/// An envelope's document as the text of Cedar policies.
///
/// # Errors
/// When it uses what Cedar does not have.
pub fn policies(document: &Value) -> Result<String, Unrendered> {
    let grants = document.get("tools").and_then(Value::as_array).ok_or("the document has no tools")?;
    let mut text = String::new();
    let mut names = Vec::new();
    for grant in grants {
        let name = like("context.tool", field(grant, "name")?)?;
        let mut clauses = vec![name.clone()];
        if let Some(server) = grant.get("server") {
            clauses.push(format!("context has server && context.server == {server}"));
        }
        for constraint in grant.get("arguments").and_then(Value::as_array).into_iter().flatten() {
            clauses.push(constrained(constraint)?);
        }
        names.push(name);
        writeln!(text, "permit(principal, action, resource) when {{ {} }};", joined(&clauses, " && "))?;
    }
    let unlisted = document.get("unlisted_effects").cloned().unwrap_or_else(|| json!([]));
    let listed = if names.is_empty() { "false".to_owned() } else { joined(&names, " || ") };
    writeln!(
        text,
        "permit(principal, action, resource) when {{ !({listed}) && {unlisted}.contains(context.effect) }};"
    )?;
    let mut within = vec!["true".to_owned()];
    for (edge, relation) in [("not_before", ">="), ("not_after", "<")] {
        if let Some(moment) = document.pointer(&format!("/window/{edge}")) {
            within.push(format!("context.now {relation} {}", micros(moment)?));
        }
    }
    if let Some(effects) = document.get("effects").filter(|effects| !effects.is_null()) {
        within.push(format!("{effects}.contains(context.effect)"));
    }
    writeln!(text, "forbid(principal, action, resource) unless {{ {} }};", joined(&within, " && "))?;
    Ok(text)
}

/// A moment of the window, in microseconds since 1970.
fn micros(moment: &Value) -> Result<i64, Unrendered> {
    let text = moment.as_str().ok_or("a moment is a text")?;
    Ok(Timestamp::parse(text)?.micros())
}

fn joined(clauses: &[String], by: &str) -> String {
    clauses.iter().map(|clause| format!("({clause})")).collect::<Vec<_>>().join(by)
}

fn field<'a>(of: &'a Value, name: &str) -> Result<&'a str, Unrendered> {
    of.get(name).and_then(Value::as_str).ok_or_else(|| format!("`{name}` is no text").into())
}

/// A name or glob of names without slashes: `*` is any number of characters.
fn like(what: &str, pattern: &str) -> Result<String, Unrendered> {
    if pattern.contains(['?', '[', '{', '\\', '/', '"']) {
        return Err(format!("`{pattern}` has no rendering").into());
    }
    Ok(format!("{what} like \"{pattern}\""))
}

fn constrained(constraint: &Value) -> Result<String, Unrendered> {
    let pointer = field(constraint, "pointer")?;
    let (mut path, mut there) = ("context.args".to_owned(), Vec::new());
    for part in pointer.split('/').skip(1) {
        there.push(format!("{path} has {part}"));
        write!(path, ".{part}")?;
    }
    let (kind, with) = constraint
        .get("check")
        .and_then(Value::as_object)
        .and_then(|check| check.iter().next())
        .ok_or("a constraint has no check")?;
    let check = match kind.as_str() {
        // Of an array, it must hold of every element.
        "equals" => format!("{path} == {with} || [{with}].containsAll({path})"),
        "in" => format!("{with}.contains({path}) || {with}.containsAll({path})"),
        "prefix" => match with.as_str() {
            Some(prefix) if !prefix.contains(['*', '"', '\\']) => format!("{path} like \"{prefix}*\""),
            _ => return Err(format!("the prefix {with} has no rendering").into()),
        },
        "glob" => like(&path, with.as_str().ok_or("a glob is a text")?)?,
        "range" => {
            let edge = |name: &str, least: i64| with.get(name).and_then(Value::as_i64).unwrap_or(least);
            let (min, max) = (edge("min", i64::MIN + 1), edge("max", i64::MAX));
            format!("{path} >= {min} && {path} <= {max}")
        }
        other => return Err(format!("`{other}` has no rendering").into()),
    };
    let there = joined(&there, " && ");
    let optional = constraint.get("optional").and_then(Value::as_bool).unwrap_or_default();
    Ok(if optional { format!("!({there}) || ({check})") } else { format!("({there}) && ({check})") })
}
