//! Roles, and what each may do.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Permission {
    /// To look at overview, findings, agents, chains and single events.
    Read,
    /// To search by content, to follow events as they come, to take them out, to look at dead letters.
    Investigate,
    /// To change how findings and cases stand.
    Triage,
    /// To leave findings out of lists.
    Suppress,
    /// To order and to approve what is done about agents.
    Respond,
    /// To see who asked what.
    Trail,
}

impl Permission {
    /// All permissions.
    pub(crate) const ALL: [Self; 6] =
        [Self::Read, Self::Investigate, Self::Triage, Self::Suppress, Self::Respond, Self::Trail];

    /// The name, as a caller is told it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Investigate => "investigate",
            Self::Triage => "triage",
            Self::Suppress => "suppress",
            Self::Respond => "respond",
            Self::Trail => "trail",
        }
    }
}

/// A role. Viewer, analyst and responder may each do more than the one before; an auditor sees everything, the audit
/// trail too, and changes nothing; an admin may do all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks.
    Viewer,
    /// Searches, exports, triages.
    Analyst,
    /// Suppresses, orders and approves too.
    Responder,
    /// Sees everything, changes nothing.
    Auditor,
    /// May do all.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Analyst, Self::Responder, Self::Auditor, Self::Admin];

    /// The name, as configured.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Responder => "responder",
            Self::Auditor => "auditor",
            Self::Admin => "admin",
        }
    }

    /// Whether it may do that.
    pub const fn may(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => true,
            Permission::Investigate => !matches!(self, Self::Viewer),
            Permission::Triage => matches!(self, Self::Analyst | Self::Responder | Self::Admin),
            Permission::Suppress | Permission::Respond => matches!(self, Self::Responder | Self::Admin),
            Permission::Trail => matches!(self, Self::Auditor | Self::Admin),
        }
    }

    /// The roles that may do that, for messages.
    pub(crate) fn who_may(permission: Permission) -> String {
        let may = Self::ALL.into_iter().filter(|role| role.may(permission)).map(Self::name);
        may.collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.name() == text);
        known.ok_or_else(|| {
            format!("`{text}` is no role: give one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_may_more_and_an_auditor_changes_nothing() {
        use Permission::{Respond, Suppress, Trail, Triage};
        let may = |role: Role| Permission::ALL.into_iter().filter(|one| role.may(*one)).count();
        assert_eq!(
            [Role::Viewer, Role::Analyst, Role::Responder, Role::Auditor, Role::Admin].map(may),
            [1, 3, 5, 3, 6]
        );
        assert!(
            !Role::Auditor.may(Triage)
                && !Role::Auditor.may(Suppress)
                && !Role::Auditor.may(Respond)
                && !Role::Responder.may(Trail)
        );
        assert_eq!("auditor".parse(), Ok(Role::Auditor));
        assert!("root".parse::<Role>().unwrap_err().contains("viewer, analyst"));
    }
}
