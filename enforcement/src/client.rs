//! HTTP towards one receiver: bounded in time and bytes, without redirects or proxies, with TLS always checked.

use crate::error::Error;
use crate::guard::{Guard, GuardedResolver, Refused};
use crate::options::ReceiverOptions;
use crate::schedule::{self, Outcome};
use ambit_bus::SecretRef;
use ambit_schemas::id::ReceiverId;
use futures::StreamExt;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Method, RequestBuilder, Response, header};
use serde::de::DeserializeOwned;
use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use url::Url;
use zeroize::Zeroizing;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);

/// The way to one receiver.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    client: Client,
    guard: Arc<Guard>,
}

/// What a receiver answered.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `Retry-After`, where it is a number of seconds; dates are not honoured.
    pub(crate) retry_after: Option<Duration>,
    /// `None` where it is too long or did not come to its end.
    pub(crate) body: Option<Vec<u8>>,
}

impl Answer {
    /// What its status alone says.
    pub(crate) const fn by_status(&self) -> Outcome {
        Outcome::Status { status: self.status, retry_after: self.retry_after }
    }

    /// That it is not what this kind of receiver answers: a portal in between, or a wrong address. It may be right later.
    pub(crate) const fn garbage(&self) -> Outcome {
        Outcome::Later { status: Some(self.status), class: "garbage", retry_after: self.retry_after }
    }

    pub(crate) const fn later(&self, class: &'static str) -> Outcome {
        Outcome::Later { status: Some(self.status), class, retry_after: self.retry_after }
    }

    pub(crate) const fn refused(&self, class: &'static str) -> Outcome {
        Outcome::Refused { status: Some(self.status), class }
    }

    /// Its body as JSON, if it is that.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(self.body.as_deref()?).ok()
    }

    /// Whether it is a success (2xx).
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }
}

impl Http {
    pub(crate) fn new(options: &ReceiverOptions, guard: Guard) -> Result<Self, Error> {
        let guard = Arc::new(guard);
        let mut builder = guarded(&guard, Duration::from_millis(options.timeout_ms))
            .pool_max_idle_per_host(options.concurrency);
        if let Some(path) = &options.ca_file {
            builder = builder.tls_certs_only(authorities(&options.id, path)?);
        }
        Ok(Self { client: builder.build().map_err(Error::Client)?, guard })
    }

    /// Whether the receiver may have this URL.
    pub(crate) fn check(&self, url: &Url) -> Result<(), Refused> {
        self.guard.check_url(url)
    }

    pub(crate) fn request(&self, method: Method, url: &Url) -> RequestBuilder {
        self.client.request(method, url.clone())
    }

    /// Sends a request and reads the answer, up to the bound. The error says why there is none.
    pub(crate) async fn exchange(&self, request: RequestBuilder) -> Result<Answer, Outcome> {
        let request = request.build().map_err(|_| Outcome::Failed("request"))?;
        // Names are checked where they are resolved, addresses here.
        if self.check(request.url()).is_err() {
            return Err(Outcome::Failed("refused_address"));
        }
        match self.client.execute(request).await {
            Ok(response) => Ok(Answer {
                status: response.status().as_u16(),
                retry_after: retry_after(&response),
                // Read so that the connection can be used again.
                body: body_within(response, ANSWER_BYTES_MAX).await.unwrap_or_default(),
            }),
            Err(error) => Err(Outcome::Failed(class_of(&error))),
        }
    }
}

/// How everything that leaves this machine is sent: only to whom the guard allows, without redirects or proxies, in bounded
/// time.
pub(crate) fn guarded(guard: &Arc<Guard>, within: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .dns_resolver(Arc::new(GuardedResolver::new(Arc::clone(guard))))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(within)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
        .referer(false)
        .user_agent(concat!("ambit/", env!("CARGO_PKG_VERSION")))
}

/// The certificates of a PEM file.
fn authorities(id: &ReceiverId, path: &Path) -> Result<Vec<Certificate>, Error> {
    let fail = |why: String| Error::Receiver { id: id.to_string(), why };
    let pem = std::fs::read(path)
        .map_err(|error| fail(format!("`ca_file` {} cannot be read: {error}", path.display())))?;
    let found = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if found.is_empty() {
        return Err(fail(format!("`ca_file` {} holds no certificate in PEM", path.display())));
    }
    Ok(found)
}

/// Reads a secret anew, so that one that is renewed in its file is used without a restart.
pub(crate) fn secret(reference: &SecretRef) -> Result<Zeroizing<String>, Outcome> {
    reference.read().map_err(|_| Outcome::Failed("secret"))
}

/// How long `Retry-After` asks to wait.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    schedule::retry_after(text, SystemTime::now())
}

/// The body of an answer; `None` when it is longer than `most`.
pub(crate) async fn body_within(response: Response, most: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let (mut chunks, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk?;
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// What TLS has against a certificate comes as an I/O error of this kind, inside of others.
fn is_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<std::io::Error>());
    error.kind() == std::io::ErrorKind::InvalidData || inner.is_some_and(is_tls)
}

/// What went wrong, from a closed list; nothing of the receiver's answer goes into events.
pub(crate) fn class_of(error: &reqwest::Error) -> &'static str {
    let mut tls = false;
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(next) = cause {
        if next.is::<Refused>() {
            return "refused_address";
        }
        tls |= next.downcast_ref().is_some_and(is_tls);
        cause = next.source();
    }
    if error.is_timeout() {
        "timeout"
    } else if tls && error.is_connect() {
        "tls"
    } else if error.is_connect() {
        "connect"
    } else if error.is_request() {
        "request"
    } else {
        "other"
    }
}
