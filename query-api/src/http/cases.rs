//! Cases: findings that are worked on together.

use crate::access::Caller;
use crate::error::Error;
use crate::http::handlers::page;
use crate::http::measured::Answered;
use crate::http::problem::Problem;
use crate::http::said::{Body, Said, StateParam, tenant as whose, text, write};
use crate::http::triage::fresh;
use crate::service::Service;
use crate::triage::{CaseView, change_case, opened};
use crate::views::Page;
use ambit_schemas::id::{CaseId, FindingId, PrincipalId};
use ambit_schemas::triage::{CASE_FINDINGS_MAX, CaseChange, NOTE_BYTES_MAX, TriageState};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

type App = State<Arc<Service>>;
type Changed = Result<(StatusCode, Answered<Said<CaseView>>), Problem>;

/// Longest title, in bytes.
const TITLE_BYTES_MAX: usize = 256;

/// A case that is to be opened.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenRequest {
    /// What it is about.
    title: String,
    /// Its findings, all of one tenant.
    #[serde(default)]
    findings: Vec<String>,
    /// Who looks after it.
    assignee: Option<String>,
    /// What is to be remembered of it.
    note: Option<String>,
    /// Whose it is, where the caller sees several tenants' and names no finding.
    tenant: Option<String>,
}

/// What is to change about a case. What is absent stays as it is.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaseRequest {
    /// What it is about.
    title: Option<String>,
    /// Where it stands now.
    state: Option<StateParam>,
    /// Who looks after it now.
    assignee: Option<String>,
    /// What is to be remembered of it.
    note: Option<String>,
    /// Findings that belong to it from now on, of its tenant.
    #[serde(default)]
    add: Vec<String>,
    /// Findings that no longer do.
    #[serde(default)]
    remove: Vec<String>,
}

impl CaseRequest {
    fn change(self, case_id: CaseId, author: PrincipalId) -> Result<CaseChange, Error> {
        let ids = |name: &str, given: Vec<String>| {
            if given.len() > CASE_FINDINGS_MAX {
                return Err(Error::Bad(format!("`{name}` names more than {CASE_FINDINGS_MAX} findings")));
            }
            let ids = given.into_iter().map(FindingId::try_from).collect::<Result<Vec<_>, _>>();
            ids.map_err(|why| Error::Bad(format!("`{name}`: {why}")))
        };
        let assignee = self.assignee.map(PrincipalId::try_from).transpose();
        let change = CaseChange {
            case_id,
            author,
            title: self.title.map(|title| text("title", &title, TITLE_BYTES_MAX)).transpose()?,
            state: self.state.map(TriageState::from),
            assignee: assignee.map_err(|why| Error::Bad(format!("`assignee`: {why}")))?,
            note: self.note.map(|note| text("note", &note, NOTE_BYTES_MAX)).transpose()?,
            add: ids("add", self.add)?,
            remove: ids("remove", self.remove)?,
        };
        let says_something = change.title.is_some()
            || change.state.is_some()
            || change.assignee.is_some()
            || change.note.is_some()
            || !change.add.is_empty()
            || !change.remove.is_empty();
        if says_something { Ok(change) } else { Err(Error::Bad("nothing is to change".into())) }
    }
}

/// All cases, the last changed first.
#[utoipa::path(get, path = "/api/v1/cases", responses((status = 200, body = Page<CaseView>)), security(("bearer" = [])))]
pub(crate) async fn cases(State(app): App, caller: Caller) -> Result<Answered<Page<CaseView>>, Problem> {
    Ok(page(app.engine.session(caller.scope.without_trail()).cases().await?))
}

/// Opens a case.
#[utoipa::path(post, path = "/api/v1/cases", request_body = OpenRequest, responses((status = 202, body = Said<CaseView>)), security(("bearer" = [])))]
pub(crate) async fn open(State(app): App, caller: Caller, body: Body<OpenRequest>) -> Changed {
    let OpenRequest { title, findings, assignee, note, tenant } = body.read()?;
    let request = CaseRequest { title: Some(title), assignee, note, add: findings, ..CaseRequest::default() };
    let change = request.change(fresh("case")?, caller.name.clone())?;
    let of_findings = tenant_of(&app, &caller, &change.add).await?;
    let tenant = whose(&caller, of_findings.or(tenant))?;
    let time = (app.sources.now)().to_string();
    let case = opened(&change, tenant.to_string(), time.clone());
    said(&app, &caller, case, change, time).await
}

/// One case.
#[utoipa::path(get, path = "/api/v1/cases/{id}", params(("id" = String, Path)), responses((status = 200, body = CaseView)), security(("bearer" = [])))]
pub(crate) async fn case(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answered<CaseView>, Problem> {
    Ok(Answered(known(&app, &caller, &id).await?, 1))
}

/// Changes a case. It is answered once Kafka has it, with the case as it will be read back.
#[utoipa::path(post, path = "/api/v1/cases/{id}", params(("id" = String, Path)), request_body = CaseRequest, responses((status = 202, body = Said<CaseView>)), security(("bearer" = [])))]
pub(crate) async fn change(
    State(app): App,
    caller: Caller,
    Path(id): Path<String>,
    body: Body<CaseRequest>,
) -> Changed {
    let request = body.read()?;
    let case = known(&app, &caller, &id).await?;
    let case_id = CaseId::try_from(id).map_err(|why| Error::Bad(why.to_string()))?;
    let change = request.change(case_id, caller.name.clone())?;
    let of_findings = tenant_of(&app, &caller, &change.add).await?;
    if of_findings.is_some_and(|tenant| tenant != case.tenant) {
        return Err(Error::Bad("`add` names findings of another tenant than the case's".into()).into());
    }
    let time = (app.sources.now)().to_string();
    said(&app, &caller, case, change, time).await
}

async fn known(app: &Service, caller: &Caller, id: &str) -> Result<CaseView, Error> {
    let cases = app.engine.session(caller.scope.clone().without_trail()).cases().await?;
    let known = cases.items.into_iter().find(|case| case.id == id);
    known.ok_or_else(|| Error::NotFound(format!("there is no case `{id}`")))
}

async fn said(
    app: &Service,
    caller: &Caller,
    mut case: CaseView,
    change: CaseChange,
    time: String,
) -> Changed {
    let tenant = whose(caller, Some(case.tenant.clone()))?;
    change_case(&mut case, change.clone(), time);
    let body = ambit_schemas::Body::CaseChanged(Box::new(change));
    let said = write(app, caller, tenant, None, body, case).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}

/// The one tenant whose findings these are. All must be there, for the caller to see.
async fn tenant_of(app: &Service, caller: &Caller, ids: &[FindingId]) -> Result<Option<String>, Error> {
    let session = app.engine.session(caller.scope.clone().without_trail());
    let mut tenant = None;
    for id in ids {
        let view = session.finding(id.as_str()).await?;
        let of = view.finding.get("tenant_uid").and_then(|one| one.as_str()).map(str::to_owned);
        if tenant.is_some() && tenant != of {
            return Err(Error::Bad("a case's findings must be of one tenant".into()));
        }
        tenant = of;
    }
    Ok(tenant)
}
