//! Records of other systems as canonical events: one pure function per format.
//!
//! A record is redacted before anything else looks at it (INVARIANT P-1), then mapped. What is not mapped, or cannot
//! be, becomes one `source.recorded` event that holds the redacted record: nothing that was said is dropped. Ids are
//! functions of the record (its own id, or the SHA-256 of what is left after redaction), so that reading it again
//! gives the same events, which ingest marks as duplicates.
//!
//! Choices that hold for every format: the tenant is whoever reads (a foreign record never names one: INVARIANT Q-3);
//! the time is the record's own; a credential has its bare identifier, in the same form when issued and when used, so
//! that both meet in whatever order they come; a task is known where the record carries `ambit.task_id`, and then
//! `ambit.root_task_id` and `ambit.parent_task_id` (each format says where).

mod build;
mod cloudtrail;
mod fields;
mod github;
mod kubernetes;
mod mcp;
mod otlp;
mod otlp_logs;
#[cfg(feature = "otlp-protobuf")]
mod otlp_protobuf;
mod otlp_split;
mod vault;

#[cfg(feature = "otlp-protobuf")]
pub use otlp_protobuf::{ProtobufError, from_protobuf};

use crate::event::Event;
use crate::id::{EventSource, TenantId};
use crate::payload::Payload;
use crate::redact::{RedactionKey, Report, redact, redact_text};
use crate::timestamp::Timestamp;
use build::Mapped;
use fields::Fields;
use serde_json::Value;

macro_rules! formats {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $module:ident;)*) => {
        /// The formats that are understood.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Format { $($(#[$doc])* $name,)* }

        impl Format {
            /// All formats, in the order in which they are tried.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name in sources, on the command line and in events.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The format of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            fn fits(self, record: Fields<'_>) -> bool {
                match self { $(Self::$name => $module::fits(record),)* }
            }

            fn map(self, record: Fields<'_>) -> Mapped {
                match self { $(Self::$name => $module::map(record),)* }
            }
        }
    };
}

formats! {
    /// AWS CloudTrail, event version 1.x.
    CloudTrail = "cloudtrail", cloudtrail;
    /// HashiCorp Vault and OpenBao, file or socket audit device.
    Vault = "vault", vault;
    /// Kubernetes, `audit.k8s.io/v1`.
    Kubernetes = "kubernetes", kubernetes;
    /// OpenTelemetry, OTLP in JSON: traces and logs.
    Otlp = "otlp", otlp;
    /// Access logs and JSON-RPC captures of MCP gateways.
    Mcp = "mcp", mcp;
    /// GitHub, audit log of an organisation or enterprise.
    Github = "github", github;
}

impl Format {
    /// The format of a record, told by the fields that only it has.
    pub fn detect(record: &Value) -> Option<Self> {
        Self::ALL.iter().copied().find(|format| format.fits(Fields::new(record)))
    }
}

/// What an OTLP request carries; in protobuf it does not say so itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
}

/// Whether an OTLP request has too many records, or too large a resource for so many, to be read as single records.
/// [`read`] then keeps it as one.
pub fn is_oversized(request: &Value) -> bool {
    otlp_split::is_oversized(request)
}

/// What a record does not say itself.
#[derive(Debug, Clone)]
pub struct Context {
    /// Whose records they are.
    pub tenant: TenantId,
    /// Which of several installations of one system they are from; becomes part of the events' source.
    pub origin: Option<String>,
    /// When they were received: the time of a record that has none.
    pub received: Timestamp,
}

impl Context {
    fn source(&self, format: &str) -> EventSource {
        let whole = self.origin.as_ref().map(|origin| format!("{format}/{origin}"));
        let named = whole.and_then(|whole| EventSource::try_from(whole).ok());
        named
            .or_else(|| EventSource::try_from(format).ok())
            .unwrap_or_else(|| unreachable!("formats are ids"))
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It became canonical events.
    Mapped,
    /// It is well-formed and nothing Ambit has a kind for: kept as it is.
    Opaque,
    /// Something that it needs is missing or wrong: kept as it is, with the reason.
    Dead,
}

/// What one record gave.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its events: at least one.
    pub events: Vec<Event>,
    /// What became of it.
    pub class: Class,
    /// How many secrets were taken out.
    pub redacted: u64,
    /// What is too large for the events: to be durable in the object store before any of them is.
    pub payloads: Vec<Payload>,
}

/// Reads a document: one record, an array of records, CloudTrail's `Records`, a Kubernetes `EventList`, or an OTLP
/// request, each record by itself. Without a format, each is tried.
pub fn read<'a>(
    document: Value,
    format: Option<Format>,
    context: &'a Context,
    key: &'a RedactionKey,
) -> impl Iterator<Item = Taken> + 'a {
    split(document).into_iter().map(move |record| take(record, format, context, key))
}

/// Keeps a text that is not JSON, redacted. `reason` says what it is not, as a code.
pub fn read_text(
    text: &str,
    format: Option<Format>,
    reason: &'static str,
    context: &Context,
    key: &RedactionKey,
) -> Taken {
    let mut report = Report::default();
    let text = redact_text(text, key, "", &mut report);
    let mapped = Mapped::fault(reason);
    build::build(&Value::String(text), format.map_or(UNKNOWN, Format::name), mapped, context, report)
}

/// Keeps a record that is not what it says it is, redacted. `reason` says what is wrong, as a code.
pub fn keep(
    mut record: Value,
    format: &str,
    reason: &'static str,
    context: &Context,
    key: &RedactionKey,
) -> Taken {
    let report = redact(&mut record, key);
    build::build(&record, format, Mapped::fault(reason), context, report)
}

/// What stands for the format of a record that fits none.
const UNKNOWN: &str = "unknown";

/// The records of a document.
fn split(document: Value) -> Vec<Value> {
    match document {
        Value::Array(items) => items.into_iter().flat_map(request).collect(),
        Value::Object(mut fields) => {
            for name in ["Records", "items"] {
                if let Some(Value::Array(_)) = fields.get(name)
                    && let Some(Value::Array(items)) = fields.remove(name)
                    && !items.is_empty()
                {
                    return items;
                }
            }
            request(Value::Object(fields))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => vec![document],
    }
}

fn request(document: Value) -> Vec<Value> {
    if otlp_split::is_request(&document) { otlp_split::split(&document) } else { vec![document] }
}

fn take(mut record: Value, format: Option<Format>, context: &Context, key: &RedactionKey) -> Taken {
    let report = redact(&mut record, key);
    let format = format.or_else(|| Format::detect(&record));
    let mapped = match format {
        _ if !record.is_object() => Mapped::fault("not_an_object"),
        Some(format) if format.fits(Fields::new(&record)) => format.map(Fields::new(&record)),
        Some(_) => Mapped::fault("other_format"),
        None => Mapped::default(),
    };
    build::build(&record, format.map_or(UNKNOWN, Format::name), mapped, context, report)
}

/// A credential of which only the identifier is known.
fn credential(uid: crate::id::CredentialId) -> crate::event::Credential {
    crate::event::Credential::new(uid, "unknown")
}

#[cfg(test)]
mod tests;
