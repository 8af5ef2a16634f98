//! The fields that queries can name.

use ambit_schemas::columns::names;

macro_rules! fields {
    ($($name:ident = $text:literal: [$($column:ident),+], $says:literal;)*) => {
        /// A field with a text in it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Field { $(#[doc = $says] $name,)* }

        impl Field {
            /// All fields.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in queries.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The columns that may hold it.
            pub(crate) const fn columns(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$(names::$column),+],)* }
            }
        }
    };
}

fields! {
    Agent = "agent": [AGENT], "Who did it; the last part of the id, behind its last slash, suffices.";
    Instance = "instance": [INSTANCE], "Which running copy.";
    Blueprint = "blueprint": [BLUEPRINT], "A copy of what.";
    Task = "task": [TASK], "In what task.";
    RootTask = "root_task": [ROOT_TASK], "The top of its delegation tree.";
    ParentTask = "parent_task": [PARENT_TASK], "The task that delegated it.";
    Within = "within": [TASK, ROOT_TASK], "In this task, or in any below it when it is a root task.";
    Envelope = "envelope": [ENVELOPE], "The envelope it is about.";
    Tool = "tool": [TOOL], "The tool.";
    ToolCall = "tool_call": [TOOL_CALL], "The tool call.";
    Kind = "kind": [KIND], "The kind, or `dead_letter`.";
    Credential = "credential": [CREDENTIAL], "The credential.";
    Finding = "finding": [FINDING], "The finding.";
    Rule = "rule": [RULE], "The rule of the finding.";
    Action = "action": [ACTION], "The response's action.";
    Receiver = "receiver": [RECEIVER], "The receiver of webhooks.";
    Status = "status": [STATUS], "How it went.";
    Reason = "reason": [REASON], "Why a dead letter is one.";
    Tenant = "tenant": [TENANT], "Whose it is.";
    Source = "source": [SOURCE], "Who says so.";
    Id = "id": [ID], "The event's id.";
    Topic = "topic": [TOPIC], "The topic.";
}

impl Field {
    /// The field of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        let name = if name == "root" { "root_task" } else { name };
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}

macro_rules! numbers {
    ($($name:ident = $text:literal: $column:ident, $says:literal;)*) => {
        /// A field with a number in it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Number { $(#[doc = $says] $name,)* }

        impl Number {
            /// All of them.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name in queries.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Its column.
            pub(crate) const fn column(self) -> &'static str {
                match self { $(Self::$name => names::$column,)* }
            }
        }
    };
}

numbers! {
    Partition = "partition": PARTITION, "The partition.";
    Offset = "offset": OFFSET, "The offset.";
    Leaf = "leaf": LEAF_INDEX, "Its index in the shard's ledger.";
}

impl Number {
    /// The field of that name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}
