//! Searches that people keep: events with their author, like all that people do.

use crate::access::{Caller, Role};
use crate::error::Error;
use crate::http::handlers::page;
use crate::http::measured::Answered;
use crate::http::params::{SearchParams, filter_of};
use crate::http::problem::Problem;
use crate::http::said::{Body, Said, tenant as whose, text, write};
use crate::http::triage::fresh;
use crate::service::Service;
use crate::triage::{SavedSearchView, kept};
use crate::views::Page;
use ambit_schemas::id::SearchId;
use ambit_schemas::trail::{SEARCH_BYTES_MAX, SavedSearch};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, Uri};
use serde::Deserialize;
use std::sync::Arc;
use utoipa::ToSchema;

type App = State<Arc<Service>>;
type Kept = Result<(StatusCode, Answered<Said<SavedSearchView>>), Problem>;

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// A search that is to be kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchRequest {
    /// Its name.
    name: String,
    /// Its parameters, as `GET /api/v1/events` takes them: `kind=tool_call.denied&agent=...`.
    query: String,
    /// Whose it is, where the caller sees several tenants'.
    tenant: Option<String>,
}

/// Searches that people keep, by name.
#[utoipa::path(get, path = "/api/v1/searches", responses((status = 200, body = Page<SavedSearchView>)), security(("bearer" = [])))]
pub(crate) async fn searches(
    State(app): App,
    caller: Caller,
) -> Result<Answered<Page<SavedSearchView>>, Problem> {
    Ok(page(app.engine.session(caller.scope.without_trail()).searches().await?))
}

/// Keeps a search.
#[utoipa::path(post, path = "/api/v1/searches", request_body = SearchRequest, responses((status = 202, body = Said<SavedSearchView>)), security(("bearer" = [])))]
pub(crate) async fn keep(State(app): App, caller: Caller, body: Body<SearchRequest>) -> Kept {
    let request = body.read()?;
    let query = text("query", &request.query, SEARCH_BYTES_MAX)?;
    check(&app, query.trim_start_matches('?'))?;
    let search = SavedSearch {
        search_id: fresh("search")?,
        author: caller.name.clone(),
        name: text("name", &request.name, NAME_BYTES_MAX)?,
        query: query.trim_start_matches('?').to_owned(),
        removed: false,
    };
    said(&app, &caller, search, request.tenant).await
}

/// Keeps a search no longer. Only its author and admins may say so.
#[utoipa::path(delete, path = "/api/v1/searches/{id}", params(("id" = String, Path)), responses((status = 202, body = Said<SavedSearchView>)), security(("bearer" = [])))]
pub(crate) async fn remove(State(app): App, caller: Caller, Path(id): Path<String>) -> Kept {
    let all = app.engine.session(caller.scope.clone().without_trail()).searches().await?;
    let known = all.items.into_iter().find(|search| search.id == id);
    let known = known.ok_or_else(|| Error::NotFound(format!("there is no search `{id}`")))?;
    if known.author != caller.name.as_str() && !caller.roles.contains(&Role::Admin) {
        return Err(Error::Forbidden(format!("the search is {}'s", known.author)).into());
    }
    let search = SavedSearch {
        search_id: SearchId::try_from(id).map_err(|why| Error::Bad(why.to_string()))?,
        author: caller.name.clone(),
        name: known.name,
        query: known.query,
        removed: true,
    };
    said(&app, &caller, search, Some(known.tenant)).await
}

/// A search that cannot be asked is not worth keeping.
fn check(app: &Service, query: &str) -> Result<(), Error> {
    let bad = |why: String| Error::Bad(format!("`query`: {why}"));
    let uri: Uri = format!("/?{query}").parse().map_err(|_| bad("it is no query of an address".into()))?;
    let params = Query::<SearchParams>::try_from_uri(&uri).map_err(|error| bad(error.body_text()))?;
    filter_of(app, &params).map(|_| ())
}

async fn said(app: &Service, caller: &Caller, search: SavedSearch, tenant: Option<String>) -> Kept {
    let tenant = whose(caller, tenant)?;
    let view = kept(tenant.as_str(), &search, (app.sources.now)());
    let body = ambit_schemas::Body::SearchSaved(Box::new(search));
    let said = write(app, caller, tenant, None, body, view).await?;
    Ok((StatusCode::ACCEPTED, Answered(said, 1)))
}
