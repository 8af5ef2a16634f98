use super::{Appended, Failure, Partition};
use bytes::Bytes;
use nisshi_sans_io::record::{Record, deflated::Batch, inflated};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A batch of `count` records of 100 bytes, the first at `time` milliseconds, each a millisecond later.
fn batch(count: i32, time: i64) -> Batch {
    sequenced(count, time, -1, -1)
}

fn sequenced(count: i32, time: i64, producer: i64, sequence: i32) -> Batch {
    let mut batch = inflated::Batch::builder()
        .base_timestamp(time)
        .producer_id(producer)
        .producer_epoch(0)
        .base_sequence(sequence)
        .last_offset_delta(count - 1);
    for delta in 0..count {
        let value = Bytes::from(format!("{delta:0>100}"));
        let record = Record::builder().offset_delta(delta).timestamp_delta(delta.into()).value(Some(value));
        batch = batch.record(record);
    }
    batch.max_timestamp_of_records().build().and_then(Batch::try_from).expect("a batch")
}

fn append(log: &Partition, batch: Batch) -> Appended {
    let appended = log.append(batch).expect("stored");
    log.flush();
    appended
}

/// First and last offset of all batches read from `offset` on.
fn offsets(log: &Partition, offset: i64) -> Vec<(i64, i64)> {
    let batches = log.read(offset, 1 << 20).expect("readable");
    assert!(batches.iter().all(|batch| batch.computed_crc() == batch.crc));
    batches
        .iter()
        .map(|batch| (batch.base_offset, batch.base_offset + i64::from(batch.last_offset_delta)))
        .collect()
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    paths.sort();
    paths
}

#[test]
fn records_are_numbered_and_come_back_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    assert_eq!((log.start(), log.end(), log.visible()), (0, 0, 0));
    assert_eq!(append(&log, batch(3, 1_000)).base, 0);
    assert_eq!(append(&log, batch(2, 2_000)).base, 3);
    assert_eq!(offsets(&log, 0), [(0, 2), (3, 4)]);
    assert_eq!(offsets(&log, 1), [(0, 2), (3, 4)], "the batch that holds the offset comes whole");
    assert_eq!(offsets(&log, 3), [(3, 4)]);
    assert_eq!(offsets(&log, 5), []);
    drop(log);
    let log = Partition::open(dir.path()).unwrap();
    assert_eq!((log.start(), log.end(), log.visible()), (0, 5, 5));
    assert_eq!(append(&log, batch(1, 3_000)).base, 5);
    assert_eq!(offsets(&log, 4), [(3, 4), (5, 5)]);
}

#[test]
fn records_are_visible_only_once_they_are_synced() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    let first = log.append(batch(2, 0)).unwrap();
    let second = log.append(batch(2, 0)).unwrap();
    assert!(first.flush && !second.flush, "one flush takes both");
    assert_eq!((log.end(), log.visible()), (4, 0));
    assert_eq!(offsets(&log, 0), []);
    log.flush();
    assert_eq!(log.visible(), 4);
    assert_eq!(offsets(&log, 0), [(0, 1), (2, 3)]);
    assert!(log.append(batch(1, 0)).unwrap().flush, "the next one needs another");
}

#[test]
fn an_incomplete_write_is_cut_off_and_kept_aside() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    append(&log, batch(3, 0));
    let whole = fs::metadata(&segments(dir.path())[0]).unwrap().len();
    append(&log, batch(3, 0));
    drop(log);
    let path = segments(dir.path()).remove(0);
    let full = fs::read(&path).unwrap();
    for keep in [whole + 1, whole + 60, whole + 61, full.len() as u64 - 1] {
        fs::write(&path, &full[..usize::try_from(keep).unwrap()]).unwrap();
        let log = Partition::open(dir.path()).unwrap();
        assert_eq!(log.end(), 3, "{keep} bytes");
        assert_eq!(fs::metadata(&path).unwrap().len(), whole);
        let cut = fs::metadata(path.with_extension("cut")).unwrap().len();
        assert_eq!(cut, keep - whole);
        assert_eq!(append(&log, batch(1, 0)).base, 3);
        assert_eq!(offsets(&log, 0), [(0, 2), (3, 3)]);
    }
    // Zeros, as some file systems leave them, and a byte that changed within the last batch.
    fs::write(&path, [&full[..usize::try_from(whole).unwrap()], &[0; 4_096]].concat()).unwrap();
    assert_eq!(Partition::open(dir.path()).unwrap().end(), 3);
    let mut torn = full.clone();
    *torn.last_mut().unwrap() ^= 1;
    fs::write(&path, &torn).unwrap();
    assert_eq!(Partition::open(dir.path()).unwrap().end(), 3);
}

#[test]
fn segments_follow_each_other_and_damage_in_an_old_one_stops_the_start() {
    let dir = TempDir::new().unwrap();
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    for at in 0..6 {
        append(&log, batch(5, at * 1_000));
    }
    let paths = segments(dir.path());
    assert_eq!(paths.len(), 6, "{paths:?}");
    let ends: Vec<_> = (0..30).step_by(5).map(|at| offsets(&log, at)).collect();
    assert_eq!(ends, (0..30).step_by(5).map(|at| vec![(at, at + 4)]).collect::<Vec<_>>());
    drop(log);
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    assert_eq!((log.end(), offsets(&log, 12)), (30, vec![(10, 14)]));
    drop(log);
    // Not the last segment: what is missing there was synced once, so it is damage and not an incomplete write.
    let file = fs::OpenOptions::new().write(true).open(&paths[2]).unwrap();
    file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    let error = Partition::with_segments(dir.path(), 1_000).unwrap_err().to_string();
    assert!(error.contains("is damaged at byte 0"), "{error}");
}

#[test]
fn retention_drops_whole_segments_and_never_the_next_offset() {
    let dir = TempDir::new().unwrap();
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    for at in 0..6 {
        append(&log, batch(5, at * 1_000));
    }
    log.retain(Some(2_000), None).unwrap();
    assert_eq!((log.start(), segments(dir.path()).len()), (10, 4));
    let size = fs::metadata(&segments(dir.path())[0]).unwrap().len();
    log.retain(None, Some(2 * size)).unwrap();
    assert_eq!((log.start(), segments(dir.path()).len()), (20, 2));
    log.retain(Some(i64::MAX), None).unwrap();
    assert_eq!((log.start(), log.end(), offsets(&log, 0)), (30, 30, vec![]));
    drop(log);
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    assert_eq!((log.start(), log.end()), (30, 30));
    assert_eq!(append(&log, batch(1, 0)).base, 30);
}

#[test]
fn deleted_records_stay_deleted() {
    let dir = TempDir::new().unwrap();
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    for at in 0..3 {
        append(&log, batch(5, at * 1_000));
    }
    log.delete_below(7).unwrap();
    log.delete_below(2).unwrap();
    assert_eq!((log.start(), segments(dir.path()).len()), (7, 2));
    drop(log);
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    assert_eq!(log.start(), 7);
    log.delete_below(1_000).unwrap();
    assert_eq!(log.start(), 15, "not beyond the end");
}

#[test]
fn offsets_are_found_by_time() {
    let dir = TempDir::new().unwrap();
    let log = Partition::with_segments(dir.path(), 1_000).unwrap();
    for at in 0..4 {
        append(&log, batch(5, at * 1_000));
    }
    assert_eq!(log.offset_at(0).unwrap(), Some((0, 0)));
    assert_eq!(log.offset_at(1_002).unwrap(), Some((7, 1_002)));
    assert_eq!(log.offset_at(1_500).unwrap(), Some((10, 2_000)));
    assert_eq!(log.offset_at(3_005).unwrap(), None);
}

#[test]
fn a_batch_sent_again_is_stored_once_also_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    append(&log, batch(4, 0));
    assert_eq!(append(&log, sequenced(3, 0, 9, 0)).base, 4);
    drop(log);
    let log = Partition::open(dir.path()).unwrap();
    let again = append(&log, sequenced(3, 0, 9, 0));
    assert_eq!((again.base, again.end, log.end()), (4, 7, 7));
    assert_eq!(log.append(sequenced(1, 0, 9, 7)).unwrap_err(), Failure::OutOfOrder);
    assert_eq!(append(&log, sequenced(1, 0, 9, 3)).base, 7);
}

#[test]
fn a_large_batch_is_read_whole_whatever_the_limit() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    append(&log, batch(2_000, 0));
    append(&log, batch(1, 0));
    assert_eq!(log.read(0, 1).unwrap().len(), 1);
    assert_eq!(log.read(0, 1).unwrap()[0].record_count, 2_000);
}

#[test]
fn a_reader_meets_damage_as_a_batch_whose_checksum_is_wrong() {
    let dir = TempDir::new().unwrap();
    let log = Partition::open(dir.path()).unwrap();
    append(&log, batch(3, 0));
    let file = fs::OpenOptions::new().write(true).read(true).open(&segments(dir.path())[0]).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 100).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 100).unwrap();
    let batches = log.read(0, 1_000).unwrap();
    assert_ne!(batches[0].crc, batches[0].computed_crc(), "clients check it: check.crcs");
}
