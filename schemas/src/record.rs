//! A record as it stands in Kafka, and the bytes of it that the ledger hashes.

use crate::headers::{Headers, put_bytes, put_u64};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The topics. Everything that must survive is an event in one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum Topic {
    /// What agents did and what humans approved.
    #[serde(rename = "ambit.events")]
    Events,
    /// What the analyzer found.
    #[serde(rename = "ambit.findings")]
    Findings,
    /// What enforcement decided, tried and reached; what people did about findings, and what they asked.
    #[serde(rename = "ambit.responses")]
    Responses,
}

impl Topic {
    /// All topics, in the order in which they feed each other.
    pub const ALL: [Self; 3] = [Self::Events, Self::Findings, Self::Responses];

    /// The topic's name in Kafka.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "ambit.events",
            Self::Findings => "ambit.findings",
            Self::Responses => "ambit.responses",
        }
    }

    /// The topic of that name, if it is one of ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One Kafka partition: the unit of order, state, commit, proof and recovery. Written `ambit.events/3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// The topic.
    pub topic: Topic,
    /// The partition's number.
    pub partition: u32,
}

impl Shard {
    /// A shard of a topic.
    pub const fn new(topic: Topic, partition: u32) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A text that should name a shard, but does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a shard such as `ambit.events/0`, got `{0}`")]
pub struct InvalidShard(String);

impl std::str::FromStr for Shard {
    type Err = InvalidShard;
    fn from_str(text: &str) -> Result<Self, InvalidShard> {
        let invalid = || InvalidShard(text.chars().take(64).collect());
        let (topic, partition) = text.rsplit_once('/').ok_or_else(invalid)?;
        let topic = Topic::from_name(topic).ok_or_else(invalid)?;
        let partition = partition.parse().map_err(|_| invalid())?;
        Ok(Self { topic, partition })
    }
}

/// A record as it stands in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it stands.
    pub shard: Shard,
    /// Its offset in the shard.
    pub offset: u64,
    /// The broker's time of the record, in microseconds since 1970 (Kafka keeps milliseconds). Zero if it has none.
    pub timestamp_us: i64,
    /// The key: the root task, for our own producers.
    pub key: Option<Bytes>,
    /// The headers.
    pub headers: Headers,
    /// The value; absent in a tombstone.
    pub value: Option<Bytes>,
}

impl Record {
    /// The last header of that name.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.get(name)
    }

    /// How many bytes the record carries.
    pub fn size(&self) -> usize {
        self.headers.size()
            + self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
    }
}

/// A record on its way into Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Where it goes; the key chooses the partition.
    pub topic: Topic,
    /// The root task.
    pub key: Bytes,
    /// CloudEvents context attributes as `ce_*` headers.
    pub headers: Headers,
    /// The event's `data`, JSON.
    pub value: Bytes,
}

/// Something with its place in a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced<T> {
    /// The shard.
    pub shard: Shard,
    /// The offset in it.
    pub offset: u64,
    /// The thing.
    pub item: T,
}

/// First bytes of every leaf: the format of what follows, never to be reused for another (INVARIANT S-2).
pub const LEAF_PREFIX: &[u8] = b"ambit-record/v1\0";

/// The bytes of a record that the ledger hashes: the whole of what Kafka gave us, and where it stood.
///
/// Layout: [`LEAF_PREFIX`], topic (length-prefixed), partition, offset, timestamp, key, header count, headers, value.
/// Integers are little-endian `u64`; texts and bytes are preceded by their length; an absent key or value has the
/// length `u64::MAX`. The encoding is injective, so two different records never share a leaf.
pub fn leaf_bytes(record: &Record, out: &mut Vec<u8>) {
    let parts = LeafParts {
        shard: record.shard,
        offset: record.offset,
        timestamp_us: record.timestamp_us,
        key: record.key.as_deref(),
        headers: record.headers.as_bytes(),
        value: record.value.as_deref(),
    };
    parts.write(out);
}

/// A record in parts, as the store keeps it: for whoever hashes millions of them.
#[derive(Debug, Clone, Copy)]
pub struct LeafParts<'a> {
    /// Where it stands.
    pub shard: Shard,
    /// Its offset in the shard.
    pub offset: u64,
    /// The broker's time of the record, in microseconds since 1970.
    pub timestamp_us: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The headers as [`Headers::as_bytes`] gives them.
    pub headers: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

impl LeafParts<'_> {
    /// The bytes that [`leaf_bytes`] gives for the whole record.
    pub fn write(&self, out: &mut Vec<u8>) {
        // INVARIANT S-2
        out.clear();
        out.extend_from_slice(LEAF_PREFIX);
        put_bytes(out, Some(self.shard.topic.name().as_bytes()));
        put_u64(out, u64::from(self.shard.partition));
        put_u64(out, self.offset);
        out.extend_from_slice(&self.timestamp_us.to_le_bytes());
        put_bytes(out, self.key);
        out.extend_from_slice(self.headers);
        put_bytes(out, self.value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(key: Option<Vec<u8>>, headers: Vec<(String, Vec<u8>)>, value: Option<Vec<u8>>) -> Record {
        Record {
            shard: Shard::new(Topic::Events, 1),
            offset: 7,
            timestamp_us: 9,
            key: key.map(Bytes::from),
            headers: headers.into(),
            value: value.map(Bytes::from),
        }
    }

    fn leaf(record: &Record) -> Vec<u8> {
        let mut out = Vec::new();
        leaf_bytes(record, &mut out);
        out
    }

    #[test]
    fn the_leaf_of_a_known_record_never_changes() {
        let known =
            record(Some(b"root".to_vec()), vec![("ce_id".into(), b"1".to_vec())], Some(b"{}".to_vec()));
        assert_eq!(
            hex::encode(leaf(&known)),
            concat!(
                "616d6269742d7265636f72642f763100",
                "0c00000000000000",
                "616d6269742e6576656e7473",
                "0100000000000000",
                "0700000000000000",
                "0900000000000000",
                "0400000000000000",
                "726f6f74",
                "0100000000000000",
                "0500000000000000",
                "63655f6964",
                "0100000000000000",
                "31",
                "0200000000000000",
                "7b7d"
            )
        );
    }

    #[test]
    fn shards_are_read_as_they_are_written() {
        let shard = Shard::new(Topic::Findings, 12);
        assert_eq!(shard.to_string().parse::<Shard>(), Ok(shard));
        assert!("ambit.other/1".parse::<Shard>().is_err());
        assert!("ambit.events/x".parse::<Shard>().is_err());
    }

    type Parts = (Option<Vec<u8>>, Vec<(String, Vec<u8>)>, Option<Vec<u8>>);

    fn parts() -> impl Strategy<Value = Parts> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..6);
        (
            proptest::option::of(bytes()),
            proptest::collection::vec(("[a-c]{0,3}", bytes()), 0..4),
            proptest::option::of(bytes()),
        )
    }

    proptest! {
        #[test]
        fn different_records_have_different_leaves(a in parts(), b in parts()) {
            let (left, right) = (record(a.0, a.1, a.2), record(b.0, b.1, b.2));
            prop_assert_eq!(left == right, leaf(&left) == leaf(&right));
        }
    }
}
