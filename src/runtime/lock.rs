//! Who uses a data directory: an advisory lock (flock) on the file `lock` in it. The operating system lets go of it when
//! the process ends, however it ends.

use anyhow::{Context, bail};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

/// The file.
const NAME: &str = "lock";
/// Most bytes that are read of it: a process id.
const PID_BYTES_MAX: u64 = 20;

/// With whom the data directory is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// With nobody: every role runs in this process.
    Alone,
    /// With other processes that run single roles.
    AmongRoles,
}

/// Held as long as the data directory is in use.
#[derive(Debug)]
pub struct DataLock(#[expect(dead_code, reason = "its descriptor is the lock")] File);

impl DataLock {
    /// Takes the data directory, which is made if it is not there.
    ///
    /// # Errors
    /// When another process has it.
    pub fn take(dir: &Path, sharing: Sharing) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("cannot create data directory {}", dir.display()))?;
        let path = dir.join(NAME);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .with_context(|| format!("cannot write to data directory {}", dir.display()))?;
        let locked = match sharing {
            Sharing::Alone => file.try_lock(),
            Sharing::AmongRoles => file.try_lock_shared(),
        };
        match locked {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!(
                "data directory {} is in use by process {}: stop that one, or name another with --data-dir",
                dir.display(),
                holder(&mut file)
            ),
            Err(TryLockError::Error(error)) => {
                return Err(error).with_context(|| format!("cannot lock {}", path.display()));
            }
        }
        let pid = std::process::id().to_string();
        file.set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(file))
    }
}

/// Who took it last, for people.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.take(PID_BYTES_MAX).read_to_string(&mut text));
    if read.is_ok() && !text.is_empty() { text } else { "(unknown)".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_alone_or_several_with_single_roles() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let alone = DataLock::take(&data, Sharing::Alone).unwrap();
        for sharing in [Sharing::Alone, Sharing::AmongRoles] {
            let told = DataLock::take(&data, sharing).unwrap_err().to_string();
            let (dir, pid) = (data.display().to_string(), format!("process {}:", std::process::id()));
            assert!(told.contains(&dir) && told.contains(&pid), "{told}");
        }
        drop(alone);
        let _first = DataLock::take(&data, Sharing::AmongRoles).unwrap();
        let _second = DataLock::take(&data, Sharing::AmongRoles).unwrap();
        DataLock::take(&data, Sharing::Alone).unwrap_err();
    }
}
