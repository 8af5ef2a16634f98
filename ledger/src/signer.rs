//! The private key that signs checkpoints. Its bytes are wiped from memory when it is dropped, and it is never
//! shown: `Debug` prints the public key.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ed25519_dalek::{SECRET_KEY_LENGTH, SignatureError, Signer as _, SigningKey};
use zeroize::Zeroizing;

use crate::checkpoint::CheckpointKey;
use crate::error::KeyError;
use crate::position::name_fault;

/// The algorithm byte that signed notes put before an Ed25519 key.
pub(crate) const ALGORITHM_ED25519: u8 = 1;
const PRIVATE_PREFIX: &str = "PRIVATE+KEY+";

/// Signs checkpoints with Ed25519.
pub struct CheckpointSigner {
    key: SigningKey,
    public: CheckpointKey,
}

impl CheckpointSigner {
    /// A signer from 32 secret random bytes.
    ///
    /// # Errors
    /// When `name` cannot stand in a signed note.
    pub fn from_seed(name: &str, seed: &[u8; SECRET_KEY_LENGTH]) -> Result<Self, KeyError> {
        if let Some(reason) = name_fault(name) {
            return Err(KeyError::Name { name: name.chars().take(64).collect(), reason });
        }
        let key = SigningKey::from_bytes(seed);
        let public = CheckpointKey::of_signer(name, &key.verifying_key())?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this signs. Give it to auditors.
    pub fn public_key(&self) -> &CheckpointKey {
        &self.public
    }

    pub(crate) const fn signing_key(&self) -> &SigningKey {
        &self.key
    }

    /// The private key as text: `PRIVATE+KEY+name+hash+key`.
    pub(crate) fn to_private_text(&self) -> Zeroizing<String> {
        let seed = Zeroizing::new(self.key.to_bytes());
        let mut key = Zeroizing::new(Vec::with_capacity(1 + SECRET_KEY_LENGTH));
        key.push(ALGORITHM_ED25519);
        key.extend_from_slice(seed.as_slice());
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(&*key));
        Zeroizing::new(format!(
            "{PRIVATE_PREFIX}{}+{:08x}+{}",
            self.public.name(),
            self.public.key_id(),
            encoded.as_str()
        ))
    }

    /// Reads what [`Self::to_private_text`] writes; nothing when it is anything else.
    pub(crate) fn from_private_text(text: &str) -> Option<Self> {
        let (name, rest) = text.trim_end().strip_prefix(PRIVATE_PREFIX)?.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let key = Zeroizing::new(BASE64_STANDARD.decode(key).ok()?);
        let (algorithm, seed) = key.split_first()?;
        let seed = Zeroizing::new(<[u8; SECRET_KEY_LENGTH]>::try_from(seed).ok()?);
        let signer = Self::from_seed(name, &seed).ok()?;
        let intact = *algorithm == ALGORITHM_ED25519 && id == format!("{:08x}", signer.public.key_id());
        intact.then_some(signer)
    }
}

impl signed_note::Signer for CheckpointSigner {
    fn name(&self) -> &str {
        self.public.name()
    }

    fn key_id(&self) -> u32 {
        self.public.key_id()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignatureError> {
        Ok(self.key.try_sign(message)?.to_bytes().to_vec())
    }
}

impl fmt::Debug for CheckpointSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CheckpointSigner({})", self.public)
    }
}
