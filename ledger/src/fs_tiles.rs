//! Tiles in a directory. Durability is made here and not left to the file system's mood: a file is written
//! beside its place, synced, renamed into place, and then its directory is synced.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::limits::MAX_FILE_BYTES;
use crate::tile_store::TileStore;

/// Tells apart the unfinished files of this process.
static UNFINISHED: AtomicU64 = AtomicU64::new(0);

/// The files of one log in a directory of their own.
#[derive(Debug)]
pub struct FsTiles {
    root: PathBuf,
    /// Directories whose own entry is known to be durable; grows by one for every thousand tiles.
    durable_dirs: Mutex<BTreeSet<PathBuf>>,
}

impl FsTiles {
    /// Uses a directory. It is made when the first file is written, so reading a wrong path changes nothing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), durable_dirs: Mutex::default() }
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn locate(&self, path: &str) -> io::Result<PathBuf> {
        let relative = Path::new(path);
        let stays_inside = relative.components().all(|part| matches!(part, Component::Normal(_)));
        if path.is_empty() || !stays_inside {
            let message = format!("{path:?} is not a file name inside the ledger's directory");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        Ok(self.root.join(relative))
    }

    /// Makes a directory and everything above it up to the root, and makes their entries durable, also when an
    /// earlier process made them and died before it could.
    fn ensure_dir(&self, dir: &Path) -> io::Result<()> {
        let mut known = self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut above: Vec<&Path> = dir
            .ancestors()
            .take_while(|part| part.starts_with(&self.root) && !known.contains(*part))
            .collect();
        above.reverse();
        let added: Vec<PathBuf> = above.iter().map(|part| part.to_path_buf()).collect();
        for part in above {
            if part == self.root {
                fs::create_dir_all(part)?;
            } else if let Err(error) = fs::create_dir(part)
                && error.kind() != io::ErrorKind::AlreadyExists
            {
                return Err(error);
            }
            sync_dir(parent_of(part))?;
        }
        known.extend(added);
        Ok(())
    }

    /// Writes and renames; returns the directory that has to be synced.
    fn place(&self, path: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let target = self.locate(path)?;
        let dir = parent_of(&target).to_path_buf();
        self.ensure_dir(&dir)?;
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        name.push(format!(".{}.{}.tmp", std::process::id(), UNFINISHED.fetch_add(1, Ordering::Relaxed)));
        let unfinished = dir.join(name);
        let written = write_synced(&unfinished, bytes).and_then(|()| fs::rename(&unfinished, &target));
        if let Err(error) = written {
            // The first error is the one to report: the leftover is never read.
            fs::remove_file(&unfinished).ok();
            return Err(error);
        }
        Ok(dir)
    }
}

impl TileStore for FsTiles {
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.locate(path)?) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > MAX_FILE_BYTES {
            let message = format!("{path} is larger than {MAX_FILE_BYTES} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(Some(bytes))
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        // INVARIANT L-3: nothing is called durable before the file and its name are synced.
        sync_dir(&self.place(path, bytes)?)
    }

    fn write_all(&self, files: &[(String, Vec<u8>)]) -> io::Result<()> {
        let mut dirs = BTreeSet::new();
        for (path, bytes) in files {
            dirs.insert(self.place(path, bytes)?);
        }
        dirs.iter().try_for_each(|dir| sync_dir(dir))
    }

    fn remove_dir(&self, dir: &str) -> io::Result<()> {
        let dir = self.locate(dir)?;
        self.durable_dirs.lock().unwrap_or_else(PoisonError::into_inner).remove(&dir);
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a directory and those above it up to `root`, which is there, and makes their entries durable.
pub(crate) fn create_dirs(root: &Path, dir: &Path) -> io::Result<()> {
    let mut missing: Vec<&Path> =
        dir.ancestors().take_while(|part| *part != root && !part.is_dir()).collect();
    missing.reverse();
    for part in missing {
        if let Err(error) = fs::create_dir(part)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        sync_dir(parent_of(part))?;
    }
    Ok(())
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// The directory of a path, which for a bare name is the current one.
pub(crate) fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_directory_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let tiles = FsTiles::new(dir.path().join("shard"));
        for bad in ["", "../x", "/etc/passwd", "tile/../../x", "."] {
            assert!(tiles.write(bad, b"x").is_err(), "{bad}");
            assert!(tiles.read(bad).is_err(), "{bad}");
            assert!(tiles.remove_dir(bad).is_err(), "{bad}");
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn writing_replaces_whole_files_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let tiles = FsTiles::new(dir.path().join("a/b"));
        assert_eq!(tiles.read("tile/0/000").unwrap(), None);
        tiles.write("tile/0/000", b"first").unwrap();
        tiles
            .write_all(&[("tile/0/000".into(), b"second".to_vec()), ("checkpoint".into(), b"c".to_vec())])
            .unwrap();
        assert_eq!(tiles.read("tile/0/000").unwrap().unwrap(), b"second");
        assert_eq!(tiles.read("checkpoint").unwrap().unwrap(), b"c");
        let names: Vec<_> = fs::read_dir(dir.path().join("a/b/tile/0")).unwrap().collect();
        assert_eq!(names.len(), 1);
        tiles.write("tile/0/001.p/3", b"partial").unwrap();
        tiles.remove_dir("tile/0/001.p").unwrap();
        tiles.remove_dir("tile/0/001.p").unwrap();
        assert_eq!(tiles.read("tile/0/001.p/3").unwrap(), None);
        tiles.write("tile/0/001.p/3", b"again").unwrap();
    }

    #[test]
    fn a_file_too_large_to_be_ours_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("checkpoint"), vec![b'x'; MAX_FILE_BYTES + 1]).unwrap();
        let error = FsTiles::new(dir.path()).read("checkpoint").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
