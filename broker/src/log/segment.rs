//! One file of a partition: whole record batches, one after the other, named by the offset of the first.

use super::header::{HEADER_BYTES, Header};
use bytes::Bytes;
use nisshi_sans_io::record::deflated::Batch;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// One remembered position per this many bytes: a reader walks at most this far.
const MARK_EVERY: u64 = 32 << 10;
/// File ending.
const ENDING: &str = "log";

#[derive(Clone, Copy, Debug)]
struct Mark {
    offset: i64,
    position: u64,
}

/// What is known of a segment file.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Offset of its first record, and its name.
    pub(crate) base: i64,
    /// Bytes of whole batches.
    pub(crate) len: u64,
    /// Latest record, in milliseconds since 1970; -1 when it is empty.
    pub(crate) max_timestamp: i64,
    marks: Vec<Mark>,
}

impl Segment {
    pub(crate) fn new(dir: &Path, base: i64) -> Self {
        let path = dir.join(format!("{base:020}.{ENDING}"));
        Self { path, base, len: 0, max_timestamp: -1, marks: Vec::new() }
    }

    /// The base offset that a file's name says.
    pub(crate) fn base_of(path: &Path) -> Option<i64> {
        if path.extension()? != ENDING {
            return None;
        }
        path.file_stem()?.to_str()?.parse().ok()
    }

    /// Opens the file to append to it.
    pub(crate) fn open(&self) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)
    }

    /// Takes an appended or recovered batch into account.
    pub(crate) fn note(&mut self, batch: &Header) {
        if self.marks.last().is_none_or(|mark| self.len - mark.position >= MARK_EVERY) {
            self.marks.push(Mark { offset: batch.base_offset, position: self.len });
        }
        self.len += batch.size;
        self.max_timestamp = self.max_timestamp.max(batch.max_timestamp);
    }

    /// A position at or before the batch that holds `offset`.
    pub(crate) fn position(&self, offset: i64) -> u64 {
        let after = self.marks.partition_point(|mark| mark.offset <= offset);
        after.checked_sub(1).and_then(|at| self.marks.get(at)).map_or(0, |mark| mark.position)
    }

    /// Reads the headers of all batches, and with `verify` also their checksums, up to the first that is not whole.
    /// The caller compares `len` with the file's length.
    pub(crate) fn recover(&mut self, verify: bool, mut each: impl FnMut(&Header)) -> io::Result<()> {
        let file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        let mut next = self.base;
        while let Some(header) = header_at(&file, self.len, length)? {
            if header.base_offset < next || (verify && !is_intact(&file, self.len, &header)?) {
                break;
            }
            next = header.last_offset + 1;
            self.note(&header);
            each(&header);
        }
        Ok(())
    }
}

/// The header at a position, or nothing when there is no whole batch below `end`.
fn header_at(file: &File, position: u64, end: u64) -> io::Result<Option<Header>> {
    if position + HEADER_BYTES as u64 > end {
        return Ok(None);
    }
    let mut raw = [0; HEADER_BYTES];
    file.read_exact_at(&mut raw, position)?;
    Ok(Header::parse(&raw).filter(|header| position + header.size <= end))
}

fn is_intact(file: &File, position: u64, header: &Header) -> io::Result<bool> {
    let bytes = bytes_at(file, position, header.size)?;
    Ok(Batch::try_from(bytes).is_ok_and(|batch| batch.computed_crc() == batch.crc))
}

fn bytes_at(file: &File, position: u64, size: u64) -> io::Result<Bytes> {
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    file.read_exact_at(&mut bytes, position)?;
    Ok(Bytes::from(bytes))
}

/// What part of a file to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    /// Where to begin looking.
    pub(crate) position: u64,
    /// Where the file's whole batches end.
    pub(crate) end: u64,
    /// The first record wanted.
    pub(crate) offset: i64,
    /// The first record that must not be shown yet.
    pub(crate) below: i64,
    /// How many bytes are wanted; one batch is read however large it is.
    pub(crate) bytes_max: u64,
}

/// Reads whole batches.
pub(crate) fn read(file: &File, range: Range) -> io::Result<Vec<Batch>> {
    let Range { mut position, end, offset, below, bytes_max } = range;
    let first = loop {
        match header_at(file, position, end)? {
            Some(header) if header.last_offset < offset => position += header.size,
            Some(header) if header.base_offset < below => break header,
            Some(_) => return Ok(Vec::new()),
            None if position >= end => return Ok(Vec::new()),
            None => return Err(damaged(position)),
        }
    };
    let mut bytes = bytes_at(file, position, bytes_max.max(first.size).min(end - position))?;
    let mut batches = Vec::new();
    while let Some(raw) = bytes.first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(raw).ok_or_else(|| damaged(position))?;
        let size = usize::try_from(header.size).map_err(io::Error::other)?;
        if header.base_offset >= below || size > bytes.len() {
            break;
        }
        position += header.size;
        batches.push(Batch::try_from(bytes.split_to(size)).map_err(io::Error::other)?);
    }
    Ok(batches)
}

/// The first batch at or after `position` with a record as late as `timestamp`.
pub(crate) fn first_since(file: &File, end: u64, below: i64, timestamp: i64) -> io::Result<Option<Batch>> {
    let mut position = 0;
    while let Some(header) = header_at(file, position, end)? {
        if header.base_offset >= below {
            return Ok(None);
        }
        if header.max_timestamp >= timestamp {
            let bytes = bytes_at(file, position, header.size)?;
            return Batch::try_from(bytes).map(Some).map_err(io::Error::other);
        }
        position += header.size;
    }
    Ok(None)
}

fn damaged(position: u64) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("no record batch at byte {position}"))
}
