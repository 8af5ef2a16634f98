//! Where a rule stands, and what is wrong with it there.

use super::yaml::Part;
use std::fmt;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Worth a look: the set can be used.
    Warning,
    /// The set cannot be used.
    Error,
}

/// Something wrong with a document of rules, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// The document.
    pub path: String,
    /// The line, from 1.
    pub line: usize,
    /// How bad it is.
    pub level: Level,
    /// What it is, and what to do.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Warning => "warning",
            Level::Error => "error",
        };
        write!(f, "{}:{}: {level}: {}", self.path, self.line, self.text)
    }
}

/// One rule as it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) path: &'a str,
    pub(super) part: Part<'a>,
}

impl Source<'_> {
    /// An error at the line where a key stands, or at the rule's first line when the key is nowhere.
    pub(super) fn error(&self, key: &str, text: impl Into<String>) -> Problem {
        self.problem(Level::Error, self.line_of(key), text)
    }

    /// A warning at the line where a key stands.
    pub(super) fn warning(&self, key: &str, text: impl Into<String>) -> Problem {
        self.problem(Level::Warning, self.line_of(key), text)
    }

    pub(super) fn problem(&self, level: Level, line: usize, text: impl Into<String>) -> Problem {
        Problem { path: self.path.to_owned(), line, level, text: text.into() }
    }

    /// The line in the file of a line in the rule, both from 1.
    pub(super) fn line(&self, within: usize) -> usize {
        self.part.before + within
    }

    /// The first line whose key is this one, with or without modifiers.
    fn line_of(&self, key: &str) -> usize {
        let is_key = |line: &str| {
            let line = line.trim_start().trim_start_matches("- ").trim_start_matches(['"', '\'']);
            let rest = if key.is_empty() { None } else { line.strip_prefix(key) };
            rest.is_some_and(|rest| rest.starts_with([':', '|', '"', '\'']))
        };
        let first = || self.part.text.lines().position(|line| !is_blank(line));
        let at = self.part.text.lines().position(is_key).or_else(first);
        self.line(at.map_or(1, |at| at + 1))
    }
}

/// Whether a line says nothing.
pub(super) fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}
