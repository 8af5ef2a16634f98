//! What the API answers about how findings stand.

use serde::Serialize;
use utoipa::ToSchema;

/// What somebody wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NoteView {
    /// Who.
    pub author: String,
    /// When.
    pub time: String,
    /// What.
    pub text: String,
}

/// How a finding stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TriageView {
    /// `open`, `acknowledged` or `closed`.
    pub state: String,
    /// What it turned out to be, once closed: `true_positive`, `false_positive` or `benign`.
    pub disposition: Option<String>,
    /// Who looks after it.
    pub assignee: Option<String>,
    /// Who changed this last.
    pub changed_by: Option<String>,
    /// When.
    pub changed_at: Option<String>,
    /// What people wrote, oldest first.
    pub notes: Vec<NoteView>,
    /// The suppression that leaves it out of lists now.
    pub suppressed: Option<SuppressionView>,
    /// The cases that it belongs to.
    pub cases: Vec<String>,
}

impl Default for TriageView {
    fn default() -> Self {
        Self {
            state: "open".into(),
            disposition: None,
            assignee: None,
            changed_by: None,
            changed_at: None,
            notes: Vec::new(),
            suppressed: None,
            cases: Vec::new(),
        }
    }
}

/// Findings that lists leave out until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SuppressionView {
    /// The suppression.
    pub id: String,
    /// Whose findings.
    pub tenant: String,
    /// This one finding.
    pub finding_id: Option<String>,
    /// Findings of this rule.
    pub rule_id: Option<String>,
    /// Findings about this agent.
    pub agent_uid: Option<String>,
    /// Until when.
    pub until: String,
    /// Why.
    pub reason: String,
    /// Who.
    pub author: String,
}

/// A search that somebody keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedSearchView {
    /// The search.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// Its name.
    pub name: String,
    /// Its parameters, as in an address.
    pub query: String,
    /// Who keeps it.
    pub author: String,
    /// Since when.
    pub saved_at: String,
}

/// A case: findings that are worked on together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CaseView {
    /// The case.
    pub id: String,
    /// Whose.
    pub tenant: String,
    /// What it is about.
    pub title: String,
    /// `open`, `acknowledged` or `closed`.
    pub state: String,
    /// Who looks after it.
    pub assignee: Option<String>,
    /// Who opened it.
    pub opened_by: String,
    /// When.
    pub opened_at: String,
    /// Who changed it last.
    pub changed_by: String,
    /// When.
    pub changed_at: String,
    /// Its findings, in the order in which they came to it.
    pub findings: Vec<String>,
    /// What people wrote, oldest first.
    pub notes: Vec<NoteView>,
}
