//! Which files can be left unread because of their time.

use crate::engine::Span;
use ambit_schemas::Timestamp;
use ambit_schemas::columns::names;
use ambit_store::FileEntry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};
use datafusion::scalar::ScalarValue;

/// Whether a file may hold rows of the span. Rows without an event time are ordered by the broker's.
pub(super) fn may_hold(file: &FileEntry, span: Span) -> bool {
    let Some((first, last)) = file.time.filter(|_| !file.has_no_time) else { return true };
    span.from.is_none_or(|from| last >= from) && span.to.is_none_or(|to| first < to)
}

/// The span of event time outside which no row can fulfil the filters, all of which must hold.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other comparison bounds nothing")]
pub(super) fn span(filters: &[Expr]) -> Span {
    let mut span = Span::default();
    for (operator, moment) in filters.iter().filter_map(bound) {
        match operator {
            Operator::Gt | Operator::GtEq => span.from = span.from.max(Some(moment)),
            Operator::Lt | Operator::LtEq => {
                // Up to and with the moment: a file that begins later has none.
                let end = moment.plus_micros(1);
                span.to = Some(span.to.map_or(end, |to| to.min(end)));
            }
            _ => {}
        }
    }
    span
}

/// A comparison of the event's time with a constant.
fn bound(filter: &Expr) -> Option<(Operator, Timestamp)> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return None };
    if is_time(left) {
        return Some((*op, moment(right)?));
    }
    if is_time(right) {
        return Some((op.swap()?, moment(left)?));
    }
    None
}

/// The column, or the column with the broker's time where it is null.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other expression is no time")]
fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Column(column) => column.name == names::TIME,
        Expr::ScalarFunction(ScalarFunction { func, args }) => {
            func.name() == "coalesce" && args.first().is_some_and(is_time)
        }
        _ => false,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "every other value is no moment")]
fn moment(expr: &Expr) -> Option<Timestamp> {
    let Expr::Literal(value, _) = expr else { return None };
    let micros = match value {
        ScalarValue::TimestampMicrosecond(micros, _) => (*micros)?,
        ScalarValue::TimestampNanosecond(nanos, _) => (*nanos)?.div_euclid(1_000),
        ScalarValue::TimestampMillisecond(millis, _) => (*millis)?.checked_mul(1_000)?,
        ScalarValue::TimestampSecond(seconds, _) => (*seconds)?.checked_mul(1_000_000)?,
        _ => return None,
    };
    Some(Timestamp::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::moment as literal;
    use datafusion::functions::core::expr_fn::coalesce;
    use datafusion::logical_expr::{ident, lit};

    #[test]
    fn the_span_is_that_of_all_filters_together() {
        let at = |micros| literal(Timestamp::from_micros(micros));
        let time = || coalesce(vec![ident(names::TIME), ident(names::BROKER_TIME)]);
        let found = span(&[
            time().gt_eq(at(5)),
            ident(names::TIME).gt(at(3)),
            at(20).gt(time()),
            time().lt_eq(at(30)),
            ident(names::RECORDED_AT).gt(at(100)),
            ident(names::AGENT).eq(lit("a")),
        ]);
        assert_eq!(
            (found.from, found.to),
            (Some(Timestamp::from_micros(5)), Some(Timestamp::from_micros(21)))
        );
        assert_eq!(span(&[time().eq(at(1)), ident(names::TIME).is_null()]), Span::default());
    }
}
