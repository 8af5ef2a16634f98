//! From query to filter.

use super::ast::{Comparison, Node, Pattern, Piece, Query};
use super::fields::Field;
use crate::engine::{AT, Span, moment};
use crate::text::match_function;
use ambit_schemas::Timestamp;
use ambit_schemas::columns::names;
use ambit_schemas::finding::Severity;
use datafusion::logical_expr::utils::{conjunction, disjunction};
use datafusion::logical_expr::{Expr, ident, lit};

/// Functions of a filter may be null where a column is. A row is kept when it is true; only a negation must not take
/// null for false, so it says that it is not true.
impl Node {
    /// The filter on rows that have the column [`AT`]; `None` when every row fulfils it.
    pub(crate) fn filter(&self, now: Timestamp) -> Option<Expr> {
        if let Self::All(parts) = self {
            return conjunction(parts.iter().filter_map(|part| part.filter(now)));
        }
        Some(self.expression(now))
    }

    fn expression(&self, now: Timestamp) -> Expr {
        match self {
            Self::All(_) => self.filter(now).unwrap_or_else(|| lit(true)),
            Self::Any(parts) => {
                disjunction(parts.iter().map(|part| part.expression(now))).unwrap_or_else(|| lit(false))
            }
            Self::Not(inner) => inner.expression(now).is_not_true(),
            Self::Is(field, pattern) => either(field.columns(), |column| is_like(*field, column, pattern)),
            Self::Has(field) => either(field.columns(), |column| ident(column).is_not_null()),
            Self::Number(number, comparison, value) => {
                let (column, value) =
                    (ident(number.column()), lit(i64::try_from(*value).unwrap_or(i64::MAX)));
                match comparison {
                    Comparison::Is => column.eq(value),
                    Comparison::Less => column.lt(value),
                    Comparison::AtMost => column.lt_eq(value),
                    Comparison::More => column.gt(value),
                    Comparison::AtLeast => column.gt_eq(value),
                }
            }
            Self::Severity(comparison, wanted) => {
                let among = Severity::ALL.into_iter().filter(|one| comparison.holds(one, wanted));
                ident(names::SEVERITY).in_list(among.map(|one| lit(one.name())).collect(), false)
            }
            Self::Duplicate(value) => ident(names::DUPLICATE).eq(lit(*value)),
            Self::Since(since) => ident(AT).gt_eq(moment(since.seen_from(now))),
            Self::Until(until) => ident(AT).lt(moment(until.seen_from(now))),
            Self::Text(place, words) => match_function().call(vec![
                ident(names::DATA),
                lit(words.phrase.to_string()),
                lit(place.name()),
            ]),
        }
    }
}

impl Query {
    /// The span of time outside which nothing can be found, seen from now.
    #[allow(clippy::wildcard_enum_match_arm, reason = "every other clause says nothing of time")]
    pub(crate) fn span(&self, now: Timestamp) -> Span {
        let parts = match &self.node {
            Node::All(parts) => parts.as_slice(),
            one => std::slice::from_ref(one),
        };
        let mut span = Span::default();
        for part in parts {
            match part {
                Node::Since(since) => span.from = span.from.max(Some(since.seen_from(now))),
                Node::Until(until) => {
                    let until = until.seen_from(now);
                    span.to = Some(span.to.map_or(until, |to| to.min(until)));
                }
                _ => {}
            }
        }
        span
    }
}

fn either(columns: &[&str], one: impl Fn(&str) -> Expr) -> Expr {
    disjunction(columns.iter().map(|column| one(column))).unwrap_or_else(|| lit(false))
}

/// A column is like a pattern. Of an agent's id the part behind the last slash is a name for people, and suffices.
fn is_like(field: Field, column: &str, pattern: &Pattern) -> Expr {
    let like = like_pattern(pattern);
    let whole = match pattern.pieces.as_slice() {
        [Piece::Text(text)] => ident(column).eq(lit(text.as_str())),
        _ => ident(column).like(lit(like.clone())),
    };
    let named = match pattern.pieces.as_slice() {
        [Piece::Gap, ..] => None,
        _ => Some(ident(column).like(lit(format!("%/{like}")))),
    };
    match named.filter(|_| field == Field::Agent) {
        Some(named) => whole.or(named),
        None => whole,
    }
}

fn like_pattern(pattern: &Pattern) -> String {
    pattern
        .pieces
        .iter()
        .map(|piece| match piece {
            Piece::Gap => "%".to_owned(),
            Piece::Text(text) => crate::events::escape(text),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(text: &str) -> String {
        let now = Timestamp::parse("2026-11-27T12:00:00Z").unwrap();
        Query::parse(text).unwrap().node.filter(now).map_or_else(String::new, |filter| filter.to_string())
    }

    #[test]
    fn queries_become_one_filter() {
        assert_eq!(filter(""), "");
        assert!(
            filter("severity>=high").contains("Utf8(\"critical\")")
                && !filter("severity>=high").contains("low")
        );
        let negated = filter("-status:denied");
        assert!(negated.contains("IS NOT TRUE"), "{negated}");
        let agent = filter("agent:billing-*");
        assert!(agent.contains("%/billing-%") && agent.contains("\"billing-%\""), "{agent}");
        assert!(filter("tool:read_file*").contains(r"read\_file%"), "{}", filter("tool:read_file*"));
    }

    #[test]
    fn the_span_is_that_of_all_clauses_together() {
        let now = Timestamp::from_micros(1_000_000_000_000);
        let span = |text: &str| Query::parse(text).unwrap().span(now);
        let found = span("since:1h since:2h until:10m a");
        assert_eq!(found.from, Some(now.plus_micros(-3_600_000_000)));
        assert_eq!(found.to, Some(now.plus_micros(-600_000_000)));
        assert_eq!(span("since:1h OR a"), Span::default());
    }
}
