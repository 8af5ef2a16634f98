//! Who may ask: tokens of this installation and of an identity provider, what each may do, and within which tenant.
//!
//! What is presented is `Authorization: Bearer ...` (RFC 6750) and nothing else: no cookie, so that no foreign page can
//! speak for somebody who is logged in.

mod attempts;
mod claims;
pub(crate) mod jws;
mod oidc;
mod role;
mod tokens;

pub use jws::Algorithm;
pub use oidc::Fetch;
pub use role::{Permission, Role};
pub use tokens::{TOKEN_PREFIX, TOKENS_MAX, TokenFileError, TokenList, TokenRecord};

use crate::limits::Limits;
use crate::options::OidcOptions;
use crate::scope::Scope;
use ambit_schemas::Timestamp;
use ambit_schemas::id::{CredentialId, PrincipalId};
use ambit_schemas::measure::Taken;
use attempts::Attempts;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::http::{HeaderMap, header};
use oidc::Oidc;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokens::Tokens;

pub(crate) use claims::EVERY_TENANT;

/// The name under which the token of the first start is known.
const FIRST: &str = "console";

/// Somebody who has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name of a token, or issuer and subject.
    pub(crate) name: PrincipalId,
    /// The token that was presented, where it has a name of its own.
    pub(crate) credential: Option<CredentialId>,
    /// What they are.
    pub(crate) roles: Vec<Role>,
    /// Whose data they see.
    pub(crate) scope: Scope,
}

impl Caller {
    /// Whether one of their roles may do that.
    pub fn may(&self, permission: Permission) -> bool {
        self.roles.iter().any(|role| role.may(permission))
    }

    /// Their roles, for people.
    pub(crate) fn role(&self) -> String {
        self.roles.iter().map(|role| role.name()).collect::<Vec<_>>().join("+")
    }
}

/// Why somebody is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denied {
    /// Nothing was presented.
    Missing,
    /// What was presented is not known, not signed as it must be, or not meant for us. More is not said.
    Unknown,
    /// It was valid and is no longer.
    Expired,
    /// It is valid, and allows nothing here.
    Forbidden(String),
    /// Too many failed attempts: seconds to wait.
    Wait(u64),
    /// It cannot be told now.
    Unavailable(&'static str),
}

/// What tells who may ask.
#[derive(Debug)]
pub struct Access {
    first: [u8; 32],
    tokens: Tokens,
    oidc: Option<Oidc>,
    attempts: Attempts,
    refused: AtomicU64,
    /// What is under way.
    pub(crate) running: Arc<Limits>,
}

impl Access {
    /// Accepts the token of the first start, those of a file, and those of an identity provider if there is one.
    pub fn new(first: &str, tokens: PathBuf, oidc: Option<(OidcOptions, Arc<dyn Fetch>)>) -> Self {
        Self {
            first: Sha256::digest(first).into(),
            tokens: Tokens::new(tokens),
            oidc: oidc.map(|(options, fetch)| Oidc::new(options, fetch)),
            attempts: Attempts::default(),
            refused: AtomicU64::new(0),
            running: Arc::default(),
        }
    }

    /// How long answers to those who may ask took; exports and tails are none of them.
    pub fn answered(&self) -> Taken {
        self.running.answered()
    }

    /// How many requests were refused for want of valid credentials.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Who asks.
    ///
    /// # Errors
    /// When they have not shown who they are.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, Denied> {
        let found = self.identify(headers, address, now).await;
        if let Err(denied) = &found {
            self.refused.fetch_add(1, Ordering::Relaxed);
            if matches!(denied, Denied::Unknown | Denied::Expired) {
                self.attempts.failed(address, now);
            }
        }
        found
    }

    async fn identify(&self, headers: &HeaderMap, address: IpAddr, now: Timestamp) -> Result<Caller, Denied> {
        let token = bearer(headers).ok_or(Denied::Missing)?;
        // Tokens of 256 random bits cannot be guessed, and to look for one costs next to nothing: those are looked at
        // whoever else fails from the same address.
        if verify_slices_are_equal(&Sha256::digest(token), &self.first).is_ok() {
            return Ok(first_caller());
        }
        if let Some(record) = self.tokens.now(now).await.find(token) {
            return if record.is_valid(now) { Ok(of_record(record)) } else { Err(Denied::Expired) };
        }
        if let Some(seconds) = self.attempts.wait(address, now) {
            return Err(Denied::Wait(seconds));
        }
        let oidc = self.oidc.as_ref().ok_or(Denied::Unknown)?;
        let identity = oidc.identify(token, now).await?;
        Ok(Caller { name: identity.name, credential: None, roles: identity.roles, scope: identity.scope })
    }
}

/// The token of a request (RFC 6750, section 2.1; the scheme's case does not matter, RFC 9110, section 11.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (first, second) = (given.next()?, given.next());
    let (scheme, token) = first.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (second.is_none() && scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether a caller presents this token. Digests are compared in constant time. Without the header, or with no token to
/// compare with, nobody is let in.
pub fn presents(headers: &HeaderMap, token: &str) -> bool {
    let digest = Sha256::digest(token);
    !token.is_empty()
        && bearer(headers)
            .is_some_and(|given| verify_slices_are_equal(&Sha256::digest(given), &digest).is_ok())
}

fn first_caller() -> Caller {
    let name = PrincipalId::try_from(FIRST).unwrap_or_else(|_| unreachable!("`{FIRST}` is an id"));
    Caller { name, credential: None, roles: vec![Role::Admin], scope: Scope::all() }
}

fn of_record(record: &TokenRecord) -> Caller {
    Caller {
        name: record.name.clone(),
        credential: CredentialId::try_from(record.id.as_str()).ok(),
        roles: vec![record.role],
        scope: record.tenant.clone().map_or_else(Scope::all, Scope::tenant),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_presents_the_token_is_let_in() {
        let with = |value: &'static str| {
            HeaderMap::from_iter([(header::AUTHORIZATION, axum::http::HeaderValue::from_static(value))])
        };
        assert!(presents(&with("Bearer secret"), "secret") && presents(&with("bearer secret"), "secret"));
        for headers in [
            HeaderMap::new(),
            with(""),
            with("Bearer "),
            with("Bearer"),
            with("Bearer secre"),
            with("Bearer secret2"),
            with("Basic secret"),
            with("secret"),
        ] {
            assert!(!presents(&headers, "secret"), "{headers:?}");
            assert!(!presents(&headers, ""), "an empty token lets nobody in: {headers:?}");
        }
        let mut twice = with("Bearer secret");
        twice.append(header::AUTHORIZATION, axum::http::HeaderValue::from_static("Bearer other"));
        assert!(!presents(&twice, "secret"), "of two headers, neither counts");
    }
}
