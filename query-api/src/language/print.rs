//! The normal form of queries: reading it gives the same query, and printing that the same text.

use super::ast::{Node, Pattern, Piece};
use super::cursor::ends_word;
use std::fmt;

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(parts) => joined(f, parts, " "),
            Self::Any(parts) => joined(f, parts, " OR "),
            Self::Not(inner) => {
                f.write_str("-")?;
                inner.within(f)
            }
            Self::Is(field, pattern) => write!(f, "{}:{pattern}", field.name()),
            Self::Has(field) => write!(f, "{}:*", field.name()),
            Self::Number(number, comparison, value) => {
                write!(f, "{}{}{value}", number.name(), comparison.sign())
            }
            Self::Severity(comparison, severity) => {
                write!(f, "severity{}{}", comparison.sign(), severity.name())
            }
            Self::Duplicate(value) => write!(f, "duplicate:{value}"),
            Self::Since(moment) => write!(f, "since:{moment}"),
            Self::Until(moment) => write!(f, "until:{moment}"),
            Self::Text(place, words) => write!(f, "{}:{}", place.name(), words.phrase),
        }
    }
}

impl Node {
    /// As a part of another condition: lists and negations in parentheses.
    fn within(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(_) | Self::Any(_) | Self::Not(_) => write!(f, "({self})"),
            Self::Is(..)
            | Self::Has(_)
            | Self::Number(..)
            | Self::Severity(..)
            | Self::Duplicate(_)
            | Self::Since(_)
            | Self::Until(_)
            | Self::Text(..) => write!(f, "{self}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, parts: &[Node], between: &str) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(between)?;
        }
        // A negation stands alone well enough.
        if matches!(part, Node::Not(_)) {
            write!(f, "{part}")?;
        } else {
            part.within(f)?;
        }
    }
    Ok(())
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let special = |letter: char| ends_word(letter) || matches!(letter, '\\' | '*');
        if let [Piece::Text(text)] = self.pieces.as_slice()
            && (text.is_empty() || text.chars().any(special))
        {
            f.write_str("\"")?;
            for letter in text.chars() {
                if matches!(letter, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{letter}")?;
            }
            return f.write_str("\"");
        }
        for piece in &self.pieces {
            match piece {
                Piece::Gap => f.write_str("*")?,
                Piece::Text(text) => {
                    for letter in text.chars() {
                        if special(letter) {
                            f.write_str("\\")?;
                        }
                        write!(f, "{letter}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::language::{Query, QueryError};
    use proptest::prelude::*;

    fn shown(text: &str) -> String {
        Query::parse(text).map_or_else(|error| error.marked(text), |query| query.to_string())
    }

    fn wrong(text: &str) -> QueryError {
        Query::parse(text).unwrap_err()
    }

    #[test]
    fn queries_have_one_normal_form() {
        for (text, normal) in [
            ("", ""),
            (
                r#"agent:billing-* tool:"send_email" args:invoice* severity>=high -status:denied since:24h Text words"#,
                r#"agent:billing-* tool:send_email args:"invoice"* severity>=high -status:denied since:1d text:"text" text:"words""#,
            ),
            ("a AND b OR c", r#"(text:"a" text:"b") OR text:"c""#),
            ("(a OR (b OR c)) d", r#"(text:"a" OR text:"b" OR text:"c") text:"d""#),
            ("NOT (a b)", r#"-(text:"a" text:"b")"#),
            ("--a", r#"-(-text:"a")"#),
            ("tool:(read_* OR send_email pay)", "tool:read_* OR tool:send_email OR tool:pay"),
            ("agent:* root:t-1", "agent:* root_task:t-1"),
            (r"status:two\ words", r#"status:"two words""#),
            (r"status:*two\ words", r"status:*two\ words"),
            (r#"status:"a*b""#, r#"status:"a*b""#),
            ("https://evil.example/x", r#"text:"https evil example x""#),
            ("offset>=5 offset<9 partition:0", "offset>=5 offset<9 partition:0"),
            ("time>=2026-11-27 time<2026-11-28", "since:2026-11-27T00:00:00Z until:2026-11-28T00:00:00Z"),
            ("AND5 ORacle", r#"text:"and5" text:"oracle""#),
        ] {
            assert_eq!(shown(text), normal, "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_letter() {
        for (text, position, part) in [
            ("agent:", 6, "value is missing"),
            ("a colour:red", 2, "no field `colour`"),
            ("severity>=huge", 10, "info, low, medium, high, critical"),
            ("tool:x (a", 7, "not closed"),
            ("a ) b", 2, "closes nothing"),
            ("\"a b", 0, "not closed"),
            ("a OR", 4, "after `OR`"),
            ("OR a", 0, "before `OR`"),
            ("since:soon", 6, "24h"),
            ("agent>5", 0, "compared with `:`"),
            ("*tail", 0, "end with `*`"),
            ("---", 2, "missing"),
            ("ünï ()", 4, "nothing"),
            ("offset:x", 7, "whole number"),
            ("[a]", 0, "sequence"),
        ] {
            let error = wrong(text);
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
        assert_eq!(wrong("a colour:red").marked("a colour:red").lines().nth(1).unwrap().find('^'), Some(2));
    }

    #[test]
    fn queries_are_bounded() {
        assert!(wrong(&"(".repeat(2_000)).message.contains("deeper"));
        assert!(wrong(&"-".repeat(2_000)).message.contains("deeper"));
        assert!(wrong(&"a ".repeat(2_000)).message.contains("clauses"));
        assert!(wrong(&"a".repeat(10_000)).message.contains("bytes"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,60}") {
            if let Ok(query) = Query::parse(&text) {
                let normal = query.to_string();
                prop_assert_eq!(Query::parse(&normal).map_err(|error| error.marked(&normal)), Ok(query));
            } else {
                let error = wrong(&text);
                prop_assert!(error.position <= text.chars().count(), "{}", error.marked(&text));
            }
        }

        #[test]
        fn printing_and_reading_change_nothing(
            text in r#"((-|NOT |\()?(agent|tool|args|text|severity|since|offset|kind|status)?(:|>=|<|:\()?("[a-z *\\]{0,4}"|high|24h|[0-9]{1,3}|[a-zé*.\\_-]{1,5})(\)| OR | AND |\*)? ?){1,6}"#
        ) {
            if let Ok(query) = Query::parse(&text) {
                let normal = query.to_string();
                let again = Query::parse(&normal).map_err(|error| TestCaseError::fail(error.marked(&normal)))?;
                prop_assert_eq!(&again, &query, "{}", normal);
                prop_assert_eq!(again.to_string(), normal);
            }
        }
    }
}
