//! Security event tokens, pushed (RFC 8935).

use crate::client::{Answer, Http, secret};
use crate::outbox::Due;
use crate::schedule::Outcome;
use crate::set::{SetOptions, sets};
use crate::transmitter::Transmitter;
use ambit_bus::SecretRef;
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

/// A receiver of security event tokens that listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetPushOptions {
    /// Where tokens go.
    pub url: Url,
    /// The bearer token that the receiver asks for, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer: Option<SecretRef>,
    /// What it is told.
    pub set: SetOptions,
}

#[derive(Debug, Clone)]
pub(super) struct SetPush {
    options: Arc<SetPushOptions>,
    transmitter: Arc<Transmitter>,
    http: Http,
}

/// What a receiver answers when it does not take a token (RFC 8935, 2.3).
#[derive(Debug, Deserialize)]
struct Refusal {
    err: String,
}

/// What follows from an error code (RFC 8935, 2.4; RFC 8936, 2.6): whether it may be different later, when the receiver
/// has fetched new keys or one of the two has been set right, and what it is called in events.
pub(super) fn meaning(code: &str) -> (bool, &'static str) {
    match code {
        "invalid_key" => (true, "set_invalid_key"),
        "authentication_failed" => (true, "set_authentication_failed"),
        "invalid_request" => (false, "set_invalid_request"),
        "invalid_issuer" => (false, "set_invalid_issuer"),
        "invalid_audience" => (false, "set_invalid_audience"),
        "access_denied" => (false, "set_access_denied"),
        _ => (false, "set_error"),
    }
}

impl SetPush {
    pub(super) fn new(
        options: &SetPushOptions,
        http: Http,
        transmitter: Arc<Transmitter>,
    ) -> Result<Self, String> {
        if let Some(bearer) = &options.bearer {
            bearer.read()?;
        }
        Ok(Self { options: Arc::new(options.clone()), transmitter, http })
    }

    /// Taken when the receiver has taken every token of the delivery. It takes each once, by its `jti`.
    pub(super) async fn send(&self, due: &Due, timestamp: i64) -> Outcome {
        let mut status = 202;
        for set in sets(&self.options.set, &self.transmitter, due, timestamp) {
            let Ok(token) = self.transmitter.sign(&set.claims) else { return Outcome::Failed("sign") };
            let outcome = self.push(token).await;
            let Outcome::Done { status: code, .. } = outcome else { return outcome };
            status = code;
        }
        Outcome::Done { status, evidence: None }
    }

    async fn push(&self, token: String) -> Outcome {
        let mut request = self
            .http
            .request(Method::POST, &self.options.url)
            .header(header::CONTENT_TYPE, "application/secevent+jwt")
            .header(header::ACCEPT, "application/json")
            .body(token);
        if let Some(bearer) = &self.options.bearer {
            match secret(bearer) {
                Ok(bearer) => request = request.bearer_auth(bearer.as_str()),
                Err(failed) => return failed,
            }
        }
        self.http.exchange(request).await.map_or_else(|failed| failed, |answer| outcome(&answer))
    }
}

fn outcome(answer: &Answer) -> Outcome {
    match answer.status {
        202 => Outcome::Done { status: 202, evidence: None },
        400 => match answer.json::<Refusal>() {
            Some(refusal) => match meaning(&refusal.err) {
                (true, class) => answer.later(class),
                (false, class) => answer.refused(class),
            },
            None => answer.refused("set_error"),
        },
        // Only 202 acknowledges (RFC 8935, 2.2): a page in between may answer 200 to anything.
        200..=299 => answer.garbage(),
        _ => answer.by_status(),
    }
}
