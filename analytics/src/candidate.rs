//! Candidate envelopes: bounds that are tried on history in place of those that were approved then.
//!
//! A candidate is written like an envelope and names the fields that it changes; what it does not name stays as it was
//! approved. It stands in for the envelope of one task, or for those of all tasks of one kind of purpose. Whose an
//! envelope is, what for and who approved it stays: a candidate says what would have been allowed, nothing else.

use crate::compile::Compiled;
use crate::drift::kind_of_purpose;
use crate::patterns::Patterns;
use ambit_schemas::envelope::{Envelope, InvalidEnvelope, SignedEnvelope};
use serde_json::value::to_raw_value;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Fields that say whose an envelope is and not what it allows: they stay as they were approved.
const STANDING: [&str; 6] = ["id", "version", "task_id", "agent_uid", "purpose", "approved_by"];
/// The field that lists bounds which are to be absent.
const LIFT: &str = "lift";

/// Bounds to be tried on history.
#[derive(Debug, Default)]
pub struct Candidates {
    by_task: HashMap<String, Candidate>,
    /// By [`kind_of_purpose`].
    by_purpose: HashMap<String, Candidate>,
}

/// A candidate cannot be tried.
#[derive(Debug, thiserror::Error)]
#[error("the candidate envelope {name} cannot be tried: {why}")]
pub struct InvalidCandidate {
    /// What it was called.
    pub name: String,
    /// What is wrong with it, and what to do.
    pub why: String,
}

#[derive(Debug)]
struct Candidate {
    name: Arc<str>,
    bounds: Map<String, Value>,
    lifted: Vec<String>,
}

impl Candidates {
    /// Reads candidates: the name of each, for people, and its document.
    ///
    /// # Errors
    /// When one names neither task nor purpose, another has named that already, or no envelope may say what it says.
    pub fn new(documents: impl IntoIterator<Item = (String, Value)>) -> Result<Self, InvalidCandidate> {
        let mut all = Self::default();
        for (name, document) in documents {
            all.add(&name, document).map_err(|why| InvalidCandidate { name, why })?;
        }
        Ok(all)
    }

    fn add(&mut self, name: &str, document: Value) -> Result<(), String> {
        let Value::Object(mut bounds) = document else { return Err("it is no object".to_owned()) };
        let text = |bounds: &Map<String, Value>, field| match bounds.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{field}` is no text")),
        };
        let (task, purpose) = (text(&bounds, "task_id")?, text(&bounds, "purpose")?);
        let lifted = match bounds.remove(LIFT) {
            None => Vec::new(),
            Some(list) => {
                serde_json::from_value(list).map_err(|_| format!("`{LIFT}` is no list of fields"))?
            }
        };
        bounds.retain(|field, _| !STANDING.contains(&field.as_str()));
        let candidate = Candidate { name: name.into(), bounds, lifted };
        candidate.check()?;
        let place = match (task, purpose) {
            (Some(task), _) => self.by_task.entry(task),
            (None, Some(purpose)) => self.by_purpose.entry(kind_of_purpose(&purpose)),
            (None, None) => return Err("it names neither `task_id` nor `purpose`: add one".to_owned()),
        };
        match place {
            Entry::Occupied(other) => {
                let other = &other.get().name;
                Err(format!(
                    "{other} stands for the same task, or the same kind of purpose: keep one of them"
                ))
            }
            Entry::Vacant(place) => {
                place.insert(candidate);
                Ok(())
            }
        }
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_task.values().chain(self.by_purpose.values()).map(|candidate| &*candidate.name)
    }

    /// The candidate for an envelope: the one for its task before the one for its kind of purpose.
    fn of(&self, envelope: &Envelope) -> Option<&Candidate> {
        let by_purpose = || self.by_purpose.get(&kind_of_purpose(&envelope.purpose));
        self.by_task.get(envelope.task_id.as_str()).or_else(by_purpose)
    }

    /// The envelope as a candidate would have it, where there is one for it. It keeps its digest, so that findings which
    /// are the same are the same byte for byte.
    pub(crate) fn in_place_of(
        &self,
        approved: Compiled,
        made: &mut Patterns,
    ) -> Result<Compiled, InvalidEnvelope> {
        let Some(candidate) = self.of(&approved.envelope) else { return Ok(approved) };
        let document = serde_json::to_value(&approved.envelope).map_err(InvalidEnvelope::Document)?;
        let mut compiled = candidate.over(document, made)?;
        compiled.digest = approved.digest;
        compiled.candidate = Some(Arc::clone(&candidate.name));
        Ok(compiled)
    }
}

impl Candidate {
    /// Whether it can stand in for any envelope at all.
    fn check(&self) -> Result<(), String> {
        if let Some(field) = self.lifted.iter().find(|field| STANDING.contains(&field.as_str())) {
            return Err(format!("`{LIFT}` names `{field}`, which is no bound"));
        }
        let least = json!({"id": "env", "version": 1, "task_id": "task", "agent_uid": "agent://a", "purpose": "",
            "approved_by": "somebody", "tools": []});
        let told = |error: InvalidEnvelope| match &error {
            InvalidEnvelope::Document(cause) => cause.to_string(),
            InvalidEnvelope::TooLarge(_) | InvalidEnvelope::Content(_) | InvalidEnvelope::Untrusted => {
                error.to_string()
            }
        };
        self.over(least, &mut Patterns::default()).map(drop).map_err(told)
    }

    fn over(&self, mut document: Value, made: &mut Patterns) -> Result<Compiled, InvalidEnvelope> {
        if let Value::Object(fields) = &mut document {
            fields.extend(self.bounds.clone());
            fields.retain(|field, _| !self.lifted.contains(field));
        }
        let document = to_raw_value(&document).map_err(InvalidEnvelope::Document)?;
        Compiled::new(&SignedEnvelope { document, signatures: Vec::new() }, made)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn approved() -> Compiled {
        let document = json!({"id": "env-7", "version": 3, "task_id": "task-7", "agent_uid": "agent://a",
            "purpose": "Answer ticket 4711 of ines@customer.example", "approved_by": "emma",
            "tools": [{"name": "read_ticket"}, {"name": "send_email"}], "destinations": []});
        let document = to_raw_value(&document).unwrap();
        Compiled::new(&SignedEnvelope { document, signatures: Vec::new() }, &mut Patterns::default()).unwrap()
    }

    fn tried(documents: &[Value]) -> Compiled {
        let documents = documents.iter().enumerate().map(|(at, one)| (at.to_string(), one.clone()));
        let all = Candidates::new(documents).unwrap();
        all.in_place_of(approved(), &mut Patterns::default()).unwrap()
    }

    #[test]
    fn a_candidate_changes_what_it_names_and_nothing_else() {
        let before = approved();
        let purpose = json!({"purpose": "Answer ticket #12 of Li Wei", "id": "another", "version": 9,
            "tools": [{"name": "read_ticket"}], "lift": ["destinations"]});
        let tools = tried(std::slice::from_ref(&purpose));
        let kept = Envelope {
            tools: before.envelope.tools[..1].to_vec(),
            destinations: None,
            ..before.envelope.clone()
        };
        assert_eq!(tools.envelope, kept);
        assert_eq!((tools.digest, tools.candidate.as_deref()), (before.digest, Some("0")));
        let task = json!({"task_id": "task-7", "destinations": ["*.customer.example"]});
        let both = tried(&[purpose, task]);
        assert_eq!(both.candidate.as_deref(), Some("1"), "the task's own goes first");
        assert_eq!(both.envelope.tools.len(), 2);
        // The negative control: a candidate for others.
        let others =
            tried(&[json!({"task_id": "task-8", "tools": []}), json!({"purpose": "Pay", "tools": []})]);
        assert_eq!((others.candidate, others.envelope), (None, before.envelope));
    }

    #[test]
    fn what_cannot_be_tried_is_refused_with_its_name() {
        let refused = |documents: &[Value]| {
            let documents = documents.iter().map(|one| ("a.toml".to_owned(), one.clone()));
            Candidates::new(documents).unwrap_err().to_string()
        };
        for (document, words) in [
            (json!([]), "no object"),
            (json!({"tools": []}), "neither `task_id` nor `purpose`"),
            (json!({"task_id": 7}), "no text"),
            (json!({"task_id": "t", "destinatons": []}), "destinatons"),
            (json!({"task_id": "t", "lift": ["tools"]}), "tools"),
            (json!({"task_id": "t", "lift": ["purpose"]}), "no bound"),
            (json!({"task_id": "t", "tools": [{"name": "a["}]}), "not a glob"),
        ] {
            let said = refused(&[document]);
            assert!(said.contains("a.toml") && said.contains(words), "{said}");
        }
        let twice = [json!({"purpose": "Answer ticket 1"}), json!({"purpose": "Answer ticket 2"})];
        assert!(refused(&twice).contains("same kind of purpose"));
    }
}
