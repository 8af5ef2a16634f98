//! Lenient reading of foreign JSON: a field is there in the wanted form, or it is not.

use crate::event::{TaskRef, TraceRef};
use crate::id::{CredentialId, TaskId};
use crate::timestamp::Timestamp;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

/// Deepest nesting of arguments that is kept as structure: an event around them must stay readable.
const ARGUMENTS_DEPTH_MAX: usize = 100;

/// A part of a record, or the absence of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a>(Option<&'a Value>);

impl<'a> Fields<'a> {
    pub(super) const fn new(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// The part below, by names.
    pub(super) fn at(self, path: &[&str]) -> Self {
        Self(path.iter().try_fold(self.0, |value, name| Some(value?.get(name))).flatten())
    }

    pub(super) const fn value(self) -> Option<&'a Value> {
        self.0
    }

    pub(super) fn has(self, name: &str) -> bool {
        self.0.and_then(|value| value.get(name)).is_some_and(|value| !value.is_null())
    }

    pub(super) fn elements(self) -> impl Iterator<Item = Self> {
        self.0.and_then(Value::as_array).into_iter().flatten().map(Self::new)
    }

    /// A text that is not empty.
    pub(super) fn text(self, path: &[&str]) -> Option<&'a str> {
        self.at(path).0?.as_str().filter(|text| !text.trim().is_empty())
    }

    /// A text, or a number written as one.
    pub(super) fn written(self, path: &[&str]) -> Option<String> {
        let value = self.at(path).0?;
        let number = value.as_number().map(ToString::to_string);
        number.or_else(|| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
    }

    /// A flag, also as a text.
    pub(super) fn flag(self, path: &[&str]) -> Option<bool> {
        let value = self.at(path).0?;
        value.as_bool().or_else(|| value.as_str()?.to_ascii_lowercase().parse().ok())
    }

    /// A count, also as a text.
    pub(super) fn number(self, path: &[&str]) -> Option<u64> {
        let value = self.at(path).0?;
        value.as_u64().or_else(|| value.as_str()?.trim().parse().ok())
    }

    pub(super) fn texts(self, path: &[&str]) -> Vec<String> {
        let items = self.at(path).0.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(|item| item.as_str().map(str::to_owned)).take(64).collect()
    }

    /// An identifier of that type.
    pub(super) fn id<T: for<'t> TryFrom<&'t str>>(self, path: &[&str]) -> Option<T> {
        id(self.text(path)?)
    }

    /// RFC 3339.
    pub(super) fn time(self, path: &[&str]) -> Option<Timestamp> {
        Timestamp::parse(self.text(path)?).ok()
    }

    /// A field by a dotted name: as one name, or as a path of names.
    pub(super) fn dotted(self, name: &str) -> Self {
        let whole = self.at(&[name]);
        if whole.0.is_some() {
            return whole;
        }
        name.split('.').fold(self, |fields, part| fields.at(&[part]))
    }
}

/// An identifier, if the text is one.
pub(super) fn id<T: for<'t> TryFrom<&'t str>>(text: &str) -> Option<T> {
    T::try_from(text.trim()).ok()
}

/// The one form of a credential's identifier: bare, so that whoever revokes it can name it.
pub(super) fn credential_id(text: &str) -> Option<CredentialId> {
    let text = text.trim();
    id(text.strip_prefix("JTI=").unwrap_or(text))
}

/// The task that `ambit.task_id` names there.
pub(super) fn task(fields: Fields<'_>) -> Option<TaskRef> {
    let named = |name: &str| fields.dotted(name).text(&[]).and_then(id);
    let task: TaskId = named("ambit.task_id")?;
    let root = named("ambit.root_task_id").unwrap_or_else(|| task.clone());
    Some(TaskRef { id: task, root, parent: named("ambit.parent_task_id") })
}

/// Trace context, if the ids have their form and are not all zeros (W3C Trace Context section 3.2).
pub(super) fn trace(trace_id: Option<&str>, span: Option<&str>, parent: Option<&str>) -> Option<TraceRef> {
    let hexadecimal = |text: &str, length: usize| {
        let fits = text.len() == length && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let fits = fits && text.bytes().any(|byte| byte != b'0');
        fits.then(|| text.to_ascii_lowercase())
    };
    Some(TraceRef {
        trace_id: hexadecimal(trace_id?, 32)?,
        span_id: span.and_then(|span| hexadecimal(span, 16)),
        parent_span_id: parent.and_then(|parent| hexadecimal(parent, 16)),
    })
}

/// Arguments as an object: a text of JSON is opened, anything else stands under `input`.
pub(super) fn arguments(value: Option<&Value>) -> Option<Box<RawValue>> {
    let value = value.filter(|value| !value.is_null())?;
    let opened = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let object = opened.as_ref().unwrap_or(value);
    if object.is_object() && depth(object) <= ARGUMENTS_DEPTH_MAX {
        return to_raw_value(object).ok();
    }
    let input =
        if depth(value) <= ARGUMENTS_DEPTH_MAX { value.clone() } else { Value::String(value.to_string()) };
    to_raw_value(&serde_json::json!({ "input": input })).ok()
}

/// A result as text.
pub(super) fn result(value: Option<&Value>) -> Option<String> {
    let value = value.filter(|value| !value.is_null())?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

/// How deep a value is nested.
pub(super) fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}
