//! A map that forgets: what was put in first goes first when it is full.

use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

/// A map from 128-bit hashes (see [`crate::prepare::hash`]) with at most `MAX` entries.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Bounded<V, const MAX: usize> {
    order: VecDeque<u128>,
    entries: HashMap<u128, V>,
}

impl<V, const MAX: usize> Default for Bounded<V, MAX> {
    fn default() -> Self {
        Self { order: VecDeque::new(), entries: HashMap::new() }
    }
}

impl<V, const MAX: usize> Bounded<V, MAX> {
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn get(&self, key: u128) -> Option<&V> {
        self.entries.get(&key)
    }

    /// The entry, made if it is new; the oldest one gives way.
    pub(crate) fn entry(&mut self, key: u128, new: impl FnOnce() -> V) -> &mut V {
        if !self.entries.contains_key(&key) {
            if self.order.len() >= MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.entries.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.entries.entry(key).or_insert_with(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_is_the_first_out() {
        let mut map: Bounded<u8, 3> = Bounded::default();
        assert!(map.is_empty());
        for key in 0..5 {
            *map.entry(key, || 0) += 1;
            *map.entry(key, || 0) += 1;
        }
        assert_eq!((map.get(1), map.get(2), map.get(4)), (None, Some(&2), Some(&2)));
        assert_eq!((map.order.len(), map.entries.len()), (3, 3));
    }
}
