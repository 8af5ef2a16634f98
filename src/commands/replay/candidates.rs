//! The folder of candidate envelopes: JSON and TOML, one document to a file.

use ambit_analytics::Candidates;
use ambit_schemas::limits::ENVELOPE_BYTES_MAX;
use anyhow::{Context, bail};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Most files in a folder.
const FILES_MAX: usize = 4_096;

/// The candidates in a folder, which must have some.
pub(super) fn read(dir: &Path) -> anyhow::Result<Candidates> {
    let listing = || format!("cannot list the candidate envelopes in {}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).with_context(listing)? {
        let path = entry.with_context(listing)?.path();
        if is_document(&path) {
            paths.push(path);
        }
        if paths.len() > FILES_MAX {
            bail!("{} has more than {FILES_MAX} candidate envelopes: try them in parts", dir.display());
        }
    }
    if paths.is_empty() {
        bail!("{} has no candidate envelope: it needs files that end in .json or .toml", dir.display());
    }
    paths.sort();
    let mut documents = Vec::with_capacity(paths.len());
    for path in &paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        documents.push((name, document(path)?));
    }
    Ok(Candidates::new(documents)?)
}

fn is_document(path: &Path) -> bool {
    let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    !is_hidden && path.is_file() && path.extension().is_some_and(|end| end == "json" || end == "toml")
}

fn document(path: &Path) -> anyhow::Result<Value> {
    let reading = || format!("cannot read {}", path.display());
    let bytes = fs::metadata(path).with_context(reading)?.len();
    if bytes > ENVELOPE_BYTES_MAX as u64 {
        bail!("{} has {bytes} bytes, more than an envelope may have: {ENVELOPE_BYTES_MAX}", path.display());
    }
    let text = fs::read_to_string(path).with_context(reading)?;
    if path.extension().is_some_and(|end| end == "toml") {
        toml::from_str(&text).with_context(|| format!("{} is no TOML of an envelope", path.display()))
    } else {
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", path.display()))
    }
}
