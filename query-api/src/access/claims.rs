//! What a verified token says: for whom it is, how long it holds, and what its claims mean here by configuration.

use crate::access::Denied;
use crate::access::role::Role;
use crate::options::OidcOptions;
use crate::scope::Scope;
use ambit_schemas::Timestamp;
use ambit_schemas::id::{PrincipalId, TenantId};
use serde_json::{Map, Value};

/// How configuration writes that everything may be seen.
pub(crate) const EVERY_TENANT: &str = "*";

/// Who calls, as an identity provider says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) name: PrincipalId,
    pub(crate) roles: Vec<Role>,
    pub(crate) scope: Scope,
}

/// The claims of a token whose signature holds.
#[derive(Debug)]
pub(crate) struct Claims(pub(crate) Map<String, Value>);

impl Claims {
    /// Whether the token is of this issuer, for us, and holds now (RFC 7519, section 4.1).
    pub(crate) fn check(&self, options: &OidcOptions, now: Timestamp) -> Result<(), Denied> {
        let is_issuer = self.0.get("iss").and_then(Value::as_str) == Some(options.issuer.as_str());
        let audience = self.texts("aud");
        if !is_issuer || !audience.iter().any(|one| options.audience.iter().any(|wanted| wanted == one)) {
            return Err(Denied::Unknown);
        }
        #[allow(clippy::cast_precision_loss, reason = "seconds since 1970 and a leeway of minutes")]
        let (now, skew) = (now.micros() as f64 / 1e6, options.skew_seconds as f64);
        let time = |name: &str| match self.0.get(name) {
            None => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or(Denied::Unknown),
        };
        let ends = time("exp")?.ok_or(Denied::Unknown)?;
        if ends <= now - skew {
            return Err(Denied::Expired);
        }
        for from in ["nbf", "iat"] {
            if time(from)?.is_some_and(|begins| begins > now + skew) {
                return Err(Denied::Unknown);
            }
        }
        Ok(())
    }

    /// Who it is. Without a role or a tenant that is configured, nobody.
    pub(crate) fn identity(&self, options: &OidcOptions) -> Result<Identity, Denied> {
        let subject = self.0.get("sub").and_then(Value::as_str).ok_or(Denied::Unknown)?;
        let name = PrincipalId::try_from(format!("{}#{subject}", options.issuer));
        let mut roles: Vec<Role> = self
            .texts(&options.role_claim)
            .iter()
            .filter_map(|value| options.roles.get(*value).copied())
            .collect();
        roles.sort_unstable();
        roles.dedup();
        if roles.is_empty() {
            return Err(Denied::Forbidden("no role is configured for what your token claims".into()));
        }
        Ok(Identity { name: name.map_err(|_| Denied::Unknown)?, roles, scope: self.scope(options)? })
    }

    /// INVARIANT Q-3: one tenant, or all when that is configured; never what a claim says by itself.
    fn scope(&self, options: &OidcOptions) -> Result<Scope, Denied> {
        let forbidden = |why: &str| Denied::Forbidden(why.to_owned());
        let mut found: Vec<&str> = match &options.tenant_claim {
            None => options.tenant.as_deref().into_iter().collect(),
            Some(claim) if options.tenants.is_empty() => {
                self.texts(claim).into_iter().filter(|text| *text != EVERY_TENANT).collect()
            }
            Some(claim) => self
                .texts(claim)
                .into_iter()
                .filter_map(|value| options.tenants.get(value))
                .map(String::as_str)
                .collect(),
        };
        found.sort_unstable();
        found.dedup();
        match found.as_slice() {
            [EVERY_TENANT] => Ok(Scope::all()),
            [one] => TenantId::try_from(*one)
                .map(Scope::tenant)
                .map_err(|_| forbidden("your token's tenant is none")),
            [] => Err(forbidden("no tenant is configured for what your token claims")),
            _ => Err(forbidden("your token claims several tenants: ask for one of one")),
        }
    }

    /// The texts of a claim: one, or an array. A claim within others is named with dots; `scope` holds several texts
    /// with blanks between (RFC 6749, section 3.3).
    fn texts(&self, name: &str) -> Vec<&str> {
        let mut within = name.split('.');
        let first = within.next().and_then(|part| self.0.get(part));
        let value = self.0.get(name).or_else(|| within.fold(first, |value, part| value?.get(part)));
        match value {
            Some(Value::String(text)) if name == "scope" => text.split_ascii_whitespace().collect(),
            Some(Value::String(text)) => vec![text],
            Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        }
    }
}
