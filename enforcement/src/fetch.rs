//! Documents that somebody has configured the address of, such as an identity provider's keys, and what the command line
//! says to an API: with the client that guards webhooks, since no other part of the program calls out.

use crate::client::{body_within, class_of, guarded};
use crate::guard::{Guard, Refused};
use reqwest::{Client, header};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long the whole may take.
const WITHIN: Duration = Duration::from_secs(5);
/// Most bytes of a document.
const BYTES_MAX: usize = 1 << 20;

/// Why a document was not had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client cannot be set up.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    /// The address is none.
    #[error("the address is no URL")]
    Url(#[from] url::ParseError),
    /// The address is not one that may be called.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// There was no answer.
    #[error("there was no answer: {0}")]
    NoAnswer(&'static str),
    /// The answer was no success.
    #[error("the answer was status {0}")]
    Status(u16),
    /// The answer is too large.
    #[error("the answer has more than {BYTES_MAX} bytes")]
    TooLarge,
}

/// What an API answered, whatever its status.
#[derive(Debug, Clone)]
pub struct Replied {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// Gets documents over HTTPS, without redirects or proxies.
#[derive(Debug, Clone)]
pub struct Fetcher {
    client: Client,
    guard: Arc<Guard>,
}

impl Fetcher {
    /// A fetcher. Addresses on private networks, and such without TLS, are called only when that is allowed.
    pub fn new(allow_private: bool) -> Result<Self, FetchError> {
        let guard = Arc::new(Guard { allow_private, networks: Vec::new(), hosts: None });
        let client = guarded(&guard, WITHIN).build().map_err(FetchError::Client)?;
        Ok(Self { client, guard })
    }

    /// The body of a successful answer.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let url = Url::parse(url)?;
        self.guard.check_url(&url)?;
        let why = |error: reqwest::Error| FetchError::NoAnswer(class_of(&error));
        let response = self.client.get(url).send().await.map_err(why)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        body_within(response, BYTES_MAX).await.map_err(why)?.ok_or(FetchError::TooLarge)
    }

    /// Sends JSON with a bearer token.
    pub async fn post(&self, url: &Url, token: &str, json: Vec<u8>) -> Result<Replied, FetchError> {
        self.guard.check_url(url)?;
        let why = |error: reqwest::Error| FetchError::NoAnswer(class_of(&error));
        let request = self.client.post(url.clone()).bearer_auth(token).body(json);
        let response = request.header(header::CONTENT_TYPE, "application/json").send().await.map_err(why)?;
        let status = response.status().as_u16();
        let body = body_within(response, BYTES_MAX).await.map_err(why)?.ok_or(FetchError::TooLarge)?;
        Ok(Replied { status, body })
    }
}
