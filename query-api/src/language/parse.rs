//! From text to query, by recursive descent.

use super::ast::{Comparison, Node, Pattern, Piece, Words};
use super::cursor::{Cursor, ends_word};
use super::fields::{Field, Number};
use super::moment::Moment;
use super::{QUERY_BYTES_MAX, QueryError};
use crate::text::{Phrase, Place};
use ambit_schemas::finding::Severity;

/// Deepest nesting of parentheses and negations.
const DEPTH_MAX: usize = 32;
/// Most clauses.
const CLAUSES_MAX: usize = 128;
/// Names that are no column's.
const OTHERS: [&str; 9] =
    ["severity", "duplicate", "since", "until", "time", "text", "args", "principal", "root"];

pub(super) struct Parser {
    pub(super) cursor: Cursor,
    depth: usize,
    clauses: usize,
}

fn error<T>(position: usize, message: impl Into<String>) -> Result<T, QueryError> {
    Err(Cursor::error(position, message))
}

impl Parser {
    pub(super) fn new(text: &str) -> Result<Self, QueryError> {
        if text.len() > QUERY_BYTES_MAX {
            return error(0, format!("the query has {} bytes, more than {QUERY_BYTES_MAX}", text.len()));
        }
        Ok(Self { cursor: Cursor::new(text), depth: 0, clauses: 0 })
    }

    /// The whole text as one query.
    pub(super) fn whole(&mut self) -> Result<Node, QueryError> {
        let node = self.any()?;
        let at = self.cursor.position();
        match self.cursor.peek() {
            None => Ok(node),
            Some(letter) => {
                error(at, format!("`{letter}` closes nothing: remove it, or put quotation marks around it"))
            }
        }
    }

    /// Clauses up to the end or to what closes them: `a b OR c`.
    pub(super) fn any(&mut self) -> Result<Node, QueryError> {
        let mut choices = vec![self.all()?];
        while self.cursor.take_keyword("OR") {
            let at = self.cursor.position();
            if choices.last() == Some(&Node::All(Vec::new())) {
                return error(at.saturating_sub(2), "before `OR` there is nothing");
            }
            let next = self.all()?;
            if next == Node::All(Vec::new()) {
                return error(at, "after `OR` there is nothing");
            }
            choices.push(next);
        }
        Ok(flat(choices, Node::Any, |node| if let Node::Any(parts) = node { Ok(parts) } else { Err(node) }))
    }

    fn all(&mut self) -> Result<Node, QueryError> {
        let mut parts = Vec::new();
        loop {
            self.cursor.skip_space();
            let start = self.cursor.position();
            if self.cursor.peek().is_none_or(|letter| matches!(letter, ')' | ']')) {
                break;
            }
            if self.cursor.take_keyword("OR") {
                self.cursor.rewind(start);
                break;
            }
            if self.cursor.take_keyword("AND") {
                self.cursor.skip_space();
                if parts.is_empty() || self.cursor.peek().is_none_or(|letter| matches!(letter, ')' | ']')) {
                    return error(start, "`AND` stands between two clauses");
                }
                continue;
            }
            parts.push(self.unary()?);
        }
        Ok(flat(parts, Node::All, |node| if let Node::All(parts) = node { Ok(parts) } else { Err(node) }))
    }

    fn deeper(&mut self, at: usize) -> Result<(), QueryError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return error(at, format!("nested deeper than {DEPTH_MAX}"));
        }
        Ok(())
    }

    fn unary(&mut self) -> Result<Node, QueryError> {
        let at = self.cursor.position();
        self.clauses += 1;
        if self.clauses > CLAUSES_MAX {
            return error(at, format!("more than {CLAUSES_MAX} clauses"));
        }
        if self.cursor.take('-') || self.cursor.take_keyword("NOT") {
            self.deeper(at)?;
            self.cursor.skip_space();
            if self.cursor.peek().is_none_or(|letter| matches!(letter, ')' | ']')) {
                return error(at, "what is not to be is missing");
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(inner)));
        }
        if self.cursor.take('(') {
            self.deeper(at)?;
            let inner = self.any()?;
            if !self.cursor.take(')') {
                return error(at, "this parenthesis is not closed");
            }
            self.depth -= 1;
            if inner == Node::All(Vec::new()) {
                return error(at, "between the parentheses there is nothing");
            }
            return Ok(inner);
        }
        if self.cursor.peek() == Some('[') {
            return error(
                at,
                "`[` begins a step of a sequence: write `sequence by agent within 5m [ .. ] [ .. ]`",
            );
        }
        self.clause()
    }

    fn clause(&mut self) -> Result<Node, QueryError> {
        let at = self.cursor.position();
        let name = self.cursor.take_while(|letter| letter.is_ascii_alphabetic() || letter == '_');
        let Some(comparison) = self.comparison().filter(|_| !name.is_empty()) else {
            self.cursor.rewind(at);
            return self.words(Place::Data);
        };
        // An address, not a field: `https://..`
        if comparison == Comparison::Is
            && self.cursor.peek() == Some('/')
            && self.cursor.peek_second() == Some('/')
        {
            self.cursor.rewind(at);
            return self.words(Place::Data);
        }
        if comparison == Comparison::Is && self.cursor.take('(') {
            return self.list(at, &name);
        }
        self.value(at, &name, comparison)
    }

    fn comparison(&mut self) -> Option<Comparison> {
        if self.cursor.take(':') {
            return Some(Comparison::Is);
        }
        let (sharp, wide) = match self.cursor.peek()? {
            '<' => (Comparison::Less, Comparison::AtMost),
            '>' => (Comparison::More, Comparison::AtLeast),
            _ => return None,
        };
        self.cursor.next();
        Some(if self.cursor.take('=') { wide } else { sharp })
    }

    /// `tool:(read_file OR send_email)`: one of several values.
    fn list(&mut self, at: usize, name: &str) -> Result<Node, QueryError> {
        let mut choices = Vec::new();
        loop {
            self.cursor.skip_space();
            if self.cursor.take(')') {
                break;
            }
            if self.cursor.peek().is_none() {
                return error(at, "the parenthesis after this field is not closed");
            }
            if self.cursor.take_keyword("OR") {
                continue;
            }
            self.clauses += 1;
            if self.clauses > CLAUSES_MAX {
                return error(at, format!("more than {CLAUSES_MAX} clauses"));
            }
            choices.push(self.value(at, name, Comparison::Is)?);
        }
        if choices.is_empty() {
            return error(at, "between the parentheses there is nothing");
        }
        Ok(flat(choices, Node::Any, |node| if let Node::Any(parts) = node { Ok(parts) } else { Err(node) }))
    }

    fn value(&mut self, at: usize, name: &str, comparison: Comparison) -> Result<Node, QueryError> {
        let value_at = self.cursor.position();
        if self
            .cursor
            .peek()
            .is_none_or(|letter| letter.is_whitespace() || matches!(letter, ')' | ']' | '(' | '['))
        {
            return error(value_at, format!("after `{name}` a value is missing"));
        }
        let only = |allowed: bool| {
            if allowed { Ok(()) } else { error(at, format!("`{name}` is compared with `:`")) }
        };
        if let Some(place) = Place::from_name(name) {
            only(comparison == Comparison::Is)?;
            return self.words(place);
        }
        if let Some(field) = Field::from_name(name) {
            only(comparison == Comparison::Is)?;
            let pattern = self.pattern()?;
            return Ok(if pattern.pieces == [Piece::Gap] {
                Node::Has(field)
            } else {
                Node::Is(field, pattern)
            });
        }
        let known = Number::from_name(name).is_some() || OTHERS.contains(&name);
        if !known {
            let texts = Field::ALL.iter().map(|field| field.name());
            let names: Vec<&str> =
                texts.chain(Number::ALL.iter().map(|number| number.name())).chain(OTHERS).collect();
            let message = format!(
                "there is no field `{name}`: put quotation marks around a text that has a colon; fields are {}",
                names.join(", ")
            );
            return error(at, message);
        }
        let text = self.plain()?;
        plain_value(at, value_at, name, comparison, &text)
    }

    /// Words that are looked for: bare with a star at the end, or in quotation marks.
    fn words(&mut self, place: Place) -> Result<Node, QueryError> {
        let at = self.cursor.position();
        let (text, prefix) = if self.cursor.peek() == Some('"') {
            (self.quoted()?, self.cursor.take('*'))
        } else {
            match self.pattern()?.pieces.as_slice() {
                [Piece::Text(text)] => (text.clone(), false),
                [Piece::Text(text), Piece::Gap] => (text.clone(), true),
                _ => return error(at, crate::text::InvalidText::Star.to_string()),
            }
        };
        match Phrase::new(&text, prefix) {
            Ok(phrase) => Ok(Node::Text(place, Words { phrase })),
            Err(why) => error(at, why.to_string()),
        }
    }

    /// A value without gaps.
    fn plain(&mut self) -> Result<String, QueryError> {
        let at = self.cursor.position();
        match self.pattern()?.pieces.as_slice() {
            [Piece::Text(text)] => Ok(text.clone()),
            [Piece::Gap] => Ok("*".to_owned()),
            _ => error(at, "this value cannot have a `*` in it"),
        }
    }

    /// A text with gaps; between quotation marks a star is a star.
    fn pattern(&mut self) -> Result<Pattern, QueryError> {
        if self.cursor.peek() == Some('"') {
            return Ok(Pattern { pieces: vec![Piece::Text(self.quoted()?)] });
        }
        let mut pieces: Vec<Piece> = Vec::new();
        while let Some(letter) = self.cursor.peek().filter(|letter| !ends_word(*letter)) {
            let at = self.cursor.position();
            self.cursor.next();
            if letter == '*' {
                if pieces.last() != Some(&Piece::Gap) {
                    pieces.push(Piece::Gap);
                }
                continue;
            }
            let letter = match letter {
                '\\' => match self.cursor.next() {
                    Some(escaped) => escaped,
                    None => return error(at, "after the backslash a letter is missing"),
                },
                other => other,
            };
            match pieces.last_mut() {
                Some(Piece::Text(text)) => text.push(letter),
                _ => pieces.push(Piece::Text(letter.to_string())),
            }
        }
        if pieces.is_empty() {
            pieces.push(Piece::Text(String::new()));
        }
        Ok(Pattern { pieces })
    }

    fn quoted(&mut self) -> Result<String, QueryError> {
        let at = self.cursor.position();
        self.cursor.take('"');
        let mut text = String::new();
        loop {
            match self.cursor.next() {
                None => return error(at, "this quotation mark is not closed"),
                Some('"') => return Ok(text),
                Some('\\') => match self.cursor.next() {
                    Some(letter) => text.push(letter),
                    None => return error(at, "this quotation mark is not closed"),
                },
                Some(letter) => text.push(letter),
            }
        }
    }
}

/// Values of fields that are no text.
fn plain_value(
    at: usize,
    value_at: usize,
    name: &str,
    comparison: Comparison,
    text: &str,
) -> Result<Node, QueryError> {
    if let Some(number) = Number::from_name(name) {
        return match text.parse() {
            Ok(value) => Ok(Node::Number(number, comparison, value)),
            Err(_) => error(value_at, format!("`{name}` is compared with a whole number")),
        };
    }
    let moment = || match Moment::parse(text) {
        Some(moment) => Ok(moment),
        None => error(
            value_at,
            "a time is written `24h` (ago; s, m, h, d, w), `2026-11-27` or `2026-11-27T08:00:00Z` (RFC 3339)",
        ),
    };
    match (name, comparison) {
        ("severity", _) if text == "*" => Ok(Node::Severity(Comparison::AtLeast, Severity::Info)),
        ("severity", comparison) => match Severity::ALL.into_iter().find(|one| one.name() == text) {
            Some(severity) => Ok(Node::Severity(comparison, severity)),
            None => error(
                value_at,
                format!("a severity is one of {}", Severity::ALL.map(Severity::name).join(", ")),
            ),
        },
        ("duplicate", Comparison::Is) => match text {
            "true" => Ok(Node::Duplicate(true)),
            "false" => Ok(Node::Duplicate(false)),
            _ => error(value_at, "`duplicate` is `true` or `false`"),
        },
        ("since", Comparison::Is) | ("time", Comparison::AtLeast) => Ok(Node::Since(moment()?)),
        ("until", Comparison::Is) | ("time", Comparison::Less) => Ok(Node::Until(moment()?)),
        ("time", _) => error(at, "`time` is compared with `>=` or `<`"),
        _ => error(at, format!("`{name}` is compared with `:`")),
    }
}

/// One condition is itself; lists of the same sort within each other become one.
fn flat(parts: Vec<Node>, list: fn(Vec<Node>) -> Node, open: fn(Node) -> Result<Vec<Node>, Node>) -> Node {
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        match open(part) {
            Ok(inner) => all.extend(inner),
            Err(other) => all.push(other),
        }
    }
    if all.len() == 1 { all.pop().unwrap_or_else(|| list(Vec::new())) } else { list(all) }
}
