//! The customer's rules as an event: which set of them judges a shard's events from there on (INVARIANT A-1).
//!
//! The set stands in the shard itself, whole, so that whoever replays the shard needs nothing else to judge as it was
//! judged then.

use crate::envelope::{EnvelopeSignature, sign_document, verify_document};
use crate::limits::{RULE_DOCUMENT_BYTES_MAX, RULE_DOCUMENTS_MAX, RULES_BYTES_MAX};
use ed25519_dalek::{SigningKey, VerifyingKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What is signed, as DSSE names it.
const PAYLOAD_TYPE: &str = "application/vnd.ambit.rules.v1";

/// A set of customer rules that takes effect where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RulesActivated {
    /// SHA-256 over everything here but the signatures, hexadecimal: see [`digest_of`].
    pub digest: String,
    /// Whether those of status `stable` may revoke by themselves (INVARIANT E-3).
    pub may_revoke: bool,
    /// The documents, by path; none: there are no customer rules from here on.
    pub documents: Vec<RuleDocument>,
    /// By whom the set was activated.
    #[serde(default)]
    pub signatures: Vec<EnvelopeSignature>,
}

/// A file of rules, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct RuleDocument {
    /// Where it lies in its folder.
    pub path: String,
    /// YAML.
    pub text: String,
}

/// Why a set of rules cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRules {
    /// A bound is exceeded.
    #[error("the set of rules has {what} {found}, more than {most}: split it, or drop what is not needed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: usize,
        /// How much there may be.
        most: usize,
    },
    /// Content and digest do not agree.
    #[error("the set of rules is not the one that its digest names")]
    Digest,
    /// No signature by a trusted key.
    #[error("the set of rules has no valid signature by a trusted key")]
    Untrusted,
}

/// SHA-256 over whether the rules may revoke and over each document's path and text, each preceded by its length;
/// hexadecimal.
pub fn digest_of(documents: &[RuleDocument], may_revoke: bool) -> String {
    let mut digest = Sha256::new();
    let texts = documents.iter().flat_map(|document| [&document.path, &document.text]);
    for part in ["ambit-rules/v1", if may_revoke { "may-revoke" } else { "tells" }]
        .into_iter()
        .chain(texts.map(String::as_str))
    {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part.as_bytes());
    }
    hex::encode(digest.finalize())
}

/// Checks the bounds of a set.
pub fn check_bounds(documents: &[RuleDocument]) -> Result<(), InvalidRules> {
    let check = |what, found: usize, most: usize| {
        if found > most { Err(InvalidRules::TooLarge { what, found, most }) } else { Ok(()) }
    };
    check("documents:", documents.len(), RULE_DOCUMENTS_MAX)?;
    let mut bytes = 0;
    for document in documents {
        check("a document of bytes:", document.text.len(), RULE_DOCUMENT_BYTES_MAX)?;
        bytes += document.path.len() + document.text.len();
    }
    check("bytes in all:", bytes, RULES_BYTES_MAX)
}

impl RulesActivated {
    /// A signed set; the documents are put in the order of their paths.
    pub fn sign(
        mut documents: Vec<RuleDocument>,
        may_revoke: bool,
        key: &SigningKey,
    ) -> Result<Self, InvalidRules> {
        check_bounds(&documents)?;
        documents.sort();
        let digest = digest_of(&documents, may_revoke);
        let signature = sign_document(PAYLOAD_TYPE, digest.as_bytes(), key);
        Ok(Self { digest, may_revoke, documents, signatures: vec![signature] })
    }

    /// Checks bounds, digest, and that one of these keys has signed.
    pub fn verify(&self, trusted: &[VerifyingKey]) -> Result<(), InvalidRules> {
        check_bounds(&self.documents)?;
        if digest_of(&self.documents, self.may_revoke) != self.digest {
            return Err(InvalidRules::Digest);
        }
        if verify_document(PAYLOAD_TYPE, self.digest.as_bytes(), &self.signatures, trusted) {
            Ok(())
        } else {
            Err(InvalidRules::Untrusted)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(path: &str, text: &str) -> RuleDocument {
        RuleDocument { path: path.into(), text: text.into() }
    }

    #[test]
    fn a_set_is_what_was_signed_and_nothing_else() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let trusted = [key.verifying_key()];
        let set = RulesActivated::sign(vec![document("b", "2"), document("a", "1")], false, &key).unwrap();
        assert_eq!(set.documents[0].path, "a");
        assert_eq!(set.verify(&trusted), Ok(()));
        assert_eq!(set.verify(&[]), Err(InvalidRules::Untrusted));
        let mut changed = set.clone();
        changed.documents[0].text.push('!');
        assert_eq!(changed.verify(&trusted), Err(InvalidRules::Digest));
        let mut bolder = set.clone();
        bolder.may_revoke = true;
        assert_eq!(bolder.verify(&trusted), Err(InvalidRules::Digest));
        bolder.digest = digest_of(&bolder.documents, true);
        assert_eq!(bolder.verify(&trusted), Err(InvalidRules::Untrusted));
        let large = document("a", &"x".repeat(RULE_DOCUMENT_BYTES_MAX + 1));
        assert!(matches!(RulesActivated::sign(vec![large], false, &key), Err(InvalidRules::TooLarge { .. })));
    }

    #[test]
    fn texts_that_run_together_are_other_sets() {
        let one = digest_of(&[document("a", "bc")], false);
        assert_ne!(one, digest_of(&[document("ab", "c")], false));
        assert_ne!(one, digest_of(&[document("a", "b"), document("c", "")], false));
    }
}
