//! The rules, with what never changes about them. Each has a page under `docs/rules`.

use ambit_schemas::finding::Maturity;

/// A rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its stable id.
    pub id: &'static str,
    /// Changes whenever its verdicts may.
    pub version: u32,
    /// How far it is trusted.
    pub maturity: Maturity,
    /// One line.
    pub title: &'static str,
    /// Controls for which its findings are evidence.
    pub controls: &'static [&'static str],
}

macro_rules! rules {
    ($($(#[$doc:meta])* $constant:ident = $id:literal, $title:literal, [$($control:literal),*];)*) => {
        $($(#[$doc])*
        pub const $constant: RuleInfo = RuleInfo {
            id: $id,
            version: 1,
            maturity: Maturity::Stable,
            title: $title,
            controls: &[$($control),*],
        };)*

        /// All rules.
        pub const ALL: &[RuleInfo] = &[$($constant,)*];
    };
}

rules! {
    /// An action without a valid envelope.
    NO_ENVELOPE = "E-NOENV", "Action without an approved envelope", ["ASI01", "CC6.2"];
    /// An envelope that cannot be used: unreadable, unsigned, out of order.
    INVALID_ENVELOPE = "E-INVALID", "Envelope that cannot be trusted", ["ASI03", "CC8.1"];
    /// An envelope approved by the agent it bounds.
    SELF_APPROVAL = "E-SELF", "Agent approved its own bounds", ["ASI03", "CC6.3"];
    /// Another agent acts under the task.
    WRONG_AGENT = "E-AGENT", "Agent acts under a task that is not its own", ["ASI03", "NHI9"];
    /// A tool that nobody granted.
    TOOL = "E-TOOL", "Tool outside the envelope", ["ASI02", "CC6.1"];
    /// An argument that a constraint forbids.
    ARGUMENT = "E-ARG", "Argument outside its constraint", ["ASI02", "CC6.1"];
    /// A resource that nobody granted.
    RESOURCE = "E-RES", "Resource outside the envelope", ["ASI02", "CC6.1"];
    /// An effect that the task may not have.
    EFFECT = "E-EFFECT", "Effect outside the envelope", ["ASI02", "CC6.1"];
    /// A destination that nobody granted.
    DESTINATION = "E-DEST", "Destination outside the envelope", ["ASI01", "ASI02"];
    /// More than was granted.
    BUDGET = "E-BUDGET", "Budget exceeded", ["ASI08", "CC6.1"];
    /// Too early or too late.
    WINDOW = "E-WINDOW", "Action outside the task's window", ["ASI02", "CC6.1"];
    /// An approval that is needed and missing.
    APPROVAL = "E-APPROVAL", "Action without the approval it needs", ["ASI09", "CC6.3"];
    /// Use after the task's end.
    CLOSED = "E-CLOSED", "Action after the task's end", ["ASI10", "NHI1"];
    /// Work handed on without leave.
    DELEGATION = "E-DELEG", "Delegation outside the envelope", ["ASI03", "ASI07"];
    /// A credential used after its task ended.
    CREDENTIAL_AFTER_END = "C-AFTER-END", "Credential used after its task's end", ["ASI03", "NHI1"];
    /// A credential used by another workload.
    CREDENTIAL_FOREIGN = "C-FOREIGN", "Credential used by another workload", ["ASI03", "NHI9"];
    /// A credential used after it was revoked.
    CREDENTIAL_REVOKED = "C-REVOKED", "Credential used after its revocation", ["ASI03", "NHI1"];
    /// Something could not be evaluated.
    ERROR = "X-ERROR", "Action could not be evaluated", ["CC7.2"];
}
