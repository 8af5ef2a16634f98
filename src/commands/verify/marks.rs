//! How far each shard was verified: a file of signed notes. What is in it was verified once; that the ledger still
//! begins with it is proved before a later run goes on from there.

use super::consistency::{compare, open};
use crate::config::Config;
use ambit_ingest::origin;
use ambit_ingest::verify::ShardReport;
use ambit_ledger::{
    Checkpoint, CheckpointKey, CheckpointSigner, FsTiles, TileStore as _, TreeSize, VerifiedMark,
};
use ambit_schemas::Shard;
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// Where a run may begin.
pub(super) enum Start {
    /// At this leaf.
    At(TreeSize),
    /// The ledger does not begin with what was verified.
    Broken(String),
}

/// Marks by shard.
#[derive(Debug, Default)]
pub(super) struct Marks(BTreeMap<String, (VerifiedMark, String)>);

impl Marks {
    /// Reads the file; nothing when there is none. A mark that this installation did not sign is an error: somebody
    /// wants rows to be passed over.
    pub(super) fn read(path: &Path, key: &CheckpointKey) -> anyhow::Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let notes: BTreeMap<String, String> = serde_json::from_str(&text).with_context(|| unusable(path))?;
        let mut marks = BTreeMap::new();
        for (shard, note) in notes {
            let mark = VerifiedMark::verify(note.as_bytes(), key).with_context(|| unusable(path))?;
            if !mark.checkpoint.origin.as_str().ends_with(&format!("/{shard}")) {
                bail!("{}: the mark of {} stands under {shard}", unusable(path), mark.checkpoint.origin);
            }
            marks.insert(shard, (mark, note));
        }
        Ok(Self(marks))
    }

    /// The shards that were verified.
    pub(super) fn shards(&self) -> impl Iterator<Item = Shard> {
        self.0.keys().filter_map(|name| name.parse().ok())
    }

    /// Where a shard's rows must be read from: the mark, if the ledger is proved to begin with it.
    pub(super) fn proved(&self, config: &Config, shard: Shard, key: &CheckpointKey) -> anyhow::Result<Start> {
        let Some((mark, _)) = self.0.get(&shard.to_string()) else { return Ok(Start::At(TreeSize(0))) };
        let tree = match open(config, shard, key) {
            Ok(tree) => tree,
            Err(error @ ambit_ledger::LedgerError::Read { .. }) => return Err(error.into()),
            // The full run says what is wrong with the ledger.
            Err(_) => return Ok(Start::At(TreeSize(0))),
        };
        let newest = tree.checkpoint().map(|signed| signed.checkpoint().clone());
        let newest = newest.unwrap_or_else(|| Checkpoint {
            origin: mark.checkpoint.origin.clone(),
            size: tree.size(),
            root: tree.root(),
        });
        Ok(match compare(&tree, &mark.checkpoint, &newest) {
            Ok(_) => Start::At(mark.checkpoint.size),
            Err(what) => Start::Broken(format!(
                "{shard}: verified up to leaf {} at {}, but now {what}",
                mark.checkpoint.size,
                time_of(mark.at)
            )),
        })
    }

    /// A shard was found intact up to its newest checkpoint.
    pub(super) fn set(
        &mut self,
        config: &Config,
        report: &ShardReport,
        signer: &CheckpointSigner,
    ) -> anyhow::Result<()> {
        let (shard, root) = (report.shard.parse::<Shard>()?, report.root.as_deref().unwrap_or_default());
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let origin = origin(&config.ledger.log_name, shard)?;
        let checkpoint = Checkpoint { origin, size: TreeSize(report.signed), root: root.parse()? };
        let mark = VerifiedMark { checkpoint, at };
        let note = mark.sign(signer)?;
        self.0.insert(report.shard.clone(), (mark, note));
        Ok(())
    }

    /// Writes the file whole and durably.
    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let notes: BTreeMap<&String, &String> =
            self.0.iter().map(|(shard, (_, note))| (shard, note)).collect();
        let text = serde_json::to_string_pretty(&notes)?;
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let name = path.file_name().and_then(|name| name.to_str()).context("`--state` names no file")?;
        FsTiles::new(dir)
            .write(name, text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

fn unusable(path: &Path) -> String {
    format!("{} was not written by this installation: remove it and verify in full", path.display())
}

/// Seconds since 1970 as people read them.
pub(super) fn time_of(seconds: u64) -> ambit_schemas::Timestamp {
    let micros = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    ambit_schemas::Timestamp::from_micros(micros)
}
