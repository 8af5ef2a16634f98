//! Signatures of webhooks: Standard Webhooks 1.0, symmetric (`v1`, HMAC-SHA256) and asymmetric (`v1a`, Ed25519).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::fmt;
use zeroize::Zeroizing;

/// Header with the delivery's id: the same for every try.
pub const ID_HEADER: &str = "webhook-id";
/// Header with the time of the try, in seconds since 1970.
pub const TIMESTAMP_HEADER: &str = "webhook-timestamp";
/// Header with the signatures.
pub const SIGNATURE_HEADER: &str = "webhook-signature";
/// How far a receiver lets clocks differ, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;

/// A key that signs.
#[derive(Clone)]
pub enum WebhookKey {
    /// `whsec_` and base64 of 24 to 64 bytes.
    Symmetric(Zeroizing<Vec<u8>>),
    /// `whsk_` and base64 of an Ed25519 private key.
    Asymmetric(Box<SigningKey>),
}

impl fmt::Debug for WebhookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Symmetric(_) => "WebhookKey::Symmetric(..)",
            Self::Asymmetric(_) => "WebhookKey::Asymmetric(..)",
        })
    }
}

/// Why a signature is not accepted, or a key cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The text is no key.
    #[error("expected `whsec_` with base64 of 24 to 64 bytes, or `whsk_` with base64 of an Ed25519 key")]
    Key,
    /// A header is missing or unreadable.
    #[error("header `{0}` is missing or unreadable")]
    Header(&'static str),
    /// The time is too far from the receiver's.
    #[error("the timestamp is {0} s away, more than {TOLERANCE_SECONDS} s")]
    Timestamp(i64),
    /// No signature fits.
    #[error("no signature fits the body")]
    Mismatch,
}

impl WebhookKey {
    /// Reads a key.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let decode = |text: &str| BASE64.decode(text).map(Zeroizing::new).map_err(|_| SignatureError::Key);
        if let Some(secret) = text.strip_prefix("whsec_") {
            let secret = decode(secret)?;
            return if (24..=64).contains(&secret.len()) {
                Ok(Self::Symmetric(secret))
            } else {
                Err(SignatureError::Key)
            };
        }
        let secret = decode(text.strip_prefix("whsk_").ok_or(SignatureError::Key)?)?;
        // 32 bytes of seed, or seed and public key.
        let seed = secret
            .first_chunk::<32>()
            .filter(|_| matches!(secret.len(), 32 | 64))
            .ok_or(SignatureError::Key)?;
        Ok(Self::Asymmetric(Box::new(SigningKey::from_bytes(seed))))
    }

    /// The signature of one try, with its version.
    pub fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let message = message(id, timestamp, body);
        match self {
            Self::Symmetric(secret) => format!("v1,{}", BASE64.encode(hmac(secret, &message))),
            Self::Asymmetric(key) => format!("v1a,{}", BASE64.encode(key.sign(&message).to_bytes())),
        }
    }
}

fn message(id: &str, timestamp: i64, body: &[u8]) -> Vec<u8> {
    let mut message = format!("{id}.{timestamp}.").into_bytes();
    message.extend_from_slice(body);
    message
}

fn mac(secret: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(secret).unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"))
}

pub(crate) fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    mac(secret).chain_update(message).finalize().into_bytes().to_vec()
}

/// What a receiver checks with.
#[derive(Debug, Clone)]
pub enum VerifyKey {
    /// The shared secret.
    Symmetric(Zeroizing<Vec<u8>>),
    /// The sender's public key.
    Asymmetric(VerifyingKey),
}

impl From<&WebhookKey> for VerifyKey {
    fn from(key: &WebhookKey) -> Self {
        match key {
            WebhookKey::Symmetric(secret) => Self::Symmetric(secret.clone()),
            WebhookKey::Asymmetric(key) => Self::Asymmetric(key.verifying_key()),
        }
    }
}

/// The headers of one try.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signatures: &'a str,
}

/// What a receiver does with a webhook. `now` is seconds since 1970.
pub fn verify(signed: Signed<'_>, body: &[u8], key: &VerifyKey, now: i64) -> Result<(), SignatureError> {
    let timestamp: i64 = signed.timestamp.parse().map_err(|_| SignatureError::Header(TIMESTAMP_HEADER))?;
    let away = now.saturating_sub(timestamp).saturating_abs();
    if away > TOLERANCE_SECONDS {
        return Err(SignatureError::Timestamp(away));
    }
    let message = message(signed.id, timestamp, body);
    let fits =
        signed.signatures.split(' ').filter_map(|one| one.split_once(',')).any(|(version, signature)| {
            let Ok(bytes) = BASE64.decode(signature) else { return false };
            match (version, key) {
                ("v1", VerifyKey::Symmetric(secret)) => {
                    mac(secret).chain_update(&message).verify_slice(&bytes).is_ok()
                }
                ("v1a", VerifyKey::Asymmetric(key)) => Signature::from_slice(&bytes)
                    .is_ok_and(|signature| key.verify_strict(&message, &signature).is_ok()),
                _ => false,
            }
        });
    if fits { Ok(()) } else { Err(SignatureError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn check(key: &WebhookKey, signatures: &str, body: &[u8], now: i64) -> Result<(), SignatureError> {
        let signed = Signed { id: "dlv-1", timestamp: "1614265330", signatures };
        verify(signed, body, &VerifyKey::from(key), now)
    }

    /// Computed apart from this code, with Python:
    /// `base64(hmac.new(b64decode(secret), b"dlv-1.1614265330." + body, sha256))`.
    #[test]
    fn the_symmetric_signature_is_the_standards() {
        let key = WebhookKey::parse(SECRET).unwrap();
        assert_eq!(
            key.sign("dlv-1", 1_614_265_330, b"{\"a\":1}"),
            "v1,B6myspvfXW2l6zGPRqdJw0MLjmZ9W7b7DbT2tbXEZyc="
        );
    }

    #[test]
    fn both_kinds_hold_for_what_was_signed_and_for_nothing_else() {
        let asymmetric = format!("whsk_{}", BASE64.encode([9; 32]));
        for text in [SECRET, &asymmetric] {
            let key = WebhookKey::parse(text).unwrap();
            let signature = key.sign("dlv-1", 1_614_265_330, b"body");
            let both = format!("v1,AAAA {signature}");
            check(&key, &both, b"body", 1_614_265_330).unwrap();
            assert_eq!(check(&key, &both, b"bodY", 1_614_265_330), Err(SignatureError::Mismatch));
            assert_eq!(check(&key, "v1,AAAA", b"body", 1_614_265_330), Err(SignatureError::Mismatch));
            assert_eq!(check(&key, &both, b"body", 1_614_265_931), Err(SignatureError::Timestamp(601)));
        }
        for bad in ["", "whsec_", "whsec_AAAA", "whsk_AAAA", "secret"] {
            assert!(WebhookKey::parse(bad).is_err(), "{bad}");
        }
    }
}
