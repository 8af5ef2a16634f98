//! What people do about findings: said to the API, written to Kafka, read back from the store. INVARIANT Q-1

use crate::access::Caller;
use crate::error::Error;
use crate::http::handlers::page;
use crate::http::measured::Answered;
use crate::http::problem::Problem;
use crate::http::said::{Body, Said, StateParam, tenant as whose, text, write};
use crate::service::Service;
use crate::triage::{SuppressionView, recorded, shown, triage as changed};
use crate::views::{FindingView, Page};
use ambit_schemas::id::{AgentId, FindingId, PrincipalId, RuleId, SuppressionId};
use ambit_schemas::triage::{Disposition, NOTE_BYTES_MAX, Suppression, TriageChange, TriageState};
use ambit_schemas::{Kind, Timestamp};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

type App = State<Arc<Service>>;

/// Longest time for which findings may be left out of lists, in microseconds: a year.
const SUPPRESSED_MAX_US: i64 = 366 * 86_400 * 1_000_000;

/// What a finding turned out to be.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DispositionParam {
    /// The agent did what it must not do.
    TruePositive,
    /// It did not.
    FalsePositive,
    /// It did, and that was all right.
    Benign,
}

/// What is to be done about a finding. What is absent stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TriageRequest {
    /// Where it stands now.
    state: Option<StateParam>,
    /// What it turned out to be: with `closed`, and only then.
    disposition: Option<DispositionParam>,
    /// Who looks after it now; empty for nobody.
    assignee: Option<String>,
    /// What is to be remembered of it.
    note: Option<String>,
}

impl TriageRequest {
    fn change(self, finding_id: FindingId, author: PrincipalId) -> Result<TriageChange, Error> {
        let state = self.state.map(TriageState::from);
        if (state == Some(TriageState::Closed)) != self.disposition.is_some() {
            let why = "`disposition` is given with `\"state\": \"closed\"`, and only then";
            return Err(Error::Bad(why.into()));
        }
        let unassigned = self.assignee.as_deref().is_some_and(|name| name.trim().is_empty());
        let assignee = self.assignee.filter(|_| !unassigned).map(PrincipalId::try_from).transpose();
        let change = TriageChange {
            finding_id,
            author,
            state,
            disposition: self.disposition.map(|disposition| match disposition {
                DispositionParam::TruePositive => Disposition::TruePositive,
                DispositionParam::FalsePositive => Disposition::FalsePositive,
                DispositionParam::Benign => Disposition::Benign,
            }),
            assignee: assignee.map_err(|why| Error::Bad(format!("`assignee`: {why}")))?,
            unassigned,
            note: self.note.map(|note| text("note", &note, NOTE_BYTES_MAX)).transpose()?,
        };
        if state.is_none() && change.assignee.is_none() && !unassigned && change.note.is_none() {
            return Err(Error::Bad("give `state`, `assignee` or `note`".into()));
        }
        Ok(change)
    }
}

/// Says how a finding stands now. It is answered once Kafka has it, with the finding as it will be read back; lists show
/// it when it is stored, about a second later.
#[utoipa::path(post, path = "/api/v1/findings/{id}/triage", params(("id" = String, Path)), request_body = TriageRequest, responses((status = 202, body = Said<FindingView>)), security(("bearer" = [])))]
pub(crate) async fn triage(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<TriageRequest>,
) -> Result<(StatusCode, Answered<Said<FindingView>>), Problem> {
    let request = body.read()?;
    let now = (app.sources.now)();
    let session = app.engine.session(caller.scope.clone().without_trail());
    let mut view = session.finding(&id).await?;
    let unreadable = || Error::NotFound(format!("the finding `{id}` cannot be read"));
    let finding = recorded(&view.finding).ok_or_else(unreadable)?;
    let change = request.change(finding.id, caller.name.clone())?;
    session.annotate(std::slice::from_mut(&mut view), now).await?;
    changed(&mut view.triage, change.clone(), now.to_string());
    let body = ambit_schemas::Body::TriageChanged(Box::new(change));
    let said = write(&app, &caller, finding.tenant, finding.task, body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

/// Which findings are to be left out of lists. Of the conditions all must hold, and one must be given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SuppressRequest {
    /// This one finding.
    finding_id: Option<String>,
    /// Findings of this rule.
    rule_id: Option<String>,
    /// Findings about this agent.
    agent_uid: Option<String>,
    /// Whose findings, where the caller sees several tenants' and names no finding.
    tenant: Option<String>,
    /// Until when (RFC 3339), at most a year from now.
    until: String,
    /// Why.
    reason: String,
}

/// Suppressions that hold now, the next to end first.
#[utoipa::path(get, path = "/api/v1/suppressions", responses((status = 200, body = Page<SuppressionView>)), security(("bearer" = [])))]
pub(crate) async fn suppressions(
    State(app): App,
    caller: Caller,
) -> Result<Answered<Page<SuppressionView>>, Problem> {
    let session = app.engine.session(caller.scope.without_trail());
    Ok(page(session.suppressions((app.sources.now)()).await?))
}

/// Leaves findings out of lists until a time. They are given, stored and acted upon all the same, and
/// `?suppressed=include` lists them.
#[utoipa::path(post, path = "/api/v1/suppressions", request_body = SuppressRequest, responses((status = 202, body = Said<SuppressionView>)), security(("bearer" = [])))]
pub(crate) async fn suppress(
    State(app): App,
    caller: Caller,
    body: Body<SuppressRequest>,
) -> Result<(StatusCode, Answered<Said<SuppressionView>>), Problem> {
    let request = body.read()?;
    let now = (app.sources.now)();
    let mut tenant = request.tenant;
    if let Some(id) = &request.finding_id {
        let view = app.engine.session(caller.scope.clone().without_trail()).finding(id).await?;
        tenant = view.finding.get("tenant_uid").and_then(|one| one.as_str()).map(str::to_owned);
    }
    let bad = |name: &str, why: String| Error::Bad(format!("`{name}`: {why}"));
    let finding_id = request.finding_id.map(FindingId::try_from).transpose();
    let rule_id = request.rule_id.map(RuleId::try_from).transpose();
    let agent_uid = request.agent_uid.map(AgentId::try_from).transpose();
    let suppression = Suppression {
        suppression_id: fresh::<SuppressionId>("sup")?,
        author: caller.name.clone(),
        finding_id: finding_id.map_err(|why| bad("finding_id", why.to_string()))?,
        rule_id: rule_id.map_err(|why| bad("rule_id", why.to_string()))?,
        agent_uid: agent_uid.map_err(|why| bad("agent_uid", why.to_string()))?,
        until: Timestamp::parse(request.until.trim()).map_err(|why| bad("until", why.to_string()))?,
        reason: text("reason", &request.reason, NOTE_BYTES_MAX)?,
    };
    if suppression.finding_id.is_none() && suppression.rule_id.is_none() && suppression.agent_uid.is_none() {
        return Err(Error::Bad("give `finding_id`, `rule_id` or `agent_uid`".into()).into());
    }
    let lasts = suppression.until.micros_since(now);
    if lasts <= 0 || lasts > SUPPRESSED_MAX_US {
        return Err(Error::Bad("`until` must lie ahead, and at most a year".into()).into());
    }
    let tenant = whose(&caller, tenant)?;
    let view = shown(tenant.as_str(), &suppression);
    let body = ambit_schemas::Body::TriageSuppressed(Box::new(suppression));
    let said = write(&app, &caller, tenant, None, body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

/// Why a suppression is to end.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndRequest {
    /// Why.
    reason: String,
}

/// Ends a suppression now.
#[utoipa::path(post, path = "/api/v1/suppressions/{id}/end", params(("id" = String, Path)), request_body = EndRequest, responses((status = 202, body = Said<SuppressionView>)), security(("bearer" = [])))]
pub(crate) async fn end_suppression(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<EndRequest>,
) -> Result<(StatusCode, Answered<Said<SuppressionView>>), Problem> {
    let request = body.read()?;
    let now = (app.sources.now)();
    let session = app.engine.session(caller.scope.clone().without_trail());
    let (desk, _) = session.desk(crate::triage::is_one_of(&[Kind::TriageSuppressed])).await?;
    let (tenant, known) = desk
        .suppression(&id)
        .filter(|(_, one)| one.until > now)
        .ok_or_else(|| Error::NotFound(format!("no suppression `{id}` holds now")))?;
    let reason = text("reason", &request.reason, NOTE_BYTES_MAX)?;
    let ended = Suppression { author: caller.name.clone(), until: now, reason, ..known.clone() };
    let tenant = whose(&caller, Some(tenant.to_owned()))?;
    let view = shown(tenant.as_str(), &ended);
    let body = ambit_schemas::Body::TriageSuppressed(Box::new(ended));
    let said = write(&app, &caller, tenant, None, body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

/// A new id of a kind.
pub(crate) fn fresh<T: TryFrom<String>>(kind: &str) -> Result<T, Error> {
    T::try_from(format!("{kind}-{}", uuid::Uuid::now_v7().simple())).map_err(|_| Error::Cancelled)
}
