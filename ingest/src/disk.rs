//! What a full or failing disk means, and waiting until there is room.

#![allow(clippy::wildcard_enum_match_arm, reason = "the kinds of I/O errors are an open list")]

use crate::handle::Handle;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What must fit before ingest goes on: a few commits. With less it would fill the disk again at once.
const ROOM_BYTES: usize = 4 << 20;
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// Error numbers of Linux.
const EIO: i32 = 5;
const EFBIG: i32 = 27;
const ENOSPC: i32 = 28;
const EDQUOT: i32 = 122;

/// What is wrong with the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// No room, a quota, a limit of the process.
    Full,
    /// It cannot write or sync: what was written may be lost.
    Failing,
}

/// Whether an error comes from the disk.
pub fn of(mut error: &(dyn std::error::Error + 'static)) -> Option<Disk> {
    loop {
        if let Some(found) = error.downcast_ref::<io::Error>() {
            let kind = match found.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    Some(Disk::Full)
                }
                _ if found.raw_os_error() == Some(EIO) => Some(Disk::Failing),
                _ => None,
            };
            if kind.is_some() {
                return kind;
            }
            // `source` passes over what the error wraps.
            if let Some(inner) = found.get_ref() {
                error = inner;
                continue;
            }
        }
        match error.source() {
            Some(source) => error = source,
            None => return by_text(&error.to_string()),
        }
    }
}

/// Libraries in between make texts of their causes.
fn by_text(text: &str) -> Option<Disk> {
    let has = |number: i32| text.contains(&format!("(os error {number})"));
    // What SQLite says (`SQLITE_FULL`).
    if [ENOSPC, EDQUOT, EFBIG].into_iter().any(has) || text.contains("database or disk is full") {
        Some(Disk::Full)
    } else {
        has(EIO).then_some(Disk::Failing)
    }
}

/// What people should do about it.
pub const fn advice(disk: Disk) -> &'static str {
    match disk {
        Disk::Full => {
            "the disk is full: make room, and it goes on by itself; nothing is lost, Kafka keeps what is not stored for as \
             long as its retention says"
        }
        Disk::Failing => {
            "the disk fails to write (EIO): check it; it starts afresh from what is durable, and nothing that was not \
             synced counts as stored"
        }
    }
}

/// Waits until there is room again in all of these directories. Nothing is consumed meanwhile: shards go to members whose disk has room, if there
/// are any.
pub(crate) fn wait_for_room(dirs: &[&Path], handle: &Handle, shutdown: &CancellationToken) {
    // Whatever else is wrong is told by those who meet it.
    let full = |dir: &&&Path| probe(dir).is_err_and(|error| of(&error) == Some(Disk::Full));
    while !shutdown.is_cancelled()
        && let Some(dir) = dirs.iter().find(full)
    {
        handle.trouble(format!("{} ({})", advice(Disk::Full), dir.display()));
        std::thread::sleep(PAUSE);
    }
}

fn probe(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    let path = dir.join(format!(".room.{}", std::process::id()));
    let written = File::create(&path).and_then(|mut file| {
        file.write_all(&vec![0; ROOM_BYTES])?;
        file.sync_all()
    });
    // Where there was no room for a name there is nothing to remove.
    drop(fs::remove_file(&path));
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use ambit_schemas::{Shard, Topic};

    #[test]
    fn the_disk_is_found_behind_other_errors() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let outer = ambit_bus::Error::Abandoned { topic: Topic::Events };
        assert_eq!(of(&outer), None);
        assert_eq!(of(&io::Error::other(full)), Some(Disk::Full));
        assert_eq!(of(&io::Error::from_raw_os_error(EIO)), Some(Disk::Failing));
        let cause = ambit_store::Error::Objects(object_error());
        assert_eq!(of(&crate::Error::Store(cause)), Some(Disk::Full));
        assert_eq!(of(&io::Error::other("written by hand: gone (os error 28)")), Some(Disk::Full));
        let sqlite = io::Error::other("database or disk is full");
        assert_eq!(of(&sqlite), Some(Disk::Full));
        let shard = Shard::new(Topic::Events, 0);
        assert_eq!(of(&crate::Error::RolledBack { shard, signed: 1, stored: 0 }), None);
    }

    fn object_error() -> object_store::Error {
        let source = Box::new(io::Error::from(io::ErrorKind::StorageFull));
        object_store::Error::Generic { store: "local disk", source }
    }

    #[test]
    fn room_is_found_where_there_is_some() {
        let dir = tempfile::tempdir().unwrap();
        wait_for_room(&[dir.path()], &Handle::default(), &CancellationToken::new());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the probe cleans up");
    }
}
