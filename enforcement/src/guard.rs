//! Keeps webhooks from being turned against the network they are sent from (server-side request forgery).
//!
//! An address is checked where the connection is made: names are resolved and filtered in one step, so that a name
//! cannot change between a check and its use; literal addresses, which are not resolved, are checked in the URL.

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use url::{Host, Url};

/// Why a URL or address is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not HTTPS.
    #[error("only https is allowed, got `{0}`: set `allow_private = true` for a laboratory")]
    Scheme(String),
    /// User and password in the URL.
    #[error("the URL must not carry a user name or password")]
    UserInfo,
    /// No host.
    #[error("the URL has no host")]
    NoHost,
    /// An address that is not on the public internet.
    #[error("{0} is not a public address: set `allow_private = true` for a laboratory")]
    Address(IpAddr),
    /// A name that means this machine.
    #[error("`{0}` means this machine or its network: set `allow_private = true` for a laboratory")]
    Name(String),
}

/// Checks a receiver's URL.
pub fn check_url(url: &Url, allow_private: bool) -> Result<(), Refused> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Refused::UserInfo);
    }
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        scheme => return Err(Refused::Scheme(scheme.to_owned())),
    }
    // The parser has already turned decimal, octal and hexadecimal hosts into addresses (WHATWG URL).
    match url.host() {
        None => Err(Refused::NoHost),
        Some(Host::Ipv4(address)) => check_address(address.into(), allow_private),
        Some(Host::Ipv6(address)) => check_address(address.into(), allow_private),
        Some(Host::Domain(name)) => check_name(name, allow_private),
    }
}

fn check_name(name: &str, allow_private: bool) -> Result<(), Refused> {
    let plain = name.trim_end_matches('.').to_lowercase();
    let local = ["localhost", "local", "internal", "localdomain", "home.arpa"];
    let is_local = local.iter().any(|ending| plain == *ending || plain.ends_with(&format!(".{ending}")));
    if is_local && !allow_private { Err(Refused::Name(name.to_owned())) } else { Ok(()) }
}

fn check_address(address: IpAddr, allow_private: bool) -> Result<(), Refused> {
    if allow_private || is_public(address) { Ok(()) } else { Err(Refused::Address(address)) }
}

/// Whether an address is on the public internet (IANA special-purpose registries).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    // Addresses that carry an IPv4 address inside are as public as that one.
    if let Some(inner) = address.to_ipv4_mapped().or_else(|| embedded_v4(address)) {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    let special = address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        || first & 0xffc0 == 0xfec0
        || (first == 0x2001 && second < 0x0200)
        || (first == 0x2001 && second == 0x0db8)
        || (first == 0x0100 && second == 0)
        || (first == 0x5f00)
        || first & 0xe000 != 0x2000;
    !special
}

/// NAT64 (64:ff9b::/96), 6to4 (2002::/16) and the deprecated IPv4-compatible form.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let join = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] | [0, 0, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        _ => None,
    }
}

/// Resolves names and drops what is not public, in one step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GuardedResolver {
    pub(crate) allow_private: bool,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let name = name.as_str().to_owned();
            check_name(&name, allow_private)?;
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            // One address that is not public is enough to refuse: the rest may be a lure.
            for address in &found {
                check_address(address.ip(), allow_private)?;
            }
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(Box::new(found.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        for text in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "https://user@example.com/",
            "https://user:pass@example.com/",
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0177.0.0.1/",
            "https://0.0.0.0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://224.0.0.1/",
            "https://255.255.255.255/",
            "https://198.18.0.1/",
            "https://[::]/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[64:ff9b::a00:1]/",
            "https://[2002:7f00:1::]/",
            "https://[fe80::1]/",
            "https://[fd00::1]/",
            "https://[ff02::1]/",
            "https://[2001:db8::1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://api.localhost/",
            "https://vault.internal/",
        ] {
            let url = Url::parse(text).unwrap();
            assert!(check_url(&url, false).is_err(), "{text}");
        }
        for text in ["https://example.com/hook", "https://8.8.8.8/", "https://[2606:4700::1111]/"] {
            check_url(&Url::parse(text).unwrap(), false).unwrap();
        }
        check_url(&Url::parse("http://127.0.0.1:9000/").unwrap(), true).unwrap();
    }

    #[tokio::test]
    async fn a_name_that_points_home_is_refused_when_it_is_resolved() {
        let resolve = |allow_private| {
            let name: Name = "localhost".parse().unwrap();
            GuardedResolver { allow_private }.resolve(name)
        };
        assert!(resolve(false).await.is_err());
        assert!(resolve(true).await.is_ok());
    }
}
