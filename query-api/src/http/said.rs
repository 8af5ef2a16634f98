//! What callers say, beside what they ask: bodies read, texts checked, and the event that comes of it written.

use crate::access::Caller;
use crate::error::Error;
use crate::http::problem::Problem;
use crate::reach::About;
use crate::service::Service;
use crate::trail::{INSTALLATION, SOURCE};
use ambit_schemas::event::{Body as EventBody, Event, TaskRef};
use ambit_schemas::id::{EventId, EventSource, InvalidId, TenantId};
use ambit_schemas::triage::TriageState;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::convert::Infallible;
use utoipa::ToSchema;

/// Where something stands.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateParam {
    /// Nobody looks at it.
    Open,
    /// Somebody does.
    Acknowledged,
    /// It is done with.
    Closed,
}

impl From<StateParam> for TriageState {
    fn from(state: StateParam) -> Self {
        match state {
            StateParam::Open => Self::Open,
            StateParam::Acknowledged => Self::Acknowledged,
            StateParam::Closed => Self::Closed,
        }
    }
}

/// What was said and is recorded.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Said<T> {
    /// `topic:partition:offset` of the event that says it.
    #[serde(rename = "ref")]
    reference: String,
    /// How things stand with it.
    #[serde(rename = "now")]
    view: T,
}

/// A body in JSON.
#[derive(Debug)]
pub(crate) struct Body<T>(Result<Json<T>, JsonRejection>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Infallible;

    async fn from_request(request: Request, state: &S) -> Result<Self, Infallible> {
        Ok(Self(Json::from_request(request, state).await))
    }
}

impl<T> Body<T> {
    /// What it holds.
    pub(crate) fn read(self) -> Result<T, Problem> {
        self.0.map(|Json(read)| read).map_err(|error| {
            let status = match error.status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                StatusCode::PAYLOAD_TOO_LARGE => StatusCode::PAYLOAD_TOO_LARGE,
                _ => StatusCode::BAD_REQUEST,
            };
            Problem::new(status, format!("the body: {}", error.body_text()))
        })
    }
}

/// A text that says something, of bounded length.
pub(crate) fn text(name: &str, given: &str, most: usize) -> Result<String, Error> {
    let hidden = |letter: char| letter.is_control() && !matches!(letter, '\n' | '\t');
    match given.trim() {
        "" => Err(Error::Bad(format!("`{name}` says nothing"))),
        said if said.len() > most => {
            Err(Error::Bad(format!("`{name}` has {} bytes, more than {most}", said.len())))
        }
        said if said.chars().any(hidden) => Err(Error::Bad(format!("`{name}` holds control characters"))),
        said => Ok(said.to_owned()),
    }
}

/// Whose it is what a caller says: the one tenant that they see, or else the one that they name. INVARIANT Q-3
pub(crate) fn tenant(caller: &Caller, named: Option<String>) -> Result<TenantId, Error> {
    let named = named.map(TenantId::try_from).transpose();
    let named = named.map_err(|why| Error::Bad(format!("`tenant`: {why}")))?;
    match (caller.scope.only(), named) {
        (Some(only), Some(named)) if *only != named => {
            Err(Error::Forbidden(format!("your token speaks for `{only}` only")))
        }
        (Some(only), _) => Ok(only.clone()),
        (None, Some(named)) => Ok(named),
        (None, None) => TenantId::try_from(INSTALLATION).map_err(|_| Error::Cancelled),
    }
}

/// Writes what a caller says, and answers once Kafka has it.
pub(crate) async fn write<T>(
    app: &Service,
    caller: &Caller,
    tenant: TenantId,
    task: Option<TaskRef>,
    body: EventBody,
    view: T,
) -> Result<Said<T>, Problem> {
    write_about(app, caller, (tenant, None, task), body, view).await
}

/// The same about an agent.
pub(crate) async fn write_about<T>(
    app: &Service,
    caller: &Caller,
    about: About,
    body: EventBody,
    view: T,
) -> Result<Said<T>, Problem> {
    let event = event(app, caller, about, body).map_err(|why| Error::Bad(why.to_string()))?;
    publish(app, event, view).await
}

/// Writes an event, and answers once Kafka has it.
pub(crate) async fn publish<T>(app: &Service, event: Event, view: T) -> Result<Said<T>, Problem> {
    let (shard, offset) = app
        .publish
        .publish(event)
        .await
        .map_err(|error| Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))?;
    Ok(Said { reference: format!("{}:{}:{offset}", shard.topic, shard.partition), view })
}

/// What a caller says, as an event.
pub(crate) fn event(
    app: &Service,
    caller: &Caller,
    (tenant, agent, task): About,
    body: EventBody,
) -> Result<Event, InvalidId> {
    let id = format!("{}-{}", body.kind(), uuid::Uuid::now_v7().simple());
    Ok(Event {
        id: EventId::try_from(id)?,
        source: EventSource::try_from(SOURCE)?,
        time: (app.sources.now)(),
        tenant,
        agent,
        task,
        principal: None,
        credential_used: caller.credential.clone(),
        session: None,
        trace: None,
        redactions: Vec::new(),
        body,
    })
}
