//! What is looked for in a text.

use super::words::Words;
use std::fmt;

/// Most words of a phrase: as many as the bits with which one is followed.
const PHRASE_WORDS_MAX: usize = 32;
/// Most phrases of a query.
const PHRASES_MAX: usize = 32;

/// Why a text cannot be looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidText {
    /// Nothing but punctuation.
    #[error("there is no word to search for: words are made of letters and digits")]
    NoWord,
    /// Too long a phrase.
    #[error("a phrase has at most {PHRASE_WORDS_MAX} words: search for a part of it")]
    TooManyWords,
    /// Too many phrases.
    #[error("at most {PHRASES_MAX} words and phrases can be searched for at once")]
    TooManyPhrases,
    /// A quotation mark without its other.
    #[error("a quotation mark is not closed")]
    Unclosed,
    /// A star that is not at the end.
    #[error(
        "a text search can end with `*`, and have none elsewhere: put quotation marks around a star that is meant"
    )]
    Star,
}

/// Words that stand beside each other in one text of an event.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Phrase {
    /// The words; never none, at most [`PHRASE_WORDS_MAX`].
    words: Vec<String>,
    /// Whether the last is only the beginning of a word.
    prefix: bool,
}

impl Phrase {
    /// The phrase of a text's words; with `prefix` the last is only the beginning of a word.
    pub(crate) fn new(text: &str, prefix: bool) -> Result<Self, InvalidText> {
        let mut words = Vec::new();
        Words::default().of(text, |word| {
            if words.len() <= PHRASE_WORDS_MAX {
                words.push(word.to_owned());
            }
        });
        // After `foo-` a star would be about a word that has not begun.
        let prefix = prefix && text.chars().next_back().is_some_and(char::is_alphanumeric);
        match words.len() {
            0 => Err(InvalidText::NoWord),
            count if count > PHRASE_WORDS_MAX => Err(InvalidText::TooManyWords),
            _ => Ok(Self { words, prefix }),
        }
    }

    /// Its words.
    pub(crate) fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether the last word is only the beginning of one.
    pub(crate) const fn is_prefix(&self) -> bool {
        self.prefix
    }
}

/// As [`TextQuery::parse`] reads it.
impl fmt::Display for Phrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"{}", self.words.join(" "), if self.prefix { "*" } else { "" })
    }
}

/// Phrases that must all be found.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TextQuery {
    phrases: Vec<Phrase>,
}

impl TextQuery {
    /// Reads `word "a phrase" begin*`: all of them must be found.
    pub(crate) fn parse(text: &str) -> Result<Self, InvalidText> {
        let mut phrases = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (inner, after) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"').ok_or(InvalidText::Unclosed)?,
                None => {
                    match rest.find(|letter: char| letter.is_whitespace() || letter == '*' || letter == '"') {
                        Some(end) => rest.split_at(end),
                        None => (rest, ""),
                    }
                }
            };
            let (prefix, after) = after.strip_prefix('*').map_or((false, after), |after| (true, after));
            if after.starts_with(|letter: char| !letter.is_whitespace() && letter != '"') {
                return Err(InvalidText::Star);
            }
            if phrases.len() >= PHRASES_MAX {
                return Err(InvalidText::TooManyPhrases);
            }
            phrases.push(Phrase::new(inner, prefix)?);
            rest = after.trim_start();
        }
        if phrases.is_empty() { Err(InvalidText::NoWord) } else { Ok(Self { phrases }) }
    }

    /// What must be found.
    pub(crate) fn phrases(&self) -> &[Phrase] {
        &self.phrases
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_phrases_and_beginnings_are_told_apart() {
        let query = TextQuery::parse(r#"Invoice "to: evil.example" pay* "a b"*"#).unwrap();
        let shown: Vec<String> = query.phrases().iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["\"invoice\"", "\"to evil example\"", "\"pay\"*", "\"a b\"*"]);
        for phrase in shown {
            let again = TextQuery::parse(&phrase).unwrap();
            assert_eq!(again.phrases().first().unwrap().to_string(), phrase);
        }
    }

    #[test]
    fn what_cannot_be_looked_for_is_said() {
        assert_eq!(TextQuery::parse(" "), Err(InvalidText::NoWord));
        assert_eq!(TextQuery::parse("--"), Err(InvalidText::NoWord));
        assert_eq!(TextQuery::parse("\"a"), Err(InvalidText::Unclosed));
        assert_eq!(TextQuery::parse("a*b"), Err(InvalidText::Star));
        assert_eq!(TextQuery::parse("*a"), Err(InvalidText::Star));
        assert_eq!(TextQuery::parse(&"a ".repeat(100)), Err(InvalidText::TooManyPhrases));
        assert_eq!(TextQuery::parse(&format!("\"{}\"", "a ".repeat(40))), Err(InvalidText::TooManyWords));
    }
}
