//! The nouns of Ambit: ids, events, envelopes, findings and responses, the formats in which they travel, and the
//! columns in which they are kept. No I/O, no clock.

pub mod baseline;
mod blank;
pub mod codec;
#[cfg(feature = "arrow")]
pub mod columns;
pub mod envelope;
pub mod event;
pub mod finding;
pub mod fingerprint;
pub mod headers;
pub mod id;
pub mod intake;
pub mod kind;
pub mod limits;
pub mod measure;
pub mod notice;
pub mod order;
pub mod payload;
pub mod record;
pub mod redact;
pub mod response;
pub mod ruleset;
pub mod sources;
pub mod timestamp;
pub mod trail;
pub mod triage;
pub mod wire;

pub use codec::{Malformed, MalformedReason, decode, encode};
pub use event::{Body, Event};
pub use finding::Finding;
pub use headers::Headers;
pub use kind::Kind;
pub use record::{Outgoing, Record, Sequenced, Shard, Topic};
pub use timestamp::Timestamp;
