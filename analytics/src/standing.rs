//! Standing privilege: how long a credential was valid while no task needed it. Interval algebra over event time, in
//! microseconds; intervals are half-open, so that an end and the next beginning at the same moment neither overlap nor
//! leave a gap.

/// A span of time: `from` belongs to it, `until` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Interval {
    /// Its first microsecond.
    pub from: i64,
    /// The first microsecond that no longer belongs to it. `i64::MAX` stands for no end.
    pub until: i64,
}

impl Interval {
    /// From one moment to another; empty when it would end before it begins.
    pub const fn new(from: i64, until: i64) -> Self {
        Self { from, until }
    }

    const fn is_empty(self) -> bool {
        self.until <= self.from
    }

    /// Its length in microseconds, at most `i64::MAX`.
    pub const fn micros(self) -> i64 {
        if self.is_empty() { 0 } else { self.until.saturating_sub(self.from) }
    }
}

/// The same moments as disjoint intervals in order, with nothing touching its neighbour.
pub fn union(intervals: &[Interval]) -> Vec<Interval> {
    let mut sorted: Vec<Interval> =
        intervals.iter().copied().filter(|interval| !interval.is_empty()).collect();
    sorted.sort_unstable();
    let mut joined: Vec<Interval> = Vec::with_capacity(sorted.len());
    for next in sorted {
        match joined.last_mut().filter(|last| last.until >= next.from) {
            Some(last) => last.until = last.until.max(next.until),
            None => joined.push(next),
        }
    }
    joined
}

/// What is left of an interval without those windows, in order.
pub fn outside(whole: Interval, windows: &[Interval]) -> Vec<Interval> {
    let (mut left, mut from) = (Vec::new(), whole.from);
    for window in union(windows) {
        let before = Interval::new(from, window.from.min(whole.until));
        if !before.is_empty() {
            left.push(before);
        }
        from = from.max(window.until);
    }
    let rest = Interval::new(from, whole.until);
    if !rest.is_empty() {
        left.push(rest);
    }
    left
}

/// Whole seconds of an interval outside of those windows: standing privilege.
pub fn standing_seconds(validity: Interval, windows: &[Interval]) -> u64 {
    let micros =
        outside(validity, windows).into_iter().fold(0_i64, |sum, left| sum.saturating_add(left.micros()));
    micros.unsigned_abs() / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The moments of a short time line, counted one by one.
    fn contains(intervals: &[Interval], moment: i64) -> bool {
        intervals.iter().any(|interval| (interval.from..interval.until).contains(&moment))
    }

    fn intervals() -> impl Strategy<Value = Vec<Interval>> {
        prop::collection::vec((0_i64..40, 0_i64..40), 0..6)
            .prop_map(|pairs| pairs.into_iter().map(|(from, until)| Interval::new(from, until)).collect())
    }

    proptest! {
        #[test]
        fn a_union_holds_the_same_moments_disjoint_and_in_order(all in intervals()) {
            let joined = union(&all);
            for moment in -1..41 {
                prop_assert_eq!(contains(&joined, moment), contains(&all, moment));
            }
            prop_assert!(joined.windows(2).all(|pair| pair[0].until < pair[1].from));
            prop_assert_eq!(union(&joined), joined);
        }

        #[test]
        fn what_is_outside_is_in_the_whole_and_in_no_window(from in 0_i64..40, length in 0_i64..40, windows in intervals()) {
            let whole = Interval::new(from, from + length);
            let left = outside(whole, &windows);
            for moment in -1..81 {
                let expected = contains(&[whole], moment) && !contains(&windows, moment);
                prop_assert_eq!(contains(&left, moment), expected, "{}", moment);
            }
            let inside: i64 = (from..from + length).map(|moment| i64::from(contains(&windows, moment))).sum();
            let sum: i64 = left.iter().map(|left| left.micros()).sum();
            prop_assert_eq!(sum + inside, whole.micros());
        }

        #[test]
        fn more_windows_never_leave_more(from in 0_i64..40, length in 0_i64..40, some in intervals(), more in intervals()) {
            let scale = |all: &[Interval]| -> Vec<Interval> {
                all.iter().map(|one| Interval::new(one.from * 1_000_000, one.until * 1_000_000)).collect()
            };
            let whole = Interval::new(from * 1_000_000, (from + length) * 1_000_000);
            let both: Vec<Interval> = some.iter().chain(&more).copied().collect();
            let (few, many) = (standing_seconds(whole, &scale(&some)), standing_seconds(whole, &scale(&both)));
            prop_assert!(many <= few && few <= length.unsigned_abs());
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let always = Interval::new(i64::MIN, i64::MAX);
        assert_eq!(always.micros(), i64::MAX);
        assert_eq!(standing_seconds(always, &[always]), 0);
        assert_eq!(standing_seconds(Interval::new(0, i64::MAX), &[]), i64::MAX.unsigned_abs() / 1_000_000);
    }
}
