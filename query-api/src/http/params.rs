//! What callers send, checked.

use crate::engine::Span;
use crate::error::Error;
use crate::events::{EventFilter, LIMIT_DEFAULT, Order};
use crate::export::Format;
use crate::http::handlers::query;
use crate::http::problem::Problem;
use crate::language;
use crate::service::Service;
use crate::triage::{Standing, Suppressed};
use ambit_schemas::Timestamp;
use ambit_schemas::finding::Severity;
use ambit_schemas::triage::TriageState;
use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use url::form_urlencoded;
use utoipa::IntoParams;

/// Largest number of items that an export can be asked to stop at: what the document says of its type.
const EXPORT_LIMIT_MAX: u32 = i32::MAX.unsigned_abs();
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
    /// Of findings: `open`, `acknowledged` or `closed`.
    state: Option<String>,
    /// Of findings: who looks after them.
    assignee: Option<String>,
    /// Of findings: what to do with those that are suppressed now: `hide` (the default), `include` or `only`.
    suppressed: Option<String>,
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

/// How an export is written.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExportParams {
    /// `ndjson` (the default), `csv` or `parquet`.
    #[allow(dead_code, reason = "it is described here and read by itself")]
    format: Option<String>,
}

impl ExportParams {
    /// The parameters of the search, and the format.
    pub(crate) fn split(uri: &Uri) -> Result<(SearchParams, Format), Problem> {
        let (params, format) = split(uri, "format")?;
        let wrong = || Error::Bad("`format` must be `ndjson`, `csv` or `parquet`".into());
        let format = format.as_deref().map_or(Some(Format::Ndjson), Format::from_name).ok_or_else(wrong)?;
        Ok((params, format))
    }
}

/// Where a tail goes on.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TailParams {
    /// The id of the last event that was seen, for whoever cannot send the header `Last-Event-ID`.
    #[allow(dead_code, reason = "it is described here and read by itself")]
    last_event_id: Option<String>,
}

impl TailParams {
    /// The parameters of the search, and where to go on.
    pub(crate) fn split(uri: &Uri) -> Result<(SearchParams, Option<String>), Problem> {
        split(uri, "last_event_id")
    }
}

/// The parameters of a search, and one that is not of them.
fn split(uri: &Uri, name: &str) -> Result<(SearchParams, Option<String>), Problem> {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let (own, others): (Vec<_>, Vec<_>) = pairs.partition(|(known, _)| known == name);
    let others = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
    let wrong = |_| Problem::new(StatusCode::BAD_REQUEST, "the query is none of an address");
    let uri: Uri = format!("/?{others}").parse().map_err(wrong)?;
    let params = query(Query::<SearchParams>::try_from_uri(&uri))?;
    Ok((
        params,
        own.into_iter().next().map(|(_, value)| value.into_owned()).filter(|value| !value.is_empty()),
    ))
}

/// What a search asks for.
pub(crate) fn filter_of(app: &Service, params: &SearchParams) -> Result<EventFilter, Error> {
    params.filter((app.sources.now)())
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
    pub(crate) const fn limit_given(&self) -> Option<u32> {
        self.limit
    }

    /// What goes on has one order, and says of findings how they stand instead of choosing by it.
    pub(crate) fn refuse_for_streams(&self) -> Result<(), Error> {
        if self.order.is_some() || self.asks_for_standing() {
            let why = "exports and tails take no `order`, `state`, `assignee` or `suppressed`";
            return Err(Error::Bad(why.into()));
        }
        if self.limit.is_some_and(|limit| limit > EXPORT_LIMIT_MAX) {
            let why =
                format!("`limit` must be at most {EXPORT_LIMIT_MAX}; without it, everything is exported");
            return Err(Error::Bad(why));
        }
        Ok(())
    }

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

    /// How findings must stand.
    pub(crate) fn standing(&self) -> Result<Standing, Error> {
        let state = value("state", self.state.as_deref())?;
        let states =
            [TriageState::Open, TriageState::Acknowledged, TriageState::Closed].map(TriageState::name);
        if state.as_deref().is_some_and(|state| !states.contains(&state)) {
            return Err(Error::Bad(format!("`state` must be one of {}", states.join(", "))));
        }
        let suppressed = match value("suppressed", self.suppressed.as_deref())?.as_deref() {
            None | Some("hide") => Suppressed::Hide,
            Some("include") => Suppressed::Include,
            Some("only") => Suppressed::Only,
            Some(_) => return Err(Error::Bad("`suppressed` must be `hide`, `include` or `only`".into())),
        };
        Ok(Standing { state, assignee: value("assignee", self.assignee.as_deref())?, suppressed })
    }

    /// Whether something is asked for that only findings have.
    pub(crate) const fn asks_for_standing(&self) -> bool {
        self.state.is_some() || self.assignee.is_some() || self.suppressed.is_some()
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
                Some(text) => Some((language::Query::parse(text)?, now)),
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
