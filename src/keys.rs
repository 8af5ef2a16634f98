//! Keys and tokens that are made on first start: the approver's key of a single-site installation, the console's
//! token. All live under `<data>/keys`, mode 0600.

use ambit_schemas::envelope::key_id;
use anyhow::{Context, bail};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rand::RngCore;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Bits of a file's mode that let others in.
const OTHERS: u32 = 0o077;

/// Reads a secret text, or makes it with `make` and keeps it. Refuses a file that others may read.
fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<String>> {
    match fs::metadata(path) {
        Ok(metadata) => {
            if metadata.permissions().mode() & OTHERS != 0 {
                bail!("{} can be read by others: run `chmod 600 {}`", path.display(), path.display());
            }
            let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Zeroizing::new(text.trim().to_owned()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let secret = make()?;
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).with_context(|| format!("cannot create {}", parent.display()))?;
            }
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(
                    || format!("cannot create {}: is the data directory writable?", path.display()),
                )?;
            file.write_all(secret.as_bytes())
                .and_then(|()| file.sync_all())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Zeroizing::new(secret.trim().to_owned()))
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    rand::rng().fill_bytes(bytes.as_mut());
    bytes
}

/// The Ed25519 key with which envelopes are approved on this installation (PKCS #8, PEM).
pub fn approver_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = load_or_create(path, || {
        let key = SigningKey::from_bytes(&random::<32>());
        let pem = key.to_pkcs8_pem(LineEnding::LF).context("cannot write a new key as PEM")?;
        tracing::info!(keyid = key_id(&key.verifying_key()), "made an approver key");
        Ok(Zeroizing::new(pem.to_string()))
    })?;
    SigningKey::from_pkcs8_pem(&pem)
        .with_context(|| format!("{} is not an Ed25519 private key in PKCS #8 PEM", path.display()))
}

/// A public key that signs envelopes (SPKI, PEM).
pub fn public_key(path: &Path) -> anyhow::Result<VerifyingKey> {
    let pem =
        fs::read_to_string(path).with_context(|| format!("cannot read approver key {}", path.display()))?;
    VerifyingKey::from_public_key_pem(&pem)
        .with_context(|| format!("{} is not an Ed25519 public key in PEM", path.display()))
}

/// A random token of 256 bits, hexadecimal.
pub fn token(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    load_or_create(path, || Ok(Zeroizing::new(hex::encode(random::<32>().as_ref()))))
}

/// A secret for Standard Webhooks, `whsec_` and 32 random bytes in base64.
pub fn webhook_secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    use base64::Engine;
    load_or_create(path, || {
        let text = base64::engine::general_purpose::STANDARD.encode(random::<32>().as_ref());
        Ok(Zeroizing::new(format!("whsec_{text}")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_from_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/approver.pem");
        let first = approver_key(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(approver_key(&path).unwrap(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(format!("{:#}", approver_key(&path).unwrap_err()).contains("chmod 600"));
        assert_eq!(token(&dir.path().join("t")).unwrap().len(), 64);
        assert_ne!(token(&dir.path().join("t")).unwrap(), token(&dir.path().join("u")).unwrap());
    }
}
