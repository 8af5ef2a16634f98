//! The two kinds of hash in a log, kept apart by type: a leaf hash stands for bytes that were stored, a tree
//! hash for a range of leaves. Mixing them up is how second-preimage mistakes begin.

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use crate::error::ParseHashError;

/// Bytes in every hash here (SHA-256).
pub(crate) const HASH_BYTES: usize = 32;

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; HASH_BYTES]);

        impl $name {
            /// Wraps 32 bytes that were computed elsewhere.
            pub const fn from_bytes(bytes: [u8; HASH_BYTES]) -> Self {
                Self(bytes)
            }

            /// The 32 bytes.
            pub const fn as_bytes(&self) -> &[u8; HASH_BYTES] {
                &self.0
            }

            /// Standard base64 with padding, as checkpoints write it.
            pub fn to_base64(&self) -> String {
                BASE64_STANDARD.encode(self.0)
            }

            /// Reads what [`Self::to_base64`] writes.
            ///
            /// # Errors
            /// When the text is not base64, or not of 32 bytes.
            pub fn from_base64(text: &str) -> Result<Self, ParseHashError> {
                let bytes = BASE64_STANDARD
                    .decode(text)
                    .map_err(|_| ParseHashError { encoding: "base64" })?;
                let bytes = bytes.try_into().map_err(|_| ParseHashError { encoding: "base64" })?;
                Ok(Self(bytes))
            }

            pub(crate) const fn to_node(self) -> tlog_tiles::Hash {
                tlog_tiles::Hash(self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = ParseHashError;

            /// Reads the 64 hexadecimal digits that `Display` writes.
            fn from_str(text: &str) -> Result<Self, ParseHashError> {
                let mut bytes = [0; HASH_BYTES];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseHashError { encoding: "hex" })?;
                Ok(Self(bytes))
            }
        }
    };
}

hash_type! {
    /// The hash of one stored record: SHA-256 over a zero byte and the record's bytes (RFC 6962).
    LeafHash
}

hash_type! {
    /// The hash of a range of leaves: a root, or one step of a proof.
    TreeHash
}

/// The leaf hash of a record's stored bytes.
pub fn leaf_hash(bytes: &[u8]) -> LeafHash {
    LeafHash(tlog_tiles::record_hash(bytes).0)
}

impl From<tlog_tiles::Hash> for TreeHash {
    fn from(hash: tlog_tiles::Hash) -> Self {
        Self(hash.0)
    }
}

impl TreeHash {
    /// The root of a log without leaves: the hash of no bytes.
    pub const EMPTY_ROOT: Self = Self(tlog_tiles::EMPTY_HASH.0);

    /// A tree of one leaf is that leaf.
    pub(crate) const fn of_leaf(leaf: LeafHash) -> Self {
        Self(leaf.0)
    }

    /// The reverse of [`Self::of_leaf`], for hashes read from level 0.
    pub(crate) const fn to_leaf(self) -> LeafHash {
        LeafHash(self.0)
    }

    pub(crate) fn parent(left: Self, right: Self) -> Self {
        tlog_tiles::node_hash(left.to_node(), right.to_node()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_root_is_the_hash_of_no_bytes() {
        use sha2::{Digest as _, Sha256};
        assert_eq!(TreeHash::EMPTY_ROOT.as_bytes().as_slice(), Sha256::digest(b"").as_slice());
    }

    #[test]
    fn text_forms_round_trip_and_refuse_other_lengths() {
        let hash = leaf_hash(b"x");
        assert_eq!(hash.to_string().parse::<LeafHash>().unwrap(), hash);
        assert_eq!(LeafHash::from_base64(&hash.to_base64()).unwrap(), hash);
        for bad in ["", "00", "zz", &"0".repeat(63), &"0".repeat(66)] {
            assert!(bad.parse::<TreeHash>().is_err(), "{bad}");
            assert!(TreeHash::from_base64(bad).is_err(), "{bad}");
        }
    }
}
