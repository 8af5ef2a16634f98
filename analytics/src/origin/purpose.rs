//! What the purpose says beside the targets it names: persons, what is to be done, and with what.

use super::words::{Word, hash_of};
use crate::effect::{Reach, classify};
use std::collections::HashSet;
use std::sync::LazyLock;

/// Words that say nothing about what a task is about, and begin sentences with a capital letter without being names.
/// Function words and the usual words of requests; days and months, which are capitalised in English.
const COMMON: &str = "a about after all also am an and any are as ask at be been before but by can could did do does \
    due each else every few find first for from get give go had has have he hello help her here hey hi him his how i \
    if in into is it its just know last let like look looks make many may me more most my need new next no not now of \
    on once one only or our out over perform please read same see seems she should show so some sure take tell than \
    thank thanks that the their them then there these they this those to today tomorrow up us use using very visit \
    want was we were what when where which who why will with would year yes yesterday you your \
    monday tuesday wednesday thursday friday saturday sunday january february march april june july august september \
    october november december mr mrs ms dr dear regards best user task tasks";

/// Words of records and of requests for them in general: that a record shares one of them says nothing.
const GENERIC: &str = "account amount brand buy buying cart category checkout date description discount email id \
    item items name number order orders pay payment price product products purchase quantity rating ratings rebuy \
    refund return review reviews send status title total type user";

static GENERIC_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| GENERIC.split_whitespace().collect());

static COMMON_WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| COMMON.split_whitespace().collect());

/// What is asked for, by words of the same meaning: a purpose with a word of the second list asks for tools with a
/// word of the first.
const MONEY_ASKS: &[(&str, &str)] = &[
    ("checkout order buy purchase", "buy buying rebuy purchase order checkout reorder"),
    (
        "pay payment money transfer wire transaction",
        "pay paying payment transfer send wire top settle reimburse refund tip donate deposit",
    ),
    ("refund", "refund reimburse return"),
    ("donate invest withdraw charge", "donate invest withdraw charge"),
];

/// The same for tools that move no money.
const ASKS: &[(&str, &str)] = &[
    (
        "event calendar meeting schedule reschedule appointment participants",
        "calendar event meeting schedule reschedule appointment remind reminder invite appointments",
    ),
    ("reserve reservation book booking", "reserve reservation book booking rebook"),
    (
        "email mail message send reply forward notify share post publish submit comment sms input upload tweet push",
        "send email mail message reply forward notify share post publish submit comment write tell inform upload \
         greet answer respond fill tweet push book reserve register",
    ),
    (
        "delete remove destroy erase clear purge wipe drop unlink rm",
        "delete remove destroy erase clear purge wipe drop clean",
    ),
    ("cancel archive close disable terminate", "cancel archive close disable terminate end"),
    ("merge", "merge"),
    ("revoke reset", "revoke reset"),
    ("password passphrase", "password passphrase"),
    ("key keys ssh apikey token credential secret", "key keys token credential secret"),
    ("invite member user collaborator", "invite add member collaborator join"),
    ("permission permissions role grant policy", "permission permissions role grant share policy access"),
    ("webhook", "webhook hook"),
    ("profile user info", "profile account address information"),
    ("run exec execute shell script bash command python", "run execute script command"),
];

/// A purpose, compiled.
#[derive(Debug, Default)]
pub(crate) struct Purpose {
    /// Hashes of the persons and firms that it names.
    names: HashSet<u32>,
    /// The same as words, for the local parts of addresses.
    name_words: HashSet<String>,
    /// Hashes of the words that say what it is about, without their plural.
    subjects: HashSet<u32>,
    /// All words, lower case.
    words: HashSet<String>,
}

impl Purpose {
    pub(crate) fn new(text: &str) -> Self {
        let common = &*COMMON_WORDS;
        let name_words = names_in(text, common);
        let words: HashSet<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        let subjects = words
            .iter()
            .filter(|word| word.chars().count() >= 3 && !common.contains(word.as_str()))
            .filter(|word| !word.chars().all(char::is_numeric) && !GENERIC_WORDS.contains(word.as_str()))
            .flat_map(|word| [hash_of(word), hash_of(singular(word))])
            .collect();
        Self { names: name_words.iter().map(|name| hash_of(name)).collect(), name_words, subjects, words }
    }

    /// Whether a word is a name that it mentions.
    pub(crate) fn names(&self, word: Word) -> bool {
        self.names.contains(&word.hash())
    }

    /// Whether it mentions any name.
    pub(crate) fn has_names(&self) -> bool {
        !self.names.is_empty()
    }

    /// Whether a word is one of those that say what it is about.
    pub(crate) fn is_about(&self, word: Word) -> bool {
        self.subjects.contains(&word.hash())
    }

    /// Whether an e-mail address has a name of the purpose in its local part.
    pub(crate) fn names_mailbox(&self, address: &str) -> bool {
        let local = address.split('@').next().unwrap_or_default();
        local.split(|c: char| !c.is_alphanumeric()).any(|part| self.name_words.contains(part))
    }

    /// Whether its own words ask for what a tool of that name does.
    pub(crate) fn asks_for(&self, tool_words: &[String], reach: Reach) -> bool {
        if matches!(reach, Reach::Unknown) {
            return false;
        }
        // `send_money` is asked for by "pay", not by "send an answer".
        let asks = if reach == Reach::Money { MONEY_ASKS } else { ASKS };
        asks.iter().any(|(tools, asked)| {
            tools.split_whitespace().any(|word| tool_words.iter().any(|tool| tool == word))
                && asked.split_whitespace().any(|word| self.words.contains(word))
        })
    }
}

/// The word without the plural's ending.
fn singular(word: &str) -> &str {
    word.strip_suffix('s').filter(|stem| stem.len() >= 3).unwrap_or(word)
}

/// Words with one capital letter, at their beginning, that are not just the beginning of a sentence or of a title:
/// what stands in quotation marks is a title or a text, not a person.
fn names_in(text: &str, common: &HashSet<&str>) -> HashSet<String> {
    let mut names = HashSet::new();
    for (index, piece) in text.split(['"', '“', '”']).enumerate() {
        if index % 2 == 1 {
            continue;
        }
        for token in piece.split_whitespace() {
            if token.starts_with('\'') || token.contains(['@', '/']) {
                continue;
            }
            let word: String = token.chars().take_while(|c| c.is_alphabetic()).collect();
            let mut letters = word.chars();
            let capital = letters.next().is_some_and(char::is_uppercase);
            let rest_is_lower = word.chars().count() >= 2 && letters.all(char::is_lowercase);
            let lower = word.to_lowercase();
            let is_verb = classify(&lower) != Reach::Unknown;
            if capital && rest_is_lower && !is_verb && !common.contains(lower.as_str()) {
                names.insert(lower);
            }
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::origin::words_of;

    #[test]
    fn names_subjects_and_requests_are_read() {
        let purpose = Purpose::new("Please buy two T-shirts. Alice's mail, titled \"Big Sale\", says which.");
        assert!(purpose.names_mailbox("alice.miller@x.example") && !purpose.names_mailbox("big@x.example"));
        assert!(purpose.is_about(*words_of("shirt").first().unwrap()));
        assert!(!purpose.is_about(*words_of("which").first().unwrap()));
        let tool = |name: &str| crate::effect::words(name);
        assert!(purpose.asks_for(&tool("checkout_cart"), Reach::Money));
        assert!(!purpose.asks_for(&tool("delete_file"), Reach::Destroy));
        assert!(!purpose.asks_for(&tool("frobnicate"), Reach::Unknown));
    }
}
