//! API tokens: `amb_` and 256 random bits. The program keeps only their SHA-256, in a file that `ambit token` writes and
//! this reads again whenever it has changed.

use crate::access::role::Role;
use ambit_schemas::Timestamp;
use ambit_schemas::id::{PrincipalId, TenantId};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::Mutex;

/// What every token begins with, so that scanners for leaked secrets know it.
pub const TOKEN_PREFIX: &str = "amb_";
/// Most tokens of a file, revoked ones included.
pub const TOKENS_MAX: usize = 1_000;
/// How soon a changed file is noticed, in microseconds: so long a revoked token may live.
const LOOK_EVERY_US: i64 = 1_000_000;
/// Bits of a file's mode that let others in.
const OTHERS: u32 = 0o077;

/// A token as it is kept: everything but the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRecord {
    /// Names the token in lists and in the audit trail: the first digits of its hash.
    pub id: String,
    /// Who presents it: the author of what is done with it.
    pub name: PrincipalId,
    /// SHA-256 of the token, hexadecimal.
    pub sha256: String,
    /// What it may do.
    pub role: Role,
    /// The one tenant that it sees; absent when it sees all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// The record of a token.
    pub fn new(token: &str, name: PrincipalId, role: Role, tenant: Option<TenantId>, now: Timestamp) -> Self {
        let sha256 = hex::encode(Sha256::digest(token));
        let id = format!("tok-{}", sha256.get(..12).unwrap_or_default());
        Self { id, name, sha256, role, tenant, created_at: now, expires_at: None, revoked_at: None }
    }

    /// Whether it is valid at a moment.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|end| now < end)
    }
}

/// All tokens of an installation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenList {
    /// The tokens, oldest first.
    pub tokens: Vec<TokenRecord>,
}

impl TokenList {
    /// Reads the file; without one there are no tokens.
    ///
    /// # Errors
    /// When it cannot be read, others may read it, or it is not what `ambit token` writes.
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        let wrong = |what: &'static str| TokenFileError::Wrong { path: path.to_owned(), what };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(cause) => return Err(TokenFileError::Unreadable { path: path.to_owned(), cause }),
        };
        let metadata = std::fs::metadata(path);
        if metadata.is_ok_and(|metadata| metadata.permissions().mode() & OTHERS != 0) {
            return Err(wrong("can be read by others: run `chmod 600` on it"));
        }
        let list: Self = serde_json::from_slice(&bytes)
            .map_err(|cause| TokenFileError::Json { path: path.to_owned(), cause })?;
        if list.tokens.len() > TOKENS_MAX {
            return Err(wrong("holds more tokens than there may be"));
        }
        Ok(list)
    }

    /// The token's record, whether valid or not. Every record is compared, each in constant time, so that the time taken
    /// says nothing about any of them.
    pub fn find(&self, token: &str) -> Option<&TokenRecord> {
        let digest = hex::encode(Sha256::digest(token));
        let mut found = None;
        for record in &self.tokens {
            if verify_slices_are_equal(record.sha256.as_bytes(), digest.as_bytes()).is_ok() {
                found = Some(record);
            }
        }
        found
    }
}

/// Why the file of tokens cannot be used. Nobody's token is accepted until it can.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It cannot be read.
    #[error("the API's tokens {} cannot be read: check the file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: std::io::Error,
    },
    /// It is not JSON of the right shape.
    #[error("the API's tokens {} are not what `ambit token` writes: restore the file from a backup", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        cause: serde_json::Error,
    },
    /// It is not as it must be.
    #[error("the API's tokens: {} {what}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
    },
}

/// What tells one state of a file from another: a file that is replaced has another inode.
type Stamp = Option<(u64, u64, SystemTime)>;

#[derive(Debug, Default)]
struct Read {
    stamp: Stamp,
    looked_at: Option<Timestamp>,
    list: Arc<TokenList>,
}

/// The file of tokens, read again when it has changed.
#[derive(Debug)]
pub(crate) struct Tokens {
    path: PathBuf,
    read: Mutex<Read>,
}

impl Tokens {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::default() }
    }

    /// The tokens there are now. When the file cannot be used there are none.
    pub(crate) async fn now(&self, now: Timestamp) -> Arc<TokenList> {
        let mut read = self.read.lock().await;
        if read.looked_at.is_some_and(|at| (0..LOOK_EVERY_US).contains(&now.micros_since(at))) {
            return Arc::clone(&read.list);
        }
        read.looked_at = Some(now);
        let path = self.path.clone();
        let known = read.stamp;
        let looked = tokio::task::spawn_blocking(move || {
            let stamp = stamp(&path);
            (stamp != known).then(|| (stamp, TokenList::read(&path)))
        });
        match looked.await {
            Ok(Some((stamp, Ok(list)))) => {
                read.stamp = stamp;
                read.list = Arc::new(list);
            }
            Ok(Some((_, Err(error)))) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(cause, "{error}");
                read.stamp = None;
                read.list = Arc::default();
            }
            Ok(None) | Err(_) => {}
        }
        Arc::clone(&read.list)
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(token: &str) -> TokenRecord {
        let name = PrincipalId::try_from("sam").unwrap();
        TokenRecord::new(token, name, Role::Analyst, None, Timestamp::from_micros(0))
    }

    fn write(path: &Path, list: &TokenList, mode: u32) {
        let unfinished = path.with_extension("tmp");
        std::fs::write(&unfinished, serde_json::to_vec(list).unwrap()).unwrap();
        std::fs::set_permissions(&unfinished, std::fs::Permissions::from_mode(mode)).unwrap();
        std::fs::rename(unfinished, path).unwrap();
    }

    #[tokio::test]
    async fn a_changed_file_is_read_again_and_one_that_cannot_be_used_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tokens.json");
        let tokens = Tokens::new(path.clone());
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        assert_eq!(tokens.now(at(0)).await.find("amb_a"), None);
        write(&path, &TokenList { tokens: vec![record("amb_a")] }, 0o600);
        assert_eq!(tokens.now(at(2)).await.find("amb_a"), Some(&record("amb_a")));
        assert_eq!(tokens.now(at(2)).await.find("amb_b"), None);
        // Revoked by another process.
        let revoked = TokenRecord { revoked_at: Some(at(3)), ..record("amb_a") };
        write(&path, &TokenList { tokens: vec![revoked] }, 0o600);
        assert!(!tokens.now(at(4)).await.find("amb_a").unwrap().is_valid(at(4)));
        write(&path, &TokenList { tokens: vec![record("amb_a")] }, 0o644);
        assert_eq!(tokens.now(at(6)).await.find("amb_a"), None, "others may read the file");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(tokens.now(at(8)).await.find("amb_a"), None);
        write(&path, &TokenList { tokens: vec![record("amb_a")] }, 0o600);
        assert!(tokens.now(at(10)).await.find("amb_a").is_some(), "it is mended");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(tokens.now(at(12)).await.find("amb_a"), None, "without a file there are none");
    }

    #[test]
    fn a_token_is_kept_as_its_hash_and_ends_in_its_time() {
        let mut kept = record("amb_secret");
        assert!(!serde_json::to_string(&kept).unwrap().contains("secret"));
        kept.expires_at = Some(Timestamp::from_micros(5));
        assert!(kept.is_valid(Timestamp::from_micros(4)) && !kept.is_valid(Timestamp::from_micros(5)));
    }
}
