//! Networks in CIDR notation (RFC 4632, RFC 4291).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// A network, such as `10.20.0.0/16` or `fd00:1::/32`. IPv4 is kept as the IPv6 addresses that carry it, so that both
/// spellings of an address are in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    base: u128,
    prefix: u32,
}

/// A text that is no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a network such as 10.20.0.0/16, with no bit set behind its prefix")]
pub struct InvalidNetwork;

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The bits that count.
const fn mask(prefix: u32) -> u128 {
    if prefix == 0 { 0 } else { u128::MAX << (128 - prefix) }
}

impl Network {
    /// Whether an address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address) & mask(self.prefix) == self.base
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, prefix) = text.split_once('/').ok_or(InvalidNetwork)?;
        let address: IpAddr = address.parse().map_err(|_| InvalidNetwork)?;
        let prefix: u32 = prefix.parse().map_err(|_| InvalidNetwork)?;
        let (most, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
        let base = bits(address);
        if prefix > most || base & !mask(prefix + before) != 0 {
            return Err(InvalidNetwork);
        }
        Ok(Self { base, prefix: prefix + before })
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = Ipv6Addr::from_bits(self.base);
        match address.to_ipv4_mapped().filter(|_| self.prefix >= 96) {
            Some(address) => write!(f, "{address}/{}", self.prefix - 96),
            None => write!(f, "{address}/{}", self.prefix),
        }
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_their_addresses_in_both_spellings() {
        let network: Network = "10.20.0.0/16".parse().unwrap();
        let holds = |text: &str| network.contains(text.parse().unwrap());
        assert!(holds("10.20.255.255") && holds("::ffff:10.20.0.1"));
        assert!(!holds("10.21.0.0") && !holds("::10.20.0.1") && !holds("fd00::1"));
        assert_eq!(network.to_string(), "10.20.0.0/16");
        let six: Network = "fd00:1::/32".parse().unwrap();
        assert!(six.contains("fd00:1:2::3".parse().unwrap()) && !six.contains("fd00:2::1".parse().unwrap()));
        assert_eq!(six.to_string(), "fd00:1::/32");
        for text in ["10.20.0.1/16", "10.20.0.0/33", "10.20.0.0", "x/8", "fd00::/129", "10.0.0.0/-1", ""] {
            assert_eq!(text.parse::<Network>(), Err(InvalidNetwork), "{text}");
        }
    }
}
