//! Errors as `application/problem+json` (RFC 9457): one message for the caller, another for the log.

use crate::error::Error;
use crate::limits::TooMuch;
use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// A problem as it is answered.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemView {
    /// What kind of problem it is: `about:blank`, so what its status says.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong here, and what to do about it.
    detail: String,
    /// Which character of a query is wrong, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<usize>,
}

/// What a caller is told.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    detail: String,
    challenge: &'static str,
    retry_after: u64,
    /// Which character of a query is wrong, from 0.
    position: Option<usize>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), challenge: "Bearer", retry_after: 1, position: None }
    }

    /// What `WWW-Authenticate` says to who is not let in (RFC 6750, section 3).
    pub(crate) const fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = challenge;
        self
    }

    /// Seconds after which it is worth asking again.
    pub(crate) const fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = seconds;
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error").to_owned();
        let body = ProblemView {
            kind: "about:blank",
            title,
            status: self.status.as_u16(),
            detail: self.detail,
            position: self.position,
        };
        let mut response = (self.status, Json(body)).into_response();
        let media_type = header::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            response.headers_mut().insert(header::RETRY_AFTER, self.retry_after.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = header::HeaderValue::from_static(self.challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

/// Layers below speak of errors in plain text, or not at all: their answers become problems too.
pub(crate) async fn for_all(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = kind.is_some_and(|kind| kind.contains("json"));
    if said || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let detail = match status {
        StatusCode::PAYLOAD_TOO_LARGE => "the body is larger than this API takes",
        StatusCode::GATEWAY_TIMEOUT => "it took too long: narrow the time range or add a filter",
        StatusCode::INTERNAL_SERVER_ERROR => "something went wrong here: the log says what",
        _ => "it cannot be answered",
    };
    Problem::new(status, detail).into_response()
}

impl From<TooMuch> for Problem {
    fn from(much: TooMuch) -> Self {
        let detail = format!("{}: come back later", much.what);
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).retry_after(much.wait)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Bad(_) | Error::Query(_) => StatusCode::BAD_REQUEST,
            Error::NotFound(_) => StatusCode::NOT_FOUND,
            Error::Forbidden(_) => StatusCode::FORBIDDEN,
            Error::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Error::Timeout(_) => StatusCode::GATEWAY_TIMEOUT,
            Error::Store(_)
            | Error::Engine(_)
            | Error::Ledger(_)
            | Error::Tiles(_)
            | Error::Row(_)
            | Error::IndexFolder { .. }
            | Error::Unwritable(_)
            | Error::Cancelled => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::error!(%error, cause, "a question failed");
        }
        let position = if let Error::Query(wrong) = &error { Some(wrong.position) } else { None };
        Self { position, ..Self::new(status, error.to_string()) }
    }
}
