//! Looks at the folder of rules again and again, on a thread of its own: judgement waits for no disk.

use super::folder::Folder;
use ambit_schemas::ruleset::{RulesActivated, digest_of};
use anyhow::Context;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// What was seen last.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The set that is to be in force; `None` as long as there was no usable one.
    pub set: Option<Arc<RulesActivated>>,
    /// What is wrong with what lies there now.
    pub fault: Option<String>,
}

/// The thread that looks.
#[derive(Debug)]
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Looks once, then starts the thread.
    pub fn start(folder: Folder) -> anyhow::Result<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut last = None;
        look(&folder, &mut last, &seen);
        if folder.dir.is_none() {
            return Ok(Self { seen, stop: None, thread: None });
        }
        let (stop, stopped) = sync_channel(1);
        let shared = Arc::clone(&seen);
        let work = move || {
            while stopped.recv_timeout(folder.every) == Err(RecvTimeoutError::Timeout) {
                look(&folder, &mut last, &shared);
            }
        };
        let thread = thread::Builder::new()
            .name("rules".into())
            .spawn(work)
            .context("the thread that looks at the folder of rules cannot be started")?;
        Ok(Self { seen, stop: Some(stop), thread: Some(thread) })
    }

    /// What was seen last.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop = None;
        if self.thread.take().map(JoinHandle::join).is_some_and(|ended| ended.is_err()) {
            tracing::error!("the thread that looks at the folder of rules panicked");
        }
    }
}

/// Reads the folder. What is the same as last time is not checked again; what cannot be used changes nothing but the
/// fault that is told.
fn look(folder: &Folder, last: &mut Option<String>, seen: &Mutex<Seen>) {
    let read = folder.documents();
    let digest =
        read.as_ref().map_or_else(|error| format!("{error:#}"), |all| digest_of(all, folder.may_revoke));
    if last.as_ref() == Some(&digest) {
        return;
    }
    *last = Some(digest);
    let set = read.and_then(|documents| folder.set(documents));
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    match set {
        Ok(set) => {
            tracing::info!(digest = set.digest, documents = set.documents.len(), "rules read");
            *seen = Seen { set: Some(Arc::new(set)), fault: None };
        }
        Err(error) => {
            let fault =
                format!("the rules in the folder are not put in force, those before them stay: {error:#}");
            tracing::error!("{fault}");
            seen.fault = Some(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use std::fs;
    use std::time::{Duration, Instant};

    const RULE: &str = "title: t\nid: t\nstatus: test\nlevel: low\nlogsource: {product: ambit, category: tool_call}\n\
                        detection: {s: {kind: tool_call.requested, tool.name: pay}, condition: s}\n";

    fn until(watch: &Watch, holds: impl Fn(&Seen) -> bool) -> Seen {
        let begun = Instant::now();
        loop {
            let seen = watch.seen();
            if holds(&seen) {
                return seen;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{seen:?}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn a_folder_that_changes_is_seen_and_a_fault_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("below/a.yml"), RULE).unwrap();
        fs::write(dir.path().join("notes.txt"), "no rule").unwrap();
        let key = SigningKey::from_bytes(&[7; 32]);
        let every = Duration::from_millis(20);
        let folder = Folder { dir: Some(dir.path().to_owned()), may_revoke: false, every, key };
        let watch = Watch::start(folder).unwrap();
        let first = watch.seen().set.unwrap();
        assert_eq!(first.documents.iter().map(|one| one.path.as_str()).collect::<Vec<_>>(), ["below/a.yml"]);
        fs::write(dir.path().join("b.yml"), RULE.replace("id: t", "id: u").replace("level: low\n", ""))
            .unwrap();
        let faulty = until(&watch, |seen| seen.fault.is_some());
        assert!(
            faulty.fault.as_ref().unwrap().contains("b.yml:1: error: the rule needs a `level`"),
            "{faulty:?}"
        );
        assert_eq!(faulty.set.unwrap().digest, first.digest, "the set before stays");
        fs::write(dir.path().join("b.yml"), RULE.replace("id: t", "id: u")).unwrap();
        let second = until(&watch, |seen| seen.fault.is_none()).set.unwrap();
        assert_eq!(second.documents.len(), 2);
        assert_ne!(second.digest, first.digest);
    }
}
