//! The private key on disk: made once, readable by its owner alone, never overwritten. A log whose key changed
//! cannot be continued, so a key that cannot be read is an error and not a reason to make another.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use crate::error::KeyError;
use crate::fs_tiles::{parent_of, sync_dir};
use crate::limits::MAX_KEY_FILE_BYTES;
use crate::signer::CheckpointSigner;

/// Random numbers of the kernel. Unlike `/dev/urandom` it waits, once after boot, until they are unpredictable.
const RANDOM: &str = "/dev/random";
const GROUP_AND_OTHERS: u32 = 0o077;

impl CheckpointSigner {
    /// Makes a new key from the system's random numbers.
    ///
    /// # Errors
    /// When `name` cannot stand in a signed note, or there are no random numbers.
    pub fn generate(name: &str) -> Result<Self, KeyError> {
        let mut seed = Zeroizing::new([0; ed25519_dalek::SECRET_KEY_LENGTH]);
        File::open(RANDOM)
            .and_then(|mut random| random.read_exact(seed.as_mut_slice()))
            .map_err(|source| file_error("drawing random numbers from", Path::new(RANDOM), source))?;
        Self::from_seed(name, &seed)
    }

    /// Reads the key at `path`; when there is none, makes one and stores it durably with mode 0600. When two
    /// processes do this at once, both get the same key.
    ///
    /// # Errors
    /// As [`Self::load`], and when the file cannot be written.
    pub fn load_or_create(path: &Path, name: &str) -> Result<Self, KeyError> {
        if !path.try_exists().map_err(|source| file_error("looking for the signing key", path, source))? {
            let signer = Self::generate(name)?;
            store_new(path, &signer).map_err(|source| file_error("writing the signing key", path, source))?;
        }
        Self::load(path, name)
    }

    /// Reads the key at `path`.
    ///
    /// # Errors
    /// When the file cannot be read, when other users could, when it is not a key, or when it is the key of a
    /// log with another name.
    pub fn load(path: &Path, name: &str) -> Result<Self, KeyError> {
        let reading = |source| file_error("reading the signing key", path, source);
        let shown = path.display().to_string();
        let file = File::open(path).map_err(reading)?;
        let mode = file.metadata().map_err(reading)?.permissions().mode() & 0o7777;
        if mode & GROUP_AND_OTHERS != 0 {
            return Err(KeyError::Exposed { path: shown, mode });
        }
        // Reserved at once, so that no copy of the secret is left behind by a growing buffer.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_KEY_FILE_BYTES + 1));
        file.take(MAX_KEY_FILE_BYTES as u64).read_to_end(&mut bytes).map_err(reading)?;
        let signer = std::str::from_utf8(&bytes).ok().and_then(Self::from_private_text);
        let Some(signer) = signer else {
            return Err(KeyError::Malformed { path: shown });
        };
        if signer.public_key().name() != name {
            let found = signer.public_key().name().to_owned();
            return Err(KeyError::OtherName { path: shown, wanted: name.to_owned(), found });
        }
        Ok(signer)
    }
}

/// Writes beside the place and links into it: the link fails where a key already stands, which then is the key.
fn store_new(path: &Path, signer: &CheckpointSigner) -> io::Result<()> {
    let dir = parent_of(path);
    fs::create_dir_all(dir)?;
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().ok_or(io::ErrorKind::InvalidInput)?);
    // The key's own id, so that two makers never share an unfinished file.
    name.push(format!(".{:08x}.tmp", signer.public_key().key_id()));
    let unfinished = dir.join(name);
    let written = write_private(&unfinished, signer).and_then(|()| match fs::hard_link(&unfinished, path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    });
    fs::remove_file(&unfinished).ok();
    written.and_then(|()| sync_dir(dir))
}

fn write_private(path: &Path, signer: &CheckpointSigner) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    // A mode given on opening is narrowed by the umask; one set afterwards is exactly this.
    file.set_permissions(fs::Permissions::from_mode(0o600))?;
    file.write_all(signer.to_private_text().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn file_error(doing: &'static str, path: &Path, source: io::Error) -> KeyError {
    KeyError::File { doing, path: path.display().to_string(), source }
}
