//! The resources.

use crate::access::{Caller, Permission};
use crate::agents::{AgentDetail, AgentView};
use crate::error::Error;
use crate::events::parse_reference;
use crate::http::measured::Answered;
use crate::http::params::{DeadLetterParams, SearchParams, filter_of};
use crate::http::problem::Problem;
use crate::overview::{CheckpointView, OverviewView, checkpoints as read_checkpoints};
use crate::proof::{ProofView, prove};
use crate::scope::Scope;
use crate::service::Service;
use crate::views::{DeadLetterView, EventView, FindingView, Page};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

type App = State<Arc<Service>>;
type Answer<T> = Result<Answered<T>, Problem>;

/// A page with the number of its items.
pub(crate) fn page<T>(page: Page<T>) -> Answered<Page<T>> {
    let items = page.items.len();
    Answered(page, items)
}

pub(crate) fn query<T>(given: Result<Query<T>, QueryRejection>) -> Result<T, Problem> {
    given.map(|Query(params)| params).map_err(|error| {
        let text = error.body_text();
        let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
        Problem::new(StatusCode::BAD_REQUEST, format!("the query's parameters: {why}"))
    })
}

/// The whole at a glance.
#[utoipa::path(get, path = "/api/v1/overview", responses((status = 200, body = OverviewView)), security(("bearer" = [])))]
pub(crate) async fn overview(State(app): App, scope: Scope) -> Answer<OverviewView> {
    // They speak of the installation, and of how much it has to do.
    let notices = if scope.only().is_none() { (app.sources.notices)() } else { Vec::new() };
    let whole = app.engine.session(scope).overview(&app.ledgers, (app.sources.now)()).await?;
    Ok(Answered(OverviewView { notices, ..whole }, 1))
}

/// Who asks, as this API knows them.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CallerView {
    /// Under which name what they do is recorded.
    name: String,
    /// What they are.
    roles: Vec<&'static str>,
    /// Whose data they see; null when they see all tenants'.
    tenant: Option<String>,
    /// What they may do: `read`, `investigate`, `triage`, `suppress`, `respond`, `trail`.
    may: Vec<&'static str>,
}

/// Who asks, and what they may do here.
#[utoipa::path(get, path = "/api/v1/me", responses((status = 200, body = CallerView)), security(("bearer" = [])))]
pub(crate) async fn me(caller: Caller) -> Answer<CallerView> {
    let roles = caller.roles.iter().map(|role| role.name()).collect();
    let may = Permission::ALL.into_iter().filter(|one| caller.may(*one)).map(Permission::name).collect();
    let tenant = caller.scope.only().map(ToString::to_string);
    Ok(Answered(CallerView { name: caller.name.to_string(), roles, tenant, may }, 1))
}

/// Events, newest first.
#[utoipa::path(get, path = "/api/v1/events", params(SearchParams), responses((status = 200, body = Page<EventView>)), security(("bearer" = [])))]
pub(crate) async fn events(
    State(app): App,
    caller: Caller,
    params: Result<Query<SearchParams>, QueryRejection>,
) -> Answer<Page<EventView>> {
    let params = query(params)?;
    if params.asks_for_standing() {
        let why = "`state`, `assignee` and `suppressed` are of findings: ask /api/v1/findings";
        return Err(Error::Bad(why.into()).into());
    }
    let (filter, order) = (filter_of(&app, &params)?, params.order()?);
    let session = app.engine.session(caller.scope_for(filter.kind.as_deref())?);
    Ok(page(session.events(&filter, order, params.limit(), params.cursor()).await?))
}

/// One event, with its headers and its proof.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct EventDetail {
    /// The event.
    event: EventView,
    /// Its Kafka headers.
    headers: BTreeMap<String, String>,
    /// Its value, when that is not JSON.
    raw_base64: Option<String>,
    /// Its inclusion proof; null when it is not wanted, and while the newest checkpoint does not cover it.
    proof: Option<ProofView>,
}

/// What of an event is wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventParams {
    /// Whether its inclusion proof is: when absent, for who sees all tenants. A proof tells how many events of all tenants
    /// stand in the shard.
    proof: Option<bool>,
}

/// One event with its inclusion proof.
#[utoipa::path(get, path = "/api/v1/events/{ref}", params(("ref" = String, Path, description = "`topic:partition:offset`"), EventParams), responses((status = 200, body = EventDetail)), security(("bearer" = [])))]
pub(crate) async fn event(
    State(app): App,
    caller: Caller,
    Path(reference): Path<String>,
    params: Result<Query<EventParams>, QueryRejection>,
) -> Answer<EventDetail> {
    let wanted = query(params)?.proof.unwrap_or(caller.scope.only().is_none());
    let (shard, offset) = parse_reference(&reference)?;
    let scope = caller.scope_for_all();
    let (event, stored) = app.engine.session(scope).event_at(shard, offset).await?;
    let headers = stored
        .record
        .headers
        .iter()
        .map(|(name, value)| (name.to_owned(), String::from_utf8_lossy(value).into_owned()))
        .collect();
    let raw = stored.record.value.as_deref().filter(|_| event.data.is_none());
    let raw_base64 = raw.map(|bytes| BASE64.encode(bytes));
    let proof = if wanted {
        let ledgers = app.ledgers.clone();
        let proving = tokio::task::spawn_blocking(move || prove(&ledgers, &stored));
        proving.await.map_err(|_| Error::Cancelled)??
    } else {
        None
    };
    Ok(Answered(EventDetail { event, headers, raw_base64, proof }, 1))
}

/// Findings, newest first, with what they led to.
#[utoipa::path(get, path = "/api/v1/findings", params(SearchParams), responses((status = 200, body = Page<FindingView>)), security(("bearer" = [])))]
pub(crate) async fn findings(
    State(app): App,
    scope: Scope,
    params: Result<Query<SearchParams>, QueryRejection>,
) -> Answer<Page<FindingView>> {
    let params = query(params)?;
    let (filter, standing, now) = (filter_of(&app, &params)?, params.standing()?, (app.sources.now)());
    let session = app.engine.session(scope);
    Ok(page(session.findings_standing(&filter, &standing, params.limit(), params.cursor(), now).await?))
}

/// One finding.
#[utoipa::path(get, path = "/api/v1/findings/{id}", params(("id" = String, Path)), responses((status = 200, body = FindingView)), security(("bearer" = [])))]
pub(crate) async fn finding(State(app): App, scope: Scope, Path(id): Path<String>) -> Answer<FindingView> {
    let session = app.engine.session(scope);
    let mut view = session.finding(&id).await?;
    session.annotate(std::slice::from_mut(&mut view), (app.sources.now)()).await?;
    Ok(Answered(view, 1))
}

/// Agents, latest first.
#[utoipa::path(get, path = "/api/v1/agents", responses((status = 200, body = Page<AgentView>)), security(("bearer" = [])))]
pub(crate) async fn agents(State(app): App, scope: Scope) -> Answer<Page<AgentView>> {
    Ok(page(app.engine.session(scope).agents().await?))
}

/// One agent with its latest tasks.
#[utoipa::path(get, path = "/api/v1/agents/{uid}", params(("uid" = String, Path)), responses((status = 200, body = AgentDetail)), security(("bearer" = [])))]
pub(crate) async fn agent(State(app): App, scope: Scope, Path(uid): Path<String>) -> Answer<AgentDetail> {
    Ok(Answered(app.engine.session(scope).agent(&uid).await?, 1))
}

/// Records that are no events, newest first.
#[utoipa::path(get, path = "/api/v1/dead-letters", params(DeadLetterParams), responses((status = 200, body = Page<DeadLetterView>)), security(("bearer" = [])))]
pub(crate) async fn dead_letters(
    State(app): App,
    scope: Scope,
    params: Result<Query<DeadLetterParams>, QueryRejection>,
) -> Answer<Page<DeadLetterView>> {
    let params = query(params)?;
    let session = app.engine.session(scope);
    Ok(page(session.dead_letters(params.limit(), params.cursor(), params.reason.as_deref()).await?))
}

/// The newest checkpoint of every shard.
#[utoipa::path(get, path = "/api/v1/checkpoints", responses((status = 200, body = Page<CheckpointView>)), security(("bearer" = [])))]
pub(crate) async fn checkpoints(State(app): App, scope: Scope) -> Answer<Page<CheckpointView>> {
    // A shard's size is the sum of all tenants' events. INVARIANT Q-3
    scope.whole("checkpoints")?;
    let items = read_checkpoints(app.ledgers.clone()).await?;
    Ok(page(Page { items, next_cursor: None, incomplete: None }))
}
