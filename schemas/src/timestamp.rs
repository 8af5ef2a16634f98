//! Time as events carry it: microseconds since 1970 in UTC, written as RFC 3339.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A moment, in microseconds since 1970-01-01T00:00:00Z. Comparable, copyable, without a clock behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 time within the years 0 to 9999.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a time such as `2026-11-24T09:30:00Z` (RFC 3339), got `{0}`")]
pub struct InvalidTime(String);

impl Timestamp {
    /// A moment from microseconds since 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The moment so many microseconds later, held at the ends of the range.
    #[must_use]
    pub const fn plus_micros(self, micros: i64) -> Self {
        Self(self.0.saturating_add(micros))
    }

    /// Microseconds from `earlier` to this moment; negative when it is later.
    pub const fn micros_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Whole days since 1970-01-01 (floor): the partition of the store.
    pub fn day(self) -> i32 {
        i32::try_from(self.0.div_euclid(86_400_000_000)).unwrap_or(i32::MAX)
    }

    /// Reads an RFC 3339 time; digits beyond microseconds are cut.
    pub fn parse(text: &str) -> Result<Self, InvalidTime> {
        let invalid = || InvalidTime(text.chars().take(64).collect());
        let moment = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| invalid())?;
        let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
        i64::try_from(micros).map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&text),
            None => write!(f, "{}us", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = InvalidTime;
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        Self::parse(text)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = Cow::<'de, str>::deserialize(deserializer)?;
            Self::parse(&text).map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "description": "RFC 3339, microseconds, UTC when written by Ambit" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_any_zone_and_written_in_utc() {
        let moment = Timestamp::parse("2026-11-24T10:30:00.123456789+01:00").unwrap();
        assert_eq!(moment.to_string(), "2026-11-24T09:30:00.123456Z");
        assert_eq!(Timestamp::parse(&moment.to_string()), Ok(moment));
        assert!(Timestamp::parse("yesterday").is_err());
        assert!(Timestamp::parse("2026-11-24").is_err());
    }

    #[test]
    fn days_are_floored_also_before_1970() {
        assert_eq!(Timestamp::from_micros(-1).day(), -1);
        assert_eq!(Timestamp::from_micros(86_400_000_000).day(), 1);
    }
}
