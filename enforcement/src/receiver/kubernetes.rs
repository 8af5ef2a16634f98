//! Deletion of a Kubernetes service account, which ends every token that is bound to it, or of its token secrets only.
//!
//! Which service account is an agent's: `system:serviceaccount:<namespace>:<name>`, as Kubernetes writes it;
//! `spiffe://<trust domain>/ns/<namespace>/sa/<name>`, where the trust domain is this cluster's; or what the
//! configuration names. Only namespaces that `namespaces` names are touched.
//!
//! What was made after the finding is not touched: it is not what the finding speaks of, and a try that comes late must not
//! delete what an operator has put in place again.

use crate::client::{Answer, Http, secret};
use crate::options::globs;
use crate::outbox::Due;
use crate::schedule::{Evidence, Outcome};
use ambit_bus::SecretRef;
use ambit_schemas::Timestamp;
use globset::{Glob, GlobMatcher, GlobSet};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// Most characters of a name (RFC 1123 subdomain).
const NAME_CHARS_MAX: usize = 253;
/// Most secrets of one service account that are deleted by one delivery.
const SECRETS_MAX: usize = 100;

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesOptions {
    /// Its API server.
    pub url: Url,
    /// The token that may `get` and `delete` service accounts, or `list` and `delete` secrets.
    pub token: SecretRef,
    /// Which namespaces may be touched, as globs.
    pub namespaces: Vec<String>,
    /// What is deleted.
    #[serde(default)]
    pub delete: Delete,
    /// The trust domain of the cluster's SPIFFE ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_domain: Option<String>,
    /// Agents that are not named by their service account.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentAccount>,
}

/// What is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delete {
    /// The service account: all its tokens end.
    #[default]
    ServiceAccount,
    /// Its secrets of type `kubernetes.io/service-account-token`: long-lived tokens end, bound ones go on.
    TokenSecrets,
}

/// The service account of some agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentAccount {
    /// Their names, as a glob.
    pub agent: String,
    /// The namespace.
    pub namespace: String,
    /// The service account's name.
    pub service_account: String,
}

#[derive(Debug, Clone)]
pub(super) struct Kubernetes {
    options: Arc<KubernetesOptions>,
    allowed: GlobSet,
    agents: Arc<Vec<(GlobMatcher, AgentAccount)>>,
    http: Http,
}

/// What is known of an object.
#[derive(Debug, Deserialize)]
struct Object {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    uid: String,
    creation_timestamp: Option<String>,
    #[serde(default)]
    annotations: std::collections::BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct List {
    items: Vec<Object>,
}

/// A service account's namespace and name.
type Account<'a> = (&'a str, &'a str);

fn is_name(text: &str) -> bool {
    let plain =
        |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '-' | '.');
    !text.is_empty() && text.len() <= NAME_CHARS_MAX && text.chars().all(plain) && !text.starts_with('.')
}

impl Kubernetes {
    pub(super) fn new(options: &KubernetesOptions, http: Http) -> Result<Self, String> {
        if options.url.cannot_be_a_base() {
            return Err("field `url`: it must be the API server's address".into());
        }
        options.token.read()?;
        let allowed = globs("namespaces", &options.namespaces)?
            .ok_or("field `namespaces`: name the namespaces that may be touched")?;
        let mut agents = Vec::new();
        for mapped in &options.agents {
            let glob = Glob::new(&mapped.agent).map_err(|error| format!("field `agents`: {error}"))?;
            agents.push((glob.compile_matcher(), mapped.clone()));
        }
        Ok(Self { options: Arc::new(options.clone()), allowed, agents: Arc::new(agents), http })
    }

    fn account<'a>(&'a self, agent: &'a str) -> Result<Account<'a>, &'static str> {
        let named = self.agents.iter().find(|(glob, _)| glob.is_match(agent));
        let named = named.map(|(_, mapped)| (mapped.namespace.as_str(), mapped.service_account.as_str()));
        let spiffe = || {
            let domain = self.options.trust_domain.as_deref()?;
            let path = agent.strip_prefix("spiffe://")?.strip_prefix(domain)?.strip_prefix("/ns/")?;
            path.split_once("/sa/")
        };
        let own = || agent.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'));
        let (namespace, name) = named.or_else(own).or_else(spiffe).ok_or("no_target")?;
        let is_allowed = is_name(namespace) && is_name(name) && self.allowed.is_match(namespace);
        if is_allowed { Ok((namespace, name)) } else { Err("not_allowed") }
    }

    pub(super) async fn send(&self, due: &Due) -> Outcome {
        let agent = due.finding.agent.as_ref().map_or("", |agent| agent.uid.as_str());
        let account = match self.account(agent) {
            Ok(account) => account,
            Err(class) => return Outcome::Refused { status: None, class },
        };
        let done = match self.options.delete {
            Delete::ServiceAccount => self.delete_account(account, due.finding.time).await,
            Delete::TokenSecrets => self.delete_secrets(account, due.finding.time).await,
        };
        done.unwrap_or_else(|other| other)
    }

    async fn delete_account(
        &self,
        (namespace, name): Account<'_>,
        before: Timestamp,
    ) -> Result<Outcome, Outcome> {
        let path = ["namespaces", namespace, "serviceaccounts", name];
        let Some(found) = self.get::<Object>(&path).await? else {
            return Ok(gone(404, "the service account is not there"));
        };
        if found.is_newer_than(before) {
            return Ok(gone(200, "the service account was made after the finding"));
        }
        let status = self.delete(&path, &found).await?;
        // One that waits for finalizers is still shown; another of the same name is not the one that was deleted.
        let after = self.get::<Object>(&path).await.ok();
        Ok(match after {
            Some(after) if after.as_ref().is_none_or(|after| after.metadata.uid != found.metadata.uid) => {
                gone(status, "the service account was there before, not after")
            }
            _ => Outcome::Done { status, evidence: None },
        })
    }

    async fn delete_secrets(
        &self,
        (namespace, name): Account<'_>,
        before: Timestamp,
    ) -> Result<Outcome, Outcome> {
        let path = ["namespaces", namespace, "secrets"];
        let found = self.get::<List>(&path).await?.map_or_else(Vec::new, |list| list.items);
        let of_account = |object: &&Object| {
            let of = object.metadata.annotations.get("kubernetes.io/service-account.name");
            of.is_some_and(|of| of == name) && !object.is_newer_than(before)
        };
        let mut status = None;
        for secret in found.iter().filter(of_account).take(SECRETS_MAX) {
            if !is_name(&secret.metadata.name) {
                continue;
            }
            let path = ["namespaces", namespace, "secrets", &secret.metadata.name];
            status = Some(self.delete(&path, secret).await?);
        }
        let Some(status) = status else { return Ok(Outcome::Refused { status: None, class: "no_target" }) };
        let rest = self.get::<List>(&path).await.ok().flatten();
        Ok(match rest {
            Some(rest) if !rest.items.iter().any(|object| of_account(&object)) => {
                gone(status, "the token secrets were there before, not after")
            }
            _ => Outcome::Done { status, evidence: None },
        })
    }

    /// An object or a list; `None` where there is none.
    async fn get<T: serde::de::DeserializeOwned>(&self, path: &[&str]) -> Result<Option<T>, Outcome> {
        let mut url = self.url(path);
        if path.last() == Some(&"secrets") {
            url.query_pairs_mut().append_pair("fieldSelector", "type=kubernetes.io/service-account-token");
        }
        let answer = self.ask(Method::GET, &url, None).await?;
        match answer.status {
            200 => answer.json().map(Some).ok_or_else(|| answer.garbage()),
            404 if is_status(&answer) => Ok(None),
            404 | 201..=299 => Err(answer.garbage()),
            _ => Err(answer.by_status()),
        }
    }

    /// Deletes this very object: one of the same name that was made in between is left alone.
    async fn delete(&self, path: &[&str], object: &Object) -> Result<u16, Outcome> {
        let options = json!({
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": object.metadata.uid},
            "propagationPolicy": "Background",
        });
        let answer = self.ask(Method::DELETE, &self.url(path), Some(&options)).await?;
        match answer.status {
            200 | 202 => Ok(answer.status),
            404 if is_status(&answer) => Ok(404),
            404 | 201 | 203..=299 => Err(answer.garbage()),
            409 => Err(answer.later("conflict")),
            _ => Err(answer.by_status()),
        }
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.options.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["api", "v1"]).extend(path);
        }
        url
    }

    async fn ask(&self, method: Method, url: &Url, body: Option<&Value>) -> Result<Answer, Outcome> {
        let token = secret(&self.options.token)?;
        let mut request = self.http.request(method, url).bearer_auth(token.as_str());
        request = request.header(reqwest::header::ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        self.http.exchange(request).await
    }
}

impl Object {
    fn is_newer_than(&self, moment: Timestamp) -> bool {
        let made =
            self.metadata.creation_timestamp.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        made.is_some_and(|made| made > moment)
    }
}

/// Whether it is Kubernetes that says there is nothing, and not a proxy before it.
fn is_status(answer: &Answer) -> bool {
    answer.json::<Value>().is_some_and(|said| said.get("kind").is_some_and(|kind| kind == "Status"))
}

fn gone(status: u16, what: &str) -> Outcome {
    Outcome::Done { status, evidence: Some(Evidence(what.to_owned())) }
}
