//! HTTP: one file per concern. Handlers turn parameters into questions and answers into views.

mod admit;
mod approvals;
mod cases;
mod console;
mod document;
mod guard;
mod handlers;
mod ledger;
mod measured;
mod metrics;
mod orders;
mod params;
mod problem;
mod routes;
mod said;
mod search;
mod searches;
mod streams;
mod triage;

pub use crate::access::presents;

use crate::service::{Service, Sources};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use routes::LEDGER_FILES;
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Most bytes of a request's body.
const BODY_BYTES_MAX: usize = 16 << 10;
/// How long an answer may take beyond the question's own bound.
const REQUEST_SLACK: Duration = Duration::from_secs(5);

fn api() -> OpenApiRouter<Arc<Service>> {
    OpenApiRouter::with_openapi(document::Document::openapi())
        .routes(routes!(handlers::me))
        .routes(routes!(handlers::overview))
        .routes(routes!(handlers::events))
        .routes(routes!(handlers::event))
        .routes(routes!(handlers::findings))
        .routes(routes!(handlers::finding))
        .routes(routes!(search::search))
        .routes(routes!(search::sequences))
        .routes(routes!(search::sql))
        .routes(routes!(search::task_chain))
        .routes(routes!(search::event_chain))
        .routes(routes!(search::credential))
        .routes(routes!(search::task_holdings))
        .routes(routes!(search::agent_holdings))
        .routes(routes!(search::compare))
        .routes(routes!(handlers::agents))
        .routes(routes!(handlers::agent))
        .routes(routes!(handlers::dead_letters))
        .routes(routes!(handlers::checkpoints))
        .routes(routes!(ledger::consistency))
        .routes(routes!(triage::triage))
        .routes(routes!(triage::suppressions, triage::suppress))
        .routes(routes!(triage::end_suppression))
        .routes(routes!(cases::cases, cases::open))
        .routes(routes!(cases::case, cases::change))
        .routes(routes!(approvals::approvals))
        .routes(routes!(approvals::approval))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(searches::searches, searches::keep))
        .routes(routes!(searches::remove))
        .routes(routes!(orders::plan))
        .routes(routes!(orders::order))
        .routes(routes!(orders::stop))
        .routes(routes!(orders::resume))
        .routes(routes!(orders::redrive))
        .routes(routes!(streams::export_events))
        .routes(routes!(streams::export_findings))
        .routes(routes!(streams::tail))
}

/// The OpenAPI document, generated from the handlers.
pub fn openapi() -> utoipa::openapi::OpenApi {
    document::with_problems(api().into_openapi())
}

/// Health and metrics, without an API: they say nothing about anybody, so nobody has to show who they are.
pub(crate) fn monitoring(sources: Sources) -> Router {
    metrics::routes()
        .fallback(|| async {
            let detail = "here are only /healthz, /readyz and /metrics";
            problem::Problem::new(StatusCode::NOT_FOUND, detail)
        })
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_SLACK))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::new())
        .layer(map_response(problem::for_all))
        .with_state(sources)
}

/// Everything that is served.
pub fn router(service: Arc<Service>) -> Router {
    let patience = Duration::from_millis(service.options.query_timeout_ms) + REQUEST_SLACK;
    let (api, document) = api().split_for_parts();
    let document = document::with_problems(document);
    let (mut api, mut public) = (api, Router::new());
    let files = get(ledger::file);
    if service.options.public_ledger {
        public = public.route(LEDGER_FILES, files);
    } else {
        api = api.route(LEDGER_FILES, files);
    }
    let api = api.layer(from_fn_with_state(Arc::clone(&service), admit::admit));
    let header = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(HeaderName::from_static(name), HeaderValue::from_static(value))
    };
    Router::new()
        .merge(api)
        .merge(public)
        .merge(metrics::routes().with_state(service.sources.clone()))
        .route("/openapi.json", get(move || async move { Json(document) }))
        .fallback(fallback)
        .method_not_allowed_fallback(|| async {
            problem::Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this resource has no such method")
        })
        .layer(from_fn(guard::count_in))
        .layer(from_fn_with_state(Arc::clone(&service), guard::check_host))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, patience))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::new())
        .layer(map_response(problem::for_all))
        .layer(header("x-content-type-options", "nosniff"))
        .layer(header("x-frame-options", "DENY"))
        .layer(header("referrer-policy", "no-referrer"))
        .layer(header(
            "content-security-policy",
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
        ))
        .with_state(service)
}

/// The console for everything that is not the API's.
async fn fallback(method: Method, uri: Uri) -> Response {
    if uri.path().starts_with("/api/") || uri.path().starts_with("/ledger/") {
        return problem::Problem::new(StatusCode::NOT_FOUND, "there is no such resource: see /openapi.json")
            .into_response();
    }
    if method != Method::GET && method != Method::HEAD {
        return problem::Problem::new(StatusCode::METHOD_NOT_ALLOWED, "the console is only read")
            .into_response();
    }
    console::file(uri.path())
}
