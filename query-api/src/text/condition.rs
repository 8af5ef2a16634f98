//! What of a filter an index can answer.

use super::function::{FUNCTION, constant};
use super::query::TextQuery;
use super::walk::Place;
use ambit_schemas::columns::names;
use datafusion::logical_expr::expr::{InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator};

/// Columns whose values are indexed whole.
pub(crate) const KEYWORDS: [&str; 13] = [
    names::ID,
    names::AGENT,
    names::TASK,
    names::ROOT_TASK,
    names::PARENT_TASK,
    names::TOOL,
    names::TOOL_CALL,
    names::KIND,
    names::CREDENTIAL,
    names::FINDING,
    names::RULE,
    names::SEVERITY,
    names::STATUS,
];

/// A filter, as an index understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Condition {
    /// Words in a place.
    Text(Place, TextQuery),
    /// A column is one of these values.
    Among(&'static str, Vec<String>),
    /// A column is like a pattern.
    Like(&'static str, Pattern),
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// Only the rows themselves can tell.
    Unknown,
}

/// A pattern of SQL's LIKE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Letter(char),
    /// `_`
    One,
    /// `%`
    Any,
}

impl Pattern {
    /// Reads a pattern in which a backslash takes the next letter as it is.
    fn parse(text: &str) -> Self {
        let mut pieces = Vec::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                '%' => Piece::Any,
                '_' => Piece::One,
                '\\' => Piece::Letter(letters.next().unwrap_or('\\')),
                other => Piece::Letter(other),
            });
        }
        Self { pieces }
    }

    /// What every text that fits begins with.
    pub(crate) fn prefix(&self) -> String {
        let letter = |piece: &Piece| if let Piece::Letter(letter) = piece { Some(*letter) } else { None };
        self.pieces.iter().map_while(letter).collect()
    }

    /// Whether a text fits. Linear in both: on a mismatch only the last `%` is taken up again.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let letters: Vec<char> = text.chars().collect();
        let (mut at, mut piece) = (0, 0);
        let mut again: Option<(usize, usize)> = None;
        while let Some(letter) = letters.get(at) {
            match self.pieces.get(piece) {
                Some(Piece::Any) => {
                    again = Some((piece, at));
                    piece += 1;
                }
                Some(Piece::One) => (at, piece) = (at + 1, piece + 1),
                Some(Piece::Letter(wanted)) if wanted == letter => (at, piece) = (at + 1, piece + 1),
                _ => {
                    let Some((any, from)) = again else { return false };
                    again = Some((any, from + 1));
                    (at, piece) = (from + 1, any + 1);
                }
            }
        }
        self.pieces.get(piece..).unwrap_or_default().iter().all(|rest| *rest == Piece::Any)
    }
}

impl Condition {
    /// What an expression asks of an index.
    #[allow(clippy::wildcard_enum_match_arm, reason = "everything else is for the rows themselves")]
    pub(crate) fn of(expr: &Expr) -> Self {
        match expr {
            Expr::Alias(alias) => Self::of(&alias.expr),
            Expr::BinaryExpr(binary) => Self::binary(binary),
            Expr::Not(inner) | Expr::IsNotTrue(inner) => Self::Not(Box::new(Self::of(inner))),
            Expr::IsTrue(inner) => Self::of(inner),
            Expr::InList(InList { expr, list, negated: false }) => {
                let values: Option<Vec<String>> =
                    list.iter().map(|one| text(one).map(str::to_owned)).collect();
                keyword(expr)
                    .zip(values)
                    .map_or(Self::Unknown, |(column, values)| Self::Among(column, values))
            }
            Expr::Like(Like {
                negated: false,
                expr,
                pattern,
                escape_char: None | Some('\\'),
                case_insensitive: false,
            }) => {
                let found = keyword(expr).zip(text(pattern));
                found.map_or(Self::Unknown, |(column, pattern)| Self::Like(column, Pattern::parse(pattern)))
            }
            Expr::ScalarFunction(function) if function.name() == FUNCTION => Self::matches(function),
            _ => Self::Unknown,
        }
    }

    #[allow(clippy::wildcard_enum_match_arm, reason = "everything else is for the rows themselves")]
    fn binary(binary: &BinaryExpr) -> Self {
        let (left, right) = (binary.left.as_ref(), binary.right.as_ref());
        match binary.op {
            Operator::And => Self::All(vec![Self::of(left), Self::of(right)]),
            Operator::Or => Self::Any(vec![Self::of(left), Self::of(right)]),
            Operator::Eq => {
                let found = keyword(left).zip(text(right)).or_else(|| keyword(right).zip(text(left)));
                found.map_or(Self::Unknown, |(column, value)| Self::Among(column, vec![value.to_owned()]))
            }
            _ => Self::Unknown,
        }
    }

    fn matches(function: &ScalarFunction) -> Self {
        let argument = |at: usize| function.args.get(at);
        let is_data = argument(0)
            .is_some_and(|data| matches!(data, Expr::Column(column) if column.name == names::DATA));
        let place = match function.args.len() {
            2 => Some(Place::Data),
            _ => argument(2).and_then(text).and_then(Place::from_name),
        };
        let query = argument(1).and_then(text).and_then(|query| TextQuery::parse(query).ok());
        match (is_data, place, query) {
            (true, Some(place), Some(query)) => Self::Text(place, query),
            _ => Self::Unknown,
        }
    }

    /// Whether an index answers it wholly, so that the rows need not be asked: words and phrases do, but not a phrase
    /// that ends within a word, nor columns, which cost little to compare and may be longer than what is indexed.
    pub(crate) fn is_settled_by_index(&self) -> bool {
        match self {
            Self::Text(_, query) => {
                query.phrases().iter().all(|phrase| !phrase.is_prefix() || phrase.words().len() == 1)
            }
            Self::All(parts) | Self::Any(parts) => parts.iter().all(Self::is_settled_by_index),
            Self::Not(inner) => inner.is_settled_by_index(),
            Self::Among(..) | Self::Like(..) | Self::Unknown => false,
        }
    }
}

fn keyword(expr: &Expr) -> Option<&'static str> {
    let Expr::Column(column) = expr else { return None };
    KEYWORDS.into_iter().find(|name| *name == column.name)
}

fn text(expr: &Expr) -> Option<&str> {
    if let Expr::Literal(value, _) = expr { constant(value) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::function::match_function;
    use datafusion::logical_expr::{ident, lit};
    use proptest::prelude::*;

    #[test]
    fn expressions_are_read_as_far_as_an_index_goes() {
        let found = match_function().call(vec![ident("data"), lit("pay*")]);
        let condition = Condition::of(&found.clone().and(ident("agent").eq(lit("a"))));
        let Condition::All(parts) = &condition else { panic!("{condition:?}") };
        assert!(parts[0].is_settled_by_index() && !condition.is_settled_by_index());
        assert_eq!(parts[1], Condition::Among("agent", vec!["a".into()]));
        assert_eq!(Condition::of(&ident("offset").gt(lit(3))), Condition::Unknown);
        assert_eq!(
            Condition::of(&match_function().call(vec![ident("reason"), lit("pay")])),
            Condition::Unknown
        );
        assert!(matches!(Condition::of(&found.is_not_true()), Condition::Not(_)));
    }

    /// The definition, without any cleverness.
    fn naive(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('%', rest)), None) => naive(rest, text),
            (Some(('%', rest)), Some((_, after))) => naive(rest, text) || naive(pattern, after),
            (Some(_), None) => false,
            (Some((piece, rest)), Some((letter, after))) => {
                (*piece == '_' || piece == letter) && naive(rest, after)
            }
        }
    }

    proptest! {
        #[test]
        fn patterns_fit_as_defined(pattern in "[ab%_]{0,8}", text in "[ab]{0,10}") {
            let split = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(Pattern::parse(&pattern).fits(&text), naive(&split(&pattern), &split(&text)));
        }
    }
}
