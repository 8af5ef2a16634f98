//! An incident in PagerDuty (Events API v2): one per finding, however often it is told.

use crate::client::{Http, secret};
use crate::outbox::Due;
use crate::receiver::notice::Notice;
use crate::schedule::Outcome;
use ambit_bus::SecretRef;
use ambit_schemas::finding::Severity;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use url::Url;

/// A PagerDuty service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PagerdutyOptions {
    /// The integration's key.
    pub routing_key: SecretRef,
    /// Where events go; another one in the EU.
    #[serde(default = "default_url")]
    pub url: Url,
}

fn default_url() -> Url {
    Url::parse("https://events.pagerduty.com/v2/enqueue").unwrap_or_else(|_| unreachable!("a constant URL"))
}

#[derive(Debug, Clone)]
pub(super) struct Pagerduty {
    options: Arc<PagerdutyOptions>,
    http: Http,
}

#[derive(Debug, Deserialize)]
struct Taken {
    status: String,
}

impl Pagerduty {
    pub(super) fn new(options: &PagerdutyOptions, http: Http) -> Result<Self, String> {
        options.routing_key.read()?;
        Ok(Self { options: Arc::new(options.clone()), http })
    }

    pub(super) async fn send(&self, due: &Due) -> Outcome {
        let key = match secret(&self.options.routing_key) {
            Ok(key) => key,
            Err(failed) => return failed,
        };
        let request = self.http.request(Method::POST, &self.options.url).json(&event(due, &key));
        let answer = match self.http.exchange(request).await {
            Ok(answer) => answer,
            Err(failed) => return failed,
        };
        match (answer.status, answer.json::<Taken>()) {
            (202, Some(taken)) if taken.status == "success" => Outcome::Done { status: 202, evidence: None },
            (200..=299, _) => answer.garbage(),
            _ => answer.by_status(),
        }
    }
}

fn event(due: &Due, routing_key: &str) -> Value {
    let (notice, finding) = (Notice::of(due), &due.finding);
    let severity = match notice.severity {
        Severity::Info => "info",
        Severity::Low | Severity::Medium => "warning",
        Severity::High => "error",
        Severity::Critical => "critical",
    };
    let mut details = Map::new();
    details.insert("Reason".to_owned(), json!(notice.reason));
    for (label, value) in &notice.facts {
        details.insert((*label).to_owned(), json!(value));
    }
    let agent = finding.agent.as_ref().map_or("an unknown agent", |agent| agent.uid.as_str());
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": finding.id.as_str(),
        "client": "Ambit",
        "payload": {
            "summary": format!("{}: {}", notice.title, notice.reason).chars().take(1_024).collect::<String>(),
            "source": agent,
            "severity": severity,
            "timestamp": finding.time,
            "class": finding.rule.id.as_str(),
            "group": finding.tenant.as_str(),
            "custom_details": details,
        },
    })
}
