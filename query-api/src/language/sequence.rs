//! `sequence by agent within 5m [ tool:read_* ] [ tool:send_* ]`: one thing after another.

use super::QueryError;
use super::ast::{Node, Query};
use super::cursor::Cursor;
use super::moment::{Lasting, Moment};
use super::parse::Parser;
use ambit_schemas::columns::names;
use std::fmt;

/// Most steps.
const STEPS_MAX: usize = 8;
/// Longest time from the first step to the last: what is remembered of each key lasts as long.
const WITHIN_MAX: Lasting = Lasting::seconds(31 * 86_400);

/// What the steps of a sequence have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceKey {
    /// The agent.
    Agent,
    /// The running copy.
    Instance,
    /// The task.
    Task,
    /// The delegation tree.
    RootTask,
    /// The credential.
    Credential,
}

impl SequenceKey {
    /// All keys.
    pub const ALL: [Self; 5] = [Self::Agent, Self::Instance, Self::Task, Self::RootTask, Self::Credential];

    /// Its name in queries, which is its column.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => names::AGENT,
            Self::Instance => names::INSTANCE,
            Self::Task => names::TASK,
            Self::RootTask => names::ROOT_TASK,
            Self::Credential => names::CREDENTIAL,
        }
    }
}

/// Steps that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequenceQuery {
    /// What they have in common.
    pub(crate) key: SequenceKey,
    /// How long it may take from the first to the last.
    pub(crate) within: Lasting,
    /// When the steps may have happened.
    pub(crate) span: Query,
    /// The steps, two or more.
    pub(crate) steps: Vec<Query>,
}

impl SequenceQuery {
    /// Whether a text asks for a sequence, rightly or wrongly.
    pub fn is_meant(text: &str) -> bool {
        let mut words = text.split_whitespace();
        words.next() == Some("sequence") && words.next() == Some("by")
    }

    /// Reads a sequence.
    ///
    /// # Errors
    /// Where it is wrong, and what to do.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let mut parser = Parser::new(text)?;
        expect(&mut parser, "sequence")?;
        expect(&mut parser, "by")?;
        let (at, name) = word(&mut parser);
        let Some(key) = SequenceKey::ALL.into_iter().find(|key| key.name() == name) else {
            let names = SequenceKey::ALL.map(SequenceKey::name).join(", ");
            return Err(Cursor::error(at, format!("a sequence is by one of {names}")));
        };
        expect(&mut parser, "within")?;
        let (at, lasting) = word(&mut parser);
        let Some(within) = Lasting::parse(&lasting).filter(|within| *within <= WITHIN_MAX) else {
            return Err(Cursor::error(
                at,
                "here a duration of at most 31 days is wanted, such as `90s`, `5m` or `24h`",
            ));
        };
        let mut bounds = Vec::new();
        let mut steps = Vec::new();
        loop {
            parser.cursor.skip_space();
            let at = parser.cursor.position();
            if parser.cursor.peek().is_none() {
                break;
            }
            if !parser.cursor.take('[') {
                bounds.push(bound(&mut parser, steps.is_empty())?);
                continue;
            }
            let node = parser.any()?;
            if !parser.cursor.take(']') {
                return Err(Cursor::error(at, "this step is not closed: `]` is missing"));
            }
            if node == Node::All(Vec::new()) {
                return Err(Cursor::error(at, "this step is empty"));
            }
            if steps.len() >= STEPS_MAX {
                return Err(Cursor::error(at, format!("a sequence has at most {STEPS_MAX} steps")));
            }
            steps.push(Query { node });
        }
        if steps.len() < 2 {
            let at = parser.cursor.position();
            return Err(Cursor::error(at, "a sequence has two steps or more: [ .. ] [ .. ]"));
        }
        Ok(Self { key, within, span: Query { node: Node::All(bounds) }, steps })
    }
}

fn word(parser: &mut Parser) -> (usize, String) {
    parser.cursor.skip_space();
    let at = parser.cursor.position();
    (at, parser.cursor.take_while(|letter| letter.is_ascii_alphanumeric() || letter == '_'))
}

fn expect(parser: &mut Parser, wanted: &str) -> Result<(), QueryError> {
    let (at, found) = word(parser);
    if found == wanted {
        return Ok(());
    }
    Err(Cursor::error(at, format!("here `{wanted}` is wanted: sequence by agent within 5m [ .. ] [ .. ]")))
}

/// `since:24h` or `until:2026-11-27`, before the steps.
fn bound(parser: &mut Parser, before: bool) -> Result<Node, QueryError> {
    let (at, name) = word(parser);
    let colon = parser.cursor.take(':');
    let value = parser.cursor.take_while(|letter| !letter.is_whitespace() && letter != '[');
    let moment = Moment::parse(&value).filter(|_| colon && before);
    match (name.as_str(), moment) {
        ("since", Some(since)) => Ok(Node::Since(since)),
        ("until", Some(until)) => Ok(Node::Until(until)),
        _ => Err(Cursor::error(
            at,
            "here a step is wanted, [ .. ]; before the first, `since:` and `until:` may stand",
        )),
    }
}

/// In the normal form.
impl fmt::Display for SequenceQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sequence by {} within {}", self.key.name(), self.within)?;
        if let Node::All(bounds) = &self.span.node {
            for bound in bounds {
                write!(f, " {bound}")?;
            }
        }
        for step in &self.steps {
            write!(f, " [ {step} ]")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sequences_have_one_normal_form() {
        let text = "sequence by agent within 300s since:24h [tool:read_*] [ tool:send_* OR pay ]";
        let sequence = SequenceQuery::parse(text).unwrap();
        let normal = "sequence by agent within 5m since:1d [ tool:read_* ] [ tool:send_* OR text:\"pay\" ]";
        assert_eq!(sequence.to_string(), normal);
        assert_eq!(SequenceQuery::parse(normal), Ok(sequence));
        assert!(SequenceQuery::is_meant(text) && !SequenceQuery::is_meant("sequence of events"));
    }

    #[test]
    fn errors_point_at_the_letter() {
        for (text, position, part) in [
            ("sequence by colour within 5m [a] [b]", 12, "agent"),
            ("sequence by agent within soon [a] [b]", 25, "duration"),
            ("sequence by agent within 90d [a] [b]", 25, "31 days"),
            ("sequence by agent within 5m [a]", 31, "two steps"),
            ("sequence by agent within 5m [a] []", 32, "empty"),
            ("sequence by agent within 5m [a] [b", 32, "`]` is missing"),
            ("sequence by agent within 5m [a] since:1h [b]", 32, "step is wanted"),
            ("sequence by agent [a] [b]", 18, "`within`"),
        ] {
            let error = SequenceQuery::parse(text).unwrap_err();
            assert_eq!(error.position, position, "{text}: {error}");
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(rest in r"[\[\]a-z0-9: ()*\-]{0,40}") {
            let text = format!("sequence by agent within 5m {rest}");
            if let Ok(sequence) = SequenceQuery::parse(&text) {
                let normal = sequence.to_string();
                prop_assert_eq!(SequenceQuery::parse(&normal), Ok(sequence));
            }
        }
    }
}
