//! What people say to enforcement: orders, approvals, the stop, deliveries that are to be tried again. Each is an event
//! that enforcement reads and acts upon, so what was ordered is recorded before it happens. The author is whom the token
//! names. INVARIANT Q-1

use crate::access::Caller;
use crate::error::Error;
use crate::events::{EventFilter, Order as Sorting};
use crate::http::handlers::query;
use crate::http::measured::Answered;
use crate::http::problem::Problem;
use crate::http::said::{Body, Said, tenant as whose, text, write, write_about};
use crate::http::triage::fresh;
use crate::reach::{About, Aim, Aimed, Reach};
use crate::service::Service;
use crate::trail::INSTALLATION;
use ambit_schemas::id::{DeliveryId, TenantId};
use ambit_schemas::order::{Order, Redrive, Switch};
use ambit_schemas::response::Action;
use ambit_schemas::{Body as EventBody, Timestamp};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

type App = State<Arc<Service>>;
type Done<T> = Result<(StatusCode, Answered<Said<T>>), Problem>;

/// Longest reason, in bytes.
const REASON_BYTES_MAX: usize = 2_000;
/// Most credentials that one order names.
const CREDENTIALS_MAX: usize = 100;
/// Most events that are looked through for the one that an id names.
const LOOKED_THROUGH: u32 = 50;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderParam {
    /// End the task, or with `tree` its delegation tree; without a task the credentials.
    Revoke,
    /// Stop the agent until somebody restores it.
    Pause,
    /// Lift a pause.
    Restore,
}

/// An order. At least one of `task`, `agent` and `credentials` is given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrderRequest {
    /// What is to be done.
    action: OrderParam,
    /// The task.
    task: Option<String>,
    /// The agent: alone, in whatever it does; with a task, in that task.
    agent: Option<String>,
    /// Credentials.
    #[serde(default)]
    credentials: Vec<String>,
    /// Whether the whole delegation tree of the task is meant.
    #[serde(default)]
    tree: bool,
    /// After how many seconds a pause ends by itself.
    seconds: Option<u32>,
    /// Whose they are, where the caller sees several tenants'.
    tenant: Option<String>,
    /// Why.
    reason: String,
}

/// Of what a plan is asked. At least one of `task`, `agent` and `credential` is given.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PlanParams {
    /// The task.
    task: Option<String>,
    /// The agent: alone, in whatever it does; with a task, in that task.
    agent: Option<String>,
    /// A credential.
    credential: Option<String>,
    /// Whether the whole delegation tree of the task is meant.
    tree: Option<bool>,
    /// Whose they are, where the caller sees several tenants'.
    tenant: Option<String>,
}

/// An order as it is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OrderView {
    /// The response that carries it out.
    response_id: String,
    /// What is to be done.
    action: &'static str,
    /// Who ordered it.
    author: String,
    /// The agent.
    agent: Option<String>,
    /// The task.
    task: Option<String>,
    /// The top of its delegation tree.
    root_task: Option<String>,
    /// The valid credentials that it names.
    credentials: Vec<String>,
    /// Why it may name too little.
    incomplete: Option<String>,
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReasonRequest {
    /// Why.
    reason: String,
}

impl ReasonRequest {
    fn text(&self) -> Result<String, Error> {
        text("reason", &self.reason, REASON_BYTES_MAX)
    }
}

/// What somebody said, as it is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WordView {
    /// Who said it.
    author: String,
    /// About which response or delivery.
    about: Option<String>,
}

fn aim(given: Aim) -> Result<Aim, Error> {
    if given.task.is_none() && given.agent.is_none() && given.credentials.is_empty() {
        return Err(Error::Bad("give `task`, `agent` or credentials: at whom is it aimed?".into()));
    }
    if given.tree && given.task.is_none() {
        return Err(Error::Bad("`tree` needs `task`".into()));
    }
    if given.credentials.len() > CREDENTIALS_MAX {
        return Err(Error::Bad(format!("`credentials` names more than {CREDENTIALS_MAX}")));
    }
    Ok(given)
}

/// Lists what a revocation would hit: agents, tasks, credentials. Nothing is sent.
#[utoipa::path(get, path = "/api/v1/responses/plan", params(PlanParams), responses((status = 200, body = Reach)), security(("bearer" = [])))]
pub(crate) async fn plan(
    State(app): App,
    caller: Caller,
    params: Result<Query<PlanParams>, QueryRejection>,
) -> Result<Answered<Reach>, Problem> {
    let asked = query(params)?;
    let tenant = whose(&caller, asked.tenant)?;
    let aim = aim(Aim {
        tenant: tenant.to_string(),
        task: asked.task,
        agent: asked.agent,
        credentials: asked.credential.into_iter().collect(),
        tree: asked.tree.unwrap_or_default(),
    })?;
    let session = app.engine.session(caller.scope.without_trail().narrowed(&tenant));
    let reach = session.reach(&aim, (app.sources.now)()).await?;
    let items = reach.tasks.len() + reach.credentials.len();
    Ok(Answered(reach, items))
}

/// Orders a revocation, a pause, or the end of one, whatever budget and stop say. It is answered once Kafka has it; what
/// the store knows of whom it names is added to it.
#[utoipa::path(post, path = "/api/v1/responses/orders", request_body = OrderRequest, responses((status = 202, body = Said<OrderView>)), security(("bearer" = [])))]
pub(crate) async fn order(State(app): App, caller: Caller, body: Body<OrderRequest>) -> Done<OrderView> {
    let request = body.read()?;
    let (action, until) = what(&request, (app.sources.now)())?;
    let reason = text("reason", &request.reason, REASON_BYTES_MAX)?;
    let tenant = whose(&caller, request.tenant)?;
    let aim = aim(Aim {
        tenant: tenant.to_string(),
        task: request.task,
        agent: request.agent,
        credentials: request.credentials,
        tree: request.tree,
    })?;
    let session = app.engine.session(caller.scope.clone().without_trail().narrowed(&tenant));
    // In an emergency an order that says what was given is better than none.
    let reach = session.reach(&aim, (app.sources.now)()).await.unwrap_or_else(|error| Reach {
        incomplete: Some(format!("what it hits is not known ({error}): the order says what was given")),
        ..Reach::given(&aim)
    });
    let Aimed { agent, task, target } = reach.target(&aim).map_err(|why| Error::Bad(why.to_string()))?;
    let order = Order {
        response_id: fresh("ord")?,
        action,
        target,
        author: caller.name.clone(),
        author_authenticated: true,
        reason,
        until,
    };
    let view = OrderView {
        response_id: order.response_id.to_string(),
        action: action.name(),
        author: order.author.to_string(),
        agent: order.target.agent_uid.as_ref().map(ToString::to_string),
        task: order.target.task_id.as_ref().map(ToString::to_string),
        root_task: order.target.root_task_id.as_ref().map(ToString::to_string),
        credentials: order.target.credentials.iter().map(ToString::to_string).collect(),
        incomplete: reach.incomplete,
    };
    let body = EventBody::ResponseOrdered(Box::new(order));
    let said = write_about(&app, &caller, (tenant, agent, task), body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

fn what(request: &OrderRequest, now: Timestamp) -> Result<(Action, Option<Timestamp>), Error> {
    if request.seconds.is_some() && request.action != OrderParam::Pause {
        return Err(Error::Bad("`seconds` is how long a pause lasts: give it with `pause` only".into()));
    }
    let action = match (request.action, &request.task, request.tree) {
        (OrderParam::Pause, _, _) => Action::Pause,
        (OrderParam::Restore, _, _) => Action::Restore,
        (OrderParam::Revoke, Some(_), true) => Action::RevokeTree,
        (OrderParam::Revoke, Some(_), false) => Action::RevokeTask,
        (OrderParam::Revoke, None, _) => Action::RevokeCredential,
    };
    Ok((action, request.seconds.map(|seconds| now.plus_micros(i64::from(seconds) * 1_000_000))))
}

/// The event of a kind within the caller's scope whose data names this id there, with what stands at `what`.
async fn told(
    app: &Service,
    caller: &Caller,
    kind: &str,
    (pointer, id): (&str, &str),
    what: &str,
) -> Result<(About, serde_json::Value), Error> {
    let session = app.engine.session(caller.scope.clone().without_trail());
    let filter =
        EventFilter { kind: Some(kind.to_owned()), text: Some(id.to_owned()), ..EventFilter::default() };
    let page = session.events(&filter, Sorting::Descending, LOOKED_THROUGH, None).await?;
    let found = page.items.into_iter().find_map(|event| {
        let data = event.data.as_ref()?;
        let named = data.pointer(pointer)?.as_str()? == id;
        named.then(|| Some((event.about()?, data.get(what)?.clone())))?
    });
    found.ok_or_else(|| Error::NotFound(format!("no `{kind}` of `{id}` is in the store")))
}

fn word(caller: &Caller, about: Option<&str>) -> WordView {
    WordView { author: caller.name.to_string(), about: about.map(str::to_owned) }
}

async fn switch(
    app: &Service,
    caller: &Caller,
    body: Body<ReasonRequest>,
    said: impl Fn(Switch) -> EventBody,
) -> Done<WordView> {
    let reason = body.read()?.text()?;
    // INVARIANT Q-3: it holds for everybody.
    if caller.scope.only().is_some() {
        return Err(
            Error::Forbidden("the stop holds for all tenants: your token speaks for one".into()).into()
        );
    }
    let tenant = TenantId::try_from(INSTALLATION).map_err(|_| Error::Cancelled)?;
    let body = said(Switch { author: caller.name.clone(), author_authenticated: true, reason });
    let said = write(app, caller, tenant, None, body, word(caller, None)).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

/// Switches automatic revocation off: findings are told, nothing is revoked by policy. Orders go out all the same.
#[utoipa::path(post, path = "/api/v1/responses/stop", request_body = ReasonRequest, responses((status = 202, body = Said<WordView>)), security(("bearer" = [])))]
pub(crate) async fn stop(State(app): App, caller: Caller, body: Body<ReasonRequest>) -> Done<WordView> {
    switch(&app, &caller, body, EventBody::ResponsesStopped).await
}

/// Switches automatic revocation on again.
#[utoipa::path(post, path = "/api/v1/responses/resume", request_body = ReasonRequest, responses((status = 202, body = Said<WordView>)), security(("bearer" = [])))]
pub(crate) async fn resume(State(app): App, caller: Caller, body: Body<ReasonRequest>) -> Done<WordView> {
    switch(&app, &caller, body, EventBody::ResponsesResumed).await
}

/// Has a delivery that was given up tried again, with the same ids.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/redrive", params(("id" = String, Path)), request_body = ReasonRequest, responses((status = 202, body = Said<WordView>)), security(("bearer" = [])))]
pub(crate) async fn redrive(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<ReasonRequest>,
) -> Done<WordView> {
    let reason = body.read()?.text()?;
    let named = ("/dead_lettered/delivery_id", id.as_str());
    let (about, _) = told(&app, &caller, "response.dead_lettered", named, "dead_lettered").await?;
    let redrive = Redrive {
        delivery_id: DeliveryId::try_from(id.as_str()).map_err(|why| Error::Bad(why.to_string()))?,
        author: caller.name.clone(),
        author_authenticated: true,
        reason,
    };
    let body = EventBody::DeliveryRedriven(Box::new(redrive));
    let said = write_about(&app, &caller, about, body, word(&caller, Some(&id))).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}
