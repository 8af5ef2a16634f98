//! Resources of forensic search: queries with their provenance, SQL, sequences, chains, what was held, runs compared.

use crate::access::Caller;
use crate::chain::{ChainView, Direction, NODES_MAX};
use crate::error::Error;
use crate::events::{EventFilter, LIMIT_DEFAULT, Order};
use crate::held::{CredentialDetail, HoldingsView};
use crate::http::handlers::{page, query};
use crate::http::measured::{Answered, Items};
use crate::http::problem::Problem;
use crate::http::said::Body;
use crate::language::{Query as SearchQuery, SequenceQuery};
use crate::provenance::{ProvedView, Provenance};
use crate::runs::ComparisonView;
use crate::scope::Scope;
use crate::sequences::SequenceView;
use crate::service::Service;
use crate::sql::{SQL_ROWS_DEFAULT, SqlAnswer};
use crate::views::{EventView, Page};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

type App = State<Arc<Service>>;
type Answer<T> = Result<Answered<T>, Problem>;

/// A query, or a sequence.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct QueryParams {
    /// The query, in the query language (docs/search.md).
    q: String,
    /// Items of the page, 1 to 500.
    limit: Option<u32>,
    /// Where the page begins: `next_cursor` of the page before.
    cursor: Option<String>,
    /// Whether each event of a search comes with its inclusion proof.
    proofs: Option<bool>,
}

/// A page of a search, with what it takes to ask again and to compare.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct SearchPage {
    /// The events, newest first.
    #[serde(flatten)]
    page: Page<EventView>,
    /// From what the page was made.
    provenance: Provenance,
    /// The events' inclusion proofs, when they were asked for.
    proofs: Option<Vec<ProvedView>>,
}

/// Events that a query finds, newest first, with the query's digest, the table's version and, if asked for, proofs.
#[utoipa::path(get, path = "/api/v1/search", params(QueryParams), responses((status = 200, body = SearchPage)), security(("bearer" = [])))]
pub(crate) async fn search(
    State(app): App,
    scope: Scope,
    params: Result<Query<QueryParams>, QueryRejection>,
) -> Answer<SearchPage> {
    let params = query(params)?;
    let now = (app.sources.now)();
    let session = app.engine.session(scope);
    let asked = SearchQuery::parse(&params.q).map_err(Error::Query)?.seen_from(now);
    let filter = EventFilter { query: Some((asked, now)), ..EventFilter::default() };
    let limit = params.limit.unwrap_or(LIMIT_DEFAULT);
    let (found, provenance) =
        session.search(&filter, Order::Descending, limit, params.cursor.as_deref()).await?;
    let proofs = if params.proofs == Some(true) {
        let references: Vec<String> = found.items.iter().map(|event| event.reference.clone()).collect();
        Some(session.prove(&references, &app.ledgers).await?)
    } else {
        None
    };
    let items = found.items.len();
    Ok(Answered(SearchPage { page: found, provenance, proofs }, items))
}

/// One thing after another by the same agent, task or credential: `sequence by agent within 5m [ .. ] [ .. ]`.
#[utoipa::path(get, path = "/api/v1/sequences", params(QueryParams), responses((status = 200, body = Page<SequenceView>)), security(("bearer" = [])))]
pub(crate) async fn sequences(
    State(app): App,
    scope: Scope,
    params: Result<Query<QueryParams>, QueryRejection>,
) -> Answer<Page<SequenceView>> {
    let params = query(params)?;
    let asked = SequenceQuery::parse(&params.q).map_err(Error::Query)?;
    let (now, limit) = ((app.sources.now)(), params.limit.unwrap_or(LIMIT_DEFAULT));
    Ok(page(app.engine.session(scope).sequences(&asked, now, limit, params.cursor.as_deref()).await?))
}

/// A SELECT.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SqlQuestion {
    /// One SELECT over the tables `events`, `findings` and `responses`.
    query: String,
    /// Most rows, 1 to 10,000; 1,000 when absent.
    limit: Option<usize>,
}

/// Runs one SELECT. With `Accept: application/x-ndjson` the answer is one JSON object per row.
#[utoipa::path(post, path = "/api/v1/sql", request_body = SqlQuestion, responses((status = 200, body = SqlAnswer)), security(("bearer" = [])))]
pub(crate) async fn sql(
    State(app): App,
    caller: Caller,
    headers: HeaderMap,
    question: Body<SqlQuestion>,
) -> Result<Response, Problem> {
    let question = question.read()?;
    let limit = question.limit.unwrap_or(SQL_ROWS_DEFAULT);
    let answer = app.engine.session(caller.scope_for_all()).sql(&question.query, limit).await?;
    let items = Items::default();
    items.add(answer.rows.len() as u64);
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !accept.contains("application/x-ndjson") {
        return Ok((Extension(items), Json(answer)).into_response());
    }
    let mut lines = String::new();
    for row in &answer.rows {
        let names = answer.columns.iter().map(|column| column.name.clone());
        let object: serde_json::Map<String, Value> = names.zip(row.iter().cloned()).collect();
        lines.push_str(&Value::Object(object).to_string());
        lines.push('\n');
    }
    Ok((Extension(items), [(header::CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

/// In what form a chain is given.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChainParams {
    /// `json` (the default), `dot` (Graphviz) or `mermaid`.
    format: Option<String>,
    /// From an event: `up` (what led to it), `down` (what it led to) or `both` (the default).
    direction: Option<String>,
    /// From an event: most steps, 1 to 100; 20 when absent.
    depth: Option<u32>,
    /// Most events, 1 to 5,000; 5,000 when absent, from an event 1,000.
    limit: Option<usize>,
    /// Of a task: where the page begins, `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Steps from an event when nobody says.
const DEPTH_DEFAULT: u32 = 20;
/// Events around an event when nobody says.
const NODES_DEFAULT: usize = 1_000;

fn chain_answer(chain: ChainView, format: Option<&str>) -> Result<Response, Problem> {
    let text = |kind: &'static str, body: String| ([(header::CONTENT_TYPE, kind)], body).into_response();
    match format {
        None | Some("json") => {
            let items = chain.nodes.len();
            Ok(Answered(chain, items).into_response())
        }
        Some("dot") => Ok(text("text/vnd.graphviz; charset=utf-8", chain.to_dot())),
        Some("mermaid") => Ok(text("text/vnd.mermaid; charset=utf-8", chain.to_mermaid())),
        Some(_) => Err(Error::Bad("`format` must be `json`, `dot` or `mermaid`".into()).into()),
    }
}

/// The action chain of a root task.
#[utoipa::path(get, path = "/api/v1/tasks/{root_task}/chain", params(("root_task" = String, Path), ChainParams), responses((status = 200, body = ChainView)), security(("bearer" = [])))]
pub(crate) async fn task_chain(
    State(app): App,
    scope: Scope,
    Path(root_task): Path<String>,
    params: Result<Query<ChainParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let params = query(params)?;
    if params.direction.is_some() || params.depth.is_some() {
        return Err(Error::Bad("`direction` and `depth` are for the chain of an event".into()).into());
    }
    let session = app.engine.session(scope);
    let limit = params.limit.unwrap_or(NODES_MAX);
    let mut chain = session.chain(&root_task, params.cursor.as_deref(), limit).await?;
    session.annotate(&mut chain.findings, (app.sources.now)()).await?;
    chain_answer(chain, params.format.as_deref())
}

/// The part of a chain that led to an event, or follows from it.
#[utoipa::path(get, path = "/api/v1/events/{ref}/chain", params(("ref" = String, Path, description = "`topic:partition:offset`"), ChainParams), responses((status = 200, body = ChainView)), security(("bearer" = [])))]
pub(crate) async fn event_chain(
    State(app): App,
    scope: Scope,
    Path(reference): Path<String>,
    params: Result<Query<ChainParams>, QueryRejection>,
) -> Result<Response, Problem> {
    let params = query(params)?;
    if params.cursor.is_some() {
        let why = "`cursor` is for the chain of a task: from an event, go on from another event";
        return Err(Error::Bad(why.into()).into());
    }
    let direction = Direction::parse(params.direction.as_deref().unwrap_or("both"))?;
    let (depth, limit) = (params.depth.unwrap_or(DEPTH_DEFAULT), params.limit.unwrap_or(NODES_DEFAULT));
    let session = app.engine.session(scope);
    let mut chain = session.chain_of(&reference, direction, depth, limit).await?;
    session.annotate(&mut chain.findings, (app.sources.now)()).await?;
    chain_answer(chain, params.format.as_deref())
}

/// A credential: from when to when it stood, who used it, and after its end.
#[utoipa::path(get, path = "/api/v1/credentials/{uid}", params(("uid" = String, Path)), responses((status = 200, body = CredentialDetail)), security(("bearer" = [])))]
pub(crate) async fn credential(
    State(app): App,
    scope: Scope,
    Path(uid): Path<String>,
) -> Answer<CredentialDetail> {
    Ok(Answered(app.engine.session(scope).credential(&uid, (app.sources.now)()).await?, 1))
}

/// What was done and held in a task, or in all tasks below a root task.
#[utoipa::path(get, path = "/api/v1/tasks/{task}/holdings", params(("task" = String, Path)), responses((status = 200, body = HoldingsView)), security(("bearer" = [])))]
pub(crate) async fn task_holdings(
    State(app): App,
    scope: Scope,
    Path(task): Path<String>,
) -> Answer<HoldingsView> {
    Ok(Answered(app.engine.session(scope).task_holdings(&task, (app.sources.now)()).await?, 1))
}

/// What an agent did and held.
#[utoipa::path(get, path = "/api/v1/agents/{uid}/holdings", params(("uid" = String, Path)), responses((status = 200, body = HoldingsView)), security(("bearer" = [])))]
pub(crate) async fn agent_holdings(
    State(app): App,
    scope: Scope,
    Path(uid): Path<String>,
) -> Answer<HoldingsView> {
    Ok(Answered(app.engine.session(scope).agent_holdings(&uid, (app.sources.now)()).await?, 1))
}

/// Which runs.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct CompareParams {
    /// The root task of one run.
    left: String,
    /// The root task of the other.
    right: String,
}

/// The tool calls of two runs beside each other.
#[utoipa::path(get, path = "/api/v1/runs/compare", params(CompareParams), responses((status = 200, body = ComparisonView)), security(("bearer" = [])))]
pub(crate) async fn compare(
    State(app): App,
    scope: Scope,
    params: Result<Query<CompareParams>, QueryRejection>,
) -> Answer<ComparisonView> {
    let params = query(params)?;
    Ok(Answered(app.engine.session(scope).compare_runs(&params.left, &params.right).await?, 1))
}
