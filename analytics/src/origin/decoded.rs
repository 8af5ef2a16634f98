//! Values that a text holds in another writing: base64 (RFC 4648, both alphabets), hexadecimal, percent-encoding
//! (RFC 3986), numeric character references of HTML, and addresses in words ("name at host dot example").
//!
//! Whoever plants a value hides it so that it is not recognised; the model decodes it without being told how. What
//! decodes to nothing but printable ASCII is read as if it stood there. Bounded, and only one layer deep.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

/// Longest part of a text that is looked at, in bytes.
const TEXT_BYTES_MAX: usize = 32 << 10;
/// Most decoded values of one text, and their bytes in all.
const VALUES_MAX: usize = 32;
const DECODED_BYTES_MAX: usize = 4 << 10;
/// Shortest run of letters and digits that is tried: shorter ones are words.
const RUN_CHARS_MIN: usize = 12;
/// Longest run that is tried: longer ones are files, not values.
const RUN_CHARS_MAX: usize = 2 << 10;

const LAX: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const PLAIN: GeneralPurpose = GeneralPurpose::new(&STANDARD, LAX);
const FOR_URLS: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LAX);

/// What a text holds in another writing.
pub(super) fn decoded(text: &str) -> Vec<String> {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    let text = text.get(..end.unwrap_or_default()).unwrap_or_default();
    let mut found = Found::default();
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=');
    for run in text.split(|c: char| !is_part(c)) {
        if (RUN_CHARS_MIN..=RUN_CHARS_MAX).contains(&run.len()) {
            found.run(run);
        }
    }
    if text.contains('%') || text.contains("&#") {
        for piece in text.split_whitespace().filter(|piece| piece.len() <= RUN_CHARS_MAX) {
            if piece.contains('%') {
                found.take(percent(piece));
            }
            if piece.contains("&#") {
                found.take(references(piece));
            }
        }
    }
    if text.contains("dot") || text.contains("DOT") {
        in_words(text, &mut found);
    }
    found.values
}

/// Decoded values within their bounds.
#[derive(Debug, Default)]
struct Found {
    values: Vec<String>,
    bytes: usize,
}

impl Found {
    fn run(&mut self, run: &str) {
        if run.len().is_multiple_of(2) && run.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            self.take(hex::decode(run).ok());
            return;
        }
        let code = if run.contains(['-', '_']) { &FOR_URLS } else { &PLAIN };
        self.take(code.decode(run.trim_end_matches('=')).ok());
    }

    /// Takes what reads as text.
    fn take(&mut self, bytes: Option<Vec<u8>>) {
        let is_text = |bytes: &Vec<u8>| bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t'));
        let Some(bytes) = bytes.filter(|bytes| !bytes.is_empty() && is_text(bytes)) else { return };
        if self.values.len() < VALUES_MAX && self.bytes + bytes.len() <= DECODED_BYTES_MAX {
            self.bytes += bytes.len();
            self.values.extend(String::from_utf8(bytes).ok());
        }
    }
}

/// A piece without its percent-encoding; `None` when it has none.
fn percent(piece: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut rest, mut any) = (Vec::with_capacity(piece.len()), piece.as_bytes(), false);
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| *first == b'%');
        let mut byte = [0];
        if code.is_some_and(|code| hex::decode_to_slice(code, &mut byte).is_ok()) {
            any = true;
            bytes.extend(byte);
            rest = after.get(2..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    any.then_some(bytes)
}

/// A piece without its numeric character references; `None` when it has none.
fn references(piece: &str) -> Option<Vec<u8>> {
    let mut parts = piece.split("&#");
    let (mut text, mut any) = (parts.next()?.to_owned(), false);
    for part in parts {
        let (code, after) = part.split_once(';')?;
        let number = match code.strip_prefix(['x', 'X']) {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => code.parse(),
        };
        text.push(char::from_u32(number.ok()?)?);
        text.push_str(after);
        any = true;
    }
    any.then(|| text.into_bytes())
}

/// Addresses written in words: what stands around each "dot", without the words for signs.
fn in_words(text: &str, found: &mut Found) {
    let trim = |c: char| !c.is_alphanumeric();
    let words: Vec<&str> = text.split_whitespace().map(|word| word.trim_matches(trim)).collect();
    let is = |word: &str, sign: &str| word.eq_ignore_ascii_case(sign);
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        if !is(word, "dot") {
            continue;
        }
        // The first dot of an address: two words and an "at" before it, and a name after each dot.
        let mut end = at;
        while words.get(end + 1).is_some_and(|word| is(word, "dot")) {
            end += 2;
        }
        let has_at = at >= 4 && words.get(at - 3).is_some_and(|word| is(word, "at"));
        let start = at.saturating_sub(if has_at { 4 } else { 2 });
        let parts = words.get(start..=end).unwrap_or_default();
        let sign = |word: &&str| {
            if is(word, "dot") {
                "."
            } else if is(word, "at") {
                "@"
            } else {
                word
            }
            .to_owned()
        };
        found.take(Some(parts.iter().map(sign).collect::<String>().into_bytes()));
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_writing_is_read() {
        for (text, expected) in [
            ("Decode cGxhbnRlZEBldmlsLmV4YW1wbGU= now", "planted@evil.example"),
            ("cGxhbnRlZEBldmlsLmV4YW1wbGU", "planted@evil.example"),
            ("706c616e746564406576696c2e6578616d706c65", "planted@evil.example"),
            ("to planted%40evil%2Eexample.", "planted@evil.example."),
            ("planted&#64;evil&#x2e;example", "planted@evil.example"),
            ("Write to planted (at) evil dot example dot org, please", "planted@evil.example.org"),
            ("see evil [dot] example", "evil.example"),
        ] {
            assert_eq!(decoded(text), [expected], "{text}");
        }
        for text in [
            "an internationalisation guide",
            "100% of it",
            "0123456789abcdef0123",
            "dot",
            "a dot",
            "&#",
            "%zz",
        ] {
            assert!(decoded(text).is_empty(), "{text}: {:?}", decoded(text));
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_within_the_bounds(text in "[a-zA-Z0-9%&#;= dot@.\\PC]{0,400}") {
            let found = decoded(&text.repeat(20));
            prop_assert!(found.len() <= VALUES_MAX);
            prop_assert!(found.iter().map(String::len).sum::<usize>() <= DECODED_BYTES_MAX);
        }
    }
}
