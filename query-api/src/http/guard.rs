//! What holds for every request: the right host name, a line in the log.

use crate::http::problem::Problem;
use crate::service::Service;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// Refuses host names that are not ours: a foreign page whose name points here must not reach the API.
pub(crate) async fn check_host(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response {
    let named = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let authority = request.uri().authority().map(axum::http::uri::Authority::as_str);
    let host = named.or(authority).map_or("", |host| host_of(host));
    let ours = host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback() || address == service.options.listen.ip())
        || service.options.allowed_hosts.iter().any(|allowed| allowed.eq_ignore_ascii_case(host));
    if ours {
        next.run(request).await
    } else {
        let detail = "this host name is not served: add it to `api.allowed_hosts`";
        Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).into_response()
    }
}

/// The host without its port, IPv6 without brackets.
fn host_of(authority: &str) -> &str {
    if let Some(rest) = authority.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    authority.split(':').next().unwrap_or_default()
}

/// Logs each request by path and status, never by query: queries name agents and people.
pub(crate) async fn count_in(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(%method, path, status = response.status().as_u16(), "request");
    response
}
