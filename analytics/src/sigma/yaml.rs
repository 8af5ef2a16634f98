//! YAML within bounds: a file is taken apart into its documents, and each is walked once before anything is made of it.
//! What unfolds to more than a rule needs (aliases of aliases, thousands of levels) is refused there, without memory.

use super::source::is_blank;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::cell::Cell;
use std::fmt;

/// Most values that a document unfolds to; a long text counts as one for every 64 bytes.
const VALUES_MAX: usize = 20_000;
/// Deepest nesting of a document.
const DEPTH_MAX: usize = 32;
/// Longest run of openers of flow style (`[`, `{`) that is handed to the parser at all.
const FLOW_OPENERS_MAX: usize = 1_024;

/// One document of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part<'a> {
    /// Lines of the file that come before it.
    pub(super) before: usize,
    pub(super) text: &'a str,
}

/// Why a document is not used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    /// The line within the document, from 1.
    pub(super) line: usize,
    pub(super) why: String,
}

/// The documents of a file: what stands between lines of `---`.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let (mut parts, mut start, mut before, mut at) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let rest = line.strip_prefix("---");
        if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace)) {
            parts.push(Part { before, text: text.get(start..at).unwrap_or_default() });
            (start, before) = (at + line.len(), number + 1);
        }
        at += line.len();
    }
    parts.push(Part { before, text: text.get(start..).unwrap_or_default() });
    parts.retain(|part| !part.text.lines().all(is_blank));
    parts
}

/// Walks a document, and says why it is not used.
pub(super) fn walk(text: &str) -> Result<(), Unusable> {
    let openers = text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count();
    if openers > FLOW_OPENERS_MAX {
        let why = format!(
            "it has {openers} brackets, more than {FLOW_OPENERS_MAX}: write lists on lines of their own"
        );
        return Err(Unusable { line: 1, why });
    }
    let left = Cell::new(VALUES_MAX);
    let mut documents = yaml_serde::Deserializer::from_str(text);
    let Some(document) = documents.next() else {
        return Err(Unusable { line: 1, why: "it is empty".into() });
    };
    Node { left: &left, depth: 0 }.deserialize(document).map_err(|error| {
        let line = error.location().map_or(1, |location| location.line());
        Unusable { line, why: format!("it is not YAML as rules have it: {error}") }
    })?;
    if documents.next().is_some() {
        let why = "a second document begins without a line of `---`".to_owned();
        return Err(Unusable { line: 1, why });
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Node<'a> {
    left: &'a Cell<usize>,
    depth: usize,
}

impl Node<'_> {
    fn spend<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.left.get().checked_sub(1 + bytes / 64);
        let left = left.ok_or_else(|| E::custom(format!("it unfolds to more than {VALUES_MAX} values")))?;
        self.left.set(left);
        Ok(())
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= DEPTH_MAX {
            return Err(E::custom(format!("it is nested deeper than {DEPTH_MAX} levels")));
        }
        self.spend(0)?;
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true, false, null, a list or a mapping, without tags")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.spend(text.len())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.spend(0)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        while list.next_element_seed(below)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let below = self.deeper()?;
        while map.next_key_seed(below)?.is_some() {
            map.next_value_seed(below)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn a_file_falls_into_documents_that_know_their_lines() {
        let text = "# head\n---\na: 1\n--- # two\n\nb: '---'\nc: |\n  ---\n---\n";
        let found: Vec<_> = parts(text).iter().map(|part| (part.before, part.text)).collect();
        assert_eq!(found, [(2, "a: 1\n"), (4, "\nb: '---'\nc: |\n  ---\n")]);
        assert!(parts("").is_empty());
    }

    #[test]
    fn what_is_no_rule_is_refused_with_its_line_and_quickly() {
        let laughs: String = (1..10).fold("a0: &a0 [x, x, x, x, x, x, x, x]\n".to_owned(), |text, level| {
            let below = vec![format!("*a{}", level - 1); 8].join(", ");
            format!("{text}a{level}: &a{level} [{below}]\n")
        });
        let deep: String =
            (0..200).fold(String::new(), |text, level| format!("{text}{}k:\n", " ".repeat(level)));
        for (text, words) in [
            (laughs.as_str(), "unfolds"),
            (deep.as_str(), "nested deeper"),
            (&"[".repeat(60_000), "brackets"),
            (&format!("a: {}", "[".repeat(900)), "not YAML"),
            ("a: &a [*a]", "not YAML"),
            ("a: b: c", "not YAML"),
            ("a: !mine x", "tags"),
            ("a: \"\u{0}\"", "not YAML"),
            ("a: 1\n...\nb: 2\n", "second document"),
        ] {
            let begun = Instant::now();
            let refused = walk(text).unwrap_err();
            assert!(
                refused.why.contains(words),
                "{}: {refused:?}",
                text.chars().take(40).collect::<String>()
            );
            assert!(begun.elapsed() < Duration::from_secs(2), "{words}: {:?}", begun.elapsed());
        }
        assert_eq!(walk("a: 1\nb: [2\nc: 3\n").unwrap_err().line, 3);
        assert_eq!(walk("a: [1, {b: null}]\n"), Ok(()));
    }
}
