//! One try of one webhook: bounded in time and bytes, without redirects or proxies.

use crate::error::Error;
use crate::guard::{GuardedResolver, check_url};
use crate::options::ReceiverOptions;
use crate::schedule::Outcome;
use crate::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookKey};
use ambit_schemas::id::ReceiverId;
use futures::StreamExt;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, header};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);

/// A receiver, ready to be sent to.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) id: ReceiverId,
    pub(crate) concurrency: usize,
    url: Url,
    allow_private: bool,
    keys: Arc<Vec<WebhookKey>>,
    client: Client,
}

impl Receiver {
    pub(crate) fn new(options: &ReceiverOptions) -> Result<Self, Error> {
        options.check()?;
        let fail = |why: String| Error::Receiver { id: options.id.to_string(), why };
        let mut keys = Vec::new();
        for secret in &options.secrets {
            let text = secret.read().map_err(fail)?;
            keys.push(WebhookKey::parse(&text).map_err(|error| fail(error.to_string()))?);
        }
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .dns_resolver(Arc::new(GuardedResolver { allow_private: options.allow_private }))
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(Duration::from_millis(options.timeout_ms))
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(options.concurrency)
            .tcp_nodelay(true)
            .user_agent(concat!("ambit/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(Error::Client)?;
        Ok(Self {
            id: options.id.clone(),
            concurrency: options.concurrency,
            url: options.url.clone(),
            allow_private: options.allow_private,
            keys: Arc::new(keys),
            client,
        })
    }

    /// Sends a body once. `timestamp` is seconds since 1970.
    pub(crate) async fn send(&self, id: &str, timestamp: i64, body: Vec<u8>) -> Outcome {
        if check_url(&self.url, self.allow_private).is_err() {
            return Outcome::Failed("refused_address");
        }
        let signatures: Vec<String> = self.keys.iter().map(|key| key.sign(id, timestamp, &body)).collect();
        let sent = self
            .client
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID_HEADER, id)
            .header(TIMESTAMP_HEADER, timestamp.to_string())
            .header(SIGNATURE_HEADER, signatures.join(" "))
            .body(body)
            .send()
            .await;
        match sent {
            Ok(response) => {
                let status = response.status().as_u16();
                let retry_after = retry_after(&response);
                drain(response).await;
                Outcome::Status { status, retry_after }
            }
            Err(error) => Outcome::Failed(class_of(&error)),
        }
    }
}

/// Seconds of `Retry-After`; dates are not honoured.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Reads the answer, up to the bound, so that the connection can be used again. What it says is of no interest.
async fn drain(response: Response) {
    let mut body = response.bytes_stream();
    let mut read = 0;
    while let Some(Ok(chunk)) = body.next().await {
        read += chunk.len();
        if read > ANSWER_BYTES_MAX {
            return;
        }
    }
}

/// What went wrong, from a closed list; nothing of the receiver's answer goes into events.
pub(crate) fn class_of(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(next) = cause {
        if next.is::<crate::guard::Refused>() {
            return "refused_address";
        }
        cause = next.source();
    }
    if error.is_timeout() {
        "timeout"
    } else if error.is_connect() {
        "connect"
    } else if error.is_request() {
        "request"
    } else {
        "other"
    }
}
