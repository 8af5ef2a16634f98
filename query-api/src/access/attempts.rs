//! Failed attempts to authenticate, by address: who fails too often has to wait.

use ambit_schemas::Timestamp;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};

/// Failures that one address may have at once.
const BURST: f64 = 20.0;
/// Failures that are forgiven per second.
const PER_SECOND: f64 = 0.2;
/// Most addresses that are remembered; what comes beyond shares one place.
const ADDRESSES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Timestamp,
}

impl Bucket {
    #[allow(clippy::cast_precision_loss, reason = "seconds since the last failure")]
    fn now(self, now: Timestamp) -> Self {
        let passed = now.micros_since(self.at).max(0) as f64 / 1e6;
        Self { left: (self.left + passed * PER_SECOND).min(BURST), at: now }
    }
}

/// Failed attempts.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

impl Attempts {
    /// Seconds that an address has to wait until its credentials are looked at, if it has to.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few seconds, above zero")]
    pub(crate) fn wait(&self, address: IpAddr, now: Timestamp) -> Option<u64> {
        let buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.get(&network(address)).or_else(|| buckets.get(&OTHERS))?.now(now);
        (bucket.left < 1.0).then(|| ((1.0 - bucket.left) / PER_SECOND).ceil() as u64)
    }

    /// Notes a failure.
    pub(crate) fn failed(&self, address: IpAddr, now: Timestamp) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = network(address);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&key) {
            buckets.retain(|_, bucket| bucket.now(now).left < BURST);
            if buckets.len() >= ADDRESSES_MAX {
                key = OTHERS;
            }
        }
        let bucket = buckets.entry(key).or_insert(Bucket { left: BURST, at: now });
        *bucket = bucket.now(now);
        bucket.left = (bucket.left - 1.0).max(0.0);
    }
}

/// Where addresses are counted that there is no room for.
const OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// What one caller has: an IPv4 address, or the /64 of an IPv6 address (RFC 6177).
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => address.to_ipv4_mapped().map_or_else(
            || IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
            IpAddr::V4,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_too_often_waits_others_do_not_and_memory_is_bounded() {
        let attempts = Attempts::default();
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let (guesser, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..20 {
            assert_eq!(attempts.wait(guesser, at(0)), None);
            attempts.failed(guesser, at(0));
        }
        assert_eq!(attempts.wait(guesser, at(0)), Some(5));
        assert_eq!(attempts.wait(other, at(0)), None);
        assert_eq!(attempts.wait(guesser, at(5)), None, "it is forgiven in time");
        for host in 0..20_000_u32 {
            attempts.failed(IpAddr::V4(host.into()), at(6));
        }
        assert!(attempts.buckets.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        let same = ["2001:db8::1", "2001:db8::2"].map(|text| network(text.parse().unwrap()));
        assert_eq!(same[0], same[1]);
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), guesser);
    }
}
