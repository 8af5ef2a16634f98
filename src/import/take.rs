//! A document as events, whether it came from a file or from a topic.

use super::{Item, Reads};
use ambit_schemas::encode;
use ambit_schemas::id::TenantId;
use ambit_schemas::intake::{accept, structured};
use ambit_schemas::redact::{RedactionKey, RedactionSecret};
use ambit_schemas::sources::{Class, Context, Format, Taken, keep, read, read_text};
use serde_json::Value;

/// Makes events of documents.
#[derive(Debug, Clone)]
pub struct Taker {
    reads: Reads,
    secret: RedactionSecret,
    key: RedactionKey,
}

impl Taker {
    /// Reads what belongs to that tenant as that.
    pub fn new(reads: Reads, secret: RedactionSecret, tenant: &TenantId) -> Self {
        let key = secret.key(tenant);
        Self { reads, secret, key }
    }

    /// The records of a document.
    pub fn document<'a>(
        &'a self,
        document: Value,
        context: &'a Context,
    ) -> Box<dyn Iterator<Item = Item> + 'a> {
        match (self.reads, document) {
            (Reads::CloudEvents | Reads::Auto, Value::Array(events))
                if events.first().is_some_and(is_event) =>
            {
                Box::new(events.into_iter().map(|event| self.canonical(event, context)))
            }
            (Reads::CloudEvents, event) => Box::new(std::iter::once(self.canonical(event, context))),
            (Reads::Auto, event) if is_event(&event) => {
                Box::new(std::iter::once(self.canonical(event, context)))
            }
            (Reads::Auto, document) => self.foreign(document, None, context),
            (Reads::Foreign(format), document) => self.foreign(document, Some(format), context),
        }
    }

    /// A record that is not what it was to be. `reason` says what it is not, as a code.
    pub fn text(&self, bytes: &[u8], reason: &'static str, context: &Context) -> Item {
        let format = if let Reads::Foreign(format) = self.reads { Some(format) } else { None };
        item(read_text(&String::from_utf8_lossy(bytes), format, reason, context, &self.key), context)
    }

    fn foreign<'a>(
        &'a self,
        document: Value,
        format: Option<Format>,
        context: &'a Context,
    ) -> Box<dyn Iterator<Item = Item> + 'a> {
        Box::new(read(document, format, context, &self.key).map(|taken| item(taken, context)))
    }

    fn canonical(&self, event: Value, context: &Context) -> Item {
        let accepted = structured(event.clone()).and_then(|event| accept(event, &self.secret).ok());
        match accepted {
            Some(accepted) => Item {
                tenant: accepted.event.tenant,
                outgoing: vec![accepted.outgoing],
                class: Class::Mapped,
                redacted: accepted.redacted,
                payloads: accepted.payloads,
            },
            None => item(keep(event, "cloudevents", "refused", context, &self.key), context),
        }
    }
}

fn is_event(value: &Value) -> bool {
    let kind = value.get("type").and_then(Value::as_str);
    value.get("specversion").is_some() && kind.is_some_and(|kind| kind.starts_with("ambit."))
}

fn item(taken: Taken, context: &Context) -> Item {
    let Taken { events, class, redacted, payloads } = taken;
    // What is taken from a record was built so that it can be written.
    let outgoing = events.into_iter().filter_map(|event| encode(&event).ok()).collect();
    Item { tenant: context.tenant.clone(), outgoing, class, redacted, payloads }
}
