//! Responses that wait for people: what they would hit, and what people say to them.

use crate::access::Caller;
use crate::approvals::{ApprovalView, spoken};
use crate::error::Error;
use crate::http::handlers::page;
use crate::http::measured::Answered;
use crate::http::problem::{Problem, ProblemView};
use crate::http::said::{Body, Said, text, write_about};
use crate::service::Service;
use crate::views::Page;
use ambit_schemas::event::Body as EventBody;
use ambit_schemas::order::Ruling;
use ambit_schemas::triage::NOTE_BYTES_MAX;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

type App = State<Arc<Service>>;
type Ruled = Result<(StatusCode, Answered<Said<ApprovalView>>), Problem>;

/// What somebody says to a response that waits.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RulingRequest {
    /// Why: it stands in the record for good.
    reason: String,
}

/// Responses that wait for people, or waited, those asked last first.
#[utoipa::path(get, path = "/api/v1/approvals", responses((status = 200, body = Page<ApprovalView>)), security(("bearer" = [])))]
pub(crate) async fn approvals(
    State(app): App,
    caller: Caller,
) -> Result<Answered<Page<ApprovalView>>, Problem> {
    let session = app.engine.session(caller.scope.without_trail());
    Ok(page(session.approvals((app.sources.now)()).await?))
}

/// One response that waits for people, or waited.
#[utoipa::path(get, path = "/api/v1/approvals/{id}", params(("id" = String, Path)), responses((status = 200, body = ApprovalView)), security(("bearer" = [])))]
pub(crate) async fn approval(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answered<ApprovalView>, Problem> {
    let session = app.engine.session(caller.scope.without_trail());
    Ok(Answered(session.approval(&id, (app.sources.now)()).await?.view, 1))
}

/// Approves a response that waits. It goes out when as many different people as it needs have approved.
#[utoipa::path(post, path = "/api/v1/responses/{id}/approve", params(("id" = String, Path)), request_body = RulingRequest, responses((status = 202, body = Said<ApprovalView>), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It waits no more, or who asks has said so already.")), security(("bearer" = [])))]
pub(crate) async fn approve(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<RulingRequest>,
) -> Ruled {
    rule(&app, &caller, &id, body, true).await
}

/// Refuses a response that waits. One refusal is enough.
#[utoipa::path(post, path = "/api/v1/responses/{id}/deny", params(("id" = String, Path)), request_body = RulingRequest, responses((status = 202, body = Said<ApprovalView>), (status = 409, body = ProblemView, content_type = "application/problem+json", description = "It waits no more, or who asks has said so already.")), security(("bearer" = [])))]
pub(crate) async fn deny(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<RulingRequest>,
) -> Ruled {
    rule(&app, &caller, &id, body, false).await
}

async fn rule(app: &Service, caller: &Caller, id: &str, body: Body<RulingRequest>, approves: bool) -> Ruled {
    let reason = text("reason", &body.read()?.reason, NOTE_BYTES_MAX)?;
    let now = (app.sources.now)();
    let session = app.engine.session(caller.scope.clone().without_trail());
    let asked = session.approval(id, now).await?;
    let mut view = asked.view;
    let conflict = |detail: String| Err(Problem::new(StatusCode::CONFLICT, detail));
    if view.state != "waiting" {
        return conflict(format!("`{id}` waits no more: it is {}", view.state));
    }
    let author = &caller.name;
    if view.is_about(author.as_str()) {
        return Err(Error::Forbidden("the agent at which it is aimed has no voice in it".into()).into());
    }
    if view.has_said(author.as_str()) {
        return conflict(format!("`{author}` has approved it already: it needs somebody else"));
    }
    let ruling = Ruling {
        response_id: asked.pending.response_id,
        author: author.clone(),
        author_authenticated: true,
        reason: Some(reason),
    };
    view.rule(spoken(&ruling, approves, now));
    let ruling = Box::new(ruling);
    let body = if approves { EventBody::ResponseApproved(ruling) } else { EventBody::ResponseDenied(ruling) };
    // It is to stand in the same partition as the question, after it.
    let said = write_about(app, caller, (asked.tenant, asked.agent, asked.task), body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}
