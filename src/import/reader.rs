//! Files as records: JSON documents, one record per line, CloudTrail's `Records` files as they lie in a bucket; plain
//! or gzip. Every read is bounded.

use super::{Item, Message, Options, State, Taker};
use crate::simulate::now;
use ambit_schemas::sources::Context as Source;
use anyhow::{Context, bail};
use flate2::read::MultiGzDecoder;
use indicatif::ProgressBar;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::Sender;

/// Largest JSON document, in bytes after decompression: a `Records` file of CloudTrail has at most some tens of
/// mebibytes, and a gzip bomb must not fill the memory.
const DOCUMENT_BYTES_MAX: u64 = 128 << 20;
/// Deepest folder below one that was named.
const FOLDER_DEPTH_MAX: usize = 32;
/// How gzip begins (RFC 1952 section 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
}

/// All files that paths name, folders with what is below them, in order of name. Hidden files and links within folders
/// are left out.
pub fn inputs(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut found = Vec::new();
    for path in paths {
        let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if metadata.is_dir() {
            walk(path, 0, &mut found)?;
        } else {
            found.push(Input { path: path.clone(), bytes: metadata.len() });
        }
    }
    Ok(found)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<Input>) -> anyhow::Result<()> {
    if depth > FOLDER_DEPTH_MAX {
        bail!("{} lies more than {FOLDER_DEPTH_MAX} folders deep", folder.display());
    }
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let mut entries = entries.with_context(|| format!("cannot list {}", folder.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, hidden) = (entry.path(), entry.file_name().as_encoded_bytes().starts_with(b"."));
        let metadata = entry.metadata().with_context(|| format!("cannot read {}", path.display()))?;
        if hidden || metadata.is_symlink() {
            continue;
        }
        if metadata.is_dir() {
            walk(&path, depth + 1, found)?;
        } else if metadata.is_file() {
            found.push(Input { path, bytes: metadata.len() });
        }
    }
    Ok(())
}

/// Whoever received the messages is gone: there is nobody to read for.
struct Gone;

/// Reads files one after the other. Ends early when nobody receives.
pub(super) fn read_all(
    inputs: &[Input],
    options: &Options,
    done: &State,
    bar: &ProgressBar,
    sender: &Sender<Message>,
) {
    let send = |message| sender.blocking_send(message).map_err(|_| Gone);
    let taker = Arc::new(Taker::new(options.reads, options.secret.clone(), &options.tenant));
    for input in inputs {
        let digest = match digest(&input.path, options) {
            Ok(digest) => digest,
            Err(fault) => {
                if send(Message::Unreadable { path: input.path.clone(), fault }).is_err() {
                    return;
                }
                continue;
            }
        };
        let progress = done.of(&digest);
        if progress.is_some_and(|progress| progress.complete) {
            bar.inc(input.bytes);
            if send(Message::Known).is_err() {
                return;
            }
            continue;
        }
        let skipped = progress.map_or(0, |progress| progress.records);
        if send(Message::Begin { digest, skipped }).is_err() {
            return;
        }
        let mut file = Reading { options, taker: Arc::clone(&taker), skip: skipped, sender, gone: false };
        let fault = file.read(&input.path, bar).err();
        if file.gone || send(Message::End { path: input.path.clone(), fault }).is_err() {
            return;
        }
    }
}

/// SHA-256 of the file and of what else its events depend on.
fn digest(path: &Path, options: &Options) -> anyhow::Result<String> {
    let open = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(open)?;
    let mut digest = Sha256::new();
    std::io::copy(&mut file, &mut digest).with_context(open)?;
    let origin = options.origin.as_deref().unwrap_or_default();
    for part in [options.tenant.as_str(), origin, &format!("{:?}", options.reads)] {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    Ok(hex::encode(digest.finalize()))
}

struct Reading<'a> {
    options: &'a Options,
    taker: Arc<Taker>,
    skip: u64,
    sender: &'a Sender<Message>,
    gone: bool,
}

impl Reading<'_> {
    fn read(&mut self, path: &Path, bar: &ProgressBar) -> anyhow::Result<()> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut raw = BufReader::new(bar.wrap_read(file));
        let packed = raw.fill_buf().is_ok_and(|head| head.starts_with(&GZIP));
        let plain: Box<dyn Read + '_> =
            if packed { Box::new(MultiGzDecoder::new(raw)) } else { Box::new(raw) };
        self.documents(BufReader::new(plain))
    }

    /// If the first line is a whole document, every line is one. Otherwise the file is one document over many lines,
    /// or several after each other.
    fn documents(&mut self, mut reader: impl BufRead) -> anyhow::Result<()> {
        let Some(first) = line(&mut reader)? else { return Ok(()) };
        if serde_json::from_slice::<serde::de::IgnoredAny>(&first).is_ok() {
            self.text(&first);
            while let Some(next) = line(&mut reader)? {
                self.text(&next);
                if self.gone {
                    break;
                }
            }
            return Ok(());
        }
        let mut whole = first;
        whole.push(b'\n');
        let room = DOCUMENT_BYTES_MAX.saturating_sub(whole.len() as u64) + 1;
        reader.take(room).read_to_end(&mut whole).context("the file cannot be read further")?;
        if whole.len() as u64 > DOCUMENT_BYTES_MAX {
            bail!(
                "a document has more than {DOCUMENT_BYTES_MAX} bytes: split it, or write one record per line"
            );
        }
        let parsed: Result<Vec<Value>, _> =
            serde_json::Deserializer::from_slice(&whole).into_iter().collect();
        match parsed {
            Ok(documents) => documents.into_iter().for_each(|document| self.document(document)),
            // Lines of which the first is damaged.
            Err(_) => whole.split(|byte| *byte == b'\n').for_each(|line| self.text(line)),
        }
        Ok(())
    }

    fn text(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        if let Ok(document) = serde_json::from_slice(line) {
            self.document(document);
        } else {
            let item = self.taker.text(line, "not_json", &self.context());
            self.pass(item);
        }
    }

    fn context(&self) -> Source {
        let (tenant, origin) = (self.options.tenant.clone(), self.options.origin.clone());
        Source { tenant, origin, received: now() }
    }

    fn document(&mut self, document: Value) {
        let (taker, context) = (Arc::clone(&self.taker), self.context());
        for item in taker.document(document, &context) {
            if self.gone {
                return;
            }
            self.pass(item);
        }
    }

    /// Sends a record, unless an earlier run has sent it.
    fn pass(&mut self, item: Item) {
        if self.skip > 0 {
            self.skip -= 1;
        } else {
            self.gone = self.gone || self.sender.blocking_send(Message::Record(item)).is_err();
        }
    }
}

/// The next line, without its end; bounded.
fn line(reader: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = reader.by_ref().take(DOCUMENT_BYTES_MAX + 1).read_until(b'\n', &mut line);
    if read.context("the file cannot be read further")? == 0 {
        return Ok(None);
    }
    if line.len() as u64 > DOCUMENT_BYTES_MAX {
        bail!("a line has more than {DOCUMENT_BYTES_MAX} bytes: split it");
    }
    while line.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        line.pop();
    }
    Ok(Some(line))
}
