//! What a query is.

use super::QueryError;
use super::fields::{Field, Number};
use super::moment::Moment;
use super::parse::Parser;
use crate::text::{Phrase, Place};
use ambit_schemas::Timestamp;
use ambit_schemas::finding::Severity;
use std::fmt;

/// A query, read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    pub(crate) node: Node,
}

impl Query {
    /// Reads a query. One without clauses asks for everything.
    ///
    /// # Errors
    /// Where it is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        Parser::new(text)?.whole().map(|node| Self { node })
    }

    /// The same query with moments in place of `24h`: it means the same whenever it is asked.
    #[must_use]
    pub fn seen_from(self, now: Timestamp) -> Self {
        Self { node: self.node.seen_from(now) }
    }
}

/// In the normal form, which reads as the same query.
impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.node.fmt(f)
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// All hold; without any, everything does. None of them is such a list itself.
    All(Vec<Node>),
    /// At least one of two or more holds. None of them is such a list itself.
    Any(Vec<Node>),
    /// It does not hold, or cannot be told.
    Not(Box<Node>),
    /// A field is like this.
    Is(Field, Pattern),
    /// A field is there.
    Has(Field),
    /// A number is so.
    Number(Number, Comparison, u64),
    /// The severity of the finding is so.
    Severity(Comparison, Severity),
    /// The same event stood in the shard before.
    Duplicate(bool),
    /// It happened at this moment or later.
    Since(Moment),
    /// It happened before this moment.
    Until(Moment),
    /// Words stand in a place.
    Text(Place, Words),
}

impl Node {
    fn seen_from(self, now: Timestamp) -> Self {
        let all = |parts: Vec<Self>| parts.into_iter().map(|part| part.seen_from(now)).collect();
        match self {
            Self::All(parts) => Self::All(all(parts)),
            Self::Any(parts) => Self::Any(all(parts)),
            Self::Not(inner) => Self::Not(Box::new(inner.seen_from(now))),
            Self::Since(moment) => Self::Since(Moment::At(moment.seen_from(now))),
            Self::Until(moment) => Self::Until(Moment::At(moment.seen_from(now))),
            same @ (Self::Is(..)
            | Self::Has(_)
            | Self::Number(..)
            | Self::Severity(..)
            | Self::Duplicate(_)
            | Self::Text(..)) => same,
        }
    }
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Is,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Comparison {
    /// As it is written.
    pub(crate) const fn sign(self) -> &'static str {
        match self {
            Self::Is => ":",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
        }
    }

    /// Whether it holds.
    pub(crate) fn holds<T: PartialOrd>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Is => left == right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::More => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// A text with gaps into which anything fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Never empty; no two texts, and no two gaps, beside each other; no empty text but as the only piece.
    pub(crate) pieces: Vec<Piece>,
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// These letters.
    Text(String),
    /// Anything: `*`.
    Gap,
}

/// Words as they were asked for, and what they mean.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) phrase: Phrase,
}
