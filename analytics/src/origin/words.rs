//! Texts as sequences of hashed words: enough to find again where a value stood, not enough to read the text.
//!
//! A word is a run of letters and digits, in lower case; what stands between words does not count. A word's hash is a
//! polynomial over its characters modulo the Mersenne prime 2^31 - 1 (Karp and Rabin), so that the hash of two words
//! written together follows from their own: `US13 3000` in a text and `US133000` in an argument are found to be equal.
//! Two different words of up to 100 characters share a hash with a probability of about 5 in 100 million.

use serde::{Deserialize, Serialize};

/// The modulus, 2^31 - 1. Hashes are below it, so that a word's highest bit is free.
const PRIME: u64 = (1 << 31) - 1;
/// The base of the polynomial: an arbitrary number below the modulus.
const BASE: u64 = 1_640_531_527;
/// Marks a word that is part of a field's name: `sender` in `sender: alice`.
const KEY: u32 = 1 << 31;
/// Longest word, in characters; longer runs are cut into several.
const WORD_CHARS_MAX: u8 = 255;

/// Powers of the base, to join words.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated when compiled: an index out of bounds does not compile"
)]
const POWERS: [u64; WORD_CHARS_MAX as usize + 1] = {
    let mut powers = [1; WORD_CHARS_MAX as usize + 1];
    let mut index = 1;
    while index < powers.len() {
        powers[index] = powers[index - 1] * BASE % PRIME;
        index += 1;
    }
    powers
};

/// A hashed word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Word {
    bits: u32,
    chars: u8,
}

impl Word {
    /// The hash without its mark.
    pub(crate) const fn hash(self) -> u32 {
        self.bits & !KEY
    }

    /// Whether it is part of a field's name.
    pub(crate) const fn is_key(self) -> bool {
        self.bits & KEY != 0
    }

    /// Its length.
    pub(crate) const fn chars(self) -> usize {
        self.chars as usize
    }

    pub(crate) const fn mark_key(&mut self) {
        self.bits |= KEY;
    }
}

const fn reduce(number: u64) -> u64 {
    (number & PRIME) + (number >> 31)
}

/// Builds one word, character by character.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Building {
    hash: u64,
    chars: u8,
}

impl Building {
    /// Takes a character that is already in lower case.
    pub(crate) const fn push(&mut self, c: u32) {
        self.hash = reduce(self.hash * BASE + c as u64 + 1);
        self.chars += 1;
    }

    pub(crate) const fn is_full(self) -> bool {
        self.chars == WORD_CHARS_MAX
    }

    /// The word, if there is one.
    pub(crate) fn finish(&mut self) -> Option<Word> {
        let done = std::mem::take(self);
        if done.chars == 0 {
            return None;
        }
        let bits = u32::try_from(reduce(done.hash) % PRIME).unwrap_or_default();
        Some(Word { bits, chars: done.chars })
    }
}

/// The words of a text.
pub(crate) fn words_of(text: &str) -> Vec<Word> {
    let (mut words, mut building) = (Vec::new(), Building::default());
    for c in text.chars() {
        if c.is_alphanumeric() {
            for lower in c.to_lowercase() {
                building.push(lower as u32);
                if building.is_full() {
                    words.extend(building.finish());
                }
            }
        } else {
            words.extend(building.finish());
        }
    }
    words.extend(building.finish());
    words
}

/// The hash of a word that is known to be one.
pub(crate) fn hash_of(word: &str) -> u32 {
    words_of(word).first().map_or(0, |word| word.hash())
}

/// All words written together.
pub(crate) fn joined(words: &[Word]) -> (u32, usize) {
    let mut join = Join::default();
    for word in words {
        join.push(*word);
    }
    (join.hash(), join.chars)
}

/// Joins words.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Join {
    hash: u64,
    /// Characters so far.
    pub(crate) chars: usize,
}

impl Join {
    /// Writes a word behind those before.
    pub(crate) fn push(&mut self, word: Word) {
        let power = POWERS.get(word.chars()).copied().unwrap_or(1);
        self.hash = (self.hash * power + u64::from(word.hash())) % PRIME;
        self.chars += word.chars();
    }

    pub(crate) fn hash(self) -> u32 {
        u32::try_from(self.hash).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_between_words_does_not_count() {
        let plain = |text: &str| words_of(text).into_iter().map(Word::hash).collect::<Vec<_>>();
        assert_eq!(plain("Alice.Miller@Example.com"), plain("alice miller / example, COM"));
        assert_eq!(joined(&words_of("US13 3000 0001")), joined(&words_of("us1330000001")));
        assert_ne!(plain("alice"), plain("а lice"), "a letter of another alphabet is another letter");
        assert!(words_of(" .,; ").is_empty());
    }

    proptest! {
        #[test]
        fn joining_is_hashing_the_whole(text in "[a-z0-9 ]{1,60}") {
            let whole: String = text.split(' ').collect();
            prop_assume!(!whole.is_empty());
            prop_assert_eq!(joined(&words_of(&text)).0, hash_of(&whole));
        }
    }
}
