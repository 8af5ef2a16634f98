//! Documents that somebody has configured the address of, such as an identity provider's keys: got with the client that
//! guards webhooks, since no other part of the program calls out.

use crate::guard::{Guard, GuardedResolver, Refused};
use futures::StreamExt;
use reqwest::Client;
use reqwest::redirect::Policy;
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
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
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver::new(Arc::clone(&guard))))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(WITHIN)
            .user_agent(concat!("ambit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(FetchError::Client)?;
        Ok(Self { client, guard })
    }

    /// The body of a successful answer.
    pub async fn get(&self, url: &str) -> Result<Vec<u8>, FetchError> {
        let url = Url::parse(url)?;
        self.guard.check_url(&url)?;
        let why = |error: reqwest::Error| FetchError::NoAnswer(crate::client::class_of(&error));
        let response = self.client.get(url).send().await.map_err(why)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let (mut body, mut read) = (response.bytes_stream(), Vec::new());
        while let Some(chunk) = body.next().await {
            read.extend_from_slice(&chunk.map_err(why)?);
            if read.len() > BYTES_MAX {
                return Err(FetchError::TooLarge);
            }
        }
        Ok(read)
    }
}
