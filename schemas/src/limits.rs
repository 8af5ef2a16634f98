//! Every bound of the wire formats and of what is kept per event, in one place.
//!
//! A number stands here when two crates must agree on it; each says where it comes from. Bounds that concern one
//! component only (queue lengths, pool sizes) are documented constants of that component.

/// Longest identifier, in bytes. SPIFFE allows 2,048 for an id (SPIFFE-ID section 2.3); the longest kind of id sets it.
pub const ID_BYTES_MAX: usize = 2_048;
/// Longest tool name, in bytes. MCP recommends at most 128; some frameworks prefix server names.
pub const TOOL_NAME_BYTES_MAX: usize = 256;
/// Largest event value that is decoded, in bytes. Larger ones are kept as dead letters.
pub const EVENT_BYTES_MAX: usize = 1 << 20;
/// Largest Kafka record accepted at all, in bytes: what topics are created with (`max.message.bytes`).
pub const RECORD_BYTES_MAX: usize = 16 << 20;
/// Deepest JSON nesting that is decoded: the bound of `serde_json`, stated because inputs are tested against it.
pub const JSON_DEPTH_MAX: usize = 128;
/// Most headers of one record. CloudEvents uses about ten.
pub const HEADERS_MAX: usize = 64;
/// Longest free text (purpose, reason, title), in bytes.
pub const TEXT_BYTES_MAX: usize = 8_192;
/// Most grants of one envelope.
pub const GRANTS_MAX: usize = 512;
/// Most constraints of one grant.
pub const CONSTRAINTS_MAX: usize = 64;
/// Most values of one list inside an envelope (destinations, resources, `in` values).
pub const ENVELOPE_LIST_MAX: usize = 4_096;
/// Largest envelope document, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 256 << 10;
/// Largest baseline document, in bytes: with its event it stays below [`EVENT_BYTES_MAX`].
pub const BASELINE_BYTES_MAX: usize = 768 << 10;
/// Most tools, and most classes of what is reached, of one baseline.
pub const BASELINE_TOOLS_MAX: usize = 64;
/// Deepest actor chain (`act` of RFC 8693) that is followed.
pub const ACTOR_DEPTH_MAX: usize = 16;
/// Most events a finding names.
pub const FINDING_EVENTS_MAX: usize = 64;
/// Longest excerpt of an observed value that a finding repeats, in characters.
pub const OBSERVED_CHARS_MAX: usize = 200;
/// Earliest event time that is believed: 2015-01-01T00:00:00Z in microseconds. Nothing an agent did is older.
pub const TIME_MIN_US: i64 = 1_420_070_400_000_000;
/// How far an event's time may lie after the broker's time of its record, in microseconds (one day: a wrong zone, not
/// a wrong year).
pub const TIME_AHEAD_MAX_US: i64 = 86_400_000_000;
/// Largest set of customer rules, in bytes of its documents: with JSON's escapes it stays an event.
pub const RULES_BYTES_MAX: usize = 512 << 10;
/// Most documents of one set of customer rules.
pub const RULE_DOCUMENTS_MAX: usize = 256;
/// Largest document of customer rules, in bytes.
pub const RULE_DOCUMENT_BYTES_MAX: usize = 64 << 10;
