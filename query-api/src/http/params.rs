//! What callers send, checked.

use crate::engine::Span;
use crate::error::Error;
use crate::events::{EventFilter, LIMIT_DEFAULT, Order};
use crate::language::Query;
use ambit_schemas::Timestamp;
use ambit_schemas::finding::Severity;
use serde::Deserialize;
use utoipa::IntoParams;

/// Longest value of a parameter, in bytes.
const VALUE_BYTES_MAX: usize = 4_096;

/// Parameters of lists of events and findings.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchParams {
    /// Not before this time (RFC 3339).
    from: Option<String>,
    /// Before this time (RFC 3339).
    to: Option<String>,
    /// The agent's id.
    agent: Option<String>,
    /// The task.
    task: Option<String>,
    /// The top of its delegation tree.
    root_task: Option<String>,
    /// The tool.
    tool: Option<String>,
    /// The kind; a prefix when it ends with `*`.
    kind: Option<String>,
    /// The severity of findings.
    severity: Option<String>,
    /// The rule of findings.
    rule: Option<String>,
    /// A text that stands in the event, whatever its case.
    text: Option<String>,
    /// A query in the query language, such as `agent:billing-* severity>=high since:24h invoice` (docs/search.md).
    q: Option<String>,
    /// Items of the page, 1 to 500.
    limit: Option<u32>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// `desc` (newest first, the default) or `asc`.
    order: Option<String>,
}

/// Which dead letters.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeadLetterParams {
    /// Only of this class of fault, such as `not_json`.
    pub(crate) reason: Option<String>,
    /// Items of the page, 1 to 500.
    limit: Option<u32>,
    /// Where the page begins.
    cursor: Option<String>,
}

impl DeadLetterParams {
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }
}

impl SearchParams {
    pub(crate) fn limit(&self) -> u32 {
        self.limit.unwrap_or(LIMIT_DEFAULT)
    }

    pub(crate) fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    pub(crate) fn order(&self) -> Result<Order, Error> {
        match self.order.as_deref() {
            None | Some("desc") => Ok(Order::Descending),
            Some("asc") => Ok(Order::Ascending),
            Some(_) => Err(Error::Bad("`order` must be `asc` or `desc`".into())),
        }
    }

    pub(crate) fn filter(&self, now: Timestamp) -> Result<EventFilter, Error> {
        let span = Span { from: time("from", self.from.as_deref())?, to: time("to", self.to.as_deref())? };
        if let (Some(from), Some(to)) = (span.from, span.to)
            && from >= to
        {
            return Err(Error::Bad("`from` must be before `to`".into()));
        }
        Ok(EventFilter {
            span,
            agent: value("agent", self.agent.as_deref())?,
            task: value("task", self.task.as_deref())?,
            root_task: value("root_task", self.root_task.as_deref())?,
            within: None,
            tool: value("tool", self.tool.as_deref())?,
            kind: value("kind", self.kind.as_deref())?,
            severity: severity(value("severity", self.severity.as_deref())?)?,
            rule: value("rule", self.rule.as_deref())?,
            text: value("text", self.text.as_deref())?,
            query: match self.q.as_deref().filter(|text| !text.trim().is_empty()) {
                Some(text) => Some((Query::parse(text)?, now)),
                None => None,
            },
        })
    }
}

/// A parameter that is present and empty is as good as absent: forms send those.
fn value(name: &str, given: Option<&str>) -> Result<Option<String>, Error> {
    match given.map(str::trim) {
        Some(text) if text.len() > VALUE_BYTES_MAX => {
            Err(Error::Bad(format!("`{name}` has {} bytes, more than {VALUE_BYTES_MAX}", text.len())))
        }
        Some("") | None => Ok(None),
        Some(text) => Ok(Some(text.to_owned())),
    }
}

/// A severity that there is not would find nothing and look like good news.
fn severity(given: Option<String>) -> Result<Option<String>, Error> {
    let known = Severity::ALL.map(Severity::name);
    match given {
        Some(text) if !known.contains(&text.as_str()) => {
            Err(Error::Bad(format!("`severity` must be one of {}, got `{text}`", known.join(", "))))
        }
        given => Ok(given),
    }
}

fn time(name: &str, given: Option<&str>) -> Result<Option<Timestamp>, Error> {
    match given.map(str::trim) {
        Some("") | None => Ok(None),
        Some(text) => match Timestamp::parse(text) {
            Ok(time) => Ok(Some(time)),
            Err(error) => Err(Error::Bad(format!("`{name}`: {error}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::extract::Query;

    #[test]
    fn mistakes_name_the_parameter_and_what_it_may_be() {
        let now = Timestamp::default();
        let read = |text: &str| {
            let uri = format!("http://localhost/?{text}").parse().unwrap();
            Query::<SearchParams>::try_from_uri(&uri)
                .map(|Query(params)| params)
                .map_err(|error| error.body_text())
        };
        let told = read("severity=huge").unwrap().filter(now).unwrap_err().to_string();
        assert!(told.contains("`severity`") && told.contains("info, low, medium, high, critical"), "{told}");
        assert!(
            read("severity=high").unwrap().filter(now).is_ok()
                && read("severity=").unwrap().filter(now).is_ok()
        );
        for (text, name) in [("limit=many", "limit"), ("sevrity=high", "sevrity")] {
            let told = read(text).unwrap_err();
            assert!(told.contains(name), "{told}");
        }
    }
}
