//! The OpenAPI document: generated from the handlers, with what holds for all of them.

use crate::http::problem::ProblemView;
use utoipa::OpenApi;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::Ref;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// What every operation may answer besides: a problem (RFC 9457).
const PROBLEMS: [(&str, &str); 8] = [
    ("400", "What is asked is not well put."),
    ("401", "Who asks has not shown who they are."),
    ("403", "Who asks may not."),
    ("404", "There is no such thing within the caller's scope."),
    ("429", "Too much at once: come back after `Retry-After` seconds."),
    ("500", "The answer cannot be had."),
    ("503", "Not now: too many questions run, or what is asked cannot be recorded."),
    ("504", "It took too long."),
];
/// What an operation with a body may answer besides.
const OF_BODIES: [(&str, &str); 2] =
    [("413", "The body is too large."), ("415", "The body is not JSON by its `Content-Type`.")];

#[derive(OpenApi)]
#[openapi(
    info(title = "Ambit", description = "What AI agents did, on whose authority, and what followed."),
    components(schemas(ProblemView)),
    modifiers(&Bearer)
)]
pub(super) struct Document;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
        openapi.components.get_or_insert_default().add_security_scheme("bearer", scheme);
    }
}

/// Adds to every operation what it may answer besides.
pub(super) fn with_problems(mut openapi: utoipa::openapi::OpenApi) -> utoipa::openapi::OpenApi {
    for item in openapi.paths.paths.values_mut() {
        let PathItem { get, post, delete, .. } = item;
        for operation in [get, post, delete].into_iter().flatten() {
            let of_body = operation.request_body.is_some().then_some(OF_BODIES);
            for (status, description) in PROBLEMS.into_iter().chain(of_body.into_iter().flatten()) {
                add(operation, status, description);
            }
        }
    }
    openapi
}

fn add(operation: &mut Operation, status: &str, description: &str) {
    let schema = Ref::from_schema_name("Problem");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response =
        ResponseBuilder::new().description(description).content("application/problem+json", content).build();
    operation.responses.responses.entry(status.to_owned()).or_insert_with(|| response.into());
}
