//! Checkpoints in a second place, so that whoever rolls a log back cannot take its own memory back with it.
//!
//! The place is a directory to which is only added: no file in it is ever replaced, renamed or removed, so it may be on
//! another machine, on a file system with an append-only attribute, or in a bucket with retention. A checkpoint of
//! `size` leaves is `<origin>/<size / 1,000,000>/<size>-<seconds since 1970>`, numbers padded with zeroes: the largest
//! is found without reading the others, and cannot be hidden by adding an older one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::checkpoint::{CheckpointKey, SignedCheckpoint};
use crate::fs_tiles::{create_dirs, parent_of, sync_dir};
use crate::limits::{MAX_CHECKPOINT_BYTES, MAX_MIRROR_JUNK};
use crate::position::Origin;

/// Sizes of one directory.
const SIZES_PER_DIR: u64 = 1_000_000;

/// A checkpoint as a mirror has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirrored {
    /// The checkpoint; its signature was checked.
    pub signed: SignedCheckpoint,
    /// When it was mirrored, in seconds since 1970. Nobody signed that.
    pub at: u64,
}

/// An append-only directory of checkpoints.
#[derive(Clone, Debug)]
pub struct MirrorDir {
    root: PathBuf,
}

impl MirrorDir {
    /// Uses a directory. It must be there before the first checkpoint is added: a mount that is missing must not be
    /// mistaken for an empty mirror.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Adds a checkpoint that was mirrored at `at`, seconds since 1970. When this returns it survives a power failure. A
    /// crash on the way leaves a file that [`Self::newest`] passes over.
    ///
    /// # Errors
    /// When the directory is not there or cannot be written to.
    pub fn add(&self, signed: &SignedCheckpoint, at: u64) -> io::Result<()> {
        fs::metadata(&self.root)?;
        let checkpoint = signed.checkpoint();
        let size = checkpoint.size.0;
        let dir = self.dir_of(&checkpoint.origin)?.join(format!("{:014}", size / SIZES_PER_DIR));
        create_dirs(&self.root, &dir)?;
        let path = dir.join(format!("{size:020}-{at:012}"));
        let mut file = match File::create_new(&path) {
            Ok(file) => file,
            // The same second: it is there, or a crash left half of it and the next checkpoint will be.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            Err(error) => return Err(error),
        };
        file.write_all(signed.note().as_bytes())?;
        file.sync_all()?;
        sync_dir(parent_of(&path))
    }

    /// The largest checkpoint of a log that `key` signed; nothing when there is none. Files that are something else are
    /// passed over.
    ///
    /// # Errors
    /// When the mirror cannot be read, or more than [`MAX_MIRROR_JUNK`] files in it are no checkpoints.
    pub fn newest(&self, origin: &Origin, key: &CheckpointKey) -> io::Result<Option<Mirrored>> {
        fs::metadata(&self.root)?;
        let mut junk = 0;
        for dir in names_descending(&self.dir_of(origin)?)? {
            for path in names_descending(&dir)? {
                if let Some(mirrored) = read(&path, origin, key)? {
                    return Ok(Some(mirrored));
                }
                junk += 1;
                if junk > MAX_MIRROR_JUNK {
                    let message = format!(
                        "{} has more than {MAX_MIRROR_JUNK} files that are no checkpoints",
                        dir.display()
                    );
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
            }
        }
        Ok(None)
    }

    fn dir_of(&self, origin: &Origin) -> io::Result<PathBuf> {
        let relative = Path::new(origin.as_str());
        if relative.components().all(|part| matches!(part, Component::Normal(_))) {
            return Ok(self.root.join(relative));
        }
        let message = format!("{origin} cannot be the name of a directory in a mirror");
        Err(io::Error::new(io::ErrorKind::InvalidInput, message))
    }
}

/// What is in a directory, last name first; nothing when it is not there.
fn names_descending(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort_unstable_by(|a, b| b.cmp(a));
    Ok(paths)
}

fn read(path: &Path, origin: &Origin, key: &CheckpointKey) -> io::Result<Option<Mirrored>> {
    let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('-'));
    let Some((Ok(size), Ok(at))) = name.map(|(size, at)| (size.parse::<u64>(), at.parse::<u64>())) else {
        return Ok(None);
    };
    let mut note = Vec::new();
    File::open(path)?.take(MAX_CHECKPOINT_BYTES as u64 + 1).read_to_end(&mut note)?;
    let signed = SignedCheckpoint::verify_for(origin, &note, key).ok();
    let signed = signed.filter(|signed| signed.checkpoint().size.0 == size);
    Ok(signed.map(|signed| Mirrored { signed, at }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::hash::{TreeHash, leaf_hash};
    use crate::position::TreeSize;
    use crate::signer::CheckpointSigner;

    fn signer() -> CheckpointSigner {
        CheckpointSigner::from_seed("test.local", &[1; 32]).unwrap()
    }

    fn origin() -> Origin {
        Origin::new("test.local/ambit.events/0").unwrap()
    }

    fn signed(size: u64) -> SignedCheckpoint {
        let root = TreeHash::of_leaf(leaf_hash(&size.to_be_bytes()));
        SignedCheckpoint::sign(Checkpoint { origin: origin(), size: TreeSize(size), root }, &signer())
            .unwrap()
    }

    #[test]
    fn the_largest_is_found_whatever_was_added_last() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = MirrorDir::new(dir.path());
        let newest = || mirror.newest(&origin(), signer().public_key()).unwrap();
        assert_eq!(newest(), None);
        for (size, at) in [(1, 10), (999_999, 20), (1_000_000, 30), (12_000_007, 40), (5, 50)] {
            mirror.add(&signed(size), at).unwrap();
            mirror.add(&signed(size), at).unwrap();
        }
        assert_eq!(newest(), Some(Mirrored { signed: signed(12_000_007), at: 40 }));
        let other = Origin::new("test.local/ambit.events/1").unwrap();
        assert_eq!(mirror.newest(&other, signer().public_key()).unwrap(), None);
    }

    #[test]
    fn half_a_file_and_what_somebody_else_wrote_are_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = MirrorDir::new(dir.path());
        mirror.add(&signed(7), 1).unwrap();
        let place = dir.path().join("test.local/ambit.events/0/00000000000000");
        let note = signed(9).note().to_owned();
        // Died in the middle of writing; a smaller one under a larger name; names that are none; another's key.
        fs::write(place.join("00000000000000000009-000000000002"), &note.as_bytes()[..note.len() / 2])
            .unwrap();
        fs::write(place.join("00000000000000000099-000000000003"), signed(3).note()).unwrap();
        fs::write(place.join("zzz"), b"x").unwrap();
        fs::create_dir(dir.path().join("test.local/ambit.events/0/99999999999999")).unwrap();
        let key = signer();
        assert_eq!(mirror.newest(&origin(), key.public_key()).unwrap().unwrap().signed, signed(7));
        let other = CheckpointSigner::from_seed("test.local", &[2; 32]).unwrap();
        assert_eq!(mirror.newest(&origin(), other.public_key()).unwrap(), None);
    }

    #[test]
    fn a_mirror_that_is_not_mounted_is_not_an_empty_one() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = MirrorDir::new(dir.path().join("absent"));
        assert!(mirror.newest(&origin(), signer().public_key()).is_err());
        assert!(mirror.add(&signed(1), 1).is_err());
        let outside = Origin::new("../x").unwrap();
        assert!(MirrorDir::new(dir.path()).newest(&outside, signer().public_key()).is_err());
    }
}
