//! Snapshots of the analyzer's state: one file per shard, replaced as a whole. Deletable (INVARIANT Q-2).

use ambit_analytics::{Analyzer, Options};
use ambit_schemas::Shard;
use anyhow::Context;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The folder of snapshots. A cheap clone.
#[derive(Debug, Clone)]
pub struct Snapshots {
    dir: PathBuf,
    saved: Arc<Mutex<HashMap<Shard, u64>>>,
}

impl Snapshots {
    /// Uses, and if need be makes, a folder.
    pub fn open(dir: PathBuf) -> anyhow::Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        Ok(Self { dir, saved: Arc::default() })
    }

    fn path(&self, shard: Shard) -> PathBuf {
        self.dir.join(format!("{}-{}.snapshot", shard.topic, shard.partition))
    }

    /// The state of a shard, if there is a snapshot. An error means that there is one, but it cannot be used.
    pub fn load(&self, shard: Shard, options: &Arc<Options>) -> anyhow::Result<Option<Analyzer>> {
        let path = self.path(shard);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let analyzer = Analyzer::restore(&bytes, Arc::clone(options))
            .with_context(|| format!("{} is not a usable snapshot", path.display()))?;
        Ok(Some(analyzer))
    }

    /// Writes a shard's state, unless nothing was judged since the last time. Returns whether it was written.
    pub fn save(&self, shard: Shard, analyzer: &Analyzer) -> anyhow::Result<bool> {
        let next = analyzer.next_offset();
        if self.saved.lock().unwrap_or_else(PoisonError::into_inner).get(&shard) == Some(&next) {
            return Ok(false);
        }
        let (path, partial) = (self.path(shard), self.path(shard).with_extension("partial"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(&analyzer.snapshot())?;
            file.sync_all()?;
            fs::rename(&partial, &path)?;
            File::open(&self.dir)?.sync_all()
        };
        write().with_context(|| format!("cannot write snapshot {}: is the disk full?", path.display()))?;
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, next);
        Ok(true)
    }
}
