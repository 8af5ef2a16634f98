//! Cursors: the place of the last item of a page. New events do not move it.

use crate::engine::{AT, moment};
use crate::error::Error;
use ambit_schemas::columns::names;
use ambit_schemas::{Shard, Timestamp, Topic};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use datafusion::logical_expr::{Expr, SortExpr, ident, lit};

/// Where an event stands among all, in order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) at: Timestamp,
    pub(crate) shard: Shard,
    pub(crate) offset: u64,
}

impl Place {
    /// The cursor that stands for it.
    pub(crate) fn encode(self) -> String {
        let text =
            format!("{} {} {} {}", self.at.micros(), self.shard.topic, self.shard.partition, self.offset);
        URL_SAFE_NO_PAD.encode(text)
    }

    /// Reads a cursor.
    pub(crate) fn decode(cursor: &str) -> Result<Self, Error> {
        let wrong = || Error::Bad("`cursor` is not one that this API has given".into());
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        let mut parts = text.split(' ');
        let mut next = || parts.next().ok_or_else(wrong);
        let at = Timestamp::from_micros(next()?.parse().map_err(|_| wrong())?);
        let topic = Topic::from_name(next()?).ok_or_else(wrong)?;
        let partition = next()?.parse().map_err(|_| wrong())?;
        let offset = next()?.parse().map_err(|_| wrong())?;
        Ok(Self { at, shard: Shard::new(topic, partition), offset })
    }

    /// Whether it comes after another one, oldest first.
    pub(crate) fn is_after(&self, other: &Self) -> bool {
        let key = |place: &Self| (place.at, place.shard.topic.name(), place.shard.partition, place.offset);
        key(self) > key(other)
    }

    /// What comes after it.
    pub(crate) fn after(self, descending: bool) -> Expr {
        let beyond = |column: Expr, value: Expr| if descending { column.lt(value) } else { column.gt(value) };
        let keys = [
            (ident(AT), moment(self.at)),
            (ident(names::TOPIC), lit(self.shard.topic.name())),
            (ident(names::PARTITION), lit(self.shard.partition.cast_signed())),
            (ident(names::OFFSET), lit(self.offset.cast_signed())),
        ];
        // Lexicographic order, written out from the last key.
        keys.into_iter().rev().fold(lit(false), |later, (column, value)| {
            beyond(column.clone(), value.clone()).or(column.eq(value).and(later))
        })
    }
}

/// The order in which places stand.
pub(crate) fn sort(descending: bool) -> Vec<SortExpr> {
    [AT, names::TOPIC, names::PARTITION, names::OFFSET]
        .map(|column| ident(column).sort(!descending, false))
        .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_others_refused() {
        let place =
            Place { at: Timestamp::from_micros(-5), shard: Shard::new(Topic::Findings, 3), offset: 9 };
        assert_eq!(Place::decode(&place.encode()).unwrap(), place);
        for bad in ["", "x", "%%", &URL_SAFE_NO_PAD.encode("1 2 3 4")] {
            assert!(Place::decode(bad).is_err(), "{bad}");
        }
    }
}
