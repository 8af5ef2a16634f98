//! Recognises events that stood in the shard before: a bounded window over its latest `(source, id)`, of each tenant
//! by itself (INVARIANT Q-3): an id that one tenant used says nothing of another's event.
//!
//! A duplicate is stored where it stands, marked, for what a producer sent twice is evidence too.

use sha2::{Digest, Sha256};
use std::collections::{HashSet, VecDeque};

/// The latest events of one shard, by 128 bits of a hash.
#[derive(Debug)]
pub(crate) struct Window {
    capacity: usize,
    order: VecDeque<u128>,
    seen: HashSet<u128>,
}

impl Window {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, order: VecDeque::new(), seen: HashSet::new() }
    }

    /// Takes an event in. Returns whether it was there already.
    pub(crate) fn insert(&mut self, tenant: &str, source: &str, id: &str) -> bool {
        if self.capacity == 0 {
            return false;
        }
        let hash = hash([tenant, source, id]);
        if !self.seen.insert(hash) {
            return true;
        }
        self.order.push_back(hash);
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        false
    }
}

fn hash(parts: [&str; 3]) -> u128 {
    let digest = parts.into_iter().fold(Sha256::new(), |digest, part| {
        digest.chain_update((part.len() as u64).to_le_bytes()).chain_update(part)
    });
    digest.finalize().iter().take(16).fold(0, |number, byte| (number << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_remembers_the_latest_and_forgets_the_oldest() {
        let mut window = Window::new(2);
        assert!(!window.insert("acme", "s", "1"));
        assert!(window.insert("acme", "s", "1"));
        assert!(!window.insert("acme", "t", "1"), "another source");
        assert!(!window.insert("acme", "s", "2"));
        assert!(!window.insert("acme", "s", "1"), "forgotten");
        assert!(!window.insert("other", "s", "1"), "another tenant");
        assert!(!Window::new(0).insert("acme", "s", "1"));
    }
}
