//! Moments and durations in queries: `24h`, `2026-11-27`, `2026-11-27T08:00:00Z`.

use ambit_schemas::Timestamp;
use std::fmt;

/// Units, the largest first, in seconds.
const UNITS: [(char, u64); 5] = [('w', 604_800), ('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
/// Longest duration, in seconds: a hundred years.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;

/// A moment, told in itself or by how long ago it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Moment {
    /// So long ago.
    Ago(Lasting),
    /// Then.
    At(Timestamp),
}

/// A duration in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Lasting(u64);

impl Lasting {
    /// Reads `90s`, `5m`, `24h`, `7d`, `2w`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().next_back()?;
        let (_, seconds) = UNITS.into_iter().find(|(name, _)| *name == unit)?;
        let digits = text.strip_suffix(unit)?;
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let total = digits.parse::<u64>().ok()?.checked_mul(seconds)?;
        (total <= SECONDS_MAX).then_some(Self(total))
    }

    /// So many seconds.
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// In microseconds.
    pub(crate) const fn micros(self) -> i64 {
        self.0.cast_signed() * 1_000_000
    }
}

impl fmt::Display for Lasting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |seconds: &u64| self.0 >= *seconds && self.0.is_multiple_of(*seconds);
        let (unit, seconds) = UNITS.into_iter().find(|(_, seconds)| fits(seconds)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

impl Moment {
    /// Reads a duration, a day or a moment (RFC 3339).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(lasting) = Lasting::parse(text) {
            return Some(Self::Ago(lasting));
        }
        let is_day = text.len() == 10;
        let time = Timestamp::parse(text).or_else(|error| {
            if is_day { Timestamp::parse(&format!("{text}T00:00:00Z")) } else { Err(error) }
        });
        time.ok().map(Self::At)
    }

    /// The moment itself, seen from now.
    pub(crate) fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::Ago(lasting) => now.plus_micros(-lasting.micros()),
            Self::At(time) => time,
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ago(lasting) => lasting.fmt(f),
            Self::At(time) => time.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_in_their_largest_whole_unit() {
        for (text, shown) in
            [("24h", "1d"), ("90s", "90s"), ("60m", "1h"), ("0s", "0s"), ("14d", "2w"), ("5m", "5m")]
        {
            assert_eq!(Lasting::parse(text).unwrap().to_string(), shown);
        }
        for bad in ["", "h", "5", "-5m", "5 m", "1y", "99999999999999999999d", "9999999w", "5é"] {
            assert_eq!(Lasting::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_are_days_times_or_durations() {
        let now = Timestamp::parse("2026-11-27T12:00:00Z").unwrap();
        let seen = |text: &str| Moment::parse(text).unwrap().seen_from(now).to_string();
        assert_eq!(Moment::parse("2026-11-27").unwrap(), Moment::parse("2026-11-27T00:00:00Z").unwrap());
        assert!(seen("24h").starts_with("2026-11-26T12:00:00"), "{}", seen("24h"));
        assert_eq!(Moment::parse("yesterday"), None);
    }
}
