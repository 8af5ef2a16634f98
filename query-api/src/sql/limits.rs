//! Bounds of SQL beyond those of time, memory and rows.

use crate::error::Error;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, Statement};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Longest SQL, in bytes.
pub const SQL_BYTES_MAX: usize = 8_192;
/// Most rows of an answer.
pub const SQL_ROWS_MAX: usize = 10_000;
/// Rows of an answer when nobody says.
pub const SQL_ROWS_DEFAULT: usize = 1_000;
/// Most operators and parentheses: each may nest an expression one deeper, and planning walks it by recursion. A level
/// takes up to 21 KB of stack in a build without optimisation; what is executed on threads with 2 MB takes less.
const NESTING_MAX: usize = 64;
/// Most other words.
const TOKENS_MAX: usize = 2_000;
/// Functions whose answer may be as large as one argument says, beyond what the memory's bound sees.
const UNBOUNDED: [&str; 8] =
    ["repeat", "lpad", "rpad", "array_repeat", "list_repeat", "array_resize", "list_resize", "range"];
/// The same, as tables.
const UNBOUNDED_TABLES: [&str; 2] = ["generate_series", "range"];

/// Refuses what would be too much to plan.
#[allow(clippy::wildcard_enum_match_arm, reason = "every other token nests")]
pub(super) fn check(text: &str) -> Result<(), Error> {
    if text.len() > SQL_BYTES_MAX {
        return Err(Error::Bad(format!("the SQL has {} bytes, more than {SQL_BYTES_MAX}", text.len())));
    }
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, text).tokenize();
    let tokens = tokens.map_err(|error| Error::Bad(format!("the SQL cannot be read: {error}")))?;
    let (mut nesting, mut others) = (0, 0);
    for token in &tokens {
        match token {
            Token::Whitespace(_) | Token::Comma => {}
            Token::Word(word) => {
                let nests = [
                    "AND",
                    "OR",
                    "NOT",
                    "IS",
                    "LIKE",
                    "IN",
                    "BETWEEN",
                    "CASE",
                    "UNION",
                    "EXCEPT",
                    "INTERSECT",
                ];
                if nests.contains(&word.value.to_ascii_uppercase().as_str()) {
                    nesting += 1;
                } else {
                    others += 1;
                }
            }
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Period | Token::RParen => others += 1,
            _ => nesting += 1,
        }
    }
    if nesting > NESTING_MAX || others > TOKENS_MAX {
        return Err(Error::Bad(format!(
            "the SQL is too long: at most {NESTING_MAX} operators and parentheses, {TOKENS_MAX} other words"
        )));
    }
    Ok(())
}

/// Whether a statement is a query, all parts of which are queries, and which is stored nowhere.
#[allow(clippy::wildcard_enum_match_arm, reason = "everything else writes")]
pub(super) fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(query) => query_reads(query),
        _ => false,
    }
}

fn query_reads(query: &Query) -> bool {
    let named = query.with.iter().flat_map(|with| &with.cte_tables);
    named.map(|table| &table.query).all(|inner| query_reads(inner)) && body_reads(&query.body)
}

#[allow(clippy::wildcard_enum_match_arm, reason = "everything else writes")]
fn body_reads(body: &SetExpr) -> bool {
    match body {
        SetExpr::Select(select) => select.into.is_none(),
        SetExpr::Query(query) => query_reads(query),
        SetExpr::SetOperation { left, right, .. } => body_reads(left) && body_reads(right),
        SetExpr::Values(_) => true,
        _ => false,
    }
}

/// Takes functions away that are out of bounds.
pub(super) fn take_away(context: &SessionContext) {
    for name in UNBOUNDED.into_iter().chain(["generate_series"]) {
        context.deregister_udf(name);
    }
    for name in UNBOUNDED_TABLES {
        context.deregister_udtf(name);
    }
}
