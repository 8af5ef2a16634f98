//! A card in Microsoft Teams, through a workflow's webhook (Adaptive Cards 1.4). All texts of findings are text runs, which
//! know no markup; facts, which do, are escaped.

use crate::client::Http;
use crate::outbox::Due;
use crate::receiver::notice::Notice;
use crate::receiver::slack::{post, secret_url};
use crate::schedule::Outcome;
use ambit_bus::SecretRef;
use ambit_schemas::finding::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;

/// A Teams channel or chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TeamsOptions {
    /// The workflow's URL. Whoever knows it can post: it is a secret.
    pub webhook_url: SecretRef,
}

#[derive(Debug, Clone)]
pub(super) struct Teams {
    options: Arc<TeamsOptions>,
    http: Http,
}

impl Teams {
    pub(super) fn new(options: &TeamsOptions, http: Http) -> Result<Self, String> {
        http.check(&secret_url(&options.webhook_url)?)
            .map_err(|why| format!("field `webhook_url`: {why}"))?;
        Ok(Self { options: Arc::new(options.clone()), http })
    }

    /// A workflow answers 202 when it has begun; whether the card appears it does not say.
    pub(super) async fn send(&self, due: &Due) -> Outcome {
        let body = card(&Notice::of(due));
        let sent = post(&self.http, &self.options.webhook_url, &body).await;
        sent.map_or_else(
            |failed| failed,
            |answer| match answer.status {
                202 => Outcome::Done { status: 202, evidence: None },
                200..=299 => answer.garbage(),
                _ => answer.by_status(),
            },
        )
    }
}

/// What Adaptive Cards read as markup (a part of Markdown), and templates (`${`).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if "\\`*_{}[]()<>#+-.!|~$&:/@".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

fn card(notice: &Notice) -> Value {
    let colour = match notice.severity {
        Severity::Info | Severity::Low => "default",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "attention",
    };
    let runs = |run: Value| json!({"type": "RichTextBlock", "inlines": [run]});
    let facts: Vec<Value> =
        notice.facts.iter().map(|(label, value)| json!({"title": label, "value": escape(value)})).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [
                    runs(json!({
                        "type": "TextRun", "text": notice.title, "weight": "bolder", "size": "medium",
                        "color": colour,
                    })),
                    runs(json!({"type": "TextRun", "text": notice.reason})),
                    {"type": "FactSet", "facts": facts},
                ],
            },
        }],
    })
}
