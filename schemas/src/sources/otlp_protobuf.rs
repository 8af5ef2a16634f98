//! OTLP in protobuf as the JSON form of the same request, so that one mapping reads both. What is read are
//! `ExportTraceServiceRequest` and `ExportLogsServiceRequest` (opentelemetry-proto v1); a collector's Kafka exporter
//! writes the same bytes as `otlp_proto`.

use super::Signal;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::Value;

/// Most messages within a request: resources, spans, attributes, values. An empty one has two bytes and becomes some
/// hundred in memory; a batch of 8,192 spans with 20 attributes each has 340,000.
const MESSAGES_MAX: usize = 400_000;
/// Deepest nesting that is counted; `prost` refuses what is deeper (its `RECURSION_LIMIT`).
const DEPTH_MAX: usize = 100;

/// Why bytes are not a request.
#[derive(Debug, thiserror::Error)]
pub enum ProtobufError {
    /// They are not that message.
    #[error("not an OTLP request in protobuf")]
    Decode(#[source] prost::DecodeError),
    /// They would take too much memory.
    #[error("an OTLP request of more than {MESSAGES_MAX} messages: send smaller batches")]
    TooMany,
    /// It has no form in JSON.
    #[error("an OTLP request that cannot be read")]
    Json(#[source] serde_json::Error),
}

/// A request in protobuf as the same in JSON.
pub fn from_protobuf(bytes: &[u8], signal: Signal) -> Result<Value, ProtobufError> {
    if messages(bytes, Kind::Request(signal), MESSAGES_MAX, DEPTH_MAX).is_none() {
        return Err(ProtobufError::TooMany);
    }
    let read = match signal {
        Signal::Traces => {
            serde_json::to_value(ExportTraceServiceRequest::decode(bytes).map_err(ProtobufError::Decode)?)
        }
        Signal::Logs => {
            serde_json::to_value(ExportLogsServiceRequest::decode(bytes).map_err(ProtobufError::Decode)?)
        }
    };
    read.map_err(ProtobufError::Json)
}

/// What a message is, as far as others may stand in it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Request(Signal),
    Group(Signal),
    Scope(Signal),
    Span,
    Log,
    /// An event or link of a span, whose attributes have that number.
    Attributed(u64),
    Pairs,
    Pair,
    AnyValue,
    Values,
}

impl Kind {
    /// The message that stands in the field of that number.
    const fn within(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Request(signal), 1) => Self::Group(signal),
            (Self::Group(signal), 2) => Self::Scope(signal),
            (Self::Group(_), 1) | (Self::AnyValue, 6) => Self::Pairs,
            (Self::Scope(_), 1) | (Self::Span, 11) => Self::Attributed(3),
            (Self::Scope(Signal::Traces), 2) => Self::Span,
            (Self::Scope(Signal::Logs), 2) => Self::Log,
            (Self::Span, 13) => Self::Attributed(4),
            (Self::Log, 5) | (Self::Pair, 2) | (Self::Values, 1) => Self::AnyValue,
            (Self::Span, 9) | (Self::Log, 6) | (Self::Pairs, 1) => Self::Pair,
            (Self::Attributed(own), field) if own == field => Self::Pair,
            (Self::AnyValue, 5) => Self::Values,
            _ => return None,
        })
    }
}

/// How many messages of `most` are left after those within these bytes; `None` when there are more. Stops at what is
/// no protobuf: that is for the decoder to tell.
fn messages(mut bytes: &[u8], kind: Kind, most: usize, depth: usize) -> Option<usize> {
    let mut left = most;
    while let Some(tag) = varint(&mut bytes) {
        let skipped = match tag & 7 {
            0 => varint(&mut bytes).map(|_| 0),
            1 => Some(8),
            2 => varint(&mut bytes).and_then(|length| usize::try_from(length).ok()),
            5 => Some(4),
            _ => None,
        };
        let Some((part, rest)) = skipped.and_then(|length| bytes.split_at_checked(length)) else { break };
        bytes = rest;
        let inner = if tag & 7 == 2 { kind.within(tag >> 3) } else { None };
        if let (Some(inner), Some(depth)) = (inner, depth.checked_sub(1)) {
            left = messages(part, inner, left.checked_sub(1)?, depth)?;
        }
    }
    Some(left)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
    use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
    use opentelemetry_proto::tonic::resource::v1::Resource;
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
    use proptest::prelude::*;

    fn request(spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = ScopeSpans { spans, ..ScopeSpans::default() };
        let group = ResourceSpans {
            resource: Some(Resource { attributes: vec![pair(Any::IntValue(-1))], ..Resource::default() }),
            scope_spans: vec![scope],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![group] }
    }

    fn pair(value: Any) -> KeyValue {
        KeyValue { key: "k".into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
    }

    #[test]
    fn messages_are_counted_wherever_they_stand() {
        let list = Any::ArrayValue(ArrayValue { values: vec![AnyValue::default(); 7] });
        let map = Any::KvlistValue(KeyValueList { values: vec![KeyValue::default(); 5] });
        let event = opentelemetry_proto::tonic::trace::v1::span::Event {
            attributes: vec![pair(Any::BoolValue(true))],
            ..Default::default()
        };
        let span = Span { attributes: vec![pair(list), pair(map)], events: vec![event], ..Span::default() };
        let bytes = request(vec![span]).encode_to_vec();
        // Group, resource, its pair and value, scope, span; pair, value, list and 7; pair, value, map and 5; event,
        // its pair and value.
        let all = 6 + 3 + 7 + 3 + 5 + 3;
        let kind = Kind::Request(Signal::Traces);
        assert_eq!(messages(&bytes, kind, all, DEPTH_MAX), Some(0));
        assert_eq!(messages(&bytes, kind, all - 1, DEPTH_MAX), None);
        assert!(from_protobuf(&bytes, Signal::Traces).is_ok());
    }

    #[test]
    fn a_small_request_that_would_be_large_in_memory_is_refused() {
        let bytes = request(vec![Span::default(); MESSAGES_MAX]).encode_to_vec();
        assert!(bytes.len() < 1 << 20);
        assert!(matches!(from_protobuf(&bytes, Signal::Traces), Err(ProtobufError::TooMany)));
    }

    #[test]
    fn what_is_too_deep_or_of_the_other_signal_is_refused() {
        let mut value = Any::BoolValue(true);
        for _ in 0..200 {
            value = Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(value) }] });
        }
        let span = Span { attributes: vec![pair(value)], ..Span::default() };
        let deep = request(vec![span]).encode_to_vec();
        assert!(matches!(from_protobuf(&deep, Signal::Traces), Err(ProtobufError::Decode(_))));
        let span = Span { trace_id: vec![1; 16], span_id: vec![2; 8], ..Span::default() };
        let bytes = request(vec![span]).encode_to_vec();
        assert!(matches!(from_protobuf(&bytes, Signal::Logs), Err(ProtobufError::Decode(_))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            for signal in [Signal::Traces, Signal::Logs] {
                drop(from_protobuf(&bytes, signal));
            }
        }
    }
}
