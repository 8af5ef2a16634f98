//! Whose data an answer may come from.
//!
//! Every question is asked within a scope, and the scope is applied where rows are read, not by those who ask: a
//! handler that forgets it cannot be written. INVARIANT Q-3

use crate::error::Error;
use ambit_schemas::columns::names;
use ambit_schemas::id::TenantId;
use datafusion::logical_expr::{Expr, ident, lit};

/// Whose data an answer may come from: everything, or one tenant's.
///
/// It has no default and is read from nothing that a caller sends: only what authenticates makes one (and the command
/// line, whose user can read the files). A test lists the places.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope {
    tenant: Option<TenantId>,
    hides_trail: bool,
}

impl Scope {
    /// Everything: all tenants, and what belongs to none (dead letters, notices about shards).
    pub const fn all() -> Self {
        Self { tenant: None, hides_trail: false }
    }

    /// What belongs to one tenant.
    pub const fn tenant(tenant: TenantId) -> Self {
        Self { tenant: Some(tenant), hides_trail: false }
    }

    /// What of it belongs to one tenant. Never more than before: of another tenant's scope it stays that one.
    #[must_use]
    pub fn narrowed(mut self, tenant: &TenantId) -> Self {
        self.tenant.get_or_insert_with(|| tenant.clone());
        self
    }

    /// The same without the audit trail: who asked what is shown only to who asks for that and may see it.
    #[must_use]
    pub fn without_trail(mut self) -> Self {
        self.hides_trail = true;
        self
    }

    /// The tenant, when it is one tenant's.
    pub const fn only(&self) -> Option<&TenantId> {
        self.tenant.as_ref()
    }

    /// Whether a row of that tenant, or of none, is within it.
    pub fn holds(&self, tenant: Option<&str>) -> bool {
        self.tenant.as_ref().is_none_or(|only| tenant == Some(only.as_str()))
    }

    /// Columns that count the events of all tenants, so that they are not for one. INVARIANT Q-3
    pub(crate) const fn hidden(&self) -> &'static [&'static str] {
        if self.tenant.is_some() { &[names::OFFSET, names::LEAF_INDEX] } else { &[] }
    }

    /// What every row that is read must fulfil.
    pub(crate) fn filter(&self) -> Option<Expr> {
        let tenant = self.tenant.as_ref().map(|tenant| ident(names::TENANT).eq(lit(tenant.as_str())));
        let trail = self.hides_trail.then(|| ident(names::KIND).not_like(lit("query.%")));
        tenant.into_iter().chain(trail).reduce(Expr::and)
    }

    /// Refuses what speaks of more than one tenant.
    pub(crate) fn whole(&self, what: &str) -> Result<(), Error> {
        if self.tenant.is_none() {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "{what} cannot be asked for within one tenant: ask with a token for all"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_holds_its_own_rows_and_nothing_else() {
        let only = Scope::tenant(TenantId::try_from("acme").unwrap());
        assert!(only.holds(Some("acme")) && !only.holds(Some("acme2")) && !only.holds(None));
        assert!(only.whole("the overview").is_err() && only.filter().is_some());
        let all = Scope::all();
        assert!(all.holds(None) && all.holds(Some("acme")) && all.whole("the overview").is_ok());
        assert_eq!(all.filter(), None);
    }
}
