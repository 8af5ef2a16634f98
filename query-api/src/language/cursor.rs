//! The text of a query, letter by letter.

use super::QueryError;

/// Reads a text and knows where it is.
#[derive(Debug, Clone)]
pub(super) struct Cursor {
    letters: Vec<char>,
    at: usize,
}

impl Cursor {
    pub(super) fn new(text: &str) -> Self {
        Self { letters: text.chars().collect(), at: 0 }
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }

    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.letters.get(self.at).copied()
    }

    pub(super) fn peek_second(&self) -> Option<char> {
        self.letters.get(self.at + 1).copied()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let letter = self.peek()?;
        self.at += 1;
        Some(letter)
    }

    /// Takes this letter, if it comes next.
    pub(super) fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_space(&mut self) {
        while self.peek().is_some_and(char::is_whitespace) {
            self.at += 1;
        }
    }

    /// Takes letters for as long as a condition holds.
    pub(super) fn take_while(&mut self, holds: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(letter) = self.peek().filter(|letter| holds(*letter)) {
            taken.push(letter);
            self.at += 1;
        }
        taken
    }

    /// Takes a word of its own, such as `OR`, if it comes next.
    pub(super) fn take_keyword(&mut self, keyword: &str) -> bool {
        let start = self.at;
        if self.take_while(|letter| letter.is_ascii_alphabetic()) == keyword
            && self.peek().is_none_or(ends_word)
        {
            return true;
        }
        self.at = start;
        false
    }

    /// An error at a position.
    pub(super) fn error(position: usize, message: impl Into<String>) -> QueryError {
        QueryError { position, message: message.into() }
    }
}

/// Letters that end a bare word.
pub(super) fn ends_word(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '"' | '(' | ')' | '[' | ']')
}
