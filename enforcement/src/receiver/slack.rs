//! A message in Slack, through an incoming webhook (Block Kit). All texts of findings are `plain_text`, which knows no
//! links, mentions or markup; the line shown in notifications is escaped as Slack asks for.

use crate::client::{Answer, Http, secret};
use crate::outbox::Due;
use crate::receiver::notice::Notice;
use crate::schedule::Outcome;
use ambit_bus::SecretRef;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// A Slack channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackOptions {
    /// The incoming webhook's URL. Whoever knows it can post: it is a secret.
    pub webhook_url: SecretRef,
}

#[derive(Debug, Clone)]
pub(super) struct Slack {
    options: Arc<SlackOptions>,
    http: Http,
}

/// Reads a URL that is a secret.
pub(super) fn secret_url(reference: &SecretRef) -> Result<Url, String> {
    Url::parse(&reference.read()?).map_err(|_| "field `webhook_url`: the secret is not a URL".to_owned())
}

/// Posts to a URL that is a secret.
pub(super) async fn post(http: &Http, reference: &SecretRef, body: &Value) -> Result<Answer, Outcome> {
    let url = Url::parse(&secret(reference)?).map_err(|_| Outcome::Failed("secret"))?;
    http.exchange(http.request(Method::POST, &url).json(body)).await
}

impl Slack {
    pub(super) fn new(options: &SlackOptions, http: Http) -> Result<Self, String> {
        http.check(&secret_url(&options.webhook_url)?)
            .map_err(|why| format!("field `webhook_url`: {why}"))?;
        Ok(Self { options: Arc::new(options.clone()), http })
    }

    pub(super) async fn send(&self, due: &Due) -> Outcome {
        let answer = match post(&self.http, &self.options.webhook_url, &message(&Notice::of(due))).await {
            Ok(answer) => answer,
            Err(failed) => return failed,
        };
        let said = answer.body.as_deref().unwrap_or_default();
        match answer.status {
            200 if said == b"ok" => Outcome::Done { status: 200, evidence: None },
            200..=299 => answer.garbage(),
            _ => answer.by_status(),
        }
    }
}

/// `&`, `<` and `>` begin what Slack interprets.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn message(notice: &Notice) -> Value {
    let plain = |text: &str| json!({"type": "plain_text", "text": text, "emoji": false});
    let fields: Vec<Value> =
        notice.facts.iter().map(|(label, value)| plain(&format!("{label}: {value}"))).collect();
    json!({
        "text": escape(&format!("{}: {}", notice.severity.name(), notice.title)),
        "mrkdwn": false,
        "unfurl_links": false,
        "unfurl_media": false,
        "blocks": [
            {"type": "header", "text": plain(&notice.title)},
            {"type": "section", "text": plain(&notice.reason)},
            {"type": "section", "fields": fields},
        ],
    })
}
