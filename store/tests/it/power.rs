//! A disk that loses power: it keeps of each file the bytes of its last fsync, of each directory the names of its last
//! fsync, and nothing else. The table is written on it, the power is cut after every single operation, and what is left
//! is opened again. Every commit that was acknowledged before the cut must be there, whole.

use crate::common::{NOON, at, offsets, shard, step, write};
use ambit_store::{Disk, DiskFile, Maintenance, Options, RealDisk, Store};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A file, whatever its names.
type Inode = usize;

/// What was done to the disk, in order.
#[derive(Debug, Clone)]
enum Op {
    File(PathBuf, Inode),
    Bytes,
    Dir(PathBuf),
    Remove(PathBuf),
    /// All bytes of a file as they are now.
    Sync(Inode, Arc<Vec<u8>>),
    /// The names in a directory as they are now.
    SyncDir(PathBuf),
    /// A commit was acknowledged: so many offsets of shard 0 must be there.
    Acknowledged(u64),
}

#[derive(Debug, Default)]
struct Journal {
    ops: Vec<Op>,
    inodes: HashMap<PathBuf, Inode>,
    next: Inode,
}

/// Writes through to a real directory, and keeps a journal of it.
#[derive(Debug, Clone, Default)]
struct Recorder(Arc<Mutex<Journal>>);

struct RecordedFile {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    inode: Inode,
    journal: Arc<Mutex<Journal>>,
}

impl Write for RecordedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.journal.lock().unwrap().ops.push(Op::Bytes);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl DiskFile for RecordedFile {
    fn sync(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let bytes = Arc::new(fs::read(&self.path)?);
        self.journal.lock().unwrap().ops.push(Op::Sync(self.inode, bytes));
        Ok(())
    }
}

impl Disk for Recorder {
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let file = RealDisk.create(path)?;
        let mut journal = self.0.lock().unwrap();
        let inode = journal.next;
        journal.next += 1;
        journal.inodes.insert(path.to_owned(), inode);
        journal.ops.push(Op::File(path.to_owned(), inode));
        Ok(Box::new(RecordedFile { file, path: path.to_owned(), inode, journal: Arc::clone(&self.0) }))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir(dir)?;
        self.0.lock().unwrap().ops.push(Op::Dir(dir.to_owned()));
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.link(from, to)?;
        let mut journal = self.0.lock().unwrap();
        let inode = journal.inodes[from];
        journal.inodes.insert(to.to_owned(), inode);
        journal.ops.push(Op::File(to.to_owned(), inode));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)?;
        let mut journal = self.0.lock().unwrap();
        let inode = journal.inodes.remove(from).unwrap();
        journal.inodes.insert(to.to_owned(), inode);
        journal.ops.push(Op::File(to.to_owned(), inode));
        journal.ops.push(Op::Remove(from.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)?;
        let mut journal = self.0.lock().unwrap();
        journal.inodes.remove(path);
        journal.ops.push(Op::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.lock().unwrap().ops.push(Op::SyncDir(dir.to_owned()));
        Ok(())
    }
}

/// What a disk may have kept beyond what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Luck {
    /// Nothing.
    None,
    /// Every name, but of the bytes only what was synced: what file systems with delayed allocation do.
    NamesOnly,
    /// Some names, by a coin for each.
    SomeNames(u64),
}

impl Luck {
    fn keeps(self, index: usize) -> bool {
        match self {
            Self::None => false,
            Self::NamesOnly => true,
            Self::SomeNames(seed) => {
                let mixed = (index as u64 ^ seed).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 63 == 1
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Dir,
    File(Inode),
}

/// What is left after a cut: files by their path below the table's parent.
struct Left {
    names: BTreeMap<PathBuf, Entry>,
    bytes: HashMap<Inode, Arc<Vec<u8>>>,
    acknowledged: u64,
}

fn cut(ops: &[Op], luck: Luck) -> Left {
    let (mut now, mut durable) = (BTreeMap::new(), BTreeMap::new());
    let (mut bytes, mut acknowledged) = (HashMap::new(), 0);
    for (index, op) in ops.iter().enumerate() {
        match op {
            Op::File(path, inode) => {
                now.insert(path.clone(), Entry::File(*inode));
                if luck.keeps(index) {
                    durable.insert(path.clone(), Entry::File(*inode));
                }
            }
            Op::Dir(path) => {
                now.insert(path.clone(), Entry::Dir);
                if luck.keeps(index) {
                    durable.insert(path.clone(), Entry::Dir);
                }
            }
            Op::Remove(path) => {
                now.remove(path);
                if luck.keeps(index) {
                    durable.remove(path);
                }
            }
            Op::Bytes => {}
            Op::Sync(inode, all) => drop(bytes.insert(*inode, Arc::clone(all))),
            Op::SyncDir(dir) => {
                durable.retain(|path: &PathBuf, _| path.parent() != Some(dir.as_path()));
                let inside = now.iter().filter(|(path, _)| path.parent() == Some(dir.as_path()));
                durable.extend(inside.map(|(path, entry)| (path.clone(), *entry)));
            }
            Op::Acknowledged(offsets) => acknowledged = *offsets,
        }
    }
    Left { names: durable, bytes, acknowledged }
}

impl Left {
    /// Puts what is left into another directory. What lies in a directory whose own name is lost is lost.
    fn restore(&self, from: &Path, to: &Path) {
        let mut reachable = BTreeSet::from([from.to_owned()]);
        for (path, entry) in &self.names {
            let Ok(relative) = path.strip_prefix(from) else { continue };
            if !reachable.contains(path.parent().unwrap()) {
                continue;
            }
            let target = to.join(relative);
            match entry {
                Entry::Dir => {
                    fs::create_dir_all(&target).unwrap();
                    reachable.insert(path.clone());
                }
                Entry::File(inode) => {
                    fs::write(&target, self.bytes.get(inode).map_or(&[][..], |bytes| bytes)).unwrap();
                }
            }
        }
    }
}

/// Commits, compacts and checkpoints on a disk that records.
async fn record(root: &Path, fsync: bool) -> Vec<Op> {
    let disk = Recorder::default();
    let options = Options { fsync, ..Options::durable(root.join("data/store")) };
    let store = Store::open_on(options, Arc::new(disk.clone())).await.unwrap();
    let maintenance = Maintenance { fan_in: 2, ..Maintenance::default() };
    for round in 0..4_u64 {
        let (from, to) = (round * 3, round * 3 + 3);
        let files =
            write(&store, shard(0), from..to, NOON + i64::try_from(round % 2).unwrap() * crate::common::DAY);
        store.commit(files, &[step(shard(0), from, to)]).await.unwrap();
        disk.0.lock().unwrap().ops.push(Op::Acknowledged(to));
        if round == 2 {
            assert!(store.compact(&maintenance, i32::MAX, true).await.unwrap().written > 0);
            store.checkpoint(1).await.unwrap().unwrap();
        }
    }
    disk.0.lock().unwrap().ops.clone()
}

/// Opens what is left after a cut. The error says what is wrong.
async fn check(ops: &[Op], luck: Luck, from: &Path) -> Result<(), String> {
    let left = cut(ops, luck);
    let dir = tempfile::tempdir().unwrap();
    left.restore(from, dir.path());
    let store = Store::open(Options::durable(dir.path().join("data/store"))).await;
    let store = store.map_err(|error| format!("cannot be opened: {error}"))?;
    let position = store.positions(&[shard(0)]).await.map_err(|error| error.to_string())?[&shard(0)];
    if position.next_offset < left.acknowledged {
        return Err(format!(
            "{} offsets were acknowledged, {} are there",
            left.acknowledged, position.next_offset
        ));
    }
    let opened = tokio::task::JoinSet::from_iter([async move {
        offsets(&store, shard(0), 0).await == (0..position.next_offset).collect::<Vec<_>>()
    }])
    .join_next()
    .await;
    match opened {
        Some(Ok(true)) if position == at(position.next_offset) => Ok(()),
        Some(Ok(_)) => Err("rows are missing".into()),
        _ => Err("rows cannot be read".into()),
    }
}

/// Cuts the power after every operation. Returns how many cuts there were and what went wrong.
async fn cut_everywhere(fsync: bool) -> (usize, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let ops = record(&root, fsync).await;
    let (mut cuts, mut wrong) = (0, Vec::new());
    let mut before = None;
    for end in 1..=ops.len() {
        // Bytes that are written but not synced leave nothing: the cut is the same as the one before.
        if matches!(ops[end - 1], Op::Bytes) {
            continue;
        }
        for luck in [Luck::None, Luck::NamesOnly, Luck::SomeNames(1), Luck::SomeNames(end as u64)] {
            let left = cut(&ops[..end], luck);
            let same = (left.names.clone(), left.bytes.len(), left.acknowledged);
            if luck == Luck::None && before.replace(same.clone()) == Some(same) {
                continue;
            }
            cuts += 1;
            if let Err(what) = check(&ops[..end], luck, &root).await {
                wrong.push(format!("after operation {end} ({:?}), {luck:?}: {what}", ops[end - 1]));
            }
        }
    }
    (cuts, wrong)
}

// INVARIANT L-3, with its negative control: without fsync the same cuts must lose something.
#[tokio::test(flavor = "multi_thread")]
async fn faults_power_loss_after_every_operation_loses_no_acknowledged_commit() {
    std::panic::set_hook(Box::new(|_| {}));
    let (cuts, wrong) = cut_everywhere(true).await;
    let (control, lost) = cut_everywhere(false).await;
    drop(std::panic::take_hook());
    assert!(cuts > 100, "only {cuts} cuts");
    assert_eq!(wrong, Vec::<String>::new(), "{cuts} cuts");
    assert!(lost.len() * 10 > control, "without fsync only {} of {control} cuts lost anything", lost.len());
    eprintln!(
        "power loss: {cuts} cuts, nothing lost; without fsync {} of {control} lost something",
        lost.len()
    );
}
