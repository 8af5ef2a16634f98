//! Token revocation at an OAuth authorization server (RFC 7009), looked at by introspection (RFC 7662).
//!
//! Ambit never holds a token's value, only what names it (`jti`, a handle, a reference). So this kind is for servers that
//! take such a name in place of the token; `token` says how the name is written.
//!
//! A server answers 200 to tokens that it does not know, and introspection calls them inactive. Evidence of an effect is
//! therefore only a token that was active before and is inactive after.

use crate::client::{Answer, Http, secret};
use crate::jwt::JwtKey;
use crate::outbox::Due;
use crate::receiver::choose::{Credentials, each};
use crate::schedule::{Evidence, Outcome};
use ambit_bus::SecretRef;
use reqwest::{Method, RequestBuilder, header};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::sync::Arc;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

/// What stands for the credential's name in `token`.
const NAME: &str = "{uid}";
/// Seconds for which an assertion of who Ambit is holds.
const ASSERTION_SECONDS: i64 = 60;

/// An authorization server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OauthRevokeOptions {
    /// Its revocation endpoint (RFC 7009).
    pub revocation_url: Url,
    /// Its introspection endpoint (RFC 7662); without it the effect is not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub introspection_url: Option<Url>,
    /// What is sent as `token`; `{uid}` is the credential's name.
    #[serde(default = "default_token")]
    pub token: String,
    /// `token_type_hint`, such as `access_token`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type_hint: Option<String>,
    /// Which credentials are this server's, as globs; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    /// Who Ambit is there.
    pub client_id: String,
    /// How it shows that.
    pub client_auth: ClientAuth,
    /// `aud` of what it signs for that: the server's issuer identifier, where the server asks for it; otherwise the URL
    /// that is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_audience: Option<String>,
}

fn default_token() -> String {
    NAME.to_owned()
}

/// How an OAuth client shows who it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientAuth {
    /// With its secret as HTTP Basic (RFC 6749, 2.3.1).
    SecretBasic(SecretRef),
    /// With its secret in the request's body.
    SecretPost(SecretRef),
    /// With a JWT that it signs (RFC 7523; OpenID Connect Core, 9).
    PrivateKeyJwt(SecretRef),
}

impl OauthRevokeOptions {
    pub(super) fn urls(&self) -> Vec<(&'static str, &Url)> {
        let introspection = self.introspection_url.as_ref().map(|url| ("introspection_url", url));
        std::iter::once(("revocation_url", &self.revocation_url)).chain(introspection).collect()
    }

    /// The key that signs as this client, where one does.
    pub(crate) fn client_key(&self) -> Result<Option<JwtKey>, String> {
        match &self.client_auth {
            ClientAuth::PrivateKeyJwt(reference) => JwtKey::parse(&reference.read()?).map(Some),
            ClientAuth::SecretBasic(_) | ClientAuth::SecretPost(_) => Ok(None),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct OauthRevoke {
    options: Arc<OauthRevokeOptions>,
    credentials: Credentials,
    key: Option<Arc<JwtKey>>,
    http: Http,
}

/// RFC 7662, 2.2.
#[derive(Debug, Deserialize)]
struct Introspected {
    active: bool,
}

/// RFC 6749, 5.2.
#[derive(Debug, Deserialize)]
struct Refusal {
    error: String,
}

impl OauthRevoke {
    pub(super) fn new(options: &OauthRevokeOptions, http: Http) -> Result<Self, String> {
        if !options.token.contains(NAME) {
            return Err(format!("field `token`: it must contain `{NAME}`, the credential's name"));
        }
        let key = options.client_key()?.map(Arc::new);
        if let ClientAuth::SecretBasic(reference) | ClientAuth::SecretPost(reference) = &options.client_auth {
            reference.read()?;
        }
        let credentials = Credentials::new(&options.credentials)?;
        Ok(Self { options: Arc::new(options.clone()), credentials, key, http })
    }

    pub(super) async fn send(&self, due: &Due, timestamp: i64) -> Outcome {
        each(self.credentials.of(due), |uid| self.end(uid, timestamp)).await
    }

    async fn end(&self, uid: &str, timestamp: i64) -> Outcome {
        let token = self.options.token.replace(NAME, uid);
        let before = self.is_active(&token, timestamp).await;
        let revoked = match self.ask(&self.options.revocation_url, &token, timestamp).await {
            Ok(answer) if answer.status == 200 => answer.status,
            Ok(answer) => return refusal(&answer),
            Err(failed) => return failed,
        };
        let evidence = match self.is_active(&token, timestamp).await {
            Ok(Some(true)) => {
                return Outcome::Later { status: Some(revoked), class: "still_active", retry_after: None };
            }
            Ok(Some(false)) if matches!(before, Ok(Some(true))) => {
                Some(Evidence("introspection: active before, inactive after".to_owned()))
            }
            // The token is revoked as far as the server says; that nobody could look at it does not undo that.
            Ok(_) | Err(_) => None,
        };
        Outcome::Done { status: revoked, evidence }
    }

    /// Whether the server calls a token active; `None` where it cannot be asked.
    async fn is_active(&self, token: &str, timestamp: i64) -> Result<Option<bool>, Outcome> {
        let Some(url) = &self.options.introspection_url else { return Ok(None) };
        let answer = self.ask(url, token, timestamp).await?;
        if answer.status != 200 {
            return Err(answer.by_status());
        }
        let said: Introspected = answer.json().ok_or_else(|| answer.garbage())?;
        Ok(Some(said.active))
    }

    async fn ask(&self, url: &Url, token: &str, timestamp: i64) -> Result<Answer, Outcome> {
        let mut form = vec![("token", token.to_owned())];
        if let Some(hint) = &self.options.token_type_hint {
            form.push(("token_type_hint", hint.clone()));
        }
        let mut request = self.http.request(Method::POST, url).header(header::ACCEPT, "application/json");
        request = self.authenticate(request, url, &mut form, timestamp)?;
        let body = Serializer::new(String::new()).extend_pairs(&form).finish();
        let request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.http.exchange(request.body(body)).await
    }

    fn authenticate(
        &self,
        request: RequestBuilder,
        url: &Url,
        form: &mut Vec<(&'static str, String)>,
        timestamp: i64,
    ) -> Result<RequestBuilder, Outcome> {
        let client = &self.options.client_id;
        match &self.options.client_auth {
            ClientAuth::SecretBasic(reference) => {
                // Both are form-encoded first (RFC 6749, 2.3.1).
                let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                Ok(request.basic_auth(encoded(client), Some(encoded(&secret(reference)?))))
            }
            ClientAuth::SecretPost(reference) => {
                form.push(("client_id", client.clone()));
                form.push(("client_secret", secret(reference)?.to_string()));
                Ok(request)
            }
            ClientAuth::PrivateKeyJwt(_) => {
                let claims = json!({
                    "iss": client,
                    "sub": client,
                    "aud": self.options.client_audience.as_deref().unwrap_or(url.as_str()),
                    "jti": uuid::Uuid::now_v7().to_string(),
                    "iat": timestamp,
                    "exp": timestamp + ASSERTION_SECONDS,
                });
                let signed = self.key.as_ref().and_then(|key| key.sign("JWT", &claims).ok());
                let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_id", client.clone()));
                form.push(("client_assertion_type", kind.to_owned()));
                form.push(("client_assertion", signed.ok_or(Outcome::Failed("sign"))?));
                Ok(request)
            }
        }
    }
}

/// What a server says that does not revoke (RFC 7009, 2.2.1).
fn refusal(answer: &Answer) -> Outcome {
    match (answer.status, answer.json::<Refusal>()) {
        (400 | 401, Some(refusal)) => answer.refused(match refusal.error.as_str() {
            "unsupported_token_type" => "oauth_unsupported_token_type",
            "invalid_client" => "oauth_invalid_client",
            "unauthorized_client" => "oauth_unauthorized_client",
            "invalid_request" => "oauth_invalid_request",
            _ => "oauth_error",
        }),
        (201..=299, _) => answer.garbage(),
        _ => answer.by_status(),
    }
}
