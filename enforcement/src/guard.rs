//! Keeps webhooks from being turned against the network they are sent from (server-side request forgery).
//!
//! An address is checked where the connection is made: names are resolved and filtered in one step, so that a name
//! cannot change between a check and its use; literal addresses, which are not resolved, are checked in the URL.

use crate::network::Network;
use futures::future::BoxFuture;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
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
    #[error(
        "{0} is not a public address: name its network in `allow_networks`, or set `allow_private = true` for a laboratory"
    )]
    Address(IpAddr),
    /// A name that means this machine.
    #[error("`{0}` means this machine or its network: set `allow_private = true` for a laboratory")]
    Name(String),
    /// A host that is not among those that are allowed.
    #[error("`{0}` is not among `enforcement.allowed_hosts`")]
    NotListed(String),
}

/// What one receiver may reach.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    /// Whether everything is allowed, also plain HTTP: for laboratories.
    pub allow_private: bool,
    /// Networks that are allowed although they are not on the public internet.
    pub networks: Vec<Network>,
    /// Hosts that are allowed; without any, all of them.
    pub hosts: Option<globset::GlobSet>,
}

impl Guard {
    /// Checks a URL as far as it can be checked without resolving its host.
    pub fn check_url(&self, url: &Url) -> Result<(), Refused> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refused::UserInfo);
        }
        match url.scheme() {
            "https" => {}
            "http" if self.allow_private => {}
            scheme => return Err(Refused::Scheme(scheme.to_owned())),
        }
        // The parser has already turned decimal, octal and hexadecimal hosts into addresses (WHATWG URL).
        match url.host() {
            None => return Err(Refused::NoHost),
            Some(Host::Ipv4(address)) => self.check_address(address.into())?,
            Some(Host::Ipv6(address)) => self.check_address(address.into())?,
            Some(Host::Domain(name)) => self.check_name(name)?,
        }
        let host = url.host_str().unwrap_or_default().trim_end_matches('.').to_lowercase();
        match &self.hosts {
            Some(hosts) if !hosts.is_match(&host) => Err(Refused::NotListed(host)),
            _ => Ok(()),
        }
    }

    fn check_name(&self, name: &str) -> Result<(), Refused> {
        let plain = name.trim_end_matches('.').to_lowercase();
        // What a name of a private network may be, whoever allows private networks says by allowing them.
        let local: &[&str] = if self.networks.is_empty() {
            &["localhost", "local", "internal", "localdomain", "home.arpa"]
        } else {
            &["localhost", "localdomain"]
        };
        let is_local = local.iter().any(|ending| plain == *ending || plain.ends_with(&format!(".{ending}")));
        if is_local && !self.allow_private { Err(Refused::Name(name.to_owned())) } else { Ok(()) }
    }

    fn check_address(&self, address: IpAddr) -> Result<(), Refused> {
        let listed = || self.networks.iter().any(|network| network.contains(address));
        if self.allow_private || is_public(address) || listed() {
            Ok(())
        } else {
            Err(Refused::Address(address))
        }
    }
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
        || (first == 0x3fff && second < 0x1000)
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

/// How names become addresses.
pub(crate) trait Lookup: Send + Sync {
    /// All addresses of a name.
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// As the machine resolves them.
struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((name.as_str(), 0)).await?.collect()) })
    }
}

/// Resolves names and refuses what the guard does not allow, in one step.
#[derive(Clone)]
pub(crate) struct GuardedResolver {
    guard: Arc<Guard>,
    lookup: Arc<dyn Lookup>,
}

impl fmt::Debug for GuardedResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuardedResolver").field("guard", &self.guard).finish_non_exhaustive()
    }
}

impl GuardedResolver {
    pub(crate) fn new(guard: Arc<Guard>) -> Self {
        Self { guard, lookup: Arc::new(SystemLookup) }
    }
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (guard, lookup) = (Arc::clone(&self.guard), Arc::clone(&self.lookup));
        Box::pin(async move {
            guard.check_name(name.as_str())?;
            let found = lookup.lookup(name.as_str().to_owned()).await?;
            // One address that is not allowed is enough to refuse: the rest may be a lure.
            for address in &found {
                guard.check_address(address.ip())?;
            }
            Ok::<Addrs, Box<dyn std::error::Error + Send + Sync>>(Box::new(found.into_iter()))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::sync::Mutex;

    fn guard(allow_private: bool) -> Guard {
        Guard { allow_private, ..Guard::default() }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn addresses_that_are_not_public_are_refused_in_every_spelling() {
        for text in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "unix:/run/docker.sock",
            "https://user@example.com/",
            "https://user:pass@example.com/",
            "https://example.com@127.0.0.1/",
            "https://127.0.0.1/",
            "https://127.0.0.1./",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f000001/",
            "https://0x7f.1/",
            "https://0177.0.0.1/",
            "https://%31%32%37.0.0.1/",
            "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
            "https://0.0.0.0/",
            "https://10.1.2.3/",
            "https://172.16.0.1/",
            "https://192.168.1.1/",
            "https://100.64.0.1/",
            "https://169.254.169.254/latest/meta-data",
            "https://2852039166/latest/meta-data",
            "https://192.0.2.1/",
            "https://198.51.100.1/",
            "https://203.0.113.1/",
            "https://224.0.0.1/",
            "https://240.0.0.1/",
            "https://255.255.255.255/",
            "https://198.18.0.1/",
            "https://[::]/",
            "https://[::1]/",
            "https://[::127.0.0.1]/",
            "https://[::ffff:10.0.0.1]/",
            "https://[::ffff:7f00:1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[64:ff9b::a00:1]/",
            "https://[64:ff9b:1::1]/",
            "https://[2002:7f00:1::]/",
            "https://[2001::1]/",
            "https://[fe80::1]/",
            "https://[fec0::1]/",
            "https://[fd00::1]/",
            "https://[fd00:ec2::254]/",
            "https://[ff02::1]/",
            "https://[2001:db8::1]/",
            "https://[3fff::1]/",
            "https://[5f00::1]/",
            "https://localhost/",
            "https://LOCALHOST./",
            "https://api.localhost/",
            "https://vault.internal/",
            "https://printer.local/",
        ] {
            assert!(guard(false).check_url(&url(text)).is_err(), "{text}");
        }
        for text in ["https://example.com/hook", "https://8.8.8.8/", "https://[2606:4700::1111]/"] {
            guard(false).check_url(&url(text)).unwrap();
        }
        guard(true).check_url(&url("http://127.0.0.1:9000/")).unwrap();
    }

    #[test]
    fn a_private_network_that_is_named_is_allowed_and_nothing_beside_it() {
        let guard = Guard { networks: vec!["10.20.0.0/16".parse().unwrap()], ..Guard::default() };
        for text in ["https://10.20.3.4:8200/", "https://[::ffff:10.20.0.1]/", "https://vault.internal/"] {
            guard.check_url(&url(text)).unwrap();
        }
        for text in ["https://10.21.0.1/", "https://127.0.0.1/", "http://10.20.3.4/", "https://localhost/"] {
            assert!(guard.check_url(&url(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_that_are_not_listed_are_refused() {
        let hosts = globset::GlobSetBuilder::new().add(globset::Glob::new("*.acme.example").unwrap()).build();
        let guard = Guard { hosts: Some(hosts.unwrap()), ..Guard::default() };
        guard.check_url(&url("https://IDP.acme.example./events")).unwrap();
        for text in ["https://acme.example.evil.example/", "https://8.8.8.8/"] {
            assert!(matches!(guard.check_url(&url(text)), Err(Refused::NotListed(_))), "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_that_points_home_is_refused_when_it_is_resolved() {
        let resolve = |allow_private| {
            let name: Name = "localhost".parse().unwrap();
            GuardedResolver::new(Arc::new(guard(allow_private))).resolve(name)
        };
        assert!(resolve(false).await.is_err());
        assert!(resolve(true).await.is_ok());
    }

    /// Answers each question with the next of its lists, as a name does whose owner changes it.
    struct Rebinding(Mutex<VecDeque<Vec<SocketAddr>>>);

    impl Lookup for Rebinding {
        fn lookup(&self, _name: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
            let next = self.0.lock().unwrap().pop_front().unwrap_or_default();
            Box::pin(async move { Ok(next) })
        }
    }

    #[tokio::test]
    async fn a_name_that_changes_between_two_questions_reaches_nothing_at_home() {
        let honeypot = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        honeypot.set_nonblocking(true).unwrap();
        let home = honeypot.local_addr().unwrap();
        let public: SocketAddr = "192.88.98.1:0".parse().unwrap();
        let answers = VecDeque::from([vec![home], vec![public, home]]);
        let resolver = GuardedResolver {
            guard: Arc::new(guard(false)),
            lookup: Arc::new(Rebinding(Mutex::new(answers))),
        };
        let client = reqwest::Client::builder().no_proxy().dns_resolver(Arc::new(resolver)).build().unwrap();
        for _ in 0..2 {
            let to = format!("https://rebinding.example:{}/", home.port());
            let error = client.post(to).send().await.unwrap_err();
            let mut cause: Option<&dyn std::error::Error> = Some(&error);
            let refused = std::iter::from_fn(|| {
                let this = cause?;
                cause = this.source();
                Some(this.is::<Refused>())
            });
            assert!(refused.into_iter().any(|is| is), "{error:?}");
        }
        assert_eq!(honeypot.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
