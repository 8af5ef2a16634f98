//! The fold: from what people did to how things stand.

use crate::triage::views::{CaseView, NoteView, SavedSearchView, SuppressionView, TriageView};
use ambit_schemas::event::{Body, Event};
use ambit_schemas::trail::SavedSearch;
use ambit_schemas::triage::{CaseChange, Suppression, TriageChange};
use ambit_schemas::{Finding, Timestamp};
use serde_json::Value;
use std::collections::HashMap;

/// Whose, and which. What one tenant says never speaks of another's. INVARIANT Q-3
type Key = (String, String);

/// How things stand.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    findings: HashMap<Key, TriageView>,
    suppressions: HashMap<Key, Suppression>,
    cases: HashMap<Key, CaseView>,
    searches: HashMap<Key, SavedSearchView>,
}

impl Desk {
    /// Takes the next thing that somebody did. Other events are passed over.
    #[allow(clippy::wildcard_enum_match_arm, reason = "only what people did is of interest")]
    pub(crate) fn take(&mut self, event: Event) {
        let (tenant, time) = (event.tenant.to_string(), event.time.to_string());
        match event.body {
            Body::TriageChanged(change) => {
                let key = (tenant, change.finding_id.to_string());
                triage(self.findings.entry(key).or_default(), *change, time);
            }
            Body::TriageSuppressed(suppression) => {
                let key = (tenant, suppression.suppression_id.to_string());
                self.suppressions.insert(key, *suppression);
            }
            Body::CaseChanged(change) => {
                let key = (tenant.clone(), change.case_id.to_string());
                let case = self.cases.entry(key).or_insert_with(|| opened(&change, tenant, time.clone()));
                change_case(case, *change, time);
            }
            Body::SearchSaved(search) => {
                let key = (tenant.clone(), search.search_id.to_string());
                if search.removed {
                    self.searches.remove(&key);
                } else {
                    self.searches.insert(key, kept(&tenant, &search, event.time));
                }
            }
            _ => {}
        }
    }

    /// How a finding stands at a moment.
    pub(crate) fn of(&self, finding: &Value, now: Timestamp) -> TriageView {
        let text = |pointer: &str| finding.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (id, tenant, rule) = (text("/id"), text("/tenant_uid"), text("/rule/id"));
        let agent = finding.pointer("/agent/uid").and_then(Value::as_str);
        let known = self.findings.get(&(tenant.to_owned(), id.to_owned()));
        let mut view = known.cloned().unwrap_or_default();
        let covering = self
            .suppressions
            .iter()
            .filter(|((whose, _), one)| whose == tenant && one.until > now && one.covers(id, rule, agent));
        view.suppressed =
            covering.max_by_key(|(_, one)| one.until).map(|((whose, _), one)| shown(whose, one));
        let cases = self.cases.values().filter(|case| case.tenant == tenant);
        view.cases = cases
            .filter(|case| case.findings.iter().any(|one| one == id))
            .map(|case| case.id.clone())
            .collect();
        view.cases.sort_unstable();
        view
    }

    /// The suppressions that hold at a moment, the next to end first.
    pub(crate) fn suppressions(self, now: Timestamp) -> Vec<SuppressionView> {
        let mut holding: Vec<_> = self.suppressions.into_iter().filter(|(_, one)| one.until > now).collect();
        holding.sort_by(|(a_key, a), (b_key, b)| (a.until, a_key).cmp(&(b.until, b_key)));
        holding.iter().map(|((tenant, _), one)| shown(tenant, one)).collect()
    }

    /// All cases, the last changed first.
    pub(crate) fn cases(self) -> Vec<CaseView> {
        let mut cases: Vec<CaseView> = self.cases.into_values().collect();
        cases.sort_by(|a, b| (&b.changed_at, &b.id).cmp(&(&a.changed_at, &a.id)));
        cases
    }

    /// All kept searches, by name.
    pub(crate) fn searches(self) -> Vec<SavedSearchView> {
        let mut searches: Vec<SavedSearchView> = self.searches.into_values().collect();
        searches.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        searches
    }

    /// One suppression, as it was last told.
    pub(crate) fn suppression(&self, id: &str) -> Option<(&str, &Suppression)> {
        let mut found = self.suppressions.iter().filter(|((_, known), _)| known == id);
        found.next().map(|((tenant, _), one)| (tenant.as_str(), one))
    }
}

/// A finding after one more change.
pub(crate) fn triage(view: &mut TriageView, change: TriageChange, time: String) {
    if let Some(state) = change.state {
        state.name().clone_into(&mut view.state);
        view.disposition = change.disposition.map(|disposition| disposition.name().to_owned());
    }
    if change.unassigned {
        view.assignee = None;
    }
    if let Some(assignee) = change.assignee {
        view.assignee = Some(assignee.to_string());
    }
    let author = change.author.to_string();
    if let Some(text) = change.note {
        view.notes.push(NoteView { author: author.clone(), time: time.clone(), text });
    }
    view.changed_by = Some(author);
    view.changed_at = Some(time);
}

/// A case before its first change is applied.
pub(crate) fn opened(change: &CaseChange, tenant: String, time: String) -> CaseView {
    CaseView {
        id: change.case_id.to_string(),
        tenant,
        title: String::new(),
        state: "open".into(),
        assignee: None,
        opened_by: change.author.to_string(),
        opened_at: time.clone(),
        changed_by: change.author.to_string(),
        changed_at: time,
        findings: Vec::new(),
        notes: Vec::new(),
    }
}

/// A case after one more change.
pub(crate) fn change_case(case: &mut CaseView, change: CaseChange, time: String) {
    if let Some(title) = change.title {
        case.title = title;
    }
    if let Some(state) = change.state {
        state.name().clone_into(&mut case.state);
    }
    if let Some(assignee) = change.assignee {
        case.assignee = Some(assignee.to_string());
    }
    let author = change.author.to_string();
    if let Some(text) = change.note {
        case.notes.push(NoteView { author: author.clone(), time: time.clone(), text });
    }
    case.findings.retain(|one| !change.remove.iter().any(|gone| gone.as_str() == one));
    for one in change.add {
        if !case.findings.iter().any(|known| known == one.as_str()) {
            case.findings.push(one.to_string());
        }
    }
    case.changed_by = author;
    case.changed_at = time;
}

/// A suppression as it is answered.
pub(crate) fn shown(tenant: &str, one: &Suppression) -> SuppressionView {
    SuppressionView {
        id: one.suppression_id.to_string(),
        tenant: tenant.to_owned(),
        finding_id: one.finding_id.as_ref().map(ToString::to_string),
        rule_id: one.rule_id.as_ref().map(ToString::to_string),
        agent_uid: one.agent_uid.as_ref().map(ToString::to_string),
        until: one.until.to_string(),
        reason: one.reason.clone(),
        author: one.author.to_string(),
    }
}

/// A kept search as it is answered.
pub(crate) fn kept(tenant: &str, search: &SavedSearch, at: Timestamp) -> SavedSearchView {
    SavedSearchView {
        id: search.search_id.to_string(),
        tenant: tenant.to_owned(),
        name: search.name.clone(),
        query: search.query.clone(),
        author: search.author.to_string(),
        saved_at: at.to_string(),
    }
}

/// The finding of an answer, as it was recorded.
pub(crate) fn recorded(finding: &Value) -> Option<Finding> {
    serde_json::from_value(finding.clone()).ok()
}
