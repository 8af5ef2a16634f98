//! What a process costs: its CPU time as Linux accounts it, with all its threads, and the time on the wall.

use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// Ticks of `/proc/<pid>/stat` per second. Linux fixes this on all architectures that Ambit runs on (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Where user time stands behind the program's name (field 14 of proc(5)); system time follows it.
const USER_TIME: usize = 11;

/// CPU seconds, user and system, that a process has used. `process` is its number, or `self`.
pub(crate) fn seconds(process: &str) -> anyhow::Result<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name is in parentheses and may hold anything, parentheses and spaces too.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(USER_TIME).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks.as_slice() {
        [user, system] => Ok((user + system) / TICKS_PER_SECOND),
        _ => anyhow::bail!("{path} is not in the form of proc(5)"),
    }
}

/// What something took.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Took {
    /// CPU seconds of the process.
    pub(crate) cpu_seconds: f64,
    /// Seconds on the wall.
    pub(crate) wall_seconds: f64,
}

/// Measures this process from its making to `stop`.
#[derive(Debug)]
pub(crate) struct Meter {
    cpu: f64,
    wall: Instant,
}

impl Meter {
    pub(crate) fn start() -> anyhow::Result<Self> {
        Ok(Self { cpu: seconds("self")?, wall: Instant::now() })
    }

    pub(crate) fn stop(self) -> anyhow::Result<Took> {
        let wall_seconds = self.wall.elapsed().as_secs_f64();
        Ok(Took { cpu_seconds: seconds("self")? - self.cpu, wall_seconds })
    }
}
