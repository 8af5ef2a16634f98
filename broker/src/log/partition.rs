//! A partition: its segments, its watermarks and its producers.

use super::header::{HEADER_BYTES, Header};
use super::producers::{Check, Producers};
use super::segment::{self, Range, Segment};
use anyhow::{Context, bail};
use bytes::Bytes;
use nisshi_sans_io::record::deflated::Batch;
use nisshi_sans_io::record::inflated;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// A segment is closed when the next batch would make it larger than this. Retention drops whole segments.
const SEGMENT_BYTES_MAX: u64 = 128 << 20;
/// What one read returns at most, unless a single batch is larger.
const READ_BYTES_MAX: u64 = 8 << 20;
/// Holds the first offset that was not deleted.
const START: &str = "start";

/// Why a batch was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    OutOfOrder,
    Fenced,
    /// The disk is full or broken; said once on stderr.
    Disk,
}

/// How far records are safe.
#[derive(Clone, Copy, Debug)]
struct Synced {
    offset: i64,
    failed: bool,
}

#[derive(Debug)]
struct State {
    /// The last one is written to.
    segments: VecDeque<Segment>,
    file: Arc<File>,
    start: i64,
    end: i64,
    producers: Producers,
    flushing: bool,
    complained: bool,
}

/// One partition's log.
#[derive(Debug)]
pub(crate) struct Partition {
    dir: PathBuf,
    state: Mutex<State>,
    synced: watch::Sender<Synced>,
    segment_bytes_max: u64,
}

impl Partition {
    /// Opens the log in `dir`, or begins it. What a crash left half written at its end is cut off.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        Self::with_segments(dir, SEGMENT_BYTES_MAX)
    }

    fn with_segments(dir: &Path, segment_bytes_max: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let mut producers = Producers::default();
        let (mut segments, end) = recover(dir, &mut producers)?;
        let active = segments.pop_back().unwrap_or_else(|| Segment::new(dir, read_start(dir)));
        let file = active.open().with_context(|| format!("cannot open {}", active.path.display()))?;
        let end = end.max(active.base);
        segments.push_back(active);
        // What is read back from the page cache after a kill may not be on the disk yet.
        file.sync_all().with_context(|| format!("cannot sync the log in {}", dir.display()))?;
        sync_dir(dir).with_context(|| format!("cannot sync {}", dir.display()))?;
        let start = read_start(dir).max(segments.front().map_or(0, |segment| segment.base));
        let state = State {
            segments,
            file: Arc::new(file),
            start,
            end,
            producers,
            flushing: false,
            complained: false,
        };
        let synced = watch::Sender::new(Synced { offset: end, failed: false });
        Ok(Self { dir: dir.to_owned(), state: Mutex::new(state), synced, segment_bytes_max })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first offset that is still there.
    pub(crate) fn start(&self) -> i64 {
        self.state().start
    }

    /// The first offset that consumers may not see yet: everything below it is synced.
    pub(crate) fn visible(&self) -> i64 {
        self.synced.borrow().offset
    }

    /// The offset that the next record gets.
    pub(crate) fn end(&self) -> i64 {
        self.state().end
    }

    /// Appends a batch and gives its first offset and the offset after it. The caller then runs [`Self::flush`] when
    /// told to: nobody else does.
    pub(crate) fn append(&self, mut batch: Batch) -> Result<Appended, Failure> {
        let mut state = self.state();
        if self.synced.borrow().failed {
            return Err(Failure::Disk);
        }
        batch.base_offset = state.end;
        let bytes = Bytes::from(batch);
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>().and_then(Header::parse) else {
            return Err(Failure::Disk);
        };
        match state.producers.check(&header) {
            Check::New => {}
            Check::Duplicate(base) => {
                let end = base + i64::from(header.last_offset_delta) + 1;
                return Ok(Appended { base, end, flush: false });
            }
            Check::OutOfOrder => return Err(Failure::OutOfOrder),
            Check::Fenced => return Err(Failure::Fenced),
        }
        match self.write(&mut state, &bytes, &header) {
            Ok(()) => state.complained = false,
            Err(error) => {
                self.complain(&mut state, "write to", &error);
                return Err(Failure::Disk);
            }
        }
        state.producers.note(&header);
        state.end = header.last_offset + 1;
        let flush = !std::mem::replace(&mut state.flushing, true);
        Ok(Appended { base: header.base_offset, end: state.end, flush })
    }

    fn write(&self, state: &mut State, bytes: &[u8], header: &Header) -> io::Result<()> {
        if state
            .segments
            .back()
            .is_none_or(|active| active.len > 0 && active.len + header.size > self.segment_bytes_max)
        {
            self.roll(state)?;
        }
        let Some(active) = state.segments.back_mut() else { return Err(io::Error::other("no segment")) };
        if let Err(error) = state.file.write_all_at(bytes, active.len) {
            // Half a batch must not stay before the next one.
            if state.file.set_len(active.len).is_err() {
                self.fail();
            }
            return Err(error);
        }
        active.note(header);
        Ok(())
    }

    /// Closes the active segment and begins another.
    fn roll(&self, state: &mut State) -> io::Result<()> {
        if let Err(error) = state.file.sync_data() {
            self.fail();
            return Err(error);
        }
        let next = Segment::new(&self.dir, state.end);
        let file = next.open()?;
        sync_dir(&self.dir)?;
        state.file = Arc::new(file);
        state.segments.push_back(next);
        Ok(())
    }

    /// Syncs until nothing is left to sync, then shows it to consumers. Several batches share one sync.
    pub(crate) fn flush(&self) {
        loop {
            let (file, end) = {
                let mut state = self.state();
                let synced = *self.synced.borrow();
                if synced.failed || synced.offset == state.end {
                    state.flushing = false;
                    return;
                }
                (Arc::clone(&state.file), state.end)
            };
            if let Err(error) = file.sync_data() {
                // After a failed sync the page cache no longer tells what is on the disk: only a restart does.
                self.fail();
                let mut state = self.state();
                self.complain(&mut state, "sync", &error);
                state.flushing = false;
                return;
            }
            self.synced.send_modify(|synced| synced.offset = synced.offset.max(end));
        }
    }

    fn fail(&self) {
        self.synced.send_modify(|synced| synced.failed = true);
    }

    #[allow(
        clippy::print_stderr,
        reason = "the supervisor reads stderr; said once until a write succeeds again"
    )]
    fn complain(&self, state: &mut State, what: &str, error: &io::Error) {
        if !std::mem::replace(&mut state.complained, true) {
            eprintln!("ambit-broker: cannot {what} the log in {}: {error}", self.dir.display());
        }
    }

    /// Waits until everything below `offset` is synced.
    pub(crate) async fn wait_synced(&self, offset: i64) -> Result<(), Failure> {
        let mut synced = self.synced.subscribe();
        let reached = synced.wait_for(|synced| synced.failed || synced.offset >= offset).await;
        match reached {
            Ok(synced) if synced.offset >= offset => Ok(()),
            _ => Err(Failure::Disk),
        }
    }

    /// Reads visible batches from the one that holds `offset`; nothing when there is none yet.
    pub(crate) fn read(&self, offset: i64, bytes_max: u64) -> io::Result<Vec<Batch>> {
        let below = self.visible();
        if offset >= below {
            return Ok(Vec::new());
        }
        let (path, range) = {
            let state = self.state();
            let after = state.segments.partition_point(|segment| segment.base <= offset);
            let Some(found) = after.checked_sub(1).and_then(|at| state.segments.get(at)) else {
                return Ok(Vec::new());
            };
            let position = found.position(offset);
            let bytes_max = bytes_max.min(READ_BYTES_MAX);
            (found.path.clone(), Range { position, end: found.len, offset, below, bytes_max })
        };
        match File::open(&path) {
            Ok(file) => segment::read(&file, range),
            // Retention was faster; the reader is told by the start offset.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Offset and timestamp of the first visible record as late as `timestamp` (milliseconds since 1970).
    pub(crate) fn offset_at(&self, timestamp: i64) -> io::Result<Option<(i64, i64)>> {
        let below = self.visible();
        let (start, candidates) = {
            let state = self.state();
            let late = state.segments.iter().filter(|segment| segment.max_timestamp >= timestamp);
            (state.start, late.map(|segment| (segment.path.clone(), segment.len)).collect::<Vec<_>>())
        };
        for (path, end) in candidates {
            let Some(batch) = segment::first_since(&File::open(path)?, end, below, timestamp)? else {
                continue;
            };
            let batch = inflated::Batch::try_from(batch).map_err(io::Error::other)?;
            let records = batch.records.iter().map(|record| {
                (batch.base_offset + i64::from(record.offset_delta), batch.record_timestamp(record))
            });
            let found = records.filter(|(offset, at)| *at >= timestamp && *offset >= start).min();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Forgets records below `offset`, for good; whole segments are removed.
    pub(crate) fn delete_below(&self, offset: i64) -> io::Result<()> {
        let mut state = self.state();
        let offset = offset.min(self.visible());
        if offset <= state.start {
            return Ok(());
        }
        let next = self.dir.join("start.new");
        fs::write(&next, offset.to_string())?;
        File::open(&next)?.sync_all()?;
        fs::rename(&next, self.dir.join(START))?;
        sync_dir(&self.dir)?;
        state.start = offset;
        while state.segments.get(1).is_some_and(|second| second.base <= offset) {
            if let Some(first) = state.segments.pop_front() {
                fs::remove_file(first.path)?;
            }
        }
        Ok(())
    }

    /// Drops whole segments that are older than `before` (milliseconds since 1970) or beyond `bytes_max`.
    pub(crate) fn retain(&self, before: Option<i64>, bytes_max: Option<u64>) -> io::Result<()> {
        let mut state = self.state();
        let too_old = |segment: &Segment| before.is_some_and(|before| segment.max_timestamp < before);
        if state.segments.back().is_some_and(|active| active.len > 0 && too_old(active)) {
            self.roll(&mut state)?;
        }
        let mut bytes: u64 = state.segments.iter().map(|segment| segment.len).sum();
        let mut drop_below = state.start;
        for (segment, next) in state.segments.iter().zip(state.segments.iter().skip(1)) {
            if !too_old(segment) && bytes_max.is_none_or(|most| bytes - segment.len < most) {
                break;
            }
            bytes -= segment.len;
            drop_below = next.base;
        }
        drop(state);
        self.delete_below(drop_below)
    }
}

/// A stored batch.
#[derive(Debug)]
pub(crate) struct Appended {
    pub(crate) base: i64,
    /// The offset after its last record.
    pub(crate) end: i64,
    /// Whether the caller has to run [`Partition::flush`].
    pub(crate) flush: bool,
}

/// Reads what is there, and the offset after it. Only the last segment may end in a batch that is not whole.
fn recover(dir: &Path, producers: &mut Producers) -> anyhow::Result<(VecDeque<Segment>, i64)> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        bases.extend(Segment::base_of(&entry.context("cannot read the log's directory")?.path()));
    }
    bases.sort_unstable();
    let last = bases.last().copied();
    let (mut segments, mut end) = (VecDeque::new(), 0);
    for base in bases {
        let mut segment = Segment::new(dir, base);
        let is_last = Some(base) == last;
        segment
            .recover(is_last, |header| {
                end = header.last_offset + 1;
                producers.note(header);
            })
            .with_context(|| format!("cannot read {}", segment.path.display()))?;
        let length = fs::metadata(&segment.path)?.len();
        if segment.len < length {
            if !is_last {
                bail!(
                    "{} is damaged at byte {}: restore it from a backup",
                    segment.path.display(),
                    segment.len
                );
            }
            cut(&segment, length).with_context(|| format!("cannot repair {}", segment.path.display()))?;
        }
        segments.push_back(segment);
    }
    Ok((segments, end))
}

/// Cuts an incomplete write off the last segment; the bytes are kept in a file beside it.
#[allow(clippy::print_stderr, reason = "the operator must know, and there is no other channel")]
fn cut(segment: &Segment, length: u64) -> io::Result<()> {
    let file = segment.open()?;
    let mut rest = vec![0; usize::try_from(length - segment.len).map_err(io::Error::other)?];
    file.read_exact_at(&mut rest, segment.len)?;
    fs::write(segment.path.with_extension("cut"), &rest)?;
    file.set_len(segment.len)?;
    eprintln!(
        "ambit-broker: cut {} bytes of an incomplete write off {} (kept beside it, ending .cut)",
        rest.len(),
        segment.path.display()
    );
    file.sync_all()
}

fn read_start(dir: &Path) -> i64 {
    fs::read_to_string(dir.join(START)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
#[path = "partition_tests.rs"]
mod tests;
