//! The folder of rules: what lies in it, checked, and signed as a set.

use ambit_analytics::sigma::{Level, Problem, check};
use ambit_schemas::limits::{RULE_DOCUMENT_BYTES_MAX, RULE_DOCUMENTS_MAX};
use ambit_schemas::ruleset::{RuleDocument, RulesActivated};
use anyhow::{Context, bail};
use ed25519_dalek::SigningKey;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Deepest folder within the folder.
const DEPTH_MAX: usize = 8;
/// Most problems that are told at once.
const TOLD_MAX: usize = 8;

/// Where the customer's rules are, and who puts them in force. A cheap clone.
#[derive(Clone)]
pub struct Folder {
    /// Where; without it there are no rules.
    pub dir: Option<PathBuf>,
    /// Whether those of status `stable` may revoke.
    pub may_revoke: bool,
    /// How often it is looked at.
    pub every: Duration,
    /// Who signs.
    pub key: SigningKey,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder")
            .field("dir", &self.dir)
            .field("may_revoke", &self.may_revoke)
            .finish_non_exhaustive()
    }
}

impl Folder {
    /// What lies in it, unchecked.
    pub fn documents(&self) -> anyhow::Result<Vec<RuleDocument>> {
        self.dir.as_deref().map_or_else(|| Ok(Vec::new()), read)
    }

    /// The set that is to be in force.
    ///
    /// # Errors
    /// When the rules cannot be used: with file and line of each fault.
    pub fn set(&self, documents: Vec<RuleDocument>) -> anyhow::Result<RulesActivated> {
        let mut faults: Vec<Problem> = check(&documents);
        faults.retain(|problem| problem.level == Level::Error);
        if !faults.is_empty() {
            let more = faults.len().saturating_sub(TOLD_MAX);
            let told: Vec<String> = faults.iter().take(TOLD_MAX).map(ToString::to_string).collect();
            let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
            bail!("{}{rest}", told.join("; "));
        }
        Ok(RulesActivated::sign(documents, self.may_revoke, &self.key)?)
    }
}

/// Every file of rules in a folder, in the order of their paths.
pub fn read(dir: &Path) -> anyhow::Result<Vec<RuleDocument>> {
    let mut documents = Vec::new();
    walk(dir, dir, 0, &mut documents)?;
    documents.sort();
    Ok(documents)
}

fn walk(root: &Path, dir: &Path, depth: usize, documents: &mut Vec<RuleDocument>) -> anyhow::Result<()> {
    if depth > DEPTH_MAX {
        bail!("{} lies deeper than {DEPTH_MAX} folders: is it a link to a folder above it?", dir.display());
    }
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list the rules in {}", dir.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list the rules in {}", dir.display()))?.path();
        let is_hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        let is_rule = path.extension().is_some_and(|end| end == "yml" || end == "yaml");
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            walk(root, &path, depth + 1, documents)?;
        } else if is_rule {
            if documents.len() >= RULE_DOCUMENTS_MAX {
                bail!(
                    "{} has more than {RULE_DOCUMENTS_MAX} files of rules: put several into one",
                    root.display()
                );
            }
            documents.push(document(root, &path)?);
        }
    }
    Ok(())
}

fn document(root: &Path, path: &Path) -> anyhow::Result<RuleDocument> {
    let bytes = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len();
    if bytes > RULE_DOCUMENT_BYTES_MAX as u64 {
        bail!("{} has {bytes} bytes, more than {RULE_DOCUMENT_BYTES_MAX}: split it", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {} as text", path.display()))?;
    let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned();
    Ok(RuleDocument { path: name, text })
}
