//! Who Ambit is to receivers of security event tokens: its name, its keys, and the documents that tell of them.

use crate::error::Error;
use crate::jwt::JwtKey;
use crate::options::Options;
use crate::receiver::Kind;
use ambit_bus::SecretRef;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::SocketAddr;
use url::Url;

/// Who Ambit is to receivers of security event tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TransmitterOptions {
    /// `iss` of every token: an `https` URL without query or fragment (SSF 1.0, 7.1). The documents about it and the
    /// endpoints for polling are below it.
    pub issuer: String,
    /// Private keys (PKCS#8, PEM). The first signs; the others are still published while keys are rotated.
    pub signing_keys: Vec<SecretRef>,
    /// Where the documents and the endpoints for polling are served; without it they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
}

/// Signs security event tokens.
#[derive(Debug)]
pub(crate) struct Transmitter {
    pub(crate) issuer: String,
    keys: Vec<JwtKey>,
}

impl Transmitter {
    pub(crate) fn new(options: &TransmitterOptions) -> Result<Self, String> {
        let issuer = Url::parse(&options.issuer).ok().filter(|url| {
            url.scheme() == "https" && url.has_host() && url.query().is_none() && url.fragment().is_none()
        });
        if issuer.is_none() {
            return Err("`transmitter.issuer` must be an https URL without query or fragment".into());
        }
        let mut keys = Vec::new();
        for reference in &options.signing_keys {
            let text = reference.read().map_err(|why| format!("`transmitter.signing_keys`: {why}"))?;
            keys.push(JwtKey::parse(&text).map_err(|why| format!("`transmitter.signing_keys`: {why}"))?);
        }
        if keys.is_empty() {
            return Err("`transmitter.signing_keys` is empty: name a file with a private key".into());
        }
        Ok(Self { issuer: options.issuer.clone(), keys })
    }

    /// A signed security event token (RFC 8417).
    pub(crate) fn sign(&self, claims: &Value) -> Result<String, String> {
        self.keys.first().ok_or("no key")?.sign("secevent+jwt", claims)
    }
}

/// The public keys of everything that Ambit signs as JWT: tokens of security events, and itself as an OAuth client.
///
/// # Errors
/// A key cannot be read, or is none.
pub fn jwks(options: &Options) -> Result<Value, Error> {
    let wrong = |id: &str, why| Error::Receiver { id: id.to_owned(), why };
    let mut keys = Vec::new();
    if let Some(transmitter) = &options.transmitter {
        let transmitter = Transmitter::new(transmitter).map_err(|why| wrong("transmitter", why))?;
        keys.extend(transmitter.keys.iter().map(JwtKey::jwk));
    }
    for receiver in &options.receivers {
        if let Kind::OauthRevoke(own) = &receiver.kind
            && let Some(key) = own.client_key().map_err(|why| wrong(receiver.id.as_str(), why))?
            && !keys.contains(&key.jwk())
        {
            keys.push(key.jwk());
        }
    }
    Ok(json!({"keys": keys}))
}

/// The transmitter's metadata (SSF 1.0, 7.1), where Ambit is one. Streams are configured here, not through an API.
pub fn ssf_configuration(options: &Options) -> Option<Value> {
    let issuer = &options.transmitter.as_ref()?.issuer;
    let has = |is: fn(&Kind) -> bool| options.receivers.iter().any(|receiver| is(&receiver.kind));
    let mut methods = Vec::new();
    if has(|kind| matches!(kind, Kind::SetPush(_))) {
        methods.push("urn:ietf:rfc:8935");
    }
    if has(|kind| matches!(kind, Kind::SetPoll(_))) {
        methods.push("urn:ietf:rfc:8936");
    }
    Some(json!({
        "spec_version": "1_0",
        "issuer": issuer,
        "jwks_uri": format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/')),
        "delivery_methods_supported": methods,
        "default_subjects": "ALL",
        "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6750"}],
    }))
}
