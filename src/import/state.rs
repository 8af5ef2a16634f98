//! How far each file was imported, by what is in it: a file that was moved or copied is not imported again, one that
//! has grown is.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// How far one file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Records whose events Kafka has, from the file's beginning.
    pub records: u64,
    /// Whether that is all of it.
    pub complete: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Content {
    files: BTreeMap<String, Progress>,
}

/// Records after which the state is written. With what may be on its way to Kafka this stays below ingest's window for
/// duplicates (20,000 events of a shard): what a killed import sends again is recognised.
const RECORDS_UNSAVED_MAX: u64 = 1_000;

/// The state file.
#[derive(Debug, Clone)]
pub struct State {
    path: PathBuf,
    content: Content,
    unsaved: u64,
}

impl State {
    /// Reads the state, which is empty when there is no file.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let content = match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| {
                format!(
                    "{} is not a state of an import: remove it to import everything again",
                    path.display()
                )
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Content::default(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        Ok(Self { path: path.to_owned(), content, unsaved: 0 })
    }

    /// How far the file with that digest is.
    pub fn of(&self, digest: &str) -> Option<Progress> {
        self.content.files.get(digest).copied()
    }

    /// Notes how far a file is. Durable with the next [`State::save`], or when enough was noted.
    pub fn note(&mut self, digest: &str, records: u64, complete: bool) -> anyhow::Result<()> {
        let before = self.content.files.insert(digest.to_owned(), Progress { records, complete });
        self.unsaved += records.saturating_sub(before.map_or(0, |before| before.records)).max(1);
        if self.unsaved >= RECORDS_UNSAVED_MAX { self.save() } else { Ok(()) }
    }

    /// Makes what was noted durable.
    pub fn save(&mut self) -> anyhow::Result<()> {
        if self.unsaved == 0 {
            return Ok(());
        }
        self.unsaved = 0;
        self.write().with_context(|| format!("cannot write the import's state {}", self.path.display()))
    }

    /// A new file takes the old one's place, whole, after it is on the disk.
    fn write(&self) -> std::io::Result<()> {
        let dir = self.path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let new = self.path.with_extension("new");
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec_pretty(&self.content)?)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_read_back_and_a_broken_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state.json");
        let mut state = State::open(&path).unwrap();
        assert_eq!(state.of("a"), None);
        state.note("a", 7, false).unwrap();
        state.note("b", 9, true).unwrap();
        state.note("a", 8, false).unwrap();
        assert_eq!(State::open(&path).unwrap().of("a"), None, "not yet");
        state.save().unwrap();
        let again = State::open(&path).unwrap();
        assert_eq!(again.of("a"), Some(Progress { records: 8, complete: false }));
        assert_eq!(again.of("b"), Some(Progress { records: 9, complete: true }));
        state.note("a", 9_000, false).unwrap();
        assert_eq!(State::open(&path).unwrap().of("a"), Some(Progress { records: 9_000, complete: false }));
        fs::write(&path, "{").unwrap();
        assert!(State::open(&path).is_err());
    }
}
