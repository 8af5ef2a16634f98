//! Answers that go on: exports, and events as they are stored (server-sent events, WHATWG HTML 9.2).

use crate::access::Caller;
use crate::error::Error;
use crate::export::{Export, Subject, Wanted};
use crate::http::measured::Items;
use crate::http::params::{ExportParams, SearchParams, TailParams, filter_of};
use crate::http::problem::Problem;
use crate::service::Service;
use crate::tail::{Places, Tail};
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use serde_json::json;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

type App = State<Arc<Service>>;

/// How long an export waits for its turn when too many questions run.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often it is looked what is new.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is said that nothing is.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a tail goes on before who reads it has to show again who they are. Readers go on by themselves.
const TAIL_WITHIN: Duration = Duration::from_mins(15);

/// All events that fulfil a filter, each shard's in the order of the ledger.
#[utoipa::path(get, path = "/api/v1/export/events", params(SearchParams, ExportParams), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "A JSON object per line; the last is `{\"end\": {\"complete\": true, \"items\": ..., \"cursor\": ...}}`. Without it, the export broke off: go on with `cursor` set to the `ref` of the last line.")), security(("bearer" = [])))]
pub(crate) async fn export_events(
    State(app): App,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    export(&app, caller, &uri, Subject::Events).await
}

/// All findings that fulfil a filter, each with what it led to and how it stands, suppressed ones too.
#[utoipa::path(get, path = "/api/v1/export/findings", params(SearchParams, ExportParams), responses((status = 200, body = String, content_type = "application/x-ndjson", description = "As of `/api/v1/export/events`.")), security(("bearer" = [])))]
pub(crate) async fn export_findings(
    State(app): App,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
) -> Result<Response, Problem> {
    export(&app, caller, &uri, Subject::Findings).await
}

async fn export(
    app: &Service,
    caller: Caller,
    uri: &axum::http::Uri,
    subject: Subject,
) -> Result<Response, Problem> {
    let (params, format) = ExportParams::split(uri)?;
    let filter = filter_of(app, &params)?;
    params.refuse_for_streams()?;
    let session = app.engine.session(caller.scope_for(filter.kind.as_deref())?);
    let wanted = Wanted {
        subject,
        filter,
        format,
        after: params.cursor().map(str::to_owned),
        limit: params.limit_given().map(u64::from),
    };
    let shards = &app.ledgers.shards;
    let export = Export::begin(session, shards, wanted, (app.sources.now)(), PATIENCE).await?;
    let (items, version) = (Items::default(), export.table_version());
    let state = (export, items.clone(), app.closing.clone());
    let body = Body::from_stream(stream::try_unfold(state, |(mut export, items, closing)| async {
        let next = tokio::select! {
            next = export.next() => next,
            // An end that waited for exports would not come; who reads goes on with another process.
            () = closing.cancelled() => Err(Error::Cancelled),
        };
        match next {
            Ok(Some(chunk)) => {
                items.add(chunk.items);
                Ok(Some((chunk.bytes, (export, items, closing))))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "an export broke off");
                Err(error)
            }
        }
    }));
    let name = match subject {
        Subject::Events => "events",
        Subject::Findings => "findings",
    };
    let disposition = format!("attachment; filename=\"ambit-{name}.{}\"", format.ending());
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(format.media_type())),
        (header::CONTENT_DISPOSITION, HeaderValue::try_from(disposition).map_err(|_| Error::Cancelled)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::HeaderName::from_static("ambit-table-version"), HeaderValue::from(version)),
    ];
    let mut response = (StatusCode::OK, headers, body).into_response();
    response.extensions_mut().insert(items);
    Ok(response)
}

/// Events as they are stored, until who reads goes away.
#[utoipa::path(get, path = "/api/v1/tail", params(SearchParams, TailParams), responses((status = 200, body = String, content_type = "text/event-stream", description = "`event: event` with an event as `GET /api/v1/events` has it; `heartbeat` when there is none; `lagged` with the number of stored records that were passed over, when the reader is too slow; `closing` when the reader has to come again.")), security(("bearer" = [])))]
pub(crate) async fn tail(
    State(app): App,
    caller: Caller,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (params, last) = TailParams::split(&uri)?;
    let filter = filter_of(&app, &params)?;
    params.refuse_for_streams()?;
    if params.cursor().is_some() || params.limit_given().is_some() {
        let why = "a tail goes on by the header `Last-Event-ID`, and has no `cursor` or `limit`";
        return Err(Error::Bad(why.into()).into());
    }
    let given = headers.get("last-event-id").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let places = Places::decode(given.or(last).as_deref().unwrap_or_default(), &app.ledgers.shards)?;
    let session = app.engine.session(caller.scope_for(filter.kind.as_deref())?);
    let tail = Tail::begin(session, filter, &app.ledgers.shards, places).await?;
    let items = Items::default();
    let state = Following {
        tail,
        waiting: VecDeque::from([]),
        items: items.clone(),
        told_at: Instant::now(),
        until: Instant::now() + TAIL_WITHIN,
        closing: app.closing.clone(),
        ended: false,
    };
    let events = stream::unfold(state, |mut state| async {
        let event = state.next().await?;
        Some((Ok::<_, Infallible>(event), state))
    });
    let mut response = Sse::new(events).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies are not to hold events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(items);
    Ok(response)
}

/// A tail with what it has still to say.
struct Following {
    tail: Tail,
    waiting: VecDeque<Event>,
    items: Items,
    told_at: Instant,
    until: Instant,
    closing: CancellationToken,
    ended: bool,
}

impl Following {
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                self.told_at = Instant::now();
                return Some(event);
            }
            if self.ended {
                return None;
            }
            if self.closing.is_cancelled() || Instant::now() >= self.until {
                self.ended = true;
                return Some(self.with_place("closing", &json!({})));
            }
            match self.tail.look().await {
                Ok(look) => {
                    let more = look.more;
                    self.take(look);
                    if more || !self.waiting.is_empty() {
                        continue;
                    }
                }
                // Too many questions run, or the store is away for a moment: it is looked again.
                Err(Error::Busy | Error::Timeout(_)) => {}
                Err(error) => {
                    tracing::error!(%error, "a tail broke off");
                    return None;
                }
            }
            if self.told_at.elapsed() >= HEARTBEAT {
                let beat = self.with_place("heartbeat", &json!({}));
                self.waiting.push_back(beat);
                continue;
            }
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                () = self.closing.cancelled() => {}
            }
        }
    }

    /// The last of several events says where to go on: who breaks off between them gets some twice.
    fn take(&mut self, look: crate::tail::Look) {
        if look.passed_over > 0 {
            let lagged = self.with_place("lagged", &json!({"passed_over": look.passed_over}));
            self.waiting.push_back(lagged);
        }
        let count = look.events.len();
        self.items.add(count as u64);
        for (index, view) in look.events.into_iter().enumerate() {
            let data = serde_json::to_string(&view).unwrap_or_default();
            let mut event = Event::default().event("event").data(data);
            if index + 1 == count {
                event = event.id(self.tail.places().encode());
            }
            self.waiting.push_back(event);
        }
    }

    fn with_place(&self, name: &str, data: &serde_json::Value) -> Event {
        Event::default().event(name).id(self.tail.places().encode()).data(data.to_string())
    }
}
