//! What one caller may have at once, so that nobody takes the API from the others.

use crate::access::Caller;
use crate::options::LimitOptions;
use ambit_schemas::Timestamp;
use ambit_schemas::measure::{Histogram, Taken};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

/// Microseconds in which bytes are counted.
const WINDOW_US: i64 = 60_000_000;

/// What somebody asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// An answer that ends.
    Answer,
    /// An answer that goes on: an export, a tail.
    Stream,
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    answers: usize,
    streams: usize,
    bytes: u64,
    since: Timestamp,
}

/// What is under way, by caller (`caller ...`) and tenant (`tenant ...`).
#[derive(Debug, Default)]
pub(crate) struct Limits {
    usage: Mutex<HashMap<String, Usage>>,
    /// How long answers that end took, from when they were let in to their last byte.
    answered: Histogram,
}

/// Too much at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TooMuch {
    pub(crate) what: &'static str,
    /// Seconds after which it is worth asking again.
    pub(crate) wait: u64,
}

/// A place among what is under way; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    limits: Arc<Limits>,
    ask: Ask,
    caller: String,
    tenant: Option<String>,
    begun: Instant,
}

impl Limits {
    /// How long answers took.
    pub(crate) fn answered(&self) -> Taken {
        self.answered.taken()
    }

    /// Takes a place for a caller.
    pub(crate) fn enter(
        self: &Arc<Self>,
        options: &LimitOptions,
        caller: &Caller,
        ask: Ask,
        now: Timestamp,
    ) -> Result<Slot, TooMuch> {
        let name = format!("caller {}", caller.name);
        let tenant = caller.scope.only().map(|tenant| format!("tenant {tenant}"));
        let mut usage = self.usage.lock().unwrap_or_else(PoisonError::into_inner);
        let mut own = usage.get(&name).copied().unwrap_or_default();
        if !(0..WINDOW_US).contains(&now.micros_since(own.since)) {
            (own.bytes, own.since) = (0, now);
        }
        let theirs = tenant.as_ref().and_then(|tenant| usage.get(tenant)).copied().unwrap_or_default();
        let most = options.megabytes_per_minute << 20;
        if most > 0 && own.bytes >= most {
            let left = own.since.plus_micros(WINDOW_US).micros_since(now);
            let wait = u64::try_from(left / 1_000_000).unwrap_or_default() + 1;
            return Err(TooMuch { what: "more bytes of answers than one caller may take in a minute", wait });
        }
        let (running, allowed, what) = match ask {
            Ask::Answer => (own.answers, options.concurrent_per_caller, "more requests than one caller may"),
            Ask::Stream => {
                (own.streams, options.streams_per_caller, "more exports and tails than one caller may")
            }
        };
        if running >= allowed {
            return Err(TooMuch { what, wait: 1 });
        }
        if tenant.is_some() && theirs.answers + theirs.streams >= options.concurrent_per_tenant {
            return Err(TooMuch { what: "more requests than one tenant may", wait: 1 });
        }
        usage.insert(name.clone(), own.plus(ask));
        if let Some(tenant) = &tenant {
            usage.insert(tenant.clone(), theirs.plus(ask));
        }
        Ok(Slot { limits: Arc::clone(self), ask, caller: name, tenant, begun: Instant::now() })
    }
}

impl Usage {
    const fn plus(mut self, ask: Ask) -> Self {
        match ask {
            Ask::Answer => self.answers += 1,
            Ask::Stream => self.streams += 1,
        }
        self
    }

    const fn minus(&mut self, ask: Ask) {
        match ask {
            Ask::Answer => self.answers = self.answers.saturating_sub(1),
            Ask::Stream => self.streams = self.streams.saturating_sub(1),
        }
    }

    const fn is_idle(&self) -> bool {
        self.answers == 0 && self.streams == 0
    }
}

impl Slot {
    /// Notes what was sent.
    pub(crate) fn sent(&self, bytes: u64) {
        let mut usage = self.limits.usage.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = usage.get_mut(&self.caller) {
            own.bytes = own.bytes.saturating_add(bytes);
        }
    }
}

/// Most callers whose bytes are remembered while they ask nothing.
const IDLE_MAX: usize = 10_000;

impl Drop for Slot {
    fn drop(&mut self) {
        if self.ask == Ask::Answer {
            self.limits.answered.observe(self.begun.elapsed());
        }
        let mut usage = self.limits.usage.lock().unwrap_or_else(PoisonError::into_inner);
        for name in std::iter::once(&self.caller).chain(&self.tenant) {
            if let Some(one) = usage.get_mut(name) {
                one.minus(self.ask);
            }
        }
        if usage.len() > IDLE_MAX {
            usage.retain(|_, one| !one.is_idle());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Role;
    use crate::scope::Scope;
    use ambit_schemas::id::{PrincipalId, TenantId};

    fn caller(name: &str) -> Caller {
        Caller {
            name: PrincipalId::try_from(name).unwrap(),
            credential: None,
            roles: vec![Role::Analyst],
            scope: Scope::tenant(TenantId::try_from("acme").unwrap()),
        }
    }

    #[test]
    fn places_are_given_back_and_nobody_has_more_than_there_are() {
        let limits = Arc::new(Limits::default());
        let options = LimitOptions {
            concurrent_per_caller: 2,
            concurrent_per_tenant: 3,
            streams_per_caller: 1,
            megabytes_per_minute: 1,
        };
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let enter = |name: &str, ask, second| limits.enter(&options, &caller(name), ask, at(second));
        let first = enter("sam", Ask::Answer, 0).unwrap();
        let second = enter("sam", Ask::Answer, 0).unwrap();
        assert!(enter("sam", Ask::Answer, 0).unwrap_err().what.contains("caller"));
        let stream = enter("sam", Ask::Stream, 0).unwrap();
        assert!(enter("kim", Ask::Answer, 0).unwrap_err().what.contains("tenant"));
        drop(second);
        let kims = enter("kim", Ask::Answer, 0).unwrap();
        assert!(enter("sam", Ask::Stream, 0).is_err());
        first.sent(2 << 20);
        drop((first, stream, kims));
        assert_eq!(enter("sam", Ask::Answer, 30).unwrap_err().wait, 31);
        assert!(enter("kim", Ask::Answer, 30).is_ok());
        assert!(enter("sam", Ask::Answer, 61).is_ok(), "another minute has begun");
        assert_eq!(limits.answered().count, 5, "each answer that was let in, and no stream");
    }
}
