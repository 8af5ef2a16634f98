//! Intervals for shares: user tasks are drawn again, because runs of one task are not independent.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

/// Draws.
const DRAWS: usize = 500;
/// The seed: the same data gives the same interval.
const SEED: u64 = 0x616d_6269_7400_0001;

/// A share of runs, grouped by user task: `(hits, runs)` per task.
#[derive(Debug, Clone, Default)]
pub struct Grouped {
    groups: std::collections::BTreeMap<String, (u32, u32)>,
}

impl Grouped {
    /// Counts a run.
    pub fn add(&mut self, task: &str, hit: bool) {
        let group = self.groups.entry(task.to_owned()).or_default();
        group.0 += u32::from(hit);
        group.1 += 1;
    }

    /// Runs in all.
    pub fn runs(&self) -> u32 {
        self.groups.values().map(|group| group.1).sum()
    }

    /// Hits in all.
    pub fn hits(&self) -> u32 {
        self.groups.values().map(|group| group.0).sum()
    }

    /// The share; `None` without runs.
    pub fn share(&self) -> Option<f64> {
        (self.runs() > 0).then(|| f64::from(self.hits()) / f64::from(self.runs()))
    }

    /// The 90 % interval of the share over user tasks.
    pub fn interval(&self) -> Option<(f64, f64)> {
        let groups: Vec<(u32, u32)> = self.groups.values().copied().collect();
        if groups.is_empty() {
            return None;
        }
        let mut rng = SmallRng::seed_from_u64(SEED);
        let mut shares = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS {
            let (mut hits, mut runs) = (0_u32, 0_u32);
            for _ in 0..groups.len() {
                if let Some(group) = groups.get(rng.random_range(0..groups.len())) {
                    hits += group.0;
                    runs += group.1;
                }
            }
            shares.push(f64::from(hits) / f64::from(runs.max(1)));
        }
        shares.sort_by(f64::total_cmp);
        Some((*shares.get(DRAWS / 20)?, *shares.get(DRAWS - 1 - DRAWS / 20)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_share_and_is_wider_when_tasks_differ() {
        let (mut even, mut uneven) = (Grouped::default(), Grouped::default());
        for task in 0..20 {
            for run in 0..10 {
                even.add(&task.to_string(), run < 5);
                uneven.add(&task.to_string(), task < 10);
            }
        }
        let width = |grouped: &Grouped| grouped.interval().map(|(low, high)| high - low).unwrap();
        assert_eq!(even.share(), Some(0.5));
        assert!(width(&even) < 0.01 && width(&uneven) > 0.2);
        assert_eq!(Grouped::default().share(), None);
    }
}
