//! An OTLP request as single records: each span and each log record with its resource, attributes as plain names and
//! values, and what its ancestors in the same request say of the agent. A span of `execute_tool` does not carry the
//! agent (it stands on the `invoke_agent` span above), so the tree must be asked while it is there.

use crate::limits::ID_BYTES_MAX;
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// Most records of a request. Collectors send batches of 8,192 unless told otherwise.
const RECORDS_MAX: usize = 20_000;
/// Most bytes of resources and scopes when each record has its own copy: a few bytes per record must not become a
/// resource per record.
const REPEATED_BYTES_MAX: usize = 64 << 20;

/// What is put into a record here, and so is never taken from a span: it would hide calls, or lend them an agent.
const OURS: [&str; 4] = ["attributes", "inherited", "malformed", "within_call"];
/// How far up the tree the agent is looked for.
const ANCESTORS_MAX: usize = 64;
/// Attributes that tell of the agent, its task and its session: taken from the nearest ancestor that has them.
const INHERITED: [&str; 9] = [
    "gen_ai.agent.id",
    "gen_ai.agent.name",
    "gen_ai.agent.version",
    "gen_ai.conversation.id",
    "session.id",
    "user.id",
    "ambit.task_id",
    "ambit.root_task_id",
    "ambit.parent_task_id",
];

/// Whether a document is an OTLP request.
pub(super) fn is_request(document: &Value) -> bool {
    ["resourceSpans", "resourceLogs"].iter().any(|name| document.get(name).is_some_and(Value::is_array))
}

/// Whether a request has more records than are read at once, or repeats too much with each.
pub(super) fn is_oversized(document: &Value) -> bool {
    let (mut records, mut repeated) = (0_usize, 0_usize);
    for (groups, scopes, entries) in
        [("resourceSpans", "scopeSpans", "spans"), ("resourceLogs", "scopeLogs", "logRecords")]
    {
        for group in items(document, groups) {
            let resource = group.get("resource").map_or(0, |resource| resource.to_string().len());
            for scope in items(group, scopes) {
                let count = items(scope, entries).count();
                let name = scope.pointer("/scope/name").map_or(0, |name| name.to_string().len());
                records = records.saturating_add(count);
                repeated = repeated.saturating_add(count.saturating_mul(resource.saturating_add(name)));
            }
        }
    }
    records > RECORDS_MAX || repeated > REPEATED_BYTES_MAX
}

/// The records of a request. Without any, or with too many, the request itself.
pub(super) fn split(document: &Value) -> Vec<Value> {
    let mut records = Vec::new();
    if is_oversized(document) {
        return vec![document.clone()];
    }
    records_of(document, "resourceSpans", "scopeSpans", "spans", "span", &mut records);
    inherit(&mut records);
    records_of(document, "resourceLogs", "scopeLogs", "logRecords", "log", &mut records);
    if records.is_empty() { vec![document.clone()] } else { records }
}

fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn records_of(
    document: &Value,
    groups: &str,
    scopes: &str,
    entries: &str,
    signal: &str,
    records: &mut Vec<Value>,
) {
    for group in items(document, groups) {
        let resource = attributes(group.get("resource").unwrap_or(&Value::Null));
        for scope in items(group, scopes) {
            let name = scope.pointer("/scope/name").cloned().unwrap_or_default();
            for entry in items(scope, entries) {
                let mut record = Map::new();
                record.insert("otlp".to_owned(), json!(signal));
                record.insert("resource".to_owned(), Value::Object(resource.clone()));
                record.insert("scope".to_owned(), name.clone());
                if let Value::Object(fields) = entry {
                    for (name, value) in fields.iter().filter(|(name, _)| !OURS.contains(&name.as_str())) {
                        let plain = if name == "body" { any_value(value) } else { value.clone() };
                        record.entry(name.clone()).or_insert(plain);
                    }
                    record.insert("attributes".to_owned(), Value::Object(attributes(entry)));
                } else {
                    record.insert("malformed".to_owned(), entry.clone());
                }
                records.push(Value::Object(record));
            }
        }
    }
}

fn attributes(holder: &Value) -> Map<String, Value> {
    let pairs = items(holder, "attributes").filter_map(|pair| {
        Some((pair.get("key")?.as_str()?.to_owned(), any_value(pair.get("value").unwrap_or(&Value::Null))))
    });
    pairs.collect()
}

/// `AnyValue` as plain JSON; 64-bit integers travel as texts (OTLP, JSON Protobuf encoding).
fn any_value(value: &Value) -> Value {
    let Value::Object(fields) = value else { return value.clone() };
    let Some((name, inner)) = fields.iter().next() else { return Value::Null };
    match name.as_str() {
        "intValue" => match inner.as_str().and_then(|text| text.parse::<i64>().ok()) {
            Some(number) => json!(number),
            None => inner.clone(),
        },
        "arrayValue" => Value::Array(items(inner, "values").map(any_value).collect()),
        "kvlistValue" => {
            let pairs = items(inner, "values").filter_map(|pair| {
                Some((pair.get("key")?.as_str()?.to_owned(), any_value(pair.get("value")?)))
            });
            Value::Object(pairs.collect())
        }
        "stringValue" | "boolValue" | "doubleValue" | "bytesValue" => inner.clone(),
        _ => value.clone(),
    }
}

fn operation(span: &Value) -> Option<&str> {
    span.get("attributes")?.get("gen_ai.operation.name")?.as_str()
}

/// Whether a span tells of a tool call.
fn is_call(span: &Value) -> bool {
    let attribute = |name: &str| span.get("attributes").and_then(|all| all.get(name)).and_then(Value::as_str);
    operation(span) == Some("execute_tool") || attribute("mcp.method.name") == Some("tools/call")
}

fn inherit(spans: &mut [Value]) {
    let text = |span: &Value, name: &str| {
        span.get(name).and_then(Value::as_str).filter(|id| !id.is_empty()).map(str::to_owned)
    };
    let place = |span: &Value, name: &str| Some((text(span, "traceId")?, text(span, name)?));
    let index: HashMap<(String, String), usize> =
        spans.iter().enumerate().filter_map(|(at, span)| Some((place(span, "spanId")?, at))).collect();
    let parents: Vec<Option<usize>> =
        spans.iter().map(|span| index.get(&place(span, "parentSpanId")?).copied()).collect();
    let mut inherited = Vec::with_capacity(spans.len());
    for (at, span) in spans.iter().enumerate() {
        let (mut from_above, mut within_call, mut outside) = (Map::new(), false, false);
        let mut above = parents.get(at).copied().flatten();
        for _ in 0..ANCESTORS_MAX {
            let Some((place, ancestor)) = above.and_then(|place| Some((place, spans.get(place)?))) else {
                break;
            };
            // What an agent does that was invoked by a call is not that call.
            outside |= operation(ancestor) == Some("invoke_agent");
            within_call |= !outside && is_call(ancestor) && is_call(span) && same_tool(ancestor, span);
            for name in INHERITED {
                // What is no id is not repeated with every span below.
                let value = ancestor.get("attributes").and_then(|all| all.get(name));
                if let Some(value) =
                    value.filter(|value| value.as_str().is_some_and(|id| id.len() <= ID_BYTES_MAX))
                {
                    from_above.entry(name).or_insert_with(|| value.clone());
                }
            }
            above = parents.get(place).copied().flatten();
        }
        inherited.push((from_above, within_call));
    }
    for (span, (from_above, within_call)) in spans.iter_mut().zip(inherited) {
        if let Value::Object(fields) = span {
            fields.insert("inherited".to_owned(), Value::Object(from_above));
            if within_call {
                fields.insert("within_call".to_owned(), Value::Bool(true));
            }
        }
    }
}

/// Spans of caller, client and server tell of one call: they name one tool.
fn same_tool(one: &Value, other: &Value) -> bool {
    let name = |span: &Value| span.get("attributes").and_then(|all| all.get("gen_ai.tool.name")).cloned();
    name(one) == name(other)
}
