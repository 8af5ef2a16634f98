//! Keys and tokens that are made on first start: the approver's key of a single-site installation, the console's
//! token. All live under `<data>/keys`, mode 0600.

use ambit_query_api::access::TOKEN_PREFIX;
use ambit_schemas::envelope::key_id;
use anyhow::{Context, bail};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD};
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey};
use ed25519_dalek::{SigningKey, VerifyingKey};
use rand::RngCore;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Bits of a file's mode that let others in.
const OTHERS: u32 = 0o077;
/// Least characters of a token: 128 bits, were they hexadecimal digits.
const TOKEN_CHARS_MIN: usize = 32;
/// Least bytes of a secret for webhooks (Standard Webhooks: 24 to 64).
const WEBHOOK_BYTES_MIN: usize = 24;

/// Reads a secret text, or makes it with `make` and keeps it. Refuses a file that others may read.
fn load_or_create(
    path: &Path,
    make: impl FnOnce() -> anyhow::Result<Zeroizing<String>>,
) -> anyhow::Result<Zeroizing<String>> {
    let missing = !path.try_exists().with_context(|| format!("cannot look for {}", path.display()))?;
    if missing {
        store_new(path, make()?.as_bytes())
            .with_context(|| format!("cannot write {}: is the data directory writable?", path.display()))?;
    }
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    if metadata.permissions().mode() & OTHERS != 0 {
        bail!("{} can be read by others: run `chmod 600 {}`", path.display(), path.display());
    }
    let text =
        Zeroizing::new(fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?);
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Writes beside the place and links into it once the disk has all of it: nobody ever finds half a secret, and where
/// another process was quicker, its secret stays and is the one.
fn store_new(path: &Path, secret: &[u8]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut name = OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    name.push(format!(".{}.tmp", hex::encode(random::<8>().as_ref())));
    let unfinished = dir.join(name);
    let written = write_private(&unfinished, secret).and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    fs::remove_file(&unfinished).ok();
    written.and_then(|()| File::open(dir)?.sync_all())
}

fn write_private(path: &Path, secret: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret)?;
    file.sync_all()
}

/// What to do about a file that is not what was written: it is never replaced silently.
fn repair(path: &Path) -> String {
    let path = path.display();
    format!(
        "restore {path} from a backup; if it never held anything, delete it and the next start makes another"
    )
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
    SigningKey::from_pkcs8_pem(&pem).with_context(|| {
        format!("{} is not an Ed25519 private key in PKCS #8 PEM: {}", path.display(), repair(path))
    })
}

/// A public key that signs envelopes (SPKI, PEM).
pub fn public_key(path: &Path) -> anyhow::Result<VerifyingKey> {
    let pem =
        fs::read_to_string(path).with_context(|| format!("cannot read approver key {}", path.display()))?;
    VerifyingKey::from_public_key_pem(&pem)
        .with_context(|| format!("{} is not an Ed25519 public key in PEM", path.display()))
}

/// A random token of 256 bits, hexadecimal, or one that the operator has put there.
///
/// # Errors
/// When the file holds less than [`TOKEN_CHARS_MIN`] visible characters: an empty token would let everybody in.
pub fn token(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let token = load_or_create(path, || Ok(Zeroizing::new(hex::encode(random::<32>().as_ref()))))?;
    if token.len() < TOKEN_CHARS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!(
            "{} is not 64 hexadecimal digits, nor {TOKEN_CHARS_MIN} visible ASCII characters or more of your own: {}",
            path.display(),
            repair(path)
        );
    }
    Ok(token)
}

/// A new token for the API: `amb_` and 256 random bits.
pub fn api_token() -> Zeroizing<String> {
    Zeroizing::new(format!("{TOKEN_PREFIX}{}", URL_SAFE_NO_PAD.encode(random::<32>().as_ref())))
}

/// A secret for Standard Webhooks, `whsec_` and 32 random bytes in base64.
pub fn webhook_secret(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let secret = load_or_create(path, || {
        Ok(Zeroizing::new(format!("whsec_{}", BASE64.encode(random::<32>().as_ref()))))
    })?;
    let bytes = secret.strip_prefix("whsec_").and_then(|text| BASE64.decode(text).ok()).map(Zeroizing::new);
    if bytes.is_none_or(|bytes| bytes.len() < WEBHOOK_BYTES_MIN) {
        bail!("{} is not `whsec_` and a secret in base64: {}", path.display(), repair(path));
    }
    Ok(secret)
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
    #[test]
    fn what_was_cut_off_or_emptied_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.token");
        for text in [
            "",
            "\n",
            "0123456789abcdef0123456789abcde",
            "a token of more than 32 characters",
            "ÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄÄ",
        ] {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            for told in [
                token(&path).unwrap_err(),
                webhook_secret(&path).unwrap_err(),
                approver_key(&path).unwrap_err(),
            ] {
                let told = format!("{told:#}");
                assert!(told.contains("api.token") && told.contains("delete it"), "{text:?}: {told}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "it is left as it was");
        }
        fs::write(&path, "correct-horse-battery-staple-1234567890\n").unwrap();
        assert_eq!(token(&path).unwrap().as_str(), "correct-horse-battery-staple-1234567890");
    }

    #[test]
    fn two_who_make_a_token_at_once_have_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/token");
        let made: Vec<_> = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..8).map(|_| scope.spawn(|| token(&path).unwrap())).collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).collect()
        });
        assert!(made.iter().all(|token| *token == made[0]));
        let left: Vec<_> = fs::read_dir(dir.path().join("keys")).unwrap().flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}
