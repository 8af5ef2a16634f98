//! JSON Web Tokens: signing (RFC 7515, RFC 7519) and the public keys that check them (RFC 7517).
//!
//! A key is one PEM file (PKCS#8). Its type gives the algorithm: Ed25519 `EdDSA` (RFC 8037), P-256 `ES256`, RSA of
//! at least 2048 bits `RS256` (RFC 7518; what CAEP's interoperability profile asks for).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use ed25519_dalek::pkcs8::spki::der::asn1::UintRef;
use ed25519_dalek::pkcs8::spki::der::{Decode, Reader, SecretDocument, SliceReader};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fmt;

/// Fewest bytes of an RSA modulus.
const RSA_BYTES_MIN: usize = 256;

enum Signer {
    Ed25519(Box<SigningKey>),
    P256(Box<EcdsaKeyPair>),
    Rsa(Box<RsaKeyPair>),
}

/// A key that signs tokens.
pub(crate) struct JwtKey {
    signer: Signer,
    /// Its public part, without `kid`, in the form and order of RFC 7638.
    public: Vec<(&'static str, String)>,
    id: String,
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl JwtKey {
    /// Reads a private key (PKCS#8, PEM).
    pub(crate) fn parse(pem: &str) -> Result<Self, String> {
        let why = "the signing key must be a private key in PKCS#8 and PEM: Ed25519, P-256, or RSA of at least 2048 \
                   bits (`openssl genpkey -algorithm ed25519`)";
        let (_, der) = SecretDocument::from_pem(pem).map_err(|_| why.to_owned())?;
        let der = der.as_bytes();
        let (signer, public) = if let Ok(key) = SigningKey::from_pkcs8_der(der) {
            let x = BASE64URL.encode(key.verifying_key().as_bytes());
            (Signer::Ed25519(Box::new(key)), vec![("crv", "Ed25519".into()), ("kty", "OKP".into()), ("x", x)])
        } else if let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
            // SEC 1, uncompressed: 4, x, y.
            let point = key.public_key().as_ref().get(1..).unwrap_or_default();
            let (x, y) = point.split_at_checked(32).ok_or_else(|| why.to_owned())?;
            let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
            let public = vec![("crv", "P-256".into()), ("kty", "EC".into()), ("x", x), ("y", y)];
            (Signer::P256(Box::new(key)), public)
        } else if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            let (modulus, exponent) = rsa_public(key.public_key().as_ref()).ok_or_else(|| why.to_owned())?;
            let public = vec![("e", exponent), ("kty", "RSA".into()), ("n", modulus)];
            (Signer::Rsa(Box::new(key)), public)
        } else {
            return Err(why.to_owned());
        };
        if let Signer::Rsa(key) = &signer
            && key.public_modulus_len() < RSA_BYTES_MIN
        {
            return Err(why.to_owned());
        }
        let id = thumbprint(&public);
        Ok(Self { signer, public, id })
    }

    /// The algorithm's name (RFC 7518, RFC 8037).
    pub(crate) const fn algorithm(&self) -> &'static str {
        match &self.signer {
            Signer::Ed25519(_) => "EdDSA",
            Signer::P256(_) => "ES256",
            Signer::Rsa(_) => "RS256",
        }
    }

    /// The public key as a JWK.
    pub(crate) fn jwk(&self) -> Value {
        let about = [("alg", self.algorithm()), ("kid", self.id.as_str()), ("use", "sig")];
        let public = self.public.iter().map(|(name, value)| (*name, value.as_str()));
        let members = about.into_iter().chain(public);
        Value::Object(members.map(|(name, value)| (name.to_owned(), value.into())).collect())
    }

    /// A signed token in compact form.
    pub(crate) fn sign(&self, typ: &str, claims: &Value) -> Result<String, String> {
        let header = json!({"alg": self.algorithm(), "kid": self.id, "typ": typ});
        let text =
            format!("{}.{}", BASE64URL.encode(header.to_string()), BASE64URL.encode(claims.to_string()));
        let failed = |_| "the token cannot be signed".to_owned();
        let signature = match &self.signer {
            Signer::Ed25519(key) => key.sign(text.as_bytes()).to_bytes().to_vec(),
            Signer::P256(key) => {
                key.sign(&SystemRandom::new(), text.as_bytes()).map_err(failed)?.as_ref().to_vec()
            }
            Signer::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature)
                    .map_err(failed)?;
                signature
            }
        };
        Ok(format!("{text}.{}", BASE64URL.encode(signature)))
    }
}

/// RFC 7638: SHA-256 over the required members, in alphabetical order, without white space.
fn thumbprint(public: &[(&'static str, String)]) -> String {
    let members: Vec<String> = public.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    BASE64URL.encode(Sha256::digest(format!("{{{}}}", members.join(","))))
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017, A.1.1), in base64url.
fn rsa_public(der: &[u8]) -> Option<(String, String)> {
    let mut reader = SliceReader::new(der).ok()?;
    let numbers = reader.sequence(|inner| {
        let modulus = UintRef::decode(inner)?;
        let exponent = UintRef::decode(inner)?;
        Ok((BASE64URL.encode(modulus.as_bytes()), BASE64URL.encode(exponent.as_bytes())))
    });
    numbers.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::pkcs8::EncodePrivateKey;

    /// RFC 8037, A.1 to A.4: key, thumbprint, and signature over the RFC's text.
    const RFC8037: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpgufNVNVhf4pZOrkrCkgRfA/L4Xhz8p/dg\n\
        -----END PRIVATE KEY-----\n";

    #[test]
    fn a_key_has_the_thumbprint_that_the_standard_gives_it() {
        let seed = BASE64URL.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap();
        let key = SigningKey::from_bytes(seed.first_chunk().unwrap());
        let pem = key.to_pkcs8_pem(ed25519_dalek::pkcs8::spki::der::pem::LineEnding::LF).unwrap();
        let key = JwtKey::parse(&pem).unwrap();
        assert_eq!(key.id, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(key.jwk()["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        assert!(JwtKey::parse(RFC8037).is_ok());
    }

    #[test]
    fn what_is_no_private_key_is_refused_without_being_repeated() {
        for text in ["", "whsec_AAAA", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
            let why = JwtKey::parse(text).unwrap_err();
            assert!(why.contains("PKCS#8") && !why.contains("AAAA"), "{why}");
        }
    }
}
