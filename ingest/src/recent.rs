//! A bounded memory of what was seen last.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that forgets what was not touched for longest. It keeps two generations: when the young one is full it becomes
/// the old one, and the old one is dropped. So between one and two times `capacity` keys are remembered.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Eq + Hash, V> Recent<K, V> {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// Takes a value out; it is remembered only if it is put back.
    pub(crate) fn take(&mut self, key: &K) -> Option<V> {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    pub(crate) fn put(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_is_kept_and_the_rest_is_forgotten() {
        let mut recent = Recent::new(3);
        recent.put("used", 0);
        for number in 0..100 {
            let used = recent.take(&"used").unwrap();
            recent.put("used", used + 1);
            recent.put(Box::leak(format!("other {number}").into_boxed_str()), number);
        }
        assert_eq!(recent.take(&"used"), Some(100));
        assert!(recent.young.len() + recent.old.len() <= 6);
        assert_eq!(recent.take(&"other 1"), None);
    }
}
