//! Bearer tokens of an identity provider (OpenID Connect Discovery 1.0, RFC 7519, RFC 9068).

use crate::access::Denied;
use crate::access::claims::{Claims, Identity};
use crate::access::jws::{Key, PublishedKey, Unverified};
use crate::options::OidcOptions;
use ambit_schemas::Timestamp;
use futures::future::BoxFuture;
use serde::Deserialize;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::Mutex;

/// Most keys of an issuer that are looked at.
const KEYS_MAX: usize = 100;
/// How soon keys may be fetched again, in microseconds: tokens that name unknown keys must not make us a nuisance.
const FETCH_AGAIN_US: i64 = 10_000_000;
/// How long keys are trusted when they cannot be fetched anew, in microseconds.
const STALE_US: i64 = 24 * 3_600 * 1_000_000;
/// What kinds of tokens say who calls: plain ones, and access tokens (RFC 9068). Events and logout tokens of the same
/// issuer do not.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Gets a document over HTTPS: bounded in time and bytes.
pub trait Fetch: Send + Sync {
    /// The body of a successful answer, or why there is none.
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, Result<Vec<u8>, String>>;
}

#[derive(Debug, Default)]
struct Keys {
    keys: Vec<Key>,
    fetched_at: Option<Timestamp>,
}

/// An identity provider whose tokens are accepted.
pub(crate) struct Oidc {
    options: OidcOptions,
    fetch: Arc<dyn Fetch>,
    keys: RwLock<Arc<Keys>>,
    /// When keys were last asked for; held while they are.
    asked_at: Mutex<Option<Timestamp>>,
}

impl std::fmt::Debug for Oidc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Oidc").field("issuer", &self.options.issuer).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

impl Oidc {
    pub(crate) fn new(options: OidcOptions, fetch: Arc<dyn Fetch>) -> Self {
        Self { options, fetch, keys: RwLock::default(), asked_at: Mutex::default() }
    }

    /// Who presents a token, if its issuer vouches for it.
    pub(crate) async fn identify(&self, token: &str, now: Timestamp) -> Result<Identity, Denied> {
        let unverified = Unverified::split(token).ok_or(Denied::Unknown)?;
        let header = &unverified.header;
        let typ = header.typ.as_deref().unwrap_or("JWT").to_ascii_lowercase();
        if !self.options.algorithms.contains(&header.alg) || !TYPES.contains(&typ.as_str()) {
            return Err(Denied::Unknown);
        }
        let key = self.key(&unverified, now).await?.ok_or(Denied::Unknown)?;
        let claims = Claims(unverified.verified(&key).ok_or(Denied::Unknown)?);
        claims.check(&self.options, now)?;
        claims.identity(&self.options)
    }

    /// The key that a token names. Keys are fetched when they are old, and when none is of that name: the issuer may have
    /// a new one.
    async fn key(&self, token: &Unverified<'_>, now: Timestamp) -> Result<Option<Key>, Denied> {
        let known = self.known();
        let fresh_us = i64::try_from(self.options.keys_seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let fresh = known.fetched_at.is_some_and(|at| now.micros_since(at) < fresh_us);
        if let Some(key) = choose(&known, token)
            && fresh
        {
            return Ok(Some(key));
        }
        self.refresh(now).await;
        let known = self.known();
        match known.fetched_at {
            Some(at) if now.micros_since(at) < STALE_US.max(fresh_us) => Ok(choose(&known, token)),
            Some(_) | None => Err(Denied::Unavailable("the identity provider's keys cannot be had")),
        }
    }

    fn known(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches keys unless somebody has just done so.
    async fn refresh(&self, now: Timestamp) {
        let mut asked_at = self.asked_at.lock().await;
        if asked_at.is_some_and(|at| (0..FETCH_AGAIN_US).contains(&now.micros_since(at))) {
            return;
        }
        *asked_at = Some(now);
        match self.fetch_keys().await {
            Ok(keys) => {
                let keys = Arc::new(Keys { keys, fetched_at: Some(now) });
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
            }
            Err(why) => {
                tracing::error!(
                    issuer = self.options.issuer,
                    why,
                    "an identity provider's keys were not had"
                );
            }
        }
    }

    async fn fetch_keys(&self) -> Result<Vec<Key>, String> {
        let base = self.options.issuer.trim_end_matches('/');
        let found = self.fetch.get(&format!("{base}/.well-known/openid-configuration")).await?;
        let found: Discovery =
            serde_json::from_slice(&found).map_err(|error| format!("discovery document: {error}"))?;
        if found.issuer != self.options.issuer {
            return Err(
                "the discovery document is of another issuer: `api.oidc.issuer` must be its text".into()
            );
        }
        let set = self.fetch.get(&found.jwks_uri).await?;
        let set: KeySet = serde_json::from_slice(&set).map_err(|error| format!("key set: {error}"))?;
        let published = set.keys.into_iter().take(KEYS_MAX);
        // Keys of kinds that are not known here are the issuer's business.
        let keys: Vec<Key> = published
            .filter_map(|key| Key::read(serde_json::from_value::<PublishedKey>(key).ok()?))
            .collect();
        if keys.is_empty() { Err("the key set holds no key that can be used".into()) } else { Ok(keys) }
    }
}

/// The key of that name that fits. A token that names none is taken when only one key fits.
fn choose(known: &Keys, token: &Unverified<'_>) -> Option<Key> {
    let header = &token.header;
    let mut fitting = known
        .keys
        .iter()
        .filter(|key| key.fits(header.alg) && (header.kid.is_none() || key.kid == header.kid));
    let first = fitting.next()?;
    if header.kid.is_none() && fitting.next().is_some() { None } else { Some(first.clone()) }
}
