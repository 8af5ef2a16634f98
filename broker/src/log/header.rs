//! The fixed part of a Kafka record batch (message format 2), which is all that the log reads of it.

use bytes::Buf;

/// Bytes from the base offset to the record count.
pub(crate) const HEADER_BYTES: usize = 61;
/// Bytes of the base offset and of the length field, which the length does not count.
const LENGTH_EXCLUDES: u64 = 12;
/// The only message format there is since Kafka 0.11.
const MAGIC: i8 = 2;

/// What the log knows of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// The whole batch, in bytes.
    pub(crate) size: u64,
    pub(crate) last_offset: i64,
    /// Milliseconds since 1970, -1 when there is none.
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    pub(crate) last_offset_delta: i32,
}

impl Header {
    /// Reads a header, or nothing when these bytes cannot begin a batch (zeros after a torn write, for example).
    pub(crate) fn parse(raw: &[u8; HEADER_BYTES]) -> Option<Self> {
        let mut raw = raw.as_slice();
        let base_offset = raw.get_i64();
        let length = raw.get_i32();
        raw.advance(4);
        let magic = raw.get_i8();
        raw.advance(6);
        let last_offset_delta = raw.get_i32();
        raw.advance(8);
        let max_timestamp = raw.get_i64();
        let producer_id = raw.get_i64();
        let producer_epoch = raw.get_i16();
        let base_sequence = raw.get_i32();
        let size = u64::try_from(length).ok()? + LENGTH_EXCLUDES;
        let plausible =
            magic == MAGIC && base_offset >= 0 && last_offset_delta >= 0 && size >= HEADER_BYTES as u64;
        plausible.then_some(Self {
            base_offset,
            size,
            last_offset: base_offset + i64::from(last_offset_delta),
            max_timestamp,
            producer_id,
            producer_epoch,
            base_sequence,
            last_offset_delta,
        })
    }

    /// Whether its producer numbers its batches.
    pub(crate) fn is_idempotent(&self) -> bool {
        self.producer_id >= 0 && self.base_sequence >= 0
    }
}
