//! Through a JSON value: which rule holds for which text.

use super::names::{Says, is_placeholder, is_random, says};
use super::shapes::{self, Span};
use super::{AWS_ACCESS_KEY_ID, AWS_SECRET, HIGH_ENTROPY, RedactionKey, Report, SECRET_NAME, is_hashed};
use serde_json::Value;

/// How often JSON may be wrapped in a text of JSON and is still looked into. Logs wrap arguments once or twice.
const WRAPPED_MAX: u32 = 3;

pub(super) struct Walk<'a> {
    key: &'a RedactionKey,
    report: &'a mut Report,
    pointer: String,
    wrapped: u32,
}

impl<'a> Walk<'a> {
    pub(super) fn new(key: &'a RedactionKey, report: &'a mut Report) -> Self {
        Self::at(key, report, "")
    }

    pub(super) fn at(key: &'a RedactionKey, report: &'a mut Report, pointer: &str) -> Self {
        Self { key, report, pointer: pointer.to_owned(), wrapped: 0 }
    }

    pub(super) fn value(&mut self, value: &mut Value) {
        self.under(Says::Nothing, value);
    }

    /// A value under a name that says something of it; what it says holds for the elements of a list too.
    fn under(&mut self, says: Says, value: &mut Value) {
        match value {
            Value::String(text) => self.text(says, text),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    self.step(&index.to_string(), |walk| walk.under(says, item));
                }
            }
            Value::Object(_) => self.object(says, value),
            Value::Number(number) if says == Says::Secret => {
                let secret = number.to_string();
                self.report.note(SECRET_NAME, &self.pointer);
                *value = Value::String(self.key.replace(&secret));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn object(&mut self, parent: Says, value: &mut Value) {
        let Value::Object(fields) = value else { return };
        // `{"name": "DB_PASSWORD", "value": "..."}`: variables of a process, attributes of a span.
        let named =
            ["name", "key", "Name", "Key"].iter().find_map(|name| fields.get(*name)?.as_str()).map(says);
        let mut renamed = Vec::new();
        for (name, field) in fields.iter_mut() {
            let is_value = matches!(name.as_str(), "value" | "Value" | "stringValue" | "data");
            let about = match (says(name), named) {
                (Says::Nothing, Some(says)) if is_value => says,
                (Says::Nothing, None) if is_value && parent != Says::Identifier => parent,
                // What `key` or `name` hold here is a name.
                (_, Some(_)) if matches!(name.as_str(), "key" | "Key") => Says::Nothing,
                (says, _) => says,
            };
            let safe = self.name(name);
            self.step(safe.as_deref().unwrap_or(name), |walk| walk.under(about, field));
            if let Some(safe) = safe {
                renamed.push((name.clone(), safe));
            }
        }
        for (name, safe) in renamed {
            if let Some(field) = fields.remove(&name) {
                fields.insert(safe, field);
            }
        }
    }

    /// The name in place of a field's name that holds a secret.
    fn name(&mut self, name: &str) -> Option<String> {
        let spans = shapes::find(name);
        (!spans.is_empty()).then(|| {
            let pointer = format!("{}/(name)", self.pointer);
            self.replaced(name, &spans, &pointer)
        })
    }

    fn step(&mut self, name: &str, inside: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
        inside(self);
        self.pointer.truncate(length);
    }

    fn text(&mut self, says: Says, text: &mut String) {
        if text.len() < 4 && says != Says::Secret || is_hashed(text) {
            return;
        }
        if says != Says::Secret
            && self.wrapped < WRAPPED_MAX
            && text.trim_start().starts_with(['{', '['])
            && self.json(says, text)
        {
            return;
        }
        let whole = match says {
            Says::Secret if !is_placeholder(text) => Some(SECRET_NAME),
            Says::Perhaps if is_random(text) => Some(HIGH_ENTROPY),
            Says::Secret | Says::Perhaps | Says::Nothing | Says::Identifier => None,
        };
        let mut spans = shapes::find(text);
        if says == Says::Identifier {
            spans.retain(|span| span.rule != AWS_ACCESS_KEY_ID || span.end - span.start != text.len());
        }
        if let Some(rule) = whole {
            // The shape says more than the name does.
            let rule = spans.first().map_or(rule, |span| span.rule);
            let rule = if is_aws_secret(text) { AWS_SECRET } else { rule };
            self.report.note(rule, &self.pointer);
            *text = self.key.replace(text);
        } else if !spans.is_empty() {
            let pointer = self.pointer.clone();
            *text = self.replaced(text, &spans, &pointer);
        }
    }

    /// JSON in a text: looked into, and written anew if something was found. Returns whether it was JSON.
    fn json(&mut self, says: Says, text: &mut String) -> bool {
        let Ok(mut inner) = serde_json::from_str::<Value>(text) else { return false };
        let before = self.report.total;
        self.wrapped += 1;
        self.under(says, &mut inner);
        self.wrapped -= 1;
        if self.report.total > before {
            *text = inner.to_string();
        }
        true
    }

    fn replaced(&mut self, text: &str, spans: &[Span], pointer: &str) -> String {
        let (mut out, mut done) = (String::with_capacity(text.len()), 0);
        for span in spans {
            out.push_str(text.get(done..span.start).unwrap_or_default());
            out.push_str(&self.key.replace(text.get(span.start..span.end).unwrap_or_default()));
            self.report.note(span.rule, pointer);
            done = span.end;
        }
        out.push_str(text.get(done..).unwrap_or_default());
        out
    }
}

/// 40 characters of base64: what AWS gives out as a secret access key.
pub(super) fn is_aws_secret(text: &str) -> bool {
    text.len() == 40
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+'))
        && is_random(text)
        && !text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
