//! Signed tokens in compact form (RFC 7515) with public keys as issuers publish them (RFC 7517, 7518, 8037).
//!
//! Only signatures by public keys exist here: there is no `none` and no `HS...` to be talked into. A key fits the
//! algorithms of its type and curve, so that a token cannot choose how a key is used.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Longest token, in bytes.
pub(crate) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How a token may be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA, PKCS #1 v1.5, SHA-256.
    RS256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    RS384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    RS512,
    /// RSA, PSS, SHA-256.
    PS256,
    /// RSA, PSS, SHA-384.
    PS384,
    /// RSA, PSS, SHA-512.
    PS512,
    /// ECDSA, P-256, SHA-256.
    ES256,
    /// ECDSA, P-384, SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    fn rsa(self) -> Option<&'static RsaParameters> {
        match self {
            Self::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
            Self::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
            Self::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
            Self::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
            Self::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
            Self::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
            Self::ES256 | Self::ES384 | Self::EdDSA => None,
        }
    }
}

/// What stands before the claims.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Header {
    /// How it is signed. Another algorithm than those is none that can be read.
    pub(crate) alg: Algorithm,
    /// By which key.
    pub(crate) kid: Option<String>,
    /// What kind of token it is.
    pub(crate) typ: Option<String>,
    /// Extensions that must be understood.
    crit: Option<Value>,
}

/// A token, split but not believed.
#[derive(Debug)]
pub(crate) struct Unverified<'a> {
    pub(crate) header: Header,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unverified<'a> {
    /// Splits a token. None when it is not one of ours to read.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        if payload.contains('.') {
            return None;
        }
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Self { header, signed, payload, signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
    }

    /// The claims, once the key vouches for them.
    pub(crate) fn verified(&self, key: &Key) -> Option<serde_json::Map<String, Value>> {
        if !key.verifies(self.header.alg, self.signed.as_bytes(), &self.signature) {
            return None;
        }
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.payload).ok()?).ok()
    }
}

/// A key as it is published.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PublishedKey {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Debug, Clone)]
enum Public {
    Rsa { n: Vec<u8>, e: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// A key that can vouch for tokens.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) kid: Option<String>,
    /// The one algorithm that it is for, when its issuer says so.
    only: Option<String>,
    public: Public,
}

impl Key {
    /// Reads a published key. None when it is not for signatures, or of a kind that is not known.
    pub(crate) fn read(published: PublishedKey) -> Option<Self> {
        if published.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        let decode = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let point = |length: usize| {
            let (x, y) = (decode(&published.x)?, decode(&published.y)?);
            // Uncompressed (SEC 1, 2.3.3).
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let public = match (published.kty.as_str(), published.crv.as_deref()) {
            ("RSA", _) => Public::Rsa { n: decode(&published.n)?, e: decode(&published.e)? },
            ("EC", Some("P-256")) => Public::P256(point(32)?),
            ("EC", Some("P-384")) => Public::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Public::Ed25519(decode(&published.x)?),
            _ => return None,
        };
        Some(Self { kid: published.kid, only: published.alg, public })
    }

    /// Whether it may vouch with an algorithm.
    pub(crate) fn fits(&self, algorithm: Algorithm) -> bool {
        let type_fits = match &self.public {
            Public::Rsa { .. } => algorithm.rsa().is_some(),
            Public::P256(_) => algorithm == Algorithm::ES256,
            Public::P384(_) => algorithm == Algorithm::ES384,
            Public::Ed25519(_) => algorithm == Algorithm::EdDSA,
        };
        type_fits && self.only.as_deref().is_none_or(|only| only == format!("{algorithm:?}"))
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let with = |how: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(message, signature).is_ok()
        };
        match (&self.public, algorithm.rsa()) {
            (Public::Rsa { n, e }, Some(how)) => {
                RsaPublicKeyComponents { n, e }.verify(how, message, signature).is_ok()
            }
            (Public::P256(point), _) => with(&ECDSA_P256_SHA256_FIXED, point),
            (Public::P384(point), _) => with(&ECDSA_P384_SHA384_FIXED, point),
            (Public::Ed25519(key), _) => with(&ED25519, key),
            (Public::Rsa { .. }, None) => false,
        }
    }
}
