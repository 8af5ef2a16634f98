//! Who may ask: the right host name, the right token.

use crate::http::problem::Problem;
use crate::scope::Scope;
use crate::service::Service;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// Whether a caller presents this token: `Authorization: Bearer ...` (RFC 6750). Digests are compared, so that the time
/// taken says nothing about it. Without the header, or with no token to compare with, nobody is let in.
pub fn presents(headers: &HeaderMap, token: &str) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    !token.is_empty() && given.is_some_and(|given| Sha256::digest(given) == Sha256::digest(token))
}

/// Refuses callers without the token; says to handlers within what scope they may answer.
pub(crate) async fn authorise(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    if presents(request.headers(), &service.token) {
        request.extensions_mut().insert(Scope::all());
        next.run(request).await
    } else {
        Problem::new(StatusCode::UNAUTHORIZED, "present the token: Authorization: Bearer ...").into_response()
    }
}

/// The scope that authentication has granted. A route that is reached without any is refused.
impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let refused =
            || Problem::new(StatusCode::UNAUTHORIZED, "this resource is for those who are authenticated");
        parts.extensions.get::<Self>().cloned().ok_or_else(refused)
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_presents_the_token_is_let_in() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, axum::http::HeaderValue::from_static(value))])
        };
        assert!(presents(&with("Bearer secret"), "secret"));
        for headers in
            [HeaderMap::new(), with(""), with("Bearer "), with("Bearer secre"), with("Basic secret")]
        {
            assert!(!presents(&headers, "secret"), "{headers:?}");
            assert!(!presents(&headers, ""), "an empty token lets nobody in: {headers:?}");
        }
    }
}
