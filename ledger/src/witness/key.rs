//! A witness's keys. Its private key is kept like that of a log; what sets them apart is the algorithm byte under which
//! the public key is named, and what is signed.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{PUBLIC_KEY_LENGTH, Signature, Signer as _, VerifyingKey};

use crate::error::KeyError;
use crate::position::name_fault;
use crate::signer::{ALGORITHM_ED25519, CheckpointSigner};

/// The algorithm byte of timestamped Ed25519 cosignatures (C2SP signed-note, signature types).
const ALGORITHM_COSIGNATURE: u8 = 4;
/// Hexadecimal digits of a key id.
const KEY_ID_DIGITS: usize = 8;

/// The public key of a witness: `name+hash+key`, with algorithm byte 4.
#[derive(Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: Box<str>,
    id: u32,
    key: VerifyingKey,
}

impl WitnessKey {
    /// Reads the text form.
    ///
    /// # Errors
    /// When the text is not the key of a witness, when its hash does not belong to name and key, or when the key is one
    /// under which anybody can sign.
    pub fn new(text: &str) -> Result<Self, KeyError> {
        Self::parse(text)
            .map_err(|reason| KeyError::WitnessKey { text: text.chars().take(64).collect(), reason })
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        let form = "expected name+hash+key";
        let (name, rest) = text.split_once('+').ok_or(form)?;
        let (id, key) = rest.split_once('+').ok_or(form)?;
        if let Some(fault) = name_fault(name) {
            return Err(fault);
        }
        let bytes = BASE64_STANDARD.decode(key).map_err(|_| "the key is not base64")?;
        let key: &[u8; PUBLIC_KEY_LENGTH] = match bytes.split_first() {
            Some((&ALGORITHM_COSIGNATURE, key)) => {
                key.try_into().map_err(|_| "an Ed25519 key has 32 bytes")?
            }
            Some((&ALGORITHM_ED25519, _)) => {
                return Err("it is the key of a log and not of a witness, whose algorithm byte is 4");
            }
            _ => return Err("the algorithm byte is not 4 (cosignature/v1, Ed25519)"),
        };
        let key = VerifyingKey::from_bytes(key).map_err(|_| "it is no point on the curve")?;
        if key.is_weak() {
            return Err("it is a weak key, under which anybody can sign");
        }
        let found = Self::of(name, key);
        if id.len() != KEY_ID_DIGITS || u32::from_str_radix(id, 16) != Ok(found.id) {
            return Err("the hash does not belong to name and key");
        }
        Ok(found)
    }

    fn of(name: &str, key: VerifyingKey) -> Self {
        Self { name: name.into(), id: signed_note::key_id(name, &named(&key)), key }
    }

    /// The name in the key, which stands on the signature line too.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's id, which with the name tells whose a signature line is.
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The bare Ed25519 key.
    pub(super) fn bytes(&self) -> &[u8; PUBLIC_KEY_LENGTH] {
        self.key.as_bytes()
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.key.verify_strict(message, signature).is_ok()
    }
}

/// What the key's id is a hash of, and what stands in base64.
fn named(key: &VerifyingKey) -> Vec<u8> {
    std::iter::once(ALGORITHM_COSIGNATURE).chain(*key.as_bytes()).collect()
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, BASE64_STANDARD.encode(named(&self.key)))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({self})")
    }
}

impl FromStr for WitnessKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::new(text)
    }
}

/// The private key of a witness. Never shown: `Debug` prints the public key.
pub struct WitnessSigner {
    key: CheckpointSigner,
    public: WitnessKey,
}

impl WitnessSigner {
    /// A signer from 32 secret random bytes.
    ///
    /// # Errors
    /// When `name` cannot stand in a signed note.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        CheckpointSigner::from_seed(name, seed).map(Self::of)
    }

    /// Reads the key at `path`; when there is none, makes one and stores it durably with mode 0600. The file's format is
    /// that of all Ed25519 keys of signed notes (`PRIVATE+KEY+...`).
    ///
    /// # Errors
    /// When the file cannot be read or written, when other users could read it, when it is not a key, or when it is the
    /// key of another name.
    #[cfg(unix)]
    pub fn load_or_create(path: &Path, name: &str) -> Result<Self, KeyError> {
        CheckpointSigner::load_or_create(path, name).map(Self::of)
    }

    fn of(key: CheckpointSigner) -> Self {
        let public = WitnessKey::of(key.public_key().name(), key.signing_key().verifying_key());
        Self { key, public }
    }

    /// The key that verifies what this signs. Give it to those whose logs are witnessed.
    pub const fn public_key(&self) -> &WitnessKey {
        &self.public
    }

    pub(super) fn sign(&self, message: &[u8]) -> Signature {
        self.key.signing_key().sign(message)
    }
}

impl fmt::Debug for WitnessSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessSigner({})", self.public)
    }
}
