//! Revocation of tokens and leases in HashiCorp Vault or OpenBao, looked at by lookup.
//!
//! A token is named by its accessor, a lease by its id, which contains a `/`. Audit devices write accessors as keyed
//! hashes unless they are told otherwise (`hmac_accessor=false`): from such a hash nothing can be revoked.

use crate::client::{Answer, Http, secret};
use crate::outbox::Due;
use crate::receiver::choose::{Credentials, each};
use crate::schedule::{Evidence, Outcome};
use ambit_bus::SecretRef;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use url::Url;

/// How an audit device writes what it hides.
const HASHED: &str = "hmac-sha256:";

/// A Vault or OpenBao server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultOptions {
    /// Its address, as in `VAULT_ADDR`.
    pub url: Url,
    /// The token that may revoke (`update` on `auth/token/revoke-accessor`, `auth/token/lookup-accessor`,
    /// `sys/leases/revoke`, `sys/leases/lookup`).
    pub token: SecretRef,
    /// The namespace, where there are some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Which credentials are this server's, as globs; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Vault {
    options: Arc<VaultOptions>,
    credentials: Credentials,
    http: Http,
}

/// How Vault says that something is wrong.
#[derive(Debug, Deserialize)]
struct Errors {
    errors: Vec<String>,
}

/// What it knows of a token or lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    There,
    Gone,
    /// It could not be asked, or did not say.
    Unclear,
}

/// What is revoked: paths and bodies differ.
#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Accessor(&'a str),
    Lease(&'a str),
}

impl What<'_> {
    const fn revoke(self) -> &'static [&'static str] {
        match self {
            Self::Accessor(_) => &["auth", "token", "revoke-accessor"],
            Self::Lease(_) => &["sys", "leases", "revoke"],
        }
    }

    const fn lookup(self) -> &'static [&'static str] {
        match self {
            Self::Accessor(_) => &["auth", "token", "lookup-accessor"],
            Self::Lease(_) => &["sys", "leases", "lookup"],
        }
    }

    /// `sync` waits until the secret behind a lease is gone: without it, an error there would stay unknown.
    fn body(self, revoke: bool) -> Value {
        match self {
            Self::Accessor(accessor) => json!({"accessor": accessor}),
            Self::Lease(lease) if revoke => json!({"lease_id": lease, "sync": true}),
            Self::Lease(lease) => json!({"lease_id": lease}),
        }
    }
}

/// Whether an answer says that there is no such token or lease.
fn says_gone(answer: &Answer) -> bool {
    let Some(Errors { errors }) = answer.json() else { return false };
    matches!(answer.status, 400 | 403 | 404 | 500)
        && errors.iter().any(|error| {
            ["invalid accessor", "invalid lease", "lease not found"].iter().any(|words| error.contains(words))
        })
}

impl Vault {
    pub(super) fn new(options: &VaultOptions, http: Http) -> Result<Self, String> {
        if options.url.cannot_be_a_base() {
            return Err(
                "field `url`: it must be the server's address, such as https://vault.example:8200".into()
            );
        }
        options.token.read()?;
        let credentials = Credentials::new(&options.credentials)?;
        Ok(Self { options: Arc::new(options.clone()), credentials, http })
    }

    pub(super) async fn send(&self, due: &Due) -> Outcome {
        each(self.credentials.of(due), |uid| self.end(uid)).await
    }

    async fn end(&self, uid: &str) -> Outcome {
        if uid.starts_with(HASHED) {
            return Outcome::Refused { status: None, class: "hashed_accessor" };
        }
        let what = if uid.contains('/') { What::Lease(uid) } else { What::Accessor(uid) };
        // Vault calls what it never knew invalid as well: only what was there can be seen to go.
        let before = self.look(what).await;
        let answer = match self.ask(what.revoke(), &what.body(true)).await {
            Ok(answer) => answer,
            Err(failed) => return failed,
        };
        // A lease of a replication secondary or a slow backend is accepted with 202.
        let taken = matches!(answer.status, 200 | 202 | 204);
        if !taken && !says_gone(&answer) {
            return if answer.is_success() { answer.garbage() } else { answer.by_status() };
        }
        match self.look(what).await {
            Known::There => {
                Outcome::Later { status: Some(answer.status), class: "still_active", retry_after: None }
            }
            Known::Gone if before == Known::There => {
                let evidence = Evidence("lookup: there before, unknown after".to_owned());
                Outcome::Done { status: answer.status, evidence: Some(evidence) }
            }
            Known::Gone | Known::Unclear => Outcome::Done { status: answer.status, evidence: None },
        }
    }

    async fn look(&self, what: What<'_>) -> Known {
        match self.ask(what.lookup(), &what.body(false)).await {
            Ok(answer)
                if answer.status == 200
                    && answer
                        .json::<Value>()
                        .is_some_and(|said| said.get("data").is_some_and(Value::is_object)) =>
            {
                Known::There
            }
            Ok(answer) if says_gone(&answer) => Known::Gone,
            Ok(_) | Err(_) => Known::Unclear,
        }
    }

    async fn ask(&self, path: &[&str], body: &Value) -> Result<Answer, Outcome> {
        let mut url = self.options.url.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("v1").extend(path);
        }
        let mut request = self
            .http
            .request(Method::POST, &url)
            .header("X-Vault-Token", secret(&self.options.token)?.as_str())
            .header("X-Vault-Request", "true")
            .json(body);
        if let Some(namespace) = &self.options.namespace {
            request = request.header("X-Vault-Namespace", namespace);
        }
        self.http.exchange(request).await
    }
}
