//! Standard Webhooks 1.0: the delivery's body, signed.

use crate::client::Http;
use crate::outbox::Due;
use crate::schedule::Outcome;
use crate::sign::{ID_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, WebhookKey};
use ambit_bus::SecretRef;
use reqwest::{Method, header};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use url::Url;

/// A receiver of webhooks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookOptions {
    /// Where webhooks go.
    pub url: Url,
    /// Secrets that sign (`whsec_...` for HMAC, `whsk_...` for Ed25519); several while they are rotated.
    pub secrets: Vec<SecretRef>,
}

#[derive(Debug, Clone)]
pub(super) struct Webhook {
    url: Url,
    keys: Arc<Vec<WebhookKey>>,
    http: Http,
}

impl Webhook {
    pub(super) fn new(options: &WebhookOptions, http: Http) -> Result<Self, String> {
        if options.secrets.is_empty() {
            return Err("it has no secret: write `secrets = [{ file = \"...\" }]`".into());
        }
        let mut keys = Vec::new();
        for secret in &options.secrets {
            keys.push(WebhookKey::parse(&secret.read()?).map_err(|error| error.to_string())?);
        }
        Ok(Self { url: options.url.clone(), keys: Arc::new(keys), http })
    }

    /// Taken with any 2xx.
    pub(super) async fn send(&self, due: &Due, timestamp: i64) -> Outcome {
        let id = due.delivery_id.as_str();
        let signatures: Vec<String> =
            self.keys.iter().map(|key| key.sign(id, timestamp, &due.body)).collect();
        let request = self
            .http
            .request(Method::POST, &self.url)
            .header(header::CONTENT_TYPE, "application/json")
            .header(ID_HEADER, id)
            .header(TIMESTAMP_HEADER, timestamp.to_string())
            .header(SIGNATURE_HEADER, signatures.join(" "))
            .body(due.body.clone());
        self.http.exchange(request).await.map_or_else(|failed| failed, |answer| answer.by_status())
    }
}
