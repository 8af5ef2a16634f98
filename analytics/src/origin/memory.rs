//! What the agents of one root task were seen to read and write, as hashed words. Bounded; part of the snapshot.

use super::Origin;
use super::decoded::decoded;
use super::purpose::Purpose;
use super::reader::{Sink, read};
use super::words::{Join, Word, hash_of, joined, words_of};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::LazyLock;

/// Words that are remembered per root task: 16 Ki words are 128 KiB. The oldest texts go first, and from then on a value
/// that is not found may have stood in them.
pub(crate) const MEMORY_WORDS_MAX: usize = 16 << 10;
/// Fingerprints that are remembered per root task.
const FINGERPRINTS_MAX: usize = 8_192;
/// Labelled secrets that are remembered per root task.
const SECRETS_MAX: usize = 1_024;
/// Places of one value that are looked at.
const PLACES_MAX: usize = 32;
/// Shortest value that is looked for across the gaps between words: shorter ones would be found by chance.
const JOINED_CHARS_MIN: usize = 8;

/// Fields that hold a record's own number.
static NUMBERS: LazyLock<[u32; 6]> =
    LazyLock::new(|| ["id", "ids", "number", "no", "sku", "uid"].map(hash_of));

/// The memory of a root task.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    words: Vec<Word>,
    messages: Vec<Message>,
    texts: u32,
    /// Not everything was seen, or not everything is remembered.
    unseen: bool,
    fingerprints: BTreeSet<u64>,
    secrets: BTreeSet<u32>,
}

/// What one author wrote.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Message {
    /// Its first word.
    start: u32,
    /// The result, or the arguments, in which it stands.
    text: u32,
    source: Source,
    /// It says who wrote it.
    authored: bool,
}

/// Who could have written a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Source {
    /// Anybody.
    Anybody,
    /// Only the principal: a record of their own.
    Principal,
    /// An agent of the tree wrote it.
    Agent,
}

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) origin: Origin,
    /// The texts in which it stands.
    pub(crate) texts: Vec<u32>,
    /// It is the number of a record whose words have to do with the purpose; `None` when it is no record's number.
    pub(crate) on_subject: Option<bool>,
}

impl Memory {
    /// Takes in what a tool returned.
    pub(crate) fn read_result(&mut self, text: &str, source: Source) {
        self.take(text, source);
    }

    /// Takes in what an agent wrote somewhere.
    pub(crate) fn wrote(&mut self, text: &str) {
        self.take(text, Source::Agent);
    }

    /// Something was returned that was not seen.
    pub(crate) const fn not_seen(&mut self) {
        self.unseen = true;
    }

    /// Takes in the fingerprints of a result.
    pub(crate) fn fingerprints(&mut self, prints: impl Iterator<Item = u64>) {
        for print in prints {
            if self.fingerprints.len() >= FINGERPRINTS_MAX {
                self.unseen = true;
                return;
            }
            self.fingerprints.insert(print);
        }
    }

    /// Whether something was returned that was not seen, or is forgotten.
    pub(crate) const fn is_partial(&self) -> bool {
        self.unseen
    }

    /// Whether anything was seen at all.
    pub(crate) fn is_fresh(&self) -> bool {
        self.words.is_empty() && self.fingerprints.is_empty() && !self.unseen
    }

    /// Whether there are fingerprints to compare with.
    pub(crate) fn has_fingerprints(&self) -> bool {
        !self.fingerprints.is_empty()
    }

    /// Words that are remembered.
    pub(crate) fn len(&self) -> usize {
        self.words.len()
    }

    /// Forgets everything, and that it did.
    pub(crate) fn forget(&mut self) {
        *self = Self { unseen: true, ..Self::default() };
    }

    /// Whether a word is a secret that some text told.
    pub(crate) fn is_secret(&self, word: Word) -> bool {
        self.secrets.contains(&word.hash())
    }

    /// Whether any secret was seen.
    pub(crate) fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    fn take(&mut self, text: &str, source: Source) {
        let number = self.texts;
        self.texts = self.texts.wrapping_add(1);
        let mut taking = Taking { memory: self, text: number, source };
        let whole = read(text, &mut taking);
        if source == Source::Anybody {
            for hidden in decoded(text) {
                // A message of its own: whoever wrote the text around it need not have written this.
                read(&hidden, &mut taking);
            }
        }
        if !whole && source != Source::Agent {
            self.unseen = true;
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        let excess = self.words.len().saturating_sub(MEMORY_WORDS_MAX);
        if excess == 0 {
            return;
        }
        // A quarter more than needed, so that room is not made for every text.
        let at_least = excess + MEMORY_WORDS_MAX / 4;
        let keep = self.messages.iter().position(|message| message.start as usize >= at_least);
        let from =
            keep.and_then(|index| self.messages.get(index)).map_or(self.words.len(), |m| m.start as usize);
        self.words.drain(..from);
        self.messages.drain(..keep.unwrap_or(self.messages.len()));
        let shift = u32::try_from(from).unwrap_or(u32::MAX);
        self.messages.iter_mut().for_each(|message| message.start = message.start.saturating_sub(shift));
        self.unseen = true;
    }

    /// Where a value came from, as far as texts say. `print` is its fingerprint.
    pub(crate) fn trace(&self, value: &str, purpose: &Purpose, print: impl FnOnce() -> Option<u64>) -> Found {
        let needle = words_of(value);
        let mut places = self.places(&needle);
        if places.is_empty() {
            places = self.joined_places(&needle);
        }
        // What an agent of the tree wrote and reads again keeps the origin that it had when it was written.
        let written = places.iter().find(|place| self.source_at(place.start) == Some(Source::Agent));
        let before = written.map_or(usize::MAX, |place| place.start);
        let read: Vec<Place> = places
            .iter()
            .copied()
            .filter(|place| place.start < before && self.source_at(place.start) != Some(Source::Agent))
            .collect();
        let origin = if read.is_empty() { None } else { Some(self.origin_of(&read, purpose)) };
        let origin = origin.unwrap_or_else(|| {
            let printed =
                self.has_fingerprints() && print().is_some_and(|print| self.fingerprints.contains(&print));
            match (printed, written.is_some(), self.unseen) {
                (true, ..) => Origin::Untrusted,
                (false, false, true) => Origin::Unknown,
                (false, ..) => Origin::Invented,
            }
        });
        let mut texts: Vec<u32> = read
            .iter()
            .filter_map(|place| self.message_at(place.start))
            .map(|(_, message)| message.text)
            .collect();
        texts.dedup();
        Found { origin, texts, on_subject: self.on_subject(&read, purpose) }
    }

    /// Whether some text holds all of a value's words in a row.
    pub(crate) fn text_holds(&self, text: u32, value: &str) -> bool {
        let places = self.places(&words_of(value));
        places
            .iter()
            .any(|place| self.message_at(place.start).is_some_and(|(_, message)| message.text == text))
    }

    fn origin_of(&self, places: &[Place], purpose: &Purpose) -> Origin {
        if places.iter().any(|place| self.is_delegated(*place, purpose)) {
            return Origin::Delegated;
        }
        let of_principal = |place: &Place| self.source_at(place.start) == Some(Source::Principal);
        if places.iter().any(of_principal) { Origin::FirstParty } else { Origin::Untrusted }
    }

    /// Whether a place lies in a message that bears, outside of the value itself, a name that the purpose mentions.
    fn is_delegated(&self, place: Place, purpose: &Purpose) -> bool {
        if !purpose.has_names() {
            return false;
        }
        let Some((index, message)) = self.message_at(place.start) else { return false };
        if !message.authored {
            return false;
        }
        let (start, end) = self.range(index);
        let words = self.words.get(start..end).unwrap_or_default();
        words
            .iter()
            .enumerate()
            .any(|(at, word)| !(place.start..place.end).contains(&(start + at)) && purpose.names(*word))
    }

    /// Whether the record whose number the value is has to do with the purpose.
    fn on_subject(&self, places: &[Place], purpose: &Purpose) -> Option<bool> {
        let mut on_subject = None;
        for place in places {
            let number = self.words.get(place.start).is_some_and(|word| word.is_key())
                || place
                    .start
                    .checked_sub(1)
                    .and_then(|before| self.words.get(before))
                    .is_some_and(|word| word.is_key() && NUMBERS.contains(&word.hash()));
            let Some((index, _)) = self.message_at(place.start).filter(|_| number) else { continue };
            let (start, end) = self.range(index);
            let words = self.words.get(start..end).unwrap_or_default();
            let about = words.iter().any(|word| purpose.is_about(*word));
            on_subject = Some(about || on_subject == Some(true));
        }
        on_subject
    }

    fn places(&self, needle: &[Word]) -> Vec<Place> {
        let Some(first) = needle.first() else { return Vec::new() };
        let mut found = Vec::new();
        for (start, word) in self.words.iter().enumerate() {
            if word.hash() != first.hash() || found.len() >= PLACES_MAX {
                continue;
            }
            let here = self.words.get(start..start + needle.len());
            if here.is_some_and(|here| here.iter().zip(needle).all(|(a, b)| a.hash() == b.hash())) {
                found.push(Place { start, end: start + needle.len() });
            }
        }
        found
    }

    /// The same across other gaps: an account written in groups of four digits, a host with blanks around its dots.
    fn joined_places(&self, needle: &[Word]) -> Vec<Place> {
        let (hash, chars) = joined(needle);
        let mut found = Vec::new();
        if chars < JOINED_CHARS_MIN {
            return found;
        }
        for start in 0..self.words.len() {
            let mut join = Join::default();
            for (at, word) in self.words.iter().enumerate().skip(start) {
                join.push(*word);
                if join.chars >= chars {
                    if join.chars == chars && join.hash() == hash && found.len() < PLACES_MAX {
                        found.push(Place { start, end: at + 1 });
                    }
                    break;
                }
            }
        }
        found
    }

    fn message_at(&self, word: usize) -> Option<(usize, &Message)> {
        let after = self.messages.partition_point(|message| message.start as usize <= word);
        let index = after.checked_sub(1)?;
        Some((index, self.messages.get(index)?))
    }

    fn source_at(&self, word: usize) -> Option<Source> {
        self.message_at(word).map(|(_, message)| message.source)
    }

    fn range(&self, message: usize) -> (usize, usize) {
        let start = |index: usize| self.messages.get(index).map(|message| message.start as usize);
        (start(message).unwrap_or_default(), start(message + 1).unwrap_or(self.words.len()))
    }
}

/// Where a value stands, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    start: usize,
    end: usize,
}

/// Takes the pieces of one text.
struct Taking<'a> {
    memory: &'a mut Memory,
    text: u32,
    source: Source,
}

impl Sink for Taking<'_> {
    fn word(&mut self, word: Word) {
        self.memory.words.push(word);
    }

    fn key(&mut self, count: usize) {
        let from = self.memory.words.len().saturating_sub(count);
        self.memory.words.iter_mut().skip(from).for_each(Word::mark_key);
    }

    fn message(&mut self) {
        let start = u32::try_from(self.memory.words.len()).unwrap_or(u32::MAX);
        let message = Message { start, text: self.text, source: self.source, authored: false };
        // A message without words gives way to the next.
        match self.memory.messages.last_mut().filter(|last| last.start == start) {
            Some(last) => *last = message,
            None => self.memory.messages.push(message),
        }
    }

    fn authored(&mut self) {
        if let Some(last) = self.memory.messages.last_mut() {
            last.authored = true;
        }
    }

    fn secret(&mut self, word: Word) {
        if self.source != Source::Agent && self.memory.secrets.len() < SECRETS_MAX {
            self.memory.secrets.insert(word.hash());
        }
    }
}
