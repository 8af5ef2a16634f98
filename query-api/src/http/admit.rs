//! Everything between a request and its handler: who asks, whether they may, whether there is room for it, and that it
//! is recorded.

use crate::access::{Caller, Denied, Permission, Role};
use crate::http::measured::Measured;
use crate::http::problem::Problem;
use crate::http::routes::{self, Recorded, Route};
use crate::limits::Ask;
use crate::scope::Scope;
use crate::service::Service;
use crate::trail::{Entry, asked};
use ambit_schemas::Timestamp;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use sha2::{Digest, Sha256};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use url::form_urlencoded;

/// Parameters that say where a page begins and how long it is: the question is the same.
const PAGING: [&str; 4] = ["cursor", "limit", "from", "to"];

/// Lets in who may ask, and sees to it that what they ask is recorded.
pub(crate) async fn admit(State(service): State<Arc<Service>>, mut request: Request, next: Next) -> Response {
    let now = (service.sources.now)();
    let address = address(&request);
    let caller = match service.access.authenticate(request.headers(), address, now).await {
        Ok(caller) => caller,
        Err(denied) => return Problem::from(denied).into_response(),
    };
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.unwrap_or_default();
    let Some(route) = routes::find(request.method().as_str(), &path) else {
        tracing::error!(path, "a route is missing from the table of routes: it is refused to everybody");
        return Problem::new(StatusCode::FORBIDDEN, "nobody may use this resource").into_response();
    };
    let slot = match service.access.running.enter(&service.options.limits, &caller, route.ask, now) {
        Ok(slot) => slot,
        Err(much) => return Problem::from(much).into_response(),
    };
    let entry = match open(&service, &caller, route, &mut request, now).await {
        Ok(entry) => entry,
        Err(problem) => return problem.into_response(),
    };
    if !caller.may(route.needs) {
        return Measured::wrap(Problem::forbidden(route.needs).into_response(), slot, entry);
    }
    request.extensions_mut().insert(caller.scope.clone().without_trail());
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    Measured::wrap(response, slot, entry)
}

/// From where a request comes. Whoever is served without a connection is one address.
fn address(request: &Request) -> IpAddr {
    let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
    connected.map_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

/// Takes room for the record of a question. Of what takes something out, the beginning is recorded at once: it may go on
/// for long.
async fn open(
    service: &Service,
    caller: &Caller,
    route: &Route,
    request: &mut Request,
    now: Timestamp,
) -> Result<Option<Entry>, Problem> {
    if route.recorded == Recorded::Otherwise {
        return Ok(None);
    }
    let full = || {
        let detail = "what is asked cannot be recorded now, so it is not answered: Kafka does not take the audit trail";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    };
    let digest = digest(request).await?;
    let (from, to) = (parameter(request.uri(), "from"), parameter(request.uri(), "to"));
    let name = format!("{} {}", route.method, route.path);
    let open = |exported| {
        let mut one = asked(caller, name.clone(), exported, now);
        one.record.query_sha256.clone_from(&digest);
        (one.record.from, one.record.to) = (from, to);
        service.trail.open(one, Arc::clone(&service.sources.now)).ok_or_else(full)
    };
    if route.ask == Ask::Stream {
        let mut begun = open(false)?;
        begun.note(|record| record.status = StatusCode::OK.as_u16());
        begun.finish(ambit_schemas::trail::Outcome::Complete);
    }
    open(route.recorded == Recorded::Export).map(Some)
}

fn parameter(uri: &Uri, name: &str) -> Option<Timestamp> {
    let mut pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    pairs.find(|(known, _)| known == name).and_then(|(_, value)| Timestamp::parse(value.trim()).ok())
}

/// SHA-256 of what is asked: method, path, parameters but those of the page, and body.
async fn digest(request: &mut Request) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    let (method, uri) = (request.method(), request.uri());
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    hash.update(format!("{method} {}\n", uri.path()));
    let query = uri.query().unwrap_or_default().as_bytes();
    let mut pairs: Vec<_> = form_urlencoded::parse(query)
        .filter(|(name, value)| !PAGING.contains(&name.as_ref()) && !value.is_empty())
        .collect();
    pairs.sort_unstable();
    hash.update(form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish());
    if request.method() == Method::POST {
        let body = std::mem::replace(request.body_mut(), Body::empty());
        let bytes = to_bytes(body, super::BODY_BYTES_MAX).await.map_err(|_| {
            Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is larger than this API takes, or broke off",
            )
        })?;
        hash.update("\n");
        hash.update(&bytes);
        *request.body_mut() = Body::from(bytes);
    }
    Ok(hex::encode(hash.finalize()))
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Missing => {
                Self::new(StatusCode::UNAUTHORIZED, "present a token: Authorization: Bearer ...")
            }
            Denied::Unknown => Self::new(StatusCode::UNAUTHORIZED, "the token is not accepted")
                .challenge("Bearer error=\"invalid_token\""),
            Denied::Expired => Self::new(StatusCode::UNAUTHORIZED, "the token is no longer valid")
                .challenge("Bearer error=\"invalid_token\", error_description=\"expired\""),
            Denied::Forbidden(why) => Self::new(StatusCode::FORBIDDEN, why),
            Denied::Wait(seconds) => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too many tokens from this address were not accepted",
            )
            .retry_after(seconds),
            Denied::Unavailable(why) => Self::new(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl Problem {
    /// For somebody whose roles do not suffice.
    pub(crate) fn forbidden(needed: Permission) -> Self {
        let roles = Role::who_may(needed);
        Self::new(StatusCode::FORBIDDEN, format!("your role may not do this; these may: {roles}"))
    }
}

/// The scope that authentication has granted. A route that is reached without any is refused.
impl<S: Send + Sync> FromRequestParts<S> for Scope {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

/// Who asks.
impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unauthenticated)
    }
}

fn unauthenticated() -> Response {
    Problem::new(StatusCode::UNAUTHORIZED, "this resource is for those who are authenticated").into_response()
}

impl Caller {
    /// The scope where one cannot tell what is asked for: with the audit trail for who may see it.
    pub(crate) fn scope_for_all(&self) -> Scope {
        let scope = self.scope.clone();
        if self.may(Permission::Trail) { scope } else { scope.without_trail() }
    }

    /// The scope for events of a kind: the audit trail is shown to who asks for it and may see it.
    pub(crate) fn scope_for(&self, kind: Option<&str>) -> Result<Scope, Problem> {
        if !kind.is_some_and(|kind| kind.starts_with("query.")) {
            return Ok(self.scope.clone().without_trail());
        }
        if self.may(Permission::Trail) {
            Ok(self.scope.clone())
        } else {
            Err(Problem::forbidden(Permission::Trail))
        }
    }
}
