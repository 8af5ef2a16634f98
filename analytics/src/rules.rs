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
    ($($(#[$doc:meta])* $constant:ident = $id:literal @ $version:literal $maturity:ident, $title:literal,
        [$($control:literal),*];)*) => {
        $($(#[$doc])*
        pub const $constant: RuleInfo = RuleInfo {
            id: $id,
            version: $version,
            maturity: Maturity::$maturity,
            title: $title,
            controls: &[$($control),*],
        };)*

        /// All rules.
        pub const ALL: &[RuleInfo] = &[$($constant,)*];
    };
}

rules! {
    /// An action without a valid envelope.
    NO_ENVELOPE = "E-NOENV" @ 1 Stable, "Action without an approved envelope", ["ASI01", "CC6.2"];
    /// An envelope that cannot be used: unreadable, unsigned, out of order.
    INVALID_ENVELOPE = "E-INVALID" @ 1 Stable, "Envelope that cannot be trusted", ["ASI03", "CC8.1"];
    /// An envelope approved by the agent it bounds.
    SELF_APPROVAL = "E-SELF" @ 1 Stable, "Agent approved its own bounds", ["ASI03", "CC6.3"];
    /// Another agent acts under the task.
    WRONG_AGENT = "E-AGENT" @ 1 Stable, "Agent acts under a task that is not its own", ["ASI03", "NHI9"];
    /// A tool that nobody granted.
    TOOL = "E-TOOL" @ 3 Stable, "Tool outside the envelope", ["ASI02", "CC6.1"];
    /// An argument that a constraint forbids.
    ARGUMENT = "E-ARG" @ 3 Stable, "Argument outside its constraint", ["ASI02", "CC6.1"];
    /// A resource that nobody granted.
    RESOURCE = "E-RES" @ 1 Stable, "Resource outside the envelope", ["ASI02", "CC6.1"];
    /// An effect that the task may not have.
    EFFECT = "E-EFFECT" @ 1 Stable, "Effect outside the envelope", ["ASI02", "CC6.1"];
    /// A destination that nobody granted.
    DESTINATION = "E-DEST" @ 4 Stable, "Destination outside the envelope", ["ASI01", "ASI02"];
    /// More than was granted.
    BUDGET = "E-BUDGET" @ 1 Stable, "Budget exceeded", ["ASI08", "CC6.1"];
    /// Too early or too late.
    WINDOW = "E-WINDOW" @ 1 Stable, "Action outside the task's window", ["ASI02", "CC6.1"];
    /// An approval that is needed and missing.
    APPROVAL = "E-APPROVAL" @ 1 Stable, "Action without the approval it needs", ["ASI09", "CC6.3"];
    /// Use after the task's end.
    CLOSED = "E-CLOSED" @ 2 Stable, "Action after the task's end", ["ASI10", "NHI1"];
    /// Work handed on without leave.
    DELEGATION = "E-DELEG" @ 1 Stable, "Delegation outside the envelope", ["ASI03", "ASI07"];
    /// A credential used after its task ended.
    CREDENTIAL_AFTER_END = "C-AFTER-END" @ 2 Stable, "Credential used after its task's end", ["ASI03", "NHI1"];
    /// A credential used by another workload.
    CREDENTIAL_FOREIGN = "C-FOREIGN" @ 3 Stable, "Credential used by another workload", ["ASI03", "NHI9"];
    /// A credential used after it was revoked.
    CREDENTIAL_REVOKED = "C-REVOKED" @ 3 Stable, "Credential used after its revocation", ["ASI03", "NHI1"];
    /// A credential that lives longer than the envelope allows.
    CREDENTIAL_TTL = "C-TTL" @ 1 Stable, "Credential lives longer than its envelope allows", ["ASI03", "NHI7"];
    /// A credential of an issuer, or with scopes, that the envelope does not name.
    CREDENTIAL_SCOPE = "C-SCOPE" @ 1 Stable, "Credential outside its envelope's scopes", ["ASI03", "NHI5", "CC6.3"];
    /// A credential without a task.
    CREDENTIAL_NO_TASK = "C-NOTASK" @ 1 Incubating, "Credential issued without a task", ["ASI03", "NHI7"];
    /// A credential used in several tasks.
    CREDENTIAL_REUSE = "C-REUSE" @ 1 Incubating, "Credential used across tasks", ["ASI03", "NHI9"];
    /// A credential used after its time.
    CREDENTIAL_EXPIRED = "C-EXPIRED" @ 1 Stable, "Credential used after its expiry", ["ASI03", "NHI1"];
    /// A credential that nobody is known to have issued.
    CREDENTIAL_UNKNOWN = "C-UNKNOWN" @ 1 Incubating, "Credential that was never issued", ["ASI03", "CC6.1"];
    /// A credential that is valid while no task needs it.
    CREDENTIAL_STANDING = "C-STANDING" @ 1 Incubating, "Credential valid outside of any task", ["NHI7", "CC6.3"];
    /// More live credentials than a task may have.
    CREDENTIAL_ACCUMULATE = "C-ACCUMULATE" @ 1 Incubating, "More live credentials than a task may have", ["ASI03", "NHI5"];
    /// A child may do more than its parent.
    ATTENUATE = "D-ATTENUATE" @ 1 Incubating, "Child task with wider bounds than its parent", ["ASI03", "ASI07", "CC6.3"];
    /// Work went through too many hands.
    DEPTH = "D-DEPTH" @ 1 Stable, "Work handed on further than an envelope above allows", ["ASI07", "ASI08"];
    /// Another agent than the delegatee acts.
    DELEGATE = "D-DELEGATE" @ 1 Incubating, "Another agent acts than the one that work was handed to", ["ASI03", "ASI07"];
    /// A child task of which no delegation is known.
    ORPHAN = "D-ORPHAN" @ 1 Incubating, "Child task that nobody handed on", ["ASI07", "ASI10"];
    /// Work comes back to where it came from.
    CYCLE = "D-CYCLE" @ 1 Stable, "Work handed round in a circle", ["ASI08"];
    /// A delegation by or from somebody else than it says.
    CHAIN = "D-CHAIN" @ 1 Incubating, "Broken chain of delegation", ["ASI03", "ASI07"];
    /// A child goes on when its parent or its delegation is over.
    OUTLIVES = "D-OUTLIVES" @ 1 Stable, "Child task outlives what handed it on", ["ASI10", "NHI1"];
    /// A paused agent acts.
    PAUSED = "L-PAUSED" @ 1 Stable, "Paused agent acts", ["ASI10", "CC6.3"];
    /// An agent that is out of service acts.
    OFFBOARDED = "L-OFFBOARDED" @ 1 Stable, "Agent acts after it was taken out of service", ["ASI10", "NHI1"];
    /// An agent that nobody registered acts.
    UNREGISTERED = "L-UNREGISTERED" @ 1 Incubating, "Unregistered agent acts", ["ASI10", "ID.AM-02"];
    /// Two copies of an agent act in one task.
    CLONE = "L-CLONE" @ 1 Incubating, "Two copies of an agent act in one task at once", ["ASI10", "NHI9"];
    /// A session or task that should be over goes on.
    STALE_SESSION = "L-STALE-SESSION" @ 1 Incubating, "Old session goes on", ["ASI10", "NHI1"];
    /// A tool is not what it was.
    TOOL_CHANGED = "T-CHANGED" @ 1 Incubating, "Tool changed since it was approved or first called", ["ASI04", "CC8.1"];
    /// Data of a class that the task may not handle.
    DATA_CLASS = "E-DATA" @ 1 Stable, "Data class outside the envelope", ["ASI02", "CC6.7"];
    /// Classified data may leave for a destination that nobody named.
    DATA_OUT = "F-DATA-OUT" @ 1 Incubating, "Classified data may leave", ["ASI01", "CC6.7"];
    /// A system is reached that nobody named.
    NEW_SYSTEM = "F-NEW-SYSTEM" @ 1 Incubating, "First path to a system that nobody named", ["ASI02", "ASI05"];
    /// A value that may have been planted decides whom or what a call reaches.
    STEER = "F-STEER" @ 2 Stable, "Untrusted value steers an action", ["ASI01", "ASI06", "CC6.8"];
    /// A record is bought or charged that has nothing to do with the purpose.
    RECORD = "F-RECORD" @ 2 Stable, "Record that the purpose does not ask for", ["ASI01", "ASI02"];
    /// A secret that a result told leaves for a destination that nobody approved.
    SECRET_OUT = "F-SECRET-OUT" @ 2 Stable, "Secret sent to an unapproved destination", ["ASI01", "ASI03", "CC6.7"];
    /// Code is run that came from a result.
    EXECUTION = "F-EXEC" @ 2 Incubating, "Code from an untrusted text is run", ["ASI01", "ASI05", "CC6.8"];
    /// A secret in what a tool was given or returned.
    SECRET = "C-SECRET" @ 1 Incubating, "Secret in a tool call", ["ASI03", "NHI2"];
    /// More calls than usual.
    DRIFT_RATE = "S-RATE" @ 1 Incubating, "More calls in a task than usual", ["ASI10", "CC7.2"];
    /// Other tools than usual.
    DRIFT_MIX = "S-MIX" @ 1 Incubating, "Tools used in other proportions than usual", ["ASI10", "CC7.2"];
    /// What no task has reached before.
    DRIFT_NEW = "S-NEW" @ 1 Incubating, "Tools or destinations that no task had reached", ["ASI01", "ASI10", "CC7.2"];
    /// More data than usual.
    DRIFT_VOLUME = "S-VOLUME" @ 1 Incubating, "More data moved than usual", ["ASI10", "CC6.7", "CC7.2"];
    /// More refusals or errors than usual.
    DRIFT_DENIED = "S-DENIED" @ 1 Incubating, "More calls refused or failed than usual", ["ASI10", "CC7.2"];
    /// More delegations or destinations than usual.
    DRIFT_FANOUT = "S-FANOUT" @ 1 Incubating, "More delegations or destinations than usual", ["ASI08", "CC7.2"];
    /// Quicker than usual.
    DRIFT_TEMPO = "S-TEMPO" @ 1 Incubating, "Calls in quicker succession than usual", ["ASI10", "CC7.2"];
    /// A baseline that cannot be used.
    DRIFT_INVALID = "S-INVALID" @ 1 Incubating, "Baseline that cannot be used", ["CC7.2"];
    /// An event has the name of another one.
    REUSE = "X-REUSE" @ 1 Stable, "Event id used again for another event", ["ASI10", "CC7.2"];
    /// A set of the customer's rules that nobody who may has signed, or that cannot be read.
    UNTRUSTED_RULES = "X-RULES" @ 1 Incubating, "Set of rules that cannot be trusted", ["CC8.1", "ASI10"];
    /// Something could not be evaluated.
    ERROR = "X-ERROR" @ 1 Stable, "Action could not be evaluated", ["CC7.2"];
}
