//! Fingerprints of the values in a text: enough to see that an argument came from a result, where the result's content
//! must not leave the agent's host. Keyed hashes per tenant (INVARIANT P-1), of the family of [`crate::redact`].
//!
//! A producer sends [`FingerprintKey::of_text`] of a result as `result_fingerprints`. Made so (version 1):
//! 1. The text is cut at white space, quotation marks, brackets, commas, semicolons, `|`, `<` and `>`; `=` and `:`
//!    separate too, except that a URL is also kept whole. Punctuation at the ends goes.
//! 2. A piece counts when it has a digit or one of `@ . / _ - +` inside. Of a URL or path, what stands before the first
//!    `/` (the host) counts by itself.
//! 3. Its letters and digits, in lower case, without `www` in front, are hashed with HMAC-SHA-256 under the tenant's
//!    key; the first 16 bytes, hexadecimal, are the fingerprint.
//! 4. The list always holds the fingerprint of [`MARK`], by which the reader sees that the same key made it.

use crate::id::TenantId;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::fmt;

/// Most fingerprints of one result.
pub const FINGERPRINTS_MAX: usize = 1_024;
/// A value that stands in every list, so that lists of another key are told from lists without the value sought.
pub const MARK: &str = "ambit fingerprint v1";
/// Fewest letters and digits of a value: shorter ones are found by chance.
const CHARS_MIN: usize = 3;
/// What the key is for, so that no other hash of the installation's secret is equal.
const PURPOSE: &[u8] = b"ambit-fingerprint/v1";

/// The key of one tenant's fingerprints.
#[derive(Clone)]
pub struct FingerprintKey(Hmac<Sha256>);

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(..)")
    }
}

impl FingerprintKey {
    /// Derives a tenant's key from the installation's secret.
    pub fn new(secret: &[u8], tenant: &TenantId) -> Self {
        let derived = mac(secret).chain_update(PURPOSE).chain_update(tenant.as_str()).finalize().into_bytes();
        Self(mac(&derived))
    }

    /// The fingerprint of one value, whatever its punctuation; `None` when it is too short to mean anything.
    pub fn of_value(&self, value: &str) -> Option<String> {
        let plain = canonical(value);
        (plain.chars().count() >= CHARS_MIN).then(|| {
            let hash = self.0.clone().chain_update(&plain).finalize().into_bytes();
            hex::encode(hash.get(..16).unwrap_or_default())
        })
    }

    /// The fingerprints of all values in a text, sorted, each once, at most [`FINGERPRINTS_MAX`].
    pub fn of_text(&self, text: &str) -> Vec<String> {
        let mut values = BTreeSet::new();
        for piece in text.split(is_separator) {
            let piece = trim(piece);
            if piece.contains("://") {
                take(piece, &mut values);
            }
            let rest = piece.split_once("://").map_or(piece, |(_, rest)| rest);
            for part in rest.split(['=', ':']) {
                take(trim(part), &mut values);
            }
        }
        let values = std::iter::once(MARK).chain(values);
        let prints: BTreeSet<String> =
            values.filter_map(|value| self.of_value(value)).take(FINGERPRINTS_MAX).collect();
        prints.into_iter().collect()
    }

    /// Whether a list was made with this key.
    pub fn made(&self, prints: &[String]) -> bool {
        self.of_value(MARK).is_some_and(|mark| prints.contains(&mark))
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104 section 2).
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

fn is_separator(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '`' | ',' | ';' | '|' | '<' | '>' | '(' | ')' | '[' | ']' | '{' | '}')
}

fn trim(piece: &str) -> &str {
    piece.trim_matches(|c: char| !c.is_alphanumeric())
}

fn take<'a>(piece: &'a str, values: &mut BTreeSet<&'a str>) {
    let is_value = piece.chars().any(|c| c.is_numeric() || matches!(c, '@' | '.' | '/' | '_' | '-' | '+'));
    if !is_value {
        return;
    }
    values.insert(piece);
    if let Some((host, _)) = piece.split_once('/')
        && host.contains('.')
    {
        values.insert(host);
    }
}

/// Letters and digits, in lower case, without `www` in front.
fn canonical(value: &str) -> String {
    let lower = value.to_lowercase();
    let plain = lower.strip_prefix("www.").unwrap_or(&lower);
    plain.chars().filter(|c| c.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(tenant: &str) -> FingerprintKey {
        FingerprintKey::new(b"installation", &TenantId::try_from(tenant).unwrap())
    }

    #[test]
    fn values_are_found_again_and_words_are_not() {
        let key = key("acme");
        let prints = key.of_text(
            "Pay IBAN: DE89370400440532013000 (see https://www.Evil.example:8080/x?token=a1b2), mail <bob@x.example>. \
             Amount=20.50, file /etc/ssh/id_rsa",
        );
        for value in [
            "de89370400440532013000",
            "evil.example",
            "a1b2",
            "bob@x.example",
            "20.50",
            "/etc/ssh/id_rsa",
            "www.evil.example",
        ] {
            assert!(prints.contains(&key.of_value(value).unwrap()), "{value}");
        }
        assert!(!prints.contains(&key.of_value("amount").unwrap()));
        assert_eq!(key.of_value("a."), None);
        assert!(
            key.made(&prints)
                && !FingerprintKey::new(b"other", &TenantId::try_from("acme").unwrap()).made(&prints)
        );
        assert!(prints.is_sorted() && prints.iter().all(|print| print.len() == 32));
    }

    #[test]
    fn the_form_is_fixed_and_differs_by_tenant() {
        assert_eq!(key("acme").of_value("A-1.b2"), key("acme").of_value("a1b2"));
        assert_ne!(key("acme").of_value("a1b2"), key("other").of_value("a1b2"));
        let many: Vec<String> = (0..5_000).map(|number| format!("v{number}")).collect();
        assert_eq!(key("acme").of_text(&many.join(" ")).len(), FINGERPRINTS_MAX);
    }
}
